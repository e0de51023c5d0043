//! A server of our own: started in its own process group, and cgroup where the machine has them, and never outliving us.

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

use crate::{
    cgroup::{Cgroup, CgroupError},
    cpu::{CpuClock, CpuError},
};

/// Blocks until its standard input ends, which it does when the harness dies in whatever way, and then kills the
/// server's cgroup and process group. A parent-death signal would reach the server's first process alone.
const WATCHDOG: &str = r#"read -r _; [ -z "$2" ] || echo 1 >"$2/cgroup.kill"; kill -s KILL -- "-$1"
[ -z "$2" ] || for try in 1 2 3 4 5 6 7 8 9; do rmdir "$2" && break; sleep 0.1; done"#;

/// How the file that names a server's first process ends. It stands beside the server's log.
pub const PID_FILE: &str = "service";

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
    /// Its cgroup cannot be read.
    #[error("CPU time of {name}: {source}")]
    Cgroup {
        /// The server.
        name: &'static str,
        /// Why.
        source: CgroupError,
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
    cgroup: Option<Cgroup>,
    log: PathBuf,
    /// What asks it politely to end.
    stop: Signal,
    /// How long it may take to do so.
    patience: Duration,
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
        Self::spawn(name, command, log, None)
    }

    /// Starts a server in a cgroup of its own, which knows its processes and their CPU time also when they come and
    /// go, and ends them wherever they went. Where there is no cgroup2 it is started as [`Service::start`] does.
    ///
    /// # Errors
    /// If the program or its watchdog cannot be started.
    pub fn start_in_cgroup(
        name: &'static str,
        program: &Path,
        log: &Path,
        configure: impl FnOnce(&mut Command),
    ) -> Result<Self, ServiceError> {
        let cgroup = Cgroup::new(name).ok();
        let mut command = cgroup
            .as_ref()
            .map_or_else(|| Command::new(program), |cgroup| cgroup.command(program));
        configure(&mut command);
        Self::spawn(name, &mut command, log, cgroup)
    }

    /// The same service, which is asked to end by another signal than SIGQUIT, and gets so much time for it.
    #[must_use]
    pub fn stopped_by(mut self, stop: Signal, patience: Duration) -> Self {
        (self.stop, self.patience) = (stop, patience);
        self
    }

    fn spawn(
        name: &'static str,
        command: &mut Command,
        log: &Path,
        cgroup: Option<Cgroup>,
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
            .arg(cgroup.as_ref().map_or(Path::new(""), Cgroup::path))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of the terminal's foreground group: an interrupt must end us, not it.
            .process_group(0)
            .spawn();
        match watchdog {
            Ok(watchdog) => {
                // For a run that comes after us, should we and the watchdog both be killed.
                let _ = fs::write(log.with_extension(PID_FILE), identity(pid(&child)));
                Ok(Self {
                    name,
                    child,
                    watchdog,
                    cgroup,
                    log: log.to_owned(),
                    stop: Signal::SIGQUIT,
                    patience: Duration::from_secs(2),
                    ended: false,
                })
            }
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

    /// Reads its CPU time, children included: of its cgroup, or of the processes that it has now, if it has no cgroup.
    ///
    /// # Errors
    /// If one ends while it is being looked up.
    pub fn meter(&self) -> Result<Meter, ServiceError> {
        match &self.cgroup {
            Some(_) => Ok(Meter::Cgroup),
            None => self.clocks().map(Meter::Clocks),
        }
    }

    /// CPU time that it has used so far.
    ///
    /// # Errors
    /// If its cgroup or one of its processes is gone: time would be missing.
    pub fn cpu(&self, meter: &Meter) -> Result<Duration, ServiceError> {
        match (meter, &self.cgroup) {
            (Meter::Clocks(clocks), _) => clocks.read(),
            (Meter::Cgroup, Some(cgroup)) => cgroup.cpu().map_err(|source| ServiceError::Cgroup {
                name: self.name,
                source,
            }),
            (Meter::Cgroup, None) => Ok(Duration::ZERO),
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
        self.cgroup
            .as_ref()
            .map_or_else(|| group(self.pid()), Cgroup::processes)
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
        let _ = self.cgroup.as_ref().map(Cgroup::kill);
        let _ = fs::remove_file(self.log.with_extension(PID_FILE));
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
            let _ = kill(self.pid(), self.stop);
            let deadline = Instant::now() + self.patience;
            while Instant::now() < deadline
                && self.processes().iter().any(|&process| !has_ended(process))
            {
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.end();
        let _ = self.child.wait();
    }
}

/// How a server's CPU time is read.
#[derive(Debug)]
pub enum Meter {
    /// From its cgroup: whoever comes and goes in it.
    Cgroup,
    /// From the clocks of its processes, which must stay the same.
    Clocks(Clocks),
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

/// Whether a process has ended. It may still be there, unreaped: orphans wait for process 1.
#[must_use]
pub fn has_ended(process: Pid) -> bool {
    stat(process).is_none_or(|(state, _)| state == 'Z')
}

/// Kills the process group that a server's pid file names, unless its id has gone to somebody else since.
///
/// Returns whether there was anything to kill.
#[must_use]
pub fn kill_left_behind(pid_file: &Path) -> bool {
    let recorded = fs::read_to_string(pid_file).unwrap_or_default();
    let Some(leader) = recorded.split(' ').next().and_then(|id| id.parse().ok()) else {
        return false;
    };
    let leader = Pid::from_raw(leader);
    recorded == identity(leader) && killpg(leader, Signal::SIGKILL).is_ok()
}

/// A process id with the time of its start: ids are given again, the pair is not.
fn identity(process: Pid) -> String {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let start = stat
        .rfind(')')
        .and_then(|end| stat[end + 1..].split_ascii_whitespace().nth(19))
        .unwrap_or_default();
    format!("{process} {start}")
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
        while processes.iter().any(|&process| !has_ended(process)) {
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
    fn what_leaves_the_process_group_ends_with_the_cgroup() {
        let mut service = Service::start_in_cgroup(
            "family",
            Path::new("/bin/sh"),
            Path::new("/nonexistent"),
            |command| {
                command.args(["-c", "setsid sleep 60 & sleep 61; sleep 62"]);
            },
        )
        .unwrap();
        if service.cgroup.is_none() {
            eprintln!("ignored: no cgroup2 to write to");
            return;
        }
        let limit = Duration::from_secs(10);
        service
            .wait_until(|service| service.processes().len() == 3, limit)
            .unwrap();
        let processes = service.processes();
        // What the kernel does to our end of the pipe when we are killed.
        drop(service.watchdog.stdin.take());
        wait_until_gone(&processes);
    }

    #[test]
    fn a_pid_file_kills_the_process_that_it_was_written_for_and_no_other() {
        let scratch = tempfile::tempdir().unwrap();
        let pid_file = scratch.path().join("sleeper.service");
        let log = scratch.path().join("sleeper.log");
        let service = Service::start("sleeper", Command::new("sleep").arg("60"), &log).unwrap();
        let recorded = fs::read_to_string(&pid_file).unwrap();
        fs::write(&pid_file, recorded.clone() + "1").unwrap();
        assert!(!kill_left_behind(&pid_file));
        fs::write(&pid_file, recorded).unwrap();
        assert!(kill_left_behind(&pid_file));
        wait_until_gone(&service.processes());
        drop(service);
        assert!(!pid_file.exists());
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
