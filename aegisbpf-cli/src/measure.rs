//! `aegisbpf measure`: what an enforcer costs on the user's own workload.

use std::{
    fs::{self, File},
    io::{self, BufReader, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aegisbpf_core::{Error, Mode, Policy};
use aegisbpf_measure::{
    Plan, Progress, Record, Verdict,
    guard::Guard,
    journal,
    progress::Live,
    report::{files, github, table},
    workload::{BoxError, Kind, Session},
};
use aegisbpf_rig::{
    errors::chain,
    guard::{CommandGuard, Commands, GuardError, PolicyText, sha256},
    session::{Batch, Served, Serving},
    shell,
    terminal::Terminal,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{
    args::MeasureArgs,
    exit::{Failure, Told},
    out::say,
};

/// The policy that is tested if none is named.
const SHIPPED: (&str, &str) = (
    "policies/production.conf",
    include_str!("../../policies/production.conf"),
);

/// Where the reports go if nobody says where.
const REPORTS: &str = "aegis-report";

/// A block of a service: two thirds at the fixed rate, one third as fast as it goes. Load tools know whole seconds.
const SERVICE_WINDOW: Duration = Duration::from_secs(3);
/// A block of a load tool that only knows as fast as it goes.
const TIMED_WINDOW: Duration = Duration::from_secs(1);

pub(crate) fn measure(args: &MeasureArgs) -> Result<(), Failure> {
    match &args.replay {
        Some(file) => replay(args, file),
        None => run(args),
    }
}

fn replay(args: &MeasureArgs, file: &Path) -> Result<(), Failure> {
    let open = File::open(file)
        .map_err(|error| Failure::said(format!("reading {}: {error}", file.display())))?;
    let record = journal::replay(BufReader::new(open))
        .map_err(|error| Failure::said(format!("replaying {}: {error}", file.display())))?;
    let judgement = &record.judgement;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, judgement).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}: {}", record.plan.workload, judgement.sentence())?;
    }
    if let Some(directory) = &args.report {
        write_reports(&record, directory)?;
    }
    annotate(args, &record);
    conclude(if args.strict {
        judgement.strict()
    } else {
        judgement.verdict
    })
}

fn run(args: &MeasureArgs) -> Result<(), Failure> {
    let scratch = tempfile::Builder::new()
        .prefix("aegisbpf-measure-")
        .tempdir()
        .map_err(|error| Failure::said(format!("making a directory for the run: {error}")))?;
    let name = workload_name(args);
    let mut progress = Watched::new(&name)?;
    let mut guard = guard(args, scratch.path())?;
    progress.phase("trying the workload");
    let mut session =
        session(args, scratch.path()).map_err(|error| Failure::said(chain(&error)))?;
    let plan = plan(args, name, guard.as_ref(), session.kind());
    let mut record = aegisbpf_measure::run(&plan, session.as_mut(), guard.as_mut(), &mut progress)
        .map_err(|error| Failure::said(chain(&BoxError::from(error))))?;
    record.invocation = Some(invocation());
    // Whatever was started ends before the reports are written.
    drop((session, guard, progress));
    let directory = args.report.as_deref();
    write_reports(&record, directory.unwrap_or(Path::new(REPORTS)))?;
    tell(args, &record)?;
    let judgement = &record.judgement;
    conclude(if args.strict {
        judgement.strict()
    } else {
        judgement.verdict
    })
}

fn tell(args: &MeasureArgs, record: &Record) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if args.json {
        aegisbpf_measure::report::json::write(record, &mut out)?;
    } else {
        write!(out, "{}", table::verdict_block(record))?;
        if record.judgement.verdict == Verdict::Inconclusive {
            writeln!(out, "  {}", table::undecided(record))?;
        }
    }
    annotate(args, record);
    Ok(())
}

/// Under GitHub Actions, what is shown beside a change. The runner reads both outputs.
fn annotate(args: &MeasureArgs, record: &Record) {
    if std::env::var_os("GITHUB_ACTIONS").is_some() {
        for command in github::annotations(record, args.strict) {
            say(command);
        }
    }
}

fn write_reports(record: &Record, directory: &Path) -> Result<(), Failure> {
    files::write(record, directory).map_err(|error| Failure::said(error.to_string()))?;
    say(format_args!(
        "reports: {}",
        directory.join(files::NAMES[0]).display()
    ));
    Ok(())
}

fn conclude(verdict: Verdict) -> Result<(), Failure> {
    match verdict {
        Verdict::Pass => Ok(()),
        Verdict::Fail => Err(Failure::Told(Told::TooDear)),
        Verdict::Inconclusive | Verdict::Invalid => Err(Failure::Told(Told::Unresolved)),
    }
}

