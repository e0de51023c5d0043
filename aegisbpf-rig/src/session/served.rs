//! A service of the user's under a load command of the user's.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Load, Sample, Session};
use nix::sys::signal::Signal;

use super::batch::children_cpu;
use crate::{
    interrupt::Interrupt,
    load_tool::{self, LoadTool, ToolError, Wanted, Yield},
    service::Service,
    shell,
};

/// How long a service may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// What a load tool may take beyond its window.
const BEYOND: Duration = Duration::from_secs(30);

/// Who serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Serving {
    /// The command line that starts the service and stays in the foreground. `None`: it runs already, and its CPU time
    /// is not known.
    pub line: Option<String>,
    /// Ends with 0 when the service answers. `None`: the load command is tried until it succeeds.
    pub ready: Option<String>,
}

/// A running service and its load command. Dropping it ends the service.
#[derive(Debug)]
pub struct Served {
    service: Option<Service>,
    tool: Option<Box<dyn LoadTool>>,
    load: Vec<OsString>,
    scratch: PathBuf,
    interrupt: Interrupt,
}

/// What can be wrong with the load command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It cannot be started.
    #[error("starting the load command {command}: {source}")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It failed.
    #[error("the load command {command} {how}; it printed last: {output}")]
    Failed {
        /// The command.
        command: String,
        /// In which way.
        how: String,
        /// Its last lines.
        output: String,
    },
}

impl Served {
    /// Starts the service and waits until it answers. An interrupt ends this, and is passed on to the load command.
    ///
    /// # Errors
    /// If it cannot be started, dies, or does not answer in time.
    pub fn start(
        serving: &Serving,
        load: Vec<OsString>,
        scratch: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, BoxError> {
        let log = scratch.join("service.log");
        let service = match &serving.line {
            None => None,
            Some(line) => {
                let script = format!("exec >{} 2>&1\n{line}", shell::quoted(&[&log]));
                let service = Service::start_in_cgroup(
                    "the service",
                    Path::new("/bin/sh"),
                    &log,
                    |command| {
                        command.args(["-c", &script]);
                    },
                )?;
                Some(service.stopped_by(Signal::SIGTERM, Duration::from_secs(5)))
            }
        };
        let mut served = Self {
            service,
            tool: load_tool::of(&load),
            load,
            scratch: scratch.to_owned(),
            interrupt: interrupt.clone(),
        };
        served.wait_until_ready(serving.ready.as_deref())?;
        Ok(served)
    }

    /// How a service under this load command is measured: by what the load tool can, if it is one that we know.
    #[must_use]
    pub fn kind_of(load: &[OsString]) -> Kind {
        kind(load_tool::of(load).as_deref())
    }

    /// The load tool, if it is one that we know.
    #[must_use]
    pub fn tool(&self) -> Option<&'static str> {
        self.tool.as_ref().map(|tool| tool.name())
    }

    fn wait_until_ready(&mut self, ready: Option<&str>) -> Result<(), BoxError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(service) = &mut self.service {
                service.check()?;
            }
            let tried: Result<(), BoxError> = match ready {
                Some(line) => {
                    let log = self.scratch.join("ready.log");
                    shell::run_unless(line, &log, READY_WITHIN, &self.interrupt)
                        .map_err(BoxError::from)
                }
                None => self.try_load(),
            };
            self.interrupt.check()?;
            match tried {
                Ok(()) => return Ok(()),
                Err(error) if is_final(&error) || Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn try_load(&self) -> Result<(), BoxError> {
        let wanted = self.wanted(Duration::from_secs(1), None, 1);
        let (found, _) = self.offer(&wanted)?;
        if found.operations > 0 {
            return Ok(());
        }
        let errors: Vec<String> = found
            .errors
            .iter()
            .map(|(class, count)| format!("{count} {class}"))
            .collect();
        Err(self.failed(format!(
            "did nothing that succeeded ({})",
            errors.join(", ")
        )))
    }

    fn wanted(&self, window: Duration, rate: Option<f64>, seed: u64) -> Wanted<'_> {
        Wanted {
            window,
            rate,
            seed,
            scratch: &self.scratch,
        }
    }

