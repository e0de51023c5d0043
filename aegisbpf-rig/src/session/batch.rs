//! A batch job: any command. One operation is one run of it that ends as the first one did.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session, hold_up};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};

use crate::{interrupt::Interrupt, shell};

/// How long the unit of work of one block should take at the least.
const UNIT: Duration = Duration::from_millis(500);
/// A preparation that takes longer than this is not a preparation.
const PREPARE_WITHIN: Duration = Duration::from_secs(600);
/// A command this many times longer than the settle time is not run only to let the machine settle.
const LONG: u32 = 4;

/// What can be wrong with a command before anything is measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// It cannot be started.
    #[error("starting {command}: {source}")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It fails by itself, without any guard.
    #[error(
        "{command} ended with {status} before anything was attached, so there is no work to compare; it printed last: {output} \
         (if that is how it should end, wrap it: sh -c '…; true')"
    )]
    Fails {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        output: String,
    },
}

/// A command that is run again and again.
#[derive(Debug)]
pub struct Batch {
    command: Vec<OsString>,
    prepare: Option<String>,
    log: PathBuf,
    interrupt: Interrupt,
    passes: u32,
    one: Duration,
    delay: Duration,
}

/// One run.
struct Run {
    wall: Duration,
    cpu: Duration,
    status: ExitStatus,
}

impl Batch {
    /// Runs the command twice to see that it works and how long it takes. `prepare` is run before each run, and not
    /// counted. An interrupt is passed on to the command, and ends the block.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub fn start(
        command: Vec<OsString>,
        prepare: Option<String>,
        scratch: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, BoxError> {
        let mut batch = Self {
            command,
            prepare,
            log: scratch.join("command.log"),
            interrupt: interrupt.clone(),
            passes: 1,
            one: Duration::ZERO,
            delay: Duration::ZERO,
        };
        for _ in 0..2 {
            let run = batch.pass()?;
            if !run.status.success() {
                return Err(BatchError::Fails {
                    command: shell::quoted(&batch.command),
                    status: run.status,
                    output: shell::tail(&batch.log),
                }
                .into());
            }
            batch.one = run.wall;
        }
        batch.passes = passes(batch.one);
        Ok(batch)
    }

    /// How often the command is run in one block.
    #[must_use]
    pub fn passes(&self) -> u32 {
        self.passes
    }

    fn pass(&self) -> Result<Run, BoxError> {
        if let Some(line) = &self.prepare {
            let prepared = shell::run_unless(line, &self.log, PREPARE_WITHIN, &self.interrupt);
            self.interrupt.check()?;
            prepared?;
        }
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        shell::silenced(&mut command, &self.log)?;
        let failed = |source| BatchError::Start {
            command: shell::quoted(&self.command),
            source,
        };
        // Exact: the kernel scales the ticks of user and system time so that their sum is the scheduler's own figure.
        let before = children_cpu()?;
        let begin = Instant::now();
        let mut child = command.spawn().map_err(failed)?;
        let status = self.interrupt.wait(&mut child).map_err(failed)?;
        let wall = begin.elapsed();
        // How it ended then is no fault of its own.
        self.interrupt.check()?;
        Ok(Run {
            wall,
            cpu: children_cpu()?.saturating_sub(before),
            status,
        })
    }
}

impl Session for Batch {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        if self.one > LONG * block.settle {
            std::thread::sleep(block.settle);
        } else {
            let settled = Instant::now() + block.settle;
            while Instant::now() < settled {
                self.pass()?;
            }
        }
        let mut sample = Sample::default();
        let begin = Instant::now();
        hold_up(std::mem::take(&mut self.delay));
        sample.wall += begin.elapsed();
        let mut errors = BTreeMap::<String, u64>::new();
        for _ in 0..self.passes {
            let run = self.pass()?;
            sample.wall += run.wall;
            sample.cpu += run.cpu;
            match class(run.status) {
                None => sample.operations += 1,
                Some(class) => *errors.entry(class).or_default() += 1,
            }
        }
        sample.errors = errors;
        Ok(sample)
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.delay = delay;
        true
    }

    /// What the command opens is its own business.
    fn opens_per_operation(&self) -> f64 {
        0.0
    }
}

/// How a run failed, if it did.
fn class(status: ExitStatus) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit {code}")),
        (None, Some(signal)) => Some(format!("signal {signal}")),
        (None, None) => Some("unknown end".to_owned()),
    }
}

