//! What a killed run left behind: processes, cgroups, mounts, directories. The next run removes it first.
//!
//! Everything of ours has its owner's process id in its name, so what belongs to a living run is told from the rest.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aegisbpf_rig::{
    cgroup::{self, CgroupError, PREFIX},
    service::{self, PID_FILE},
};
use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
    unistd::Uid,
};

/// A leftover that does not go.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeftoverError {
    /// A directory.
    #[error("removing {}, left behind by a killed run: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A mount. Its directory is left alone then: what is mounted there need not be ours.
    #[error("unmounting {}, left behind by a killed run: {source}", path.display())]
    Mount {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// A cgroup.
    #[error("left behind by a killed run: {0}")]
    Cgroup(#[from] CgroupError),
}

/// Removes the leftovers of dead runs, scratch directories in `parent` included, and tells what they were.
///
/// # Errors
/// If one cannot be removed.
pub fn remove(parent: &Path) -> Result<Vec<PathBuf>, LeftoverError> {
    let mut removed = Vec::new();
    let scratch = abandoned(parent)?;
    for pid_file in scratch.iter().flat_map(|path| pid_files(path)) {
        if service::kill_left_behind(&pid_file) {
            removed.push(pid_file);
        }
    }
    // Processes go before the mounts that they keep busy.
    let hierarchies = ["cgroup2", "cgroup"].into_iter().flat_map(cgroup::mounts);
    for hierarchy in hierarchies {
        for path in abandoned(&hierarchy)? {
            cgroup::remove(&path)?;
            removed.push(path);
        }
    }
    for path in scratch {
        remove_tree(&path)?;
        removed.push(path);
    }
    Ok(removed)
}

/// Removes a directory and what is mounted in it.
///
/// # Errors
/// If something is still mounted there: it is not looked into, since it need not be ours.
pub fn remove_tree(path: &Path) -> Result<(), LeftoverError> {
    unmount_below(path)?;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LeftoverError::Directory {
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Unmounts all that is mounted below a directory, the latest first.
///
/// # Errors
/// If a mount does not go.
pub fn unmount_below(directory: &Path) -> Result<(), LeftoverError> {
    let directory = directory.canonicalize().unwrap_or(directory.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescaped)
        .filter(|point| point.starts_with(&directory))
        .collect();
    for path in points.into_iter().rev() {
        match umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // Gone with the one that it was mounted on.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(source) => return Err(LeftoverError::Mount { path, source }),
        }
    }
    Ok(())
}

/// Directories of ours whose owner is dead. Other users' directories, links and anything else are left alone.
fn abandoned(parent: &Path) -> Result<Vec<PathBuf>, LeftoverError> {
    let fail = |source| LeftoverError::Directory {
        path: parent.to_owned(),
        source,
    };
    let mut abandoned = Vec::new();
    for entry in fs::read_dir(parent).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let Some(owner) = entry.file_name().to_str().and_then(owner) else {
            continue;
        };
        // A directory entry's metadata does not follow links, so a planted link is not followed either.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let ours = metadata.is_dir()
            && std::os::unix::fs::MetadataExt::uid(&metadata) == Uid::effective().as_raw();
        if ours && !Path::new("/proc").join(owner.to_string()).exists() {
            abandoned.push(entry.path());
        }
    }
    Ok(abandoned)
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

/// Pid files in a scratch directory and in the directories of its first level: nobody writes them deeper.
fn pid_files(scratch: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let is_pid_file = |path: &PathBuf| path.extension().is_some_and(|end| end == PID_FILE);
    let below = entries(scratch)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .flat_map(|entry| entries(&entry.path()));
    entries(scratch)
        .chain(below)
        .map(|entry| entry.path())
        .filter(is_pid_file)
        .collect()
}

/// The kernel writes blanks and the like in mount points as `\040`.
fn unescaped(path: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(std::ffi::OsString::from(
        String::from_utf8_lossy(&bytes).into_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::mount::{MsFlags, mount};

    use super::*;
    use crate::scratch::Scratch;

    /// The id of a process that has been.
    fn dead() -> u32 {
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        gone.id()
    }

    #[test]
    fn leftovers_of_dead_runs_are_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let gone = dead();
        let dead = parent.path().join(format!("{PREFIX}{gone}-abc"));
        let foreign = parent.path().join("aegis-wl-notes");
        let linked = parent.path().join(format!("{PREFIX}{gone}-link"));
        fs::create_dir_all(dead.join("sub")).unwrap();
        fs::create_dir(&foreign).unwrap();
        std::os::unix::fs::symlink(&foreign, &linked).unwrap();
        let living = Scratch::new_in(parent.path()).unwrap();

        assert!(remove(parent.path()).unwrap().contains(&dead));

        assert!(!dead.exists());
        assert!(living.path().exists() && foreign.exists() && linked.exists());
    }

    #[test]
    fn what_is_mounted_in_a_leftover_is_unmounted_and_not_emptied() {
        if !Uid::effective().is_root() {
            eprintln!("ignored: not root, which mounting needs");
            return;
        }
        let parent = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("precious"), "").unwrap();
        let scratch = parent.path().join(format!("{PREFIX}{}-x y", dead()));
        let inside = scratch.join("root");
        fs::create_dir_all(&inside).unwrap();
        mount(
            Some(outside.path()),
            &inside,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .unwrap();
        assert!(inside.join("precious").exists());
        remove(parent.path()).unwrap();
        assert!(!scratch.exists());
        assert!(outside.path().join("precious").exists());
    }

    #[test]
    fn a_cgroup_of_a_dead_run_is_emptied_and_removed() {
        let Some(mount) = cgroup::mounts("cgroup2").into_iter().next() else {
            eprintln!("ignored: no cgroup2");
            return;
        };
        let path = mount.join(format!("{PREFIX}{}-0-test", dead()));
        if let Err(error) = fs::create_dir_all(path.join("nested")) {
            eprintln!("ignored: {error}");
            return;
        }
        let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(path.join("nested/cgroup.procs"), sleeper.id().to_string()).unwrap();
        let parent = tempfile::tempdir().unwrap();
        assert!(remove(parent.path()).unwrap().contains(&path));
        assert!(!path.exists());
        assert!(!sleeper.wait().unwrap().success());
    }
}
