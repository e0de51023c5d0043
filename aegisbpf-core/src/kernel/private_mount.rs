//! Reading a kernel file system that nobody mounted, without leaving a mount behind.

use std::{fs, path::Path, thread};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// Where the tracepoints' ids are, and where the loader looks for them.
const TRACEFS: &str = "/sys/kernel/tracing";
/// Where the active LSM list is.
const SECURITYFS: &str = "/sys/kernel/security";

/// Runs `task` where tracefs can be read.
///
/// # Errors
/// If it is not mounted and cannot be mounted.
pub(super) fn with_tracefs<T: Send>(task: impl FnOnce() -> T + Send) -> nix::Result<T> {
    with_mounted("tracefs", Path::new(TRACEFS), task)
}

/// Runs `task` where securityfs can be read.
///
/// # Errors
/// If it is not mounted and cannot be mounted.
pub(super) fn with_securityfs<T: Send>(task: impl FnOnce() -> T + Send) -> nix::Result<T> {
    with_mounted("securityfs", Path::new(SECURITYFS), task)
}

/// If nothing is mounted at `place`, `task` runs in a thread with a mount name space of its own, in which
/// the file system is. The mount ends with the thread, and no other process ever sees it.
fn with_mounted<T: Send>(
    kind: &str,
    place: &Path,
    task: impl FnOnce() -> T + Send,
) -> nix::Result<T> {
    let mounted = fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some());
    if mounted {
        return Ok(task());
    }
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let nothing = None::<&Path>;
            // Without this, a shared root would carry the mount back to everybody.
            mount(
                nothing,
                "/",
                nothing,
                MsFlags::MS_REC | MsFlags::MS_PRIVATE,
                nothing,
            )?;
            mount(Some(kind), place, Some(kind), MsFlags::empty(), nothing)?;
            Ok(task())
        });
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
