//! The cgroup2 tree of this host: from a cgroup's path to its id and back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// The mounted cgroup2 file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupTree {
    root: PathBuf,
}

impl CgroupTree {
    /// Finds where cgroup2 is mounted: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside version 1.
    ///
    /// # Errors
    /// The mounts cannot be read, or none is a cgroup2.
    pub fn find() -> Result<Self, CgroupError> {
        Err(CgroupError::NotMounted)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The id of the cgroup at `path`, which is absolute from the tree's root (`/system.slice`).
    ///
    /// # Errors
    /// There is none, or it cannot be looked up.
    pub fn id(&self, _path: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::NotFound.into())
    }

    /// The paths of the cgroups `ids`, from the tree's root; those that no longer exist are left out.
    #[must_use]
    pub fn paths(&self, _ids: &BTreeSet<u64>) -> BTreeMap<u64, PathBuf> {
        BTreeMap::new()
    }
}

/// Why there is no cgroup tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// No cgroup2 file system is mounted.
    #[error(
        "no cgroup2 file system is mounted: `mount -t cgroup2 none /sys/fs/cgroup/unified` makes one"
    )]
    NotMounted,
    /// `/proc/self/mountinfo` cannot be read.
    #[error("cannot read /proc/self/mountinfo to find the cgroup2 file system")]
    Mounts(#[source] io::Error),
}