/// CPU time of all children that were waited for, and of theirs.
pub(super) fn children_cpu() -> Result<Duration, BoxError> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros =
        |time: TimeVal| u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0);
    Ok(Duration::from_micros(
        micros(usage.user_time()) + micros(usage.system_time()),
    ))
}

fn passes(one: Duration) -> u32 {
    let ratio = UNIT.as_secs_f64() / one.as_secs_f64().max(1e-6);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1 ..= 10,000"
    )]
    let passes = ratio.ceil().clamp(1.0, 10_000.0) as u32;
    passes
}

#[cfg(test)]
mod tests {
    use aegisbpf_measure::workload::Load;

    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn block() -> Block {
        Block {
            seed: 1,
            settle: Duration::from_millis(1),
            window: Duration::ZERO,
            load: Load::Closed,
        }
    }

    #[test]
    fn a_short_command_is_run_often_and_its_childrens_cpu_is_counted() {
        let scratch = tempfile::tempdir().unwrap();
        let spin = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done";
        let command = words(&["sh", "-c", &format!("sh -c '{spin}'; true")]);
        let mut batch = Batch::start(command, None, scratch.path(), &Interrupt::default()).unwrap();
        assert!(batch.passes() > 1);
        let sample = batch.run(&block()).unwrap();
        assert_eq!(sample.operations, u64::from(batch.passes()));
        // The loop runs in a grandchild.
        assert!(sample.cpu > Duration::from_millis(1), "{:?}", sample.cpu);
    }

    #[test]
    fn a_command_that_fails_by_itself_is_refused_with_its_last_words() {
        let scratch = tempfile::tempdir().unwrap();
        let error = Batch::start(
            words(&["sh", "-c", "echo no such project >&2; exit 2"]),
            None,
            scratch.path(),
            &Interrupt::default(),
        )
        .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 2") && text.contains("no such project"),
            "{text}"
        );
        let error = Batch::start(
            words(&["no-such-program-here"]),
            None,
            scratch.path(),
            &Interrupt::default(),
        )
        .unwrap_err();
        assert!(
            error.to_string().contains("no-such-program-here"),
            "{error}"
        );
    }

    #[test]
    fn later_failures_are_errors_by_class_and_no_operations() {
        let scratch = tempfile::tempdir().unwrap();
        let flag = scratch.path().join("flag");
        let line = format!("test ! -e {}", flag.display());
        let mut batch = Batch::start(
            words(&["sh", "-c", &line]),
            None,
            scratch.path(),
            &Interrupt::default(),
        )
        .unwrap();
        std::fs::write(&flag, "").unwrap();
        let sample = batch.run(&block()).unwrap();
        assert_eq!(sample.operations, 0);
        assert_eq!(
            sample.errors,
            BTreeMap::from([("exit 1".to_owned(), u64::from(batch.passes()))])
        );
    }

    #[test]
    fn the_preparation_runs_each_time_and_is_not_counted() {
        let scratch = tempfile::tempdir().unwrap();
        let count = scratch.path().join("count");
        let prepare = format!("echo x >> {}; sleep 0.2", count.display());
        let mut batch = Batch::start(
            words(&["true"]),
            Some(prepare),
            scratch.path(),
            &Interrupt::default(),
        )
        .unwrap();
        batch.passes = 2;
        let begin = Instant::now();
        let sample = batch
            .run(&Block {
                settle: Duration::ZERO,
                ..block()
            })
            .unwrap();
        let took = begin.elapsed();
        assert_eq!(std::fs::read_to_string(&count).unwrap().lines().count(), 4);
        // Two preparations lie between what was counted.
        assert!(
            sample.wall + Duration::from_millis(400) <= took,
            "{:?} of {took:?}",
            sample.wall
        );
    }

    #[test]
    fn an_interrupt_ends_the_block_and_is_no_failure_of_the_command() {
        let scratch = tempfile::tempdir().unwrap();
        let flag = scratch.path().join("flag");
        let line = format!("test ! -e {} || sleep 120", flag.display());
        let interrupt = Interrupt::default();
        let command = words(&["sh", "-c", &line]);
        let mut batch = Batch::start(command, None, scratch.path(), &interrupt).unwrap();
        std::fs::write(&flag, "").unwrap();
        let asking = interrupt.clone();
        let asker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            asking.ask();
        });
        let error = batch.run(&block()).unwrap_err();
        assert!(error.is::<crate::interrupt::Interrupted>(), "{error}");
        asker.join().unwrap();
    }
}
