//! Reading a kernel file system that nobody mounted, without leaving a mount behind.

use std::{fs, path::Path, thread};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

/// Where the tracepoints' ids are, and where the loader looks for them.
const TRACEFS: &str = "/sys/kernel/tracing";
/// Where the active LSM list is.
const SECURITYFS: &str = "/sys/kernel/security";
/// Where the scheduler says how it preempts.
const DEBUGFS: &str = "/sys/kernel/debug";
/// Where programs are pinned.
const BPFFS: &str = "/sys/fs/bpf";

/// Runs `task` where tracefs can be read.
///
/// # Errors
/// If it is not mounted and cannot be mounted.
pub(super) fn with_tracefs<T: Send>(task: impl FnOnce() -> T + Send) -> nix::Result<T> {
    let place = Path::new(TRACEFS);
    with_mounted("tracefs", place, has_entries(place), task)
}

/// Runs `task` where securityfs can be read.
///
/// # Errors
/// If it is not mounted and cannot be mounted.
pub(super) fn with_securityfs<T: Send>(task: impl FnOnce() -> T + Send) -> nix::Result<T> {
    let place = Path::new(SECURITYFS);
    with_mounted("securityfs", place, has_entries(place), task)
}

/// Runs `task` where debugfs can be read.
///
/// # Errors
/// If it is not mounted and cannot be mounted.
pub(super) fn with_debugfs<T: Send>(task: impl FnOnce() -> T + Send) -> nix::Result<T> {
    let place = Path::new(DEBUGFS);
    with_mounted("debugfs", place, has_entries(place), task)
}

/// Runs `task` where programs can be pinned, with the directory to pin them in.
///
/// # Errors
/// If no bpf file system is mounted and none can be.
pub(super) fn with_bpffs<T: Send>(task: impl FnOnce(&Path) -> T + Send) -> nix::Result<T> {
    let place = Path::new(BPFFS);
    let mounted = statfs(place).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC);
    with_mounted("bpf", place, mounted, || task(place))
}

/// Kernel file systems of this kind are never empty.
fn has_entries(place: &Path) -> bool {
    fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some())
}

/// If it is not `mounted` at `place`, `task` runs in a thread with a mount name space of its own, in which
/// the file system is. The mount ends with the thread, and no other process ever sees it.
fn with_mounted<T: Send>(
    kind: &str,
    place: &Path,
    mounted: bool,
    task: impl FnOnce() -> T + Send,
) -> nix::Result<T> {
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
