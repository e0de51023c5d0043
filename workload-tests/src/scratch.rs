//! Private scratch directories that do not outlive their process, not even a killed one.
//!
//! The name carries the owner's process id, so that a later run can tell a directory in use from one that a
//! killed run left behind.

use std::{
    env, fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process,
};

use nix::unistd::Uid;
use tempfile::TempDir;

/// Environment variable that moves scratch directories to another file system.
pub const SCRATCH_VARIABLE: &str = "AEGIS_SCRATCH";

const PREFIX: &str = "aegis-wl-";

/// A directory that could not be made or swept.
#[derive(Debug, thiserror::Error)]
#[error("scratch directory in {}: {source}; set {SCRATCH_VARIABLE} to a writable directory", parent.display())]
pub struct ScratchError {
    parent: PathBuf,
    source: io::Error,
}

/// A private directory (mode 0700), removed on drop.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// Makes one in [`parent`].
    ///
    /// # Errors
    /// If the parent directory is not writable.
    pub fn new() -> Result<Self, ScratchError> {
        Self::new_in(&parent())
    }

    /// Makes one in a directory of the caller's choice.
    ///
    /// # Errors
    /// If the parent directory is not writable.
    pub fn new_in(parent: &Path) -> Result<Self, ScratchError> {
        tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", process::id()))
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .map(Self)
            .map_err(|source| ScratchError {
                parent: parent.to_owned(),
                source,
            })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Where scratch directories go: `$AEGIS_SCRATCH`, or the system's directory for temporary files.
#[must_use]
pub fn parent() -> PathBuf {
    env::var_os(SCRATCH_VARIABLE).map_or_else(env::temp_dir, PathBuf::from)
}

/// Removes what killed runs left in `parent` and returns what was removed. Directories of other users, of living
/// processes, and anything that is not a directory are left alone.
///
/// # Errors
/// If `parent` cannot be read, or a leftover cannot be removed.
pub fn remove_leftovers(parent: &Path) -> Result<Vec<PathBuf>, ScratchError> {
    let fail = |source| ScratchError {
        parent: parent.to_owned(),
        source,
    };
    let mut removed = Vec::new();
    for entry in fs::read_dir(parent).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let Some(owner) = entry.file_name().to_str().and_then(owner) else {
            continue;
        };
        // A directory entry's metadata does not follow links, so a planted link is not followed either.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let ours = metadata.is_dir() && metadata.uid() == Uid::effective().as_raw();
        if ours && !Path::new("/proc").join(owner.to_string()).exists() {
            fs::remove_dir_all(entry.path()).map_err(fail)?;
            removed.push(entry.path());
        }
    }
    Ok(removed)
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_dead_runs_are_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let mut gone = process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let dead = parent.path().join(format!("{PREFIX}{}-abc", gone.id()));
        let foreign = parent.path().join("aegis-wl-notes");
        let linked = parent.path().join(format!("{PREFIX}{}-link", gone.id()));
        fs::create_dir_all(dead.join("sub")).unwrap();
        fs::create_dir(&foreign).unwrap();
        std::os::unix::fs::symlink(&foreign, &linked).unwrap();
        let living = Scratch::new_in(parent.path()).unwrap();

        assert_eq!(
            remove_leftovers(parent.path()).unwrap(),
            std::slice::from_ref(&dead)
        );

        assert!(!dead.exists());
        assert!(living.path().exists() && foreign.exists() && linked.exists());
    }

    #[test]
    fn a_scratch_directory_is_private_and_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new_in(parent.path()).unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn an_unwritable_parent_is_named_with_its_remedy() {
        let error = Scratch::new_in(Path::new("/nonexistent"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nonexistent") && error.contains(SCRATCH_VARIABLE),
            "{error}"
        );
    }
}
