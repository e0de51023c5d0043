//! A server of our own: started in its own process group, ended by pid, and never outliving us.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use crate::cpu::{CpuClock, CpuError};

/// Blocks until its standard input ends, which it does when the harness dies in whatever way, and then kills the
/// server's process group. A parent-death signal would reach the server's first process alone.
const WATCHDOG: &str = r#"read -r _; kill -s KILL -- "-$1""#;

/// What went wrong with a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// It could not be started.
    #[error("starting {name}: {source}")]
    Start {
        /// The server.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It ended by itself, or someone ended it.
    #[error("{name} ended ({status}) while it was needed; its log ends with: {log}")]
    Died {
        /// The server.
        name: &'static str,
        /// How.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// It runs, but does not answer.
    #[error("{name} does not answer {}s after its start; its log ends with: {log}", limit.as_secs())]
    Silent {
        /// The server.
        name: &'static str,
        /// For how long we asked.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// One of its processes has gone.
    #[error("{name} lost a process")]
    Cpu {
        /// The server.
        name: &'static str,
        /// Which.
        source: CpuError,
    },
}

/// A running server; dropping it ends it and all of its process group.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    child: Child,
    watchdog: Child,
    log: PathBuf,
    /// The group has been killed; the leader may have been reaped.
    ended: bool,
}

impl Service {
    /// Starts a server that stays in the foreground. `log` is shown when it dies.
    ///
    /// # Errors
    /// If the program or its watchdog cannot be started.
    pub fn start(
        name: &'static str,
        command: &mut Command,
        log: &Path,
    ) -> Result<Self, ServiceError> {
        let fail = |source| ServiceError::Start { name, source };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(fail)?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of the terminal's foreground group: an interrupt must end us, not it.
            .process_group(0)
            .spawn();
        match watchdog {
            Ok(watchdog) => Ok(Self {
                name,
                child,
                watchdog,
                log: log.to_owned(),
                ended: false,
            }),
            Err(source) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(fail(source))
            }
        }
    }

    /// Its first process, which leads the process group.
    #[must_use]
    pub fn pid(&self) -> Pid {
        pid(&self.child)
    }

    /// Asks until it is ready.
    ///
    /// # Errors
    /// If it dies, or is not ready in time.
    pub fn wait_until(
        &mut self,
        ready: impl Fn(&Self) -> bool,
        limit: Duration,
    ) -> Result<(), ServiceError> {
        let deadline = Instant::now() + limit;
        loop {
            self.check()?;
            if ready(self) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(ServiceError::Silent {
                    name: self.name,
                    limit,
                    log: self.log_tail(),
                });
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// [`ServiceError::Died`] if not.
    pub fn check(&mut self) -> Result<(), ServiceError> {
        if self.is_running() {
            return Ok(());
        }
        // Workers without a master serve nobody; and they go before the master's id is given back by reaping it.
        self.end();
        match self.child.wait() {
            Ok(status) => Err(ServiceError::Died {
                name: self.name,
                status,
                log: self.log_tail(),
            }),
            Err(source) => Err(ServiceError::Start {
                name: self.name,
                source,
            }),
        }
    }

    /// CPU clocks of all its processes.
    ///
    /// # Errors
    /// If one ends while it is being looked up.
    pub fn clocks(&self) -> Result<Clocks, ServiceError> {
        let name = self.name;
        let clocks = group(self.pid())
            .into_iter()
            .map(CpuClock::of_process)
            .collect::<Result<_, _>>();
        clocks
            .map(|clocks| Clocks { name, clocks })
            .map_err(|source| ServiceError::Cpu { name, source })
    }

    /// Its processes.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        group(self.pid())
    }

    /// Looks without reaping.
    fn is_running(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !self.ended
            && matches!(
                waitid(Id::Pid(self.pid()), flags),
                Ok(WaitStatus::StillAlive)
            )
    }

    /// Ends the whole group. Only before the leader is reaped is the group's id surely ours.
    fn end(&mut self) {
        if self.ended {
            return;
        }
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = killpg(self.pid(), Signal::SIGKILL);
        self.ended = true;
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        if lines.is_empty() {
            "(nothing)".to_owned()
        } else {
            lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = kill(self.pid(), Signal::SIGQUIT);
            let deadline = Instant::now() + Duration::from_secs(2);
            while Instant::now() < deadline
                && group(self.pid()).iter().any(|&process| !is_zombie(process))
            {
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.end();
        let _ = self.child.wait();
    }
}

/// The CPU clocks of a server's processes, looked up once.
#[derive(Debug)]
pub struct Clocks {
    name: &'static str,
    clocks: Vec<CpuClock>,
}

impl Clocks {
    /// CPU time that all processes together have used.
    ///
    /// # Errors
    /// If one of them has ended: its time would be missing.
    pub fn read(&self) -> Result<Duration, ServiceError> {
        let sum = self
            .clocks
            .iter()
            .map(|clock| clock.read())
            .sum::<Result<_, _>>();
        sum.map_err(|source| ServiceError::Cpu {
            name: self.name,
            source,
        })
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Processes of a process group.
fn group(leader: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .map(Pid::from_raw);
    pids.filter(|&process| stat(process).is_some_and(|(_, group)| group == leader))
        .collect()
}

fn is_zombie(process: Pid) -> bool {
    stat(process).is_none_or(|(state, _)| state == 'Z')
}

/// State and process group.
fn stat(process: Pid) -> Option<(char, Pid)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything, also parentheses.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, Pid::from_raw(fields.nth(1)?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> Service {
        let mut command = Command::new("sh");
        // A server that ignores the polite request, with a worker.
        command.args(["-c", "trap '' QUIT; sleep 60 & sleep 61; sleep 62"]);
        let mut service =
            Service::start("family", &mut command, Path::new("/nonexistent")).unwrap();
        service
            .wait_until(
                |service| service.processes().len() == 3,
                Duration::from_secs(10),
            )
            .unwrap();
        service
    }

    fn wait_until_gone(processes: &[Pid]) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while processes.iter().any(|&process| !is_zombie(process)) {
            assert!(Instant::now() < deadline, "still there: {processes:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn dropping_a_service_ends_its_whole_family() {
        let service = family();
        let mut processes = service.processes();
        processes.push(pid(&service.watchdog));
        drop(service);
        wait_until_gone(&processes);
    }

    #[test]
    fn the_watchdog_ends_the_family_when_its_owner_is_gone() {
        let mut service = family();
        let processes = service.processes();
        // What the kernel does to our end of the pipe when we are killed.
        drop(service.watchdog.stdin.take());
        wait_until_gone(&processes);
    }

    #[test]
    fn a_killed_service_is_reported_with_its_log() {
        let log = tempfile::NamedTempFile::new().unwrap();
        fs::write(log.path(), "one\ntwo\n").unwrap();
        let mut service =
            Service::start("sleeper", Command::new("sleep").arg("60"), log.path()).unwrap();
        service.check().unwrap();
        kill(service.pid(), Signal::SIGKILL).unwrap();
        let error = service
            .wait_until(|_| false, Duration::from_secs(10))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sleeper ended (signal: 9") && error.contains("one | two"),
            "{error}"
        );
    }
}
