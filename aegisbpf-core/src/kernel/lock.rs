//! Locks between processes: flock(2) on a directory, which ends with the process that holds it, however it ends.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::error::{Error, Result};

/// How long a change waits for one that another process makes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A held lock. Dropping it releases it.
pub(crate) struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Waits for the lock on `directory`, with a bound.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process holds it all the time.
    pub(crate) fn wait(directory: &Path, what: &str) -> Result<Self> {
        let until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(lock) = Self::try_take(directory)? {
                return Ok(lock);
            }
            if Instant::now() >= until {
                return Err(Error::Busy {
                    what: what.to_owned(),
                    pid: holder(directory),
                });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Takes the lock on `directory` if nobody holds it.
    ///
    /// # Errors
    /// If the directory cannot be locked at all.
    pub(crate) fn try_take(directory: &Path) -> Result<Option<Self>> {
        let failed = |e: io::Error| Error::kernel(format!("locking {}", directory.display()), e);
        let file = File::open(directory).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(Self { _held: held })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, e)) => Err(failed(e.into())),
        }
    }
}

/// The process that holds the lock on `directory`, as our pid name space numbers it; none if nobody does or it
/// cannot be told.
pub(crate) fn holder(directory: &Path) -> Option<u32> {
    let meta = fs::metadata(directory).ok()?;
    let (major, minor) = (
        nix::sys::stat::major(meta.dev()),
        nix::sys::stat::minor(meta.dev()),
    );
    // 1: FLOCK  ADVISORY  WRITE 1234 00:2b:567 0 EOF
    let place = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        match fields[..] {
            [_, "FLOCK", _, _, pid, at, ..] if at == place => {
                pid.parse().ok().filter(|pid| *pid != 0)
            }
            _ => None,
        }
    })
}
