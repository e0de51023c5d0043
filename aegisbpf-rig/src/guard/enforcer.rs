//! The real enforcer as a process: this very binary, started again with its settings in the environment.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    process::{Command, ExitCode},
    thread::{self, JoinHandle},
};

use aegisbpf_core::{
    Backend, Enforcer, Error, Events, Mode, Policy, Stopper, cgroup::CgroupTree, stats::CgroupStats,
};
use aegisbpf_measure::{
    guard::{EmptyProgram, Identity, Matched, Matches, Runs},
    workload::BoxError,
};
use nix::sys::{prctl::set_pdeathsig, signal::Signal};
use serde::{Deserialize, Serialize};

use crate::guard::{
    child::{Switch, failed, say, serve},
    protocol::{Answer, Counters},
};

/// Set for the enforcer's process alone. People set other variables.
const SETTINGS_VARIABLE: &str = "AEGIS_RIG_ENFORCER";

/// What the enforcer's process is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The policy under test.
    pub policy_file: PathBuf,
    /// What the reports call it.
    pub policy_name: String,
    /// Hash of its text without the canary, whose path differs from run to run.
    pub policy_sha256: String,
    /// Audit or enforce.
    pub mode: Mode,
    /// A backend, or the first that works.
    pub backend: Option<Backend>,
    /// Where events go, as JSON lines.
    pub events: PathBuf,
}

impl Settings {
    /// The command that starts the enforcer's process.
    ///
    /// # Errors
    /// If this program's own file cannot be found.
    pub fn command(&self) -> io::Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.env(SETTINGS_VARIABLE, serde_json::to_string(self)?);
        Ok(command)
    }
}

/// Becomes the enforcer if this process was started as one. The first thing that `main` calls.
#[must_use]
pub fn main_if_asked() -> Option<ExitCode> {
    let settings = env::var(SETTINGS_VARIABLE).ok()?;
    // The end of our input ends us too; this is for a harness that is killed while we are busy.
    let _ = set_pdeathsig(Signal::SIGKILL);
    let answer = match Running::start(&settings) {
        Ok(mut running) => {
            let served = serve(&mut running, io::stdin().lock(), io::stdout().lock());
            return Some(if served.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Err(error) => match error.downcast_ref::<Error>() {
            Some(unsupported @ Error::Unsupported { .. }) => {
                Answer::Unsupported(unsupported.chain())
            }
            _ => failed(&error),
        },
    };
    let _ = say(&mut io::stdout().lock(), &answer);
    Some(ExitCode::FAILURE)
}

struct Running {
    aegis: Enforcer,
    identity: Identity,
    stopper: Stopper,
    sink: Option<JoinHandle<()>>,
}

impl Running {
    fn start(settings: &str) -> Result<Self, BoxError> {
        let settings: Settings = serde_json::from_str(settings)?;
        let policy = Policy::from_path(&settings.policy_file)?;
        let mut builder = Enforcer::builder().mode(settings.mode).policy(policy);
        if let Some(backend) = settings.backend {
            builder = builder.backend(backend);
        }
        let mut aegis = builder.load()?;
        let events = aegis.events()?;
        let stopper = events.stopper();
        let file = BufWriter::new(File::create(&settings.events)?);
        let sink = Some(
            thread::Builder::new()
                .name("events".to_owned())
                .spawn(move || drain(events, file))?,
        );
        // Attached once to learn the hooks; what is attached later is compared with these.
        aegis.attach()?;
        let hooks = aegis.links();
        aegis.detach()?;
        let identity = Identity {
            name: "aegisbpf".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            backend: aegis.backend().to_string(),
            mode: aegis.mode().to_string(),
            policy: settings.policy_name,
            policy_sha256: settings.policy_sha256,
            hooks,
        };
        Ok(Self {
            aegis,
            identity,
            stopper,
            sink,
        })
    }
}

/// Formats and writes events as the command does: a batch, then a flush.
fn drain(mut events: Events, mut file: impl Write) {
    loop {
        match events.next() {
            Some(Ok(event)) => {
                // A full disk must not stop the enforcer; the counters are exact without the file.
                let _ = serde_json::to_writer(&mut file, &event);
                let _ = file.write_all(b"\n");
            }
            Some(Err(_)) => {}
            None => return,
        }
        while let Ok(Some(event)) = events.try_next() {
            let _ = serde_json::to_writer(&mut file, &event);
            let _ = file.write_all(b"\n");
        }
        let _ = file.flush();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(sink) = self.sink.take() {
            let _ = sink.join();
        }
    }
}

/// The counters of all rules together, for each control group that still exists.
fn by_cgroup(counts: &[CgroupStats]) -> Vec<Matched> {
    let mut sums = BTreeMap::<u64, (u64, u64)>::new();
    for count in counts {
        let (blocks, exempted) = sums.entry(count.cgroup).or_default();
        *blocks += count.audited + count.denied;
        *exempted += count.exempted;
    }
    let ids = sums.keys().copied().collect();
    let paths = CgroupTree::find().map_or_else(|_| BTreeMap::new(), |tree| tree.paths(&ids));
    sums.into_iter()
        .filter_map(|(id, (blocks, exempted))| {
            let what = paths.get(&id)?.display().to_string();
            Some(Matched {
                what,
                blocks,
                exempted,
            })
        })
        .collect()
}

/// Those that were met, most often first.
fn met(all: impl IntoIterator<Item = Matched>) -> Vec<Matched> {
    let mut met: Vec<Matched> = all
        .into_iter()
        .filter(|matched| matched.blocks + matched.exempted > 0)
        .collect();
    met.sort_by(|a, b| (b.blocks, &a.what).cmp(&(a.blocks, &b.what)));
    met
}

impl Switch for Running {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn protect(&mut self) -> Result<(), BoxError> {
        Ok(self.aegis.attach()?)
    }

    fn release(&mut self) -> Result<(), BoxError> {
        Ok(self.aegis.detach()?)
    }

    fn counters(&mut self) -> Result<Counters, BoxError> {
        let stats = self.aegis.stats()?;
        let runs = self
            .aegis
            .hook_runs()?
            .into_iter()
            .map(|hook| {
                let (count, nanos) = (hook.runs, hook.nanos);
                (hook.hook, Runs { count, nanos })
            })
            .collect();
        let (hits, blocks) = (stats.hits(), stats.blocks());
        let (events, drops) = (stats.health.emitted, stats.health.dropped);
        Ok(Counters {
            links: stats.links,
            hits,
            blocks,
            events,
            drops,
            runs,
        })
    }

    fn count_runs(&mut self, on: bool) -> Result<(), BoxError> {
        Ok(self.aegis.count_runs(on)?)
    }

    fn calibrate(&mut self) -> Result<Option<EmptyProgram>, BoxError> {
        crate::guard::empty::measure(self.aegis.backend())
    }

    fn kernel_memory(&mut self) -> Result<u64, BoxError> {
        Ok(self.aegis.kernel_memory()?)
    }

    fn matches(&mut self) -> Result<Matches, BoxError> {
        let stats = self.aegis.stats()?;
        Ok(Matches {
            rules: met(stats.rules.iter().map(|rule| Matched {
                what: rule.label.clone(),
                blocks: rule.audited + rule.denied,
                exempted: rule.exempted,
            })),
            cgroups: met(by_cgroup(&stats.cgroups)),
        })
    }
}
