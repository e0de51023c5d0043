//! The harness' side of the enforcer's process.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command as Program, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use aegisbpf_measure::{
    guard::{EmptyProgram, Evidence, Guard, Identity, Matches, Memory},
    workload::BoxError,
};
use nix::unistd::Pid;

use crate::{
    cpu::{CpuClock, CpuError},
    guard::{
        Canary,
        protocol::{Answer, Command, Counters},
    },
};

/// How long the enforcer may take for one command. Attaching dozens of programs takes seconds on a slow kernel.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a touch of the canary may take to be counted.
const COUNTED_WITHIN: Duration = Duration::from_secs(2);

/// What can go wrong with the enforcer's process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// It could not be started.
    #[error("starting the enforcer's process: {0}")]
    Start(#[source] io::Error),
    /// This machine cannot run it. The cases are then ignored, not failed.
    #[error("{0}")]
    Unsupported(String),
    /// It tried and failed.
    #[error("the enforcer could not {asked}: {reason}")]
    Failed {
        /// What was asked.
        asked: String,
        /// What it says.
        reason: String,
    },
    /// It ended.
    #[error("the enforcer ended ({}) when asked to {asked}", status.map_or_else(|| "still closing".to_owned(), |status| status.to_string()))]
    Ended {
        /// What was asked.
        asked: String,
        /// How it ended.
        status: Option<ExitStatus>,
    },
    /// It takes too long.
    #[error("the enforcer did not {asked} within {}s", PATIENCE.as_secs())]
    Silent {
        /// What was asked.
        asked: String,
    },
    /// It answered something else.
    #[error("the enforcer was asked to {asked} and answered {answer:?}")]
    Confused {
        /// What was asked.
        asked: String,
        /// What it answered.
        answer: String,
    },
    /// Its CPU time cannot be read.
    #[error("the enforcer's CPU time: {0}")]
    Cpu(#[from] CpuError),
    /// Its memory cannot be read.
    #[error("the enforcer's memory, {path}: {source}")]
    Memory {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A denied access left no trace.
    #[error("the canary was opened, but {}s later no decision on it was counted: the hooks do not see this process", COUNTED_WITHIN.as_secs())]
    Unseen,
}

/// An enforcer in a process of its own. Dropping it ends the process, and with it the enforcement.
#[derive(Debug)]
pub struct RemoteGuard {
    child: Child,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
    identity: Identity,
    canary: Canary,
    protected: bool,
    clock: CpuClock,
}

impl RemoteGuard {
    /// Starts the enforcer's process and waits until it is ready.
    ///
    /// # Errors
    /// [`GuardError::Unsupported`] where this machine cannot run it; others if it should, but does not.
    pub fn start(program: &mut Program, canary: Canary) -> Result<Self, GuardError> {
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // An interrupt at the terminal is for us: in good order, it is released before it ends.
            .process_group(0)
            .spawn()
            .map_err(GuardError::Start)?;
        let commands = child.stdin.take();
        let (send, answers) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            // Ends with the child's output.
            thread::spawn(move || {
                BufReader::new(stdout)
                    .lines()
                    .map_while(Result::ok)
                    .try_for_each(|line| send.send(line))
            });
        }
        let mut starting = Starting(Some(child));
        let child = starting.child();
        let clock = CpuClock::of_process(Pid::from_raw(child.id().cast_signed()))?;
        match answer(child, &answers, "load")? {
            Answer::Ready(identity) => {
                let child = starting.0.take().expect("taken once, here");
                Ok(Self {
                    child,
                    commands,
                    answers,
                    identity,
                    canary,
                    protected: false,
                    clock,
                })
            }
            Answer::Unsupported(reason) => Err(GuardError::Unsupported(reason)),
            Answer::Failed(reason) => Err(GuardError::Failed {
                asked: "load".to_owned(),
                reason,
            }),
            other => Err(GuardError::Confused {
                asked: "load".to_owned(),
                answer: format!("{other:?}"),
            }),
        }
    }

    /// Id of its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn ask(&mut self, command: Command) -> Result<Answer, GuardError> {
        let asked = word(command);
        let mut line = serde_json::to_string(&command).expect("a command is plain data");
        line.push('\n');
        let sent = self
            .commands
            .as_mut()
            .map(|commands| commands.write_all(line.as_bytes()));
        if !matches!(sent, Some(Ok(()))) {
            return Err(GuardError::Ended {
                asked: asked.to_owned(),
                status: ended(&mut self.child),
            });
        }
        match answer(&mut self.child, &self.answers, asked)? {
            Answer::Failed(reason) | Answer::Unsupported(reason) => Err(GuardError::Failed {
                asked: asked.to_owned(),
                reason,
            }),
            answer => Ok(answer),
        }
    }

    fn done(&mut self, command: Command) -> Result<(), GuardError> {
        match self.ask(command)? {
            Answer::Done => Ok(()),
            other => Err(GuardError::Confused {
                asked: word(command).to_owned(),
                answer: format!("{other:?}"),
            }),
        }
    }

    fn counters(&mut self) -> Result<Counters, GuardError> {
        match self.ask(Command::Evidence)? {
            Answer::Evidence(counters) => Ok(counters),
            other => Err(GuardError::Confused {
                asked: word(Command::Evidence).to_owned(),
                answer: format!("{other:?}"),
            }),
        }
    }
}