/// Who is measured: ours in a process of its own, or another by its commands.
fn guard(args: &MeasureArgs, scratch: &Path) -> Result<Box<dyn Guard>, Failure> {
    nobody_enforces(&args.pins.pin_dir)?;
    if let (Some(on), Some(off), Some(ready)) = (&args.guard_on, &args.guard_off, &args.guard_ready)
    {
        let commands = Commands {
            name: args.guard_name.clone(),
            version: args.guard_version.clone(),
            on: on.clone(),
            off: off.clone(),
            ready: ready.clone(),
            processes: args.guard_process.clone(),
        };
        let guard = CommandGuard::start(commands, scratch);
        return Ok(Box::new(
            guard.map_err(|error| Failure::said(error.to_string()))?,
        ));
    }
    let policy = policy(args)?;
    let mode = if args.enforce {
        Mode::Enforce
    } else {
        Mode::Audit
    };
    match aegisbpf_rig::guard::start(scratch, &policy, mode, None) {
        Ok(guard) => Ok(Box::new(guard)),
        Err(error) => {
            let unsupported = matches!(error.downcast_ref(), Some(GuardError::Unsupported(_)));
            let text = chain(&error);
            if unsupported {
                say(format_args!("aegisbpf: {text}"));
                return Err(Failure::Told(Told::Host));
            }
            Err(Failure::said(text))
        }
    }
}

/// An enforcer that is attached already would be in both arms.
fn nobody_enforces(pins: &Path) -> Result<(), Failure> {
    let occupied = fs::read_dir(pins).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(Failure::said(format!(
            "an enforcer is pinned in {}: its hooks would run in both arms, and the difference would be of no meaning; \
             help: stop it first",
            pins.display()
        )));
    }
    Ok(())
}

fn policy(args: &MeasureArgs) -> Result<PolicyText, Failure> {
    let Some(path) = &args.policy else {
        return Ok(PolicyText {
            name: SHIPPED.0.to_owned(),
            text: SHIPPED.1.to_owned(),
        });
    };
    // Its mistakes are told here, with the code for them, and not by the enforcer's process.
    Policy::from_path(path).map_err(Error::from)?;
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::said(format!("reading {}: {error}", path.display())))?;
    Ok(PolicyText {
        name: path.display().to_string(),
        text,
    })
}

fn session(args: &MeasureArgs, scratch: &Path) -> Result<Box<dyn Session>, BoxError> {
    let command = args.command.clone();
    if args.serve.is_none() && !args.running {
        return Ok(Box::new(Batch::start(
            command,
            args.prepare.clone(),
            scratch,
        )?));
    }
    let serving = Serving {
        line: args.serve.clone(),
        ready: args.ready.clone(),
    };
    Ok(Box::new(Served::start(&serving, command, scratch)?))
}

fn plan(args: &MeasureArgs, name: String, guard: &dyn Guard, kind: Kind) -> Plan {
    let mut plan = Plan::new(name, guard.identity());
    let configuration = format!(
        "{:?} {:?} {:?} {:?}",
        args.command, args.prepare, args.serve, args.ready
    );
    plan.workload_sha256 = sha256(&configuration);
    plan.budget = args.budget;
    plan.seed = args.seed;
    plan.window = args.window.unwrap_or(match kind {
        Kind::Service => SERVICE_WINDOW,
        Kind::Timed | Kind::Batch => TIMED_WINDOW,
    });
    for limit in &args.limit {
        limit.set(&mut plan.limits);
    }
    plan
}

fn workload_name(args: &MeasureArgs) -> String {
    let program = args
        .command
        .first()
        .map(Path::new)
        .and_then(Path::file_name);
    let program = program.map_or_else(String::new, |program| {
        program.to_string_lossy().into_owned()
    });
    let category = if args.serve.is_some() || args.running {
        "service"
    } else {
        "command"
    };
    args.name
        .clone()
        .unwrap_or_else(|| format!("{category}::{program}"))
}

/// This very command, with a place for the budget.
fn invocation() -> String {
    let mut words = Vec::new();
    let mut given = std::env::args_os();
    let _ = given.next();
    words.push("aegisbpf".into());
    let mut is_ours = true;
    while let Some(word) = given.next() {
        let text = word.to_string_lossy();
        is_ours &= text != "--";
        if is_ours && text == "--budget" {
            let _ = given.next();
        } else if !(is_ours && text.starts_with("--budget=")) {
            words.push(word);
        }
    }
    // After the verb.
    let text = shell::quoted(&words);
    text.replacen("aegisbpf measure", "aegisbpf measure --budget {budget}", 1)
}

/// What people see, and what a signal stops.
struct Watched {
    terminal: Terminal,
    stop: Arc<AtomicBool>,
}

impl Watched {
    fn new(name: &str) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM].into_iter().chain(hang_up) {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .map_err(|error| Failure::said(format!("listening for signals: {error}")))?;
        }
        Ok(Self {
            terminal: Terminal::on_stderr(name),
            stop,
        })
    }
}

/// Whether a signal was ignored when we were started, as `nohup` does: a handler of ours would undo that.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

impl Progress for Watched {
    fn phase(&mut self, name: &str) {
        self.terminal.phase(name);
    }

    fn quad(&mut self, n: u32, n_max: u32, live: &Live) {
        self.terminal.quad(n, n_max, live);
    }

    fn note(&mut self, text: &str) {
        self.terminal.note(text);
    }

    fn stopped(&mut self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
