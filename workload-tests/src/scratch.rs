//! Private scratch directories that do not outlive their process, not even a killed one.
//!
//! The name carries the owner's process id, so that a later run can tell a directory in use from one that a
//! killed run left behind.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process,
};

use aegisbpf_rig::cgroup::PREFIX;
use tempfile::TempDir;

use crate::leftovers;

/// Environment variable that moves scratch directories to another file system.
pub const SCRATCH_VARIABLE: &str = "AEGIS_SCRATCH";

/// A directory that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("scratch directory in {}: {source}; set {SCRATCH_VARIABLE} to a writable directory", parent.display())]
pub struct ScratchError {
    parent: PathBuf,
    source: io::Error,
}

/// A private directory, removed on drop. Nobody else can list it; servers that are not root can pass through it.
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
            .permissions(fs::Permissions::from_mode(0o711))
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

impl Drop for Scratch {
    fn drop(&mut self) {
        // A mount that a broken case left in there must not be emptied with the rest.
        if leftovers::unmount_below(self.path()).is_err() {
            self.0.disable_cleanup(true);
        }
    }
}

/// Where scratch directories go: `$AEGIS_SCRATCH`, or the system's directory for temporary files.
#[must_use]
pub fn parent() -> PathBuf {
    env::var_os(SCRATCH_VARIABLE).map_or_else(env::temp_dir, PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_scratch_directory_is_private_and_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::new_in(parent.path()).unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o711);
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
