//! `aegisbpf measure`: what an enforcer costs on the user's own workload.

mod sense;
mod watched;

use std::{
    fs::{self, File},
    io::{self, BufReader, Write},
    path::Path,
    time::Duration,
};

use aegisbpf_core::{Error, Mode, Policy};
use aegisbpf_measure::{
    Plan, Progress as _, Record, Verdict,
    guard::Guard,
    journal,
    report::{files, github, junit, table},
    workload::{BoxError, Kind, Session},
};
use aegisbpf_rig::{
    alone::Alone,
    errors::chain,
    guard::{CommandGuard, Commands, GuardError, PolicyText, sha256},
    interrupt::{Interrupt, Interrupted},
    session::{Batch, Served, Serving},
    shell,
};

use self::watched::Watched;
use crate::{
    args::MeasureArgs,
    exit::{self, Failure, Told},
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
/// A service's untimed block, in which the hooks' runs are counted: as short as a load tool can.
const SERVICE_PROBE: Duration = Duration::from_secs(1);
/// A block of a load tool that only knows as fast as it goes.
const TIMED_WINDOW: Duration = Duration::from_secs(1);

pub(crate) fn measure(args: &MeasureArgs) -> Result<(), Failure> {
    let (name, outcome) = match &args.replay {
        Some(file) => (file.display().to_string(), replay(args, file)),
        None => {
            let name = workload_name(args);
            let outcome = run(args, &name);
            (name, outcome)
        }
    };
    if let Err(failure) = &outcome {
        broke(args, &name, &exit::message(failure));
    }
    outcome
}

/// Tells machines of an error, as they are told of a verdict: a file of an earlier run must not speak for this one.
fn broke(args: &MeasureArgs, name: &str, reason: &str) {
    // A verdict has been told.
    if reason.is_empty() {
        return;
    }
    if under_github() {
        say(github::unmeasured(name, true, reason));
    }
    let path = args
        .report
        .as_deref()
        .unwrap_or(Path::new(REPORTS))
        .join(files::JUNIT);
    // Where there were reports before, or were asked for; a replay writes none unless asked to.
    let is_wanted = args.report.is_some() || (args.replay.is_none() && path.exists());
    if let (true, Some(directory)) = (is_wanted, path.parent()) {
        let text = junit::report([junit::unmeasured(name, true, reason)]);
        let written = fs::create_dir_all(directory).and_then(|()| fs::write(&path, text));
        if let Err(error) = written {
            say(format_args!(
                "aegisbpf: writing {}: {error}",
                path.display()
            ));
        }
    }
}

fn replay(args: &MeasureArgs, file: &Path) -> Result<(), Failure> {
    let open = File::open(file)
        .map_err(|error| Failure::said(format!("reading {}: {error}", file.display())))?;
    let record = journal::replay(BufReader::new(open)).map_err(|error| {
        Failure::said(format!(
            "replaying {}: {error}; help: name the blocks.jsonl of a report, as it was written",
            file.display()
        ))
    })?;
    let judgement = &record.judgement;
    let mut out = io::stdout().lock();
    let told = if args.json {
        serde_json::to_writer_pretty(&mut out, judgement)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        writeln!(out, "{}: {}", record.plan.workload, judgement.sentence())
            .and_then(|()| strictly(args, &record, &mut out))
    };
    heard(told)?;
    if let Some(directory) = &args.report {
        write_reports(args, &record, directory)?;
    }
    annotate(args, &record);
    conclude(args, &record)
}

fn run(args: &MeasureArgs, name: &str) -> Result<(), Failure> {
    sense::check(args)?;
    let directory = args.report.as_deref().unwrap_or(Path::new(REPORTS));
    sense::can_write(directory)?;
    let interrupt = watched::listen()?;
    let scratch = tempfile::Builder::new()
        .prefix("aegisbpf-measure-")
        .tempdir()
        .map_err(|error| Failure::said(format!("making a directory for the run: {error}")))?;
    let mut progress = Watched::new(name, &interrupt);
    progress.phase("loading the guard");
    let (mut guard, _alone) = guard(args, scratch.path())?;
    progress.phase("trying the workload");
    let mut session = match session(args, scratch.path(), &interrupt) {
        Ok(session) => session,
        Err(error) if error.is::<Interrupted>() => {
            return Err(Failure::said(format!(
                "{error} before anything was measured"
            )));
        }
        Err(error) => return Err(Failure::said(chain(&error))),
    };
    let plan = plan(args, name, guard.as_ref(), session.kind());
    let mut record = aegisbpf_measure::run(&plan, session.as_mut(), guard.as_mut(), &mut progress)
        .map_err(|error| Failure::said(chain(&BoxError::from(error))))?;
    record.invocation = Some(invocation());
    // Whatever was started ends before the reports are written.
    drop((session, guard, progress));
    let written = write_reports(args, &record, directory);
    // What took minutes is told, also where no file could be written.
    heard(tell(args, &record))?;
    annotate(args, &record);
    written?;
    conclude(args, &record)
}

fn tell(args: &MeasureArgs, record: &Record) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        return aegisbpf_measure::report::json::write(record, &mut out);
    }
    write!(out, "{}", table::verdict_block(record))?;
    if record.judgement.verdict == Verdict::Inconclusive {
        writeln!(out, "  {}", table::undecided(record))?;
    }
    strictly(args, record, &mut out)
}