impl Guard for RemoteGuard {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn protect(&mut self) -> Result<(), BoxError> {
        self.done(Command::Protect)?;
        self.protected = true;
        Ok(())
    }

    fn release(&mut self) -> Result<(), BoxError> {
        self.done(Command::Release)?;
        self.protected = false;
        Ok(())
    }

    fn evidence(&mut self) -> Result<Evidence, BoxError> {
        let Counters {
            mut links,
            hits,
            blocks,
            events,
            drops,
            runs,
        } = self.counters()?;
        links.sort();
        Ok(Evidence {
            links,
            hits,
            blocks,
            events,
            drops,
            runs,
            cpu: self.clock.read()?,
        })
    }

    fn touch_denied(&mut self) -> Result<(), BoxError> {
        if !self.protected {
            return Ok(self.canary.touch()?);
        }
        let before = self.counters()?.hits;
        self.canary.touch()?;
        let deadline = Instant::now() + COUNTED_WITHIN;
        while self.counters()?.hits == before {
            if Instant::now() > deadline {
                return Err(GuardError::Unseen.into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn count_runs(&mut self, on: bool) -> Result<(), BoxError> {
        Ok(self.done(Command::CountRuns(on))?)
    }

    fn memory(&mut self) -> Result<Option<Memory>, BoxError> {
        let process = proportional_set_size(self.child.id())?;
        match self.ask(Command::Memory)? {
            Answer::Memory(kernel) => Ok(Some(Memory { process, kernel })),
            other => Err(GuardError::Confused {
                asked: word(Command::Memory).to_owned(),
                answer: format!("{other:?}"),
            }
            .into()),
        }
    }

    fn matches(&mut self) -> Result<Matches, BoxError> {
        match self.ask(Command::Matches)? {
            Answer::Matches(mut matches) => {
                let canary = self.canary.path().display().to_string();
                matches.rules.retain(|rule| !rule.what.ends_with(&canary));
                Ok(matches)
            }
            other => Err(GuardError::Confused {
                asked: word(Command::Matches).to_owned(),
                answer: format!("{other:?}"),
            }
            .into()),
        }
    }

    fn calibrate(&mut self) -> Result<Option<EmptyProgram>, BoxError> {
        match self.ask(Command::Calibrate)? {
            Answer::Empty(empty) => Ok(empty),
            other => Err(GuardError::Confused {
                asked: word(Command::Calibrate).to_owned(),
                answer: format!("{other:?}"),
            }
            .into()),
        }
    }
}

impl Drop for RemoteGuard {
    fn drop(&mut self) {
        // Closing its input ends it; the signal is for one that hangs.
        drop(self.commands.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A child that is killed unless it becomes a guard.
struct Starting(Option<Child>);

impl Starting {
    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("taken only at the end of the start")
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn answer(
    child: &mut Child,
    answers: &Receiver<String>,
    asked: &str,
) -> Result<Answer, GuardError> {
    let asked = asked.to_owned();
    match answers.recv_timeout(PATIENCE) {
        Ok(line) => serde_json::from_str(&line).map_err(|_| GuardError::Confused {
            asked,
            answer: line,
        }),
        Err(RecvTimeoutError::Timeout) => Err(GuardError::Silent { asked }),
        Err(RecvTimeoutError::Disconnected) => Err(GuardError::Ended {
            asked,
            status: ended(child),
        }),
    }
}

/// How a process ended that has just closed its output.
fn ended(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
            outcome => return outcome.ok().flatten(),
        }
    }
}

fn word(command: Command) -> &'static str {
    match command {
        Command::Protect => "attach its hooks",
        Command::Release => "detach its hooks",
        Command::Evidence => "tell its counters",
        Command::CountRuns(_) => "switch the counting of hook runs",
        Command::Memory => "tell its memory",
        Command::Matches => "tell what of the policy was met",
        Command::Calibrate => "measure an empty program",
        Command::Quit => "end",
    }
}

fn proportional_set_size(pid: u32) -> Result<u64, GuardError> {
    let path = format!("/proc/{pid}/smaps");
    let text = fs::read_to_string(&path).map_err(|source| GuardError::Memory { path, source })?;
    Ok(own_pages(&text))
}

/// Bytes of a process' proportional set, without the maps that it has mapped from the kernel: those are counted there.
fn own_pages(smaps: &str) -> u64 {
    let mut is_map = false;
    let mut kibibytes = 0;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some(value) = line.strip_prefix("Pss:") {
            let value = value.trim().trim_end_matches(" kB").parse().unwrap_or(0);
            kibibytes += if is_map { 0 } else { value };
        } else if !first.ends_with(':') {
            // A mapping's first line: addresses, permissions, offset, device, inode, name.
            is_map = words.nth(4) == Some("anon_inode:bpf-map");
        }
    }
    kibibytes << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_shared_with_the_kernel_is_not_counted_twice() {
        let smaps = "\
7f0000000000-7f0002000000 rw-s 00000000 00:0f 1057 anon_inode:bpf-map
Rss:               32768 kB
Pss:               32768 kB
Pss_Dirty:             0 kB
7f0010000000-7f0010001000 r--p 00000000 08:01 99 /usr/lib/libc.so.6
Pss:                  12 kB
VmFlags: rd mr
7f0010002000-7f0010003000 rw-p 00000000 00:00 0
Pss:                   4 kB
";
        assert_eq!(own_pages(smaps), 16 << 10);
    }
}