    fn log(&self) -> PathBuf {
        self.scratch.join("load.log")
    }

    fn failed(&self, how: String) -> BoxError {
        LoadError::Failed {
            command: shell::quoted(&self.load),
            how,
            output: shell::tail(&self.log()),
        }
        .into()
    }

    /// Runs the load command once.
    fn offer(&self, wanted: &Wanted<'_>) -> Result<(Yield, Duration), BoxError> {
        let words = match &self.tool {
            Some(tool) => tool.command(&self.load, wanted)?,
            None => self.load.clone(),
        };
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        shell::silenced(&mut command, &self.log())?;
        let begin = Instant::now();
        let child = command.spawn().map_err(|source| LoadError::Start {
            command: shell::quoted(&self.load),
            source,
        })?;
        let limit = match &self.tool {
            Some(_) => 3 * wanted.window + BEYOND,
            None => Duration::from_secs(3_600),
        };
        let line = shell::quoted(&self.load);
        let status = shell::wait_within(child, &line, limit, &self.interrupt)?;
        let elapsed = begin.elapsed();
        // How it ended then is no fault of its own.
        self.interrupt.check()?;
        let Some(tool) = &self.tool else {
            let failed = (!status.success()).then(|| (format!("load command: {status}"), 1));
            return Ok((
                Yield {
                    operations: u64::from(status.success()),
                    wall: Some(elapsed),
                    latency: None,
                    errors: failed.into_iter().collect::<BTreeMap<_, _>>(),
                },
                elapsed,
            ));
        };
        if !status.success() {
            return Err(self.failed(format!("ended with {status}")));
        }
        let output = String::from_utf8_lossy(&fs::read(self.log())?).into_owned();
        Ok((tool.read(&output, wanted)?, elapsed))
    }

    fn cpu(&self) -> Result<Duration, BoxError> {
        match &self.service {
            // Servers that fork for each connection spend it in processes that are gone when we ask.
            Some(service) => Ok(service.cpu(&service.meter()?)?),
            None => Ok(Duration::ZERO),
        }
    }
}

fn kind(tool: Option<&dyn LoadTool>) -> Kind {
    match tool {
        Some(tool) if tool.offers_rate() => Kind::Service,
        Some(_) => Kind::Timed,
        None => Kind::Batch,
    }
}

/// Whether waiting cannot help: the load command is not there, or prints what is not known here.
fn is_final(error: &BoxError) -> bool {
    matches!(error.downcast_ref(), Some(LoadError::Start { .. }))
        || matches!(error.downcast_ref(), Some(ToolError::Unknown { .. }))
}

impl Session for Served {
    fn kind(&self) -> Kind {
        kind(self.tool.as_deref())
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        if let Some(service) = &mut self.service {
            service.check()?;
        }
        thread::sleep(block.settle);
        let rate = match block.load {
            Load::Open { rate } => Some(rate),
            Load::Closed => None,
        };
        let wanted = self.wanted(block.window, rate, block.seed);
        let (cpu, generator) = (self.cpu()?, children_cpu()?);
        let (found, elapsed) = self.offer(&wanted)?;
        Ok(Sample {
            operations: found.operations,
            wall: found.wall.unwrap_or(elapsed),
            cpu: self.cpu()?.saturating_sub(cpu),
            generator_cpu: children_cpu()?.saturating_sub(generator),
            latency: found.latency,
            errors: found.errors,
            ..Sample::default()
        })
    }

    /// What the service opens is its own business.
    fn opens_per_operation(&self) -> f64 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Cgroup;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_service_that_dies_is_reported_with_its_last_words() {
        let scratch = tempfile::tempdir().unwrap();
        let serving = Serving {
            line: Some("echo no configuration; exit 7".to_owned()),
            ready: Some("false".to_owned()),
        };
        let error = Served::start(
            &serving,
            words(&["true"]),
            scratch.path(),
            &Interrupt::default(),
        )
        .unwrap_err();
        assert!(error.to_string().contains("no configuration"), "{error}");
    }

