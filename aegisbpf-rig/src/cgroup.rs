//! Cgroups of our own: who belongs to a server, what CPU time it took, and a sure end of all of it.
//!
//! A cgroup2 directory does all three without any controller. Its name carries our process id, so that a later run
//! can tell what a killed run left behind.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::cpu::CpuClock;

/// What the names of our cgroups, and of all else that a killed run may leave behind, begin with. The process id of
/// the owner follows, then a dash.
pub const PREFIX: &str = "aegis-wl-";

/// Moves the shell into the cgroup `$0`, and then becomes the program: so that no child can be born outside.
const ENTER: &str = r#"echo 0 >"$0/cgroup.procs" && exec "$@""#;

/// How long killed processes may take to be gone.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A cgroup that could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// There is no cgroup2 hierarchy.
    #[error(
        "no cgroup2 file system is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with it"
    )]
    NotMounted,
    /// A file or directory of it.
    #[error("cgroup {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Processes that do not end.
    #[error("cgroup {}: still has processes {}s after they were killed", path.display(), END_WITHIN.as_secs())]
    Alive {
        /// Which.
        path: PathBuf,
    },
}

/// A cgroup2 directory; dropping it kills what is in it and removes it.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes an empty one below the root of the cgroup2 hierarchy.
    ///
    /// # Errors
    /// If there is no such hierarchy, or it is not ours to write.
    pub fn new(name: &str) -> Result<Self, CgroupError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mount = mounts("cgroup2")
            .into_iter()
            .next()
            .ok_or(CgroupError::NotMounted)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = mount.join(format!("{PREFIX}{}-{number}-{name}", process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(CgroupError::Io { path, source }),
        }
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A command that runs `program` in it. Arguments and environment are added as usual.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        enter(&self.0, program)
    }

    /// Its processes, and those of the cgroups below it.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        processes(&self.0)
    }

    /// CPU time of all that ever ran in it.
    ///
    /// The kernel books a running task's time at its next tick. Reading the task's own clock books it now, so the
    /// clocks are read first, and what they say is not needed.
    ///
    /// # Errors
    /// If the cgroup is gone.
    pub fn cpu(&self) -> Result<Duration, CgroupError> {
        for process in self.processes() {
            let _ = CpuClock::of_process(process).and_then(CpuClock::read);
        }
        let path = self.0.join("cpu.stat");
        let stat = fs::read_to_string(&path).and_then(|text| {
            usage(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no usage_usec"))
        });
        stat.map_err(|source| CgroupError::Io { path, source })
    }

    /// Kills all that is in it, waits until it is gone, and leaves the cgroup empty.
    ///
    /// # Errors
    /// If something does not die.
    pub fn kill(&self) -> Result<(), CgroupError> {
        kill_all(&self.0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = remove(&self.0);
        // Container engines make directories of the same name in the hierarchies of version 1.
        for hierarchy in mounts("cgroup") {
            let _ = remove(&hierarchy.join(self.0.file_name().unwrap_or_default()));
        }
    }
}

/// A command that runs `program` in the cgroup with this directory.
#[must_use]
pub fn enter(cgroup: &Path, program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", ENTER]).arg(cgroup).arg(program);
    command
}

/// Kills what is in a cgroup, and removes it with all below it.
///
/// # Errors
/// If something does not die, or a directory cannot be removed.
pub fn remove(path: &Path) -> Result<(), CgroupError> {
    kill_all(path)?;
    for child in children(path) {
        remove(&child)?;
    }
    let deadline = Instant::now() + END_WITHIN;
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // The last process is a zombie for a moment.
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            Err(source) => {
                let path = path.to_owned();
                return Err(CgroupError::Io { path, source });
            }
        }
    }
}

/// Mount points of a kind of cgroup file system: `cgroup2`, or `cgroup` for the hierarchies of version 1.
#[must_use]
pub fn mounts(kind: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let of_kind = mounts.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let is_whole = mount.split(' ').nth(3) == Some("/");
        (is_whole && source.split(' ').next() == Some(kind)).then(|| mount.split(' ').nth(4))?
    });
    of_kind.map(PathBuf::from).collect()
}

fn kill_all(path: &Path) -> Result<(), CgroupError> {
    let deadline = Instant::now() + END_WITHIN;
    loop {
        let living = processes(path);
        if living.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let path = path.to_owned();
            return Err(CgroupError::Alive { path });
        }
        // At once where the kernel can (5.14), one by one where it cannot.
        if fs::write(path.join("cgroup.kill"), "1").is_err() {
            for process in living {
                let _ = kill(process, Signal::SIGKILL);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn processes(path: &Path) -> Vec<Pid> {
    let own = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<Pid> = own
        .lines()
        .filter_map(|line| line.parse().ok())
        .map(Pid::from_raw)
        .collect();
    for child in children(path) {
        all.extend(processes(&child));
    }
    all
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn usage(stat: &str) -> Option<Duration> {
    let value = stat
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "))?;
    value.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    fn cgroup() -> Option<Cgroup> {
        Cgroup::new("test")
            .inspect_err(|error| eprintln!("ignored: {error}"))
            .ok()
    }

    #[test]
    fn the_children_of_a_program_belong_to_its_cgroup_and_end_with_it() {
        let Some(cgroup) = cgroup() else { return };
        let script = "setsid sleep 60 & (setsid sleep 61 &) ; echo; wait";
        let mut child = cgroup
            .command(Path::new("/bin/sh"))
            .args(["-c", script])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while cgroup.processes().len() < 3 {
            assert!(Instant::now() < deadline, "{:?}", cgroup.processes());
            thread::sleep(Duration::from_millis(5));
        }
        let path = cgroup.path().to_owned();
        drop(cgroup);
        assert!(!path.exists());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn the_time_of_children_that_have_ended_is_not_lost() {
        let Some(cgroup) = cgroup() else { return };
        let before = cgroup.cpu().unwrap();
        let burn = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let mut command = cgroup.command(Path::new("/bin/sh"));
        let status = command
            .args(["-c", &format!("sh -c '{burn}'; true")])
            .status();
        assert!(status.unwrap().success());
        let spent = cgroup.cpu().unwrap() - before;
        assert!(spent > Duration::from_millis(1), "{spent:?}");
        assert_eq!(cgroup.cpu().unwrap() - before, spent);
    }

    #[test]
    fn a_running_task_is_booked_to_the_moment_of_reading() {
        let Some(cgroup) = cgroup() else { return };
        let mut child = cgroup
            .command(Path::new("/bin/sh"))
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while cgroup.processes().is_empty() {
            assert!(Instant::now() < deadline);
        }
        let clock = CpuClock::of_process(Pid::from_raw(child.id().cast_signed())).unwrap();
        for _ in 0..50 {
            let (least, time) = (clock.read().unwrap(), cgroup.cpu().unwrap());
            // The shell used some of it before it entered.
            let outside = Duration::from_millis(20);
            assert!(time + outside > least, "{time:?} after {least:?}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