/// Why the exit code is not the one of the verdict above.
fn strictly(args: &MeasureArgs, record: &Record, out: &mut impl Write) -> io::Result<()> {
    let judgement = &record.judgement;
    let counted = judgement.counted(args.strict);
    if counted != judgement.verdict {
        writeln!(
            out,
            "  --strict: only a PASS by wall clock counts, so this is {counted}"
        )?;
    }
    Ok(())
}

/// Whoever reads us may have enough, as `head` does; the verdict is the exit code all the same.
fn heard(told: io::Result<()>) -> Result<(), Failure> {
    match told {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn under_github() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some()
}

/// Under GitHub Actions, what is shown beside a change. The runner reads both outputs.
fn annotate(args: &MeasureArgs, record: &Record) {
    if under_github() {
        for command in github::annotations(record, args.strict) {
            say(command);
        }
    }
}

fn write_reports(args: &MeasureArgs, record: &Record, directory: &Path) -> Result<(), Failure> {
    files::write(record, directory, args.strict)
        .map_err(|error| Failure::said(error.to_string()))?;
    say(format_args!(
        "reports: {}",
        directory.join(files::NAMES[0]).display()
    ));
    Ok(())
}

fn conclude(args: &MeasureArgs, record: &Record) -> Result<(), Failure> {
    match record.judgement.counted(args.strict) {
        Verdict::Pass => Ok(()),
        Verdict::Fail => Err(Failure::Told(Told::TooDear)),
        Verdict::Inconclusive | Verdict::Invalid => Err(Failure::Told(Told::Unresolved)),
    }
}

/// Who is measured: ours in a process of its own, or another by its commands. Two measurements of ours would each have
/// the other's hooks in both arms, so it comes with the right to be the only one.
fn guard(args: &MeasureArgs, scratch: &Path) -> Result<(Box<dyn Guard>, Option<Alone>), Failure> {
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
        let guard = guard.map_err(|error| Failure::said(error.to_string()))?;
        return Ok((Box::new(guard), None));
    }
    let policy = policy(args)?;
    let mode = if args.enforce {
        Mode::Enforce
    } else {
        Mode::Audit
    };
    let alone = Alone::new().map_err(|error| Failure::said(error.to_string()))?;
    match aegisbpf_rig::guard::start(scratch, &policy, mode, None) {
        Ok(guard) => Ok((Box::new(guard), Some(alone))),
        Err(error) => {
            let unsupported = matches!(error.downcast_ref(), Some(GuardError::Unsupported(_)));
            let text = chain(&error);
            Err(if unsupported {
                Failure::Unsupported(text)
            } else {
                Failure::Said(text)
            })
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

fn session(
    args: &MeasureArgs,
    scratch: &Path,
    interrupt: &Interrupt,
) -> Result<Box<dyn Session>, BoxError> {
    // It may have come while the guard was loaded.
    interrupt.check()?;
    let command = args.command.clone();
    if args.serve.is_none() && !args.running {
        return Ok(Box::new(Batch::start(
            command,
            args.prepare.clone(),
            scratch,
            interrupt,
        )?));
    }
    let serving = Serving {
        line: args.serve.clone(),
        ready: args.ready.clone(),
    };
    Ok(Box::new(Served::start(
        &serving, command, scratch, interrupt,
    )?))
}

fn plan(args: &MeasureArgs, name: &str, guard: &dyn Guard, kind: Kind) -> Plan {
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
    if kind == Kind::Service {
        plan.probe = SERVICE_PROBE;
    }
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