    #[test]
    fn a_load_command_that_is_not_there_is_told_at_once() {
        let scratch = tempfile::tempdir().unwrap();
        let load = words(&["/no/such/oha", "http://127.0.0.1:1/"]);
        // Nothing is served and nothing says when it is ready: other failures are waited out.
        let interrupt = Interrupt::default();
        let error =
            Served::start(&Serving::default(), load, scratch.path(), &interrupt).unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(LoadError::Start { .. })),
            "{error}"
        );
        assert!(error.to_string().contains("/no/such/oha"), "{error}");
    }

    #[test]
    fn an_interrupt_ends_the_waiting_for_the_service() {
        let scratch = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::default();
        interrupt.ask();
        let serving = Serving {
            line: None,
            ready: Some("sleep 600".to_owned()),
        };
        let error =
            Served::start(&serving, words(&["true"]), scratch.path(), &interrupt).unwrap_err();
        assert!(error.is::<crate::interrupt::Interrupted>(), "{error}");
    }

    #[test]
    fn an_unknown_load_command_is_timed_and_the_services_cpu_is_counted() {
        let scratch = tempfile::tempdir().unwrap();
        let serving = Serving {
            line: Some("while :; do :; done".to_owned()),
            ready: Some("true".to_owned()),
        };
        let mut served = Served::start(
            &serving,
            words(&["sleep", "0.2"]),
            scratch.path(),
            &Interrupt::default(),
        )
        .unwrap();
        assert_eq!(served.kind(), Kind::Batch);
        let block = Block {
            seed: 1,
            settle: Duration::ZERO,
            window: Duration::from_secs(1),
            load: Load::Closed,
        };
        let sample = served.run(&block).unwrap();
        assert_eq!(sample.operations, 1);
        assert!(sample.wall >= Duration::from_millis(200));
        assert!(sample.cpu > Duration::from_millis(1), "{:?}", sample.cpu);
    }

    #[test]
    fn the_cpu_of_processes_that_are_gone_is_counted_too() {
        if Cgroup::new("probe").is_err() {
            eprintln!("ignored: no cgroup2 to write to");
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let (go, done) = (scratch.path().join("go"), scratch.path().join("done"));
        let (go, done) = (go.display(), done.display());
        let serving = Serving {
            line: Some(format!(
                "until [ -e {go} ]; do sleep 0.02; done
                 (i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done)
                 touch {done}; exec sleep 60"
            )),
            ready: Some("true".to_owned()),
        };
        let load = format!("touch {go}; until [ -e {done} ]; do sleep 0.02; done");
        let mut served = Served::start(
            &serving,
            words(&["sh", "-c", &load]),
            scratch.path(),
            &Interrupt::default(),
        )
        .unwrap();
        let block = Block {
            seed: 1,
            settle: Duration::ZERO,
            window: Duration::from_secs(1),
            load: Load::Closed,
        };
        let sample = served.run(&block).unwrap();
        assert!(sample.cpu > Duration::from_millis(50), "{:?}", sample.cpu);
    }

    #[test]
    fn a_tool_that_prints_no_figures_is_told_with_what_it_printed() {
        let scratch = tempfile::tempdir().unwrap();
        let fake = scratch.path().join("wrk");
        fs::write(&fake, "#!/bin/sh\necho unable to connect\n").unwrap();
        let mut permissions = fs::metadata(&fake).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        fs::set_permissions(&fake, permissions).unwrap();
        let serving = Serving {
            line: None,
            ready: Some("true".to_owned()),
        };
        let mut served = Served::start(
            &serving,
            vec![fake.into_os_string()],
            scratch.path(),
            &Interrupt::default(),
        )
        .unwrap();
        assert_eq!((served.tool(), served.kind()), (Some("wrk"), Kind::Timed));
        let block = Block {
            seed: 1,
            settle: Duration::ZERO,
            window: Duration::from_secs(1),
            load: Load::Closed,
        };
        let error = served.run(&block).unwrap_err().to_string();
        assert!(error.contains("unable to connect"), "{error}");
    }
}
