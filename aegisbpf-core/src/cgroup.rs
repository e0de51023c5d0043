//! The cgroup2 tree of this host: from a cgroup's path to its id and back.
//!
//! A cgroup's id, which the kernel's `bpf_get_current_cgroup_id` and our maps speak of, is the inode number of its
//! directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::mounts::Mounts;
use crate::policy::CGROUP_PREFIX;

/// How many cgroups a search for names looks at. A host with thousands of containers has a tenth of it.
const WALK_LIMIT: usize = 100_000;

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
        Self::among(&Mounts::read().map_err(CgroupError::Mounts)?)
    }

    /// Finds it among `mounts`. Of several mounts it takes the usual place; elsewhere it may be a container's.
    pub(crate) fn among(mounts: &Mounts) -> Result<Self, CgroupError> {
        let points = || {
            mounts
                .iter()
                .filter(|mount| mount.fs_type == "cgroup2")
                .map(|mount| &mount.point)
        };
        let usual = points().find(|point| point.starts_with(CGROUP_PREFIX));
        let root = usual
            .or_else(|| points().next())
            .ok_or(CgroupError::NotMounted)?;
        Ok(Self { root: root.clone() })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the cgroup `path`, which is absolute from the tree's root (`/system.slice`).
    #[must_use]
    pub fn directory(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The id of the cgroup at `path`, which is absolute from the tree's root (`/system.slice`). Beside version 1,
    /// `/unified/system.slice` is taken too, as what remains of `/sys/fs/cgroup/unified/system.slice`.
    ///
    /// # Errors
    /// There is none, or it cannot be looked up.
    pub fn id(&self, path: &Path) -> io::Result<u64> {
        let found = self.id_of(&self.directory(path));
        let whole = Path::new(CGROUP_PREFIX).join(path.strip_prefix("/").unwrap_or(path));
        match found {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && whole.starts_with(&self.root) =>
            {
                self.id_of(&whole)
            }
            found => found,
        }
    }

    /// The id of a directory, if it belongs to this tree.
    fn id_of(&self, directory: &Path) -> io::Result<u64> {
        let meta = std::fs::metadata(directory)?;
        if !meta.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if meta.dev() != std::fs::metadata(&self.root)?.dev() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(meta.ino())
    }

    /// The paths of the cgroups `ids`, from the tree's root. Those that exist no longer are left out, as are those
    /// beyond the first 100,000 cgroups, so that a name for a table never costs more than that.
    #[must_use]
    pub fn paths(&self, ids: &BTreeSet<u64>) -> BTreeMap<u64, PathBuf> {
        self.walk(ids).0
    }

    /// As [`paths`](Self::paths), and whether the whole tree was searched as far as was necessary.
    pub(crate) fn walk(&self, ids: &BTreeSet<u64>) -> (BTreeMap<u64, PathBuf>, bool) {
        let mut found = BTreeMap::new();
        let root_id = std::fs::metadata(&self.root).map(|meta| meta.ino());
        let mut pending = Vec::from([(PathBuf::from("/"), root_id.unwrap_or_default())]);
        let mut seen = 0;
        while let Some((path, id)) = pending.pop() {
            if ids.contains(&id) {
                found.insert(id, path.clone());
            }
            seen += 1;
            if found.len() == ids.len() || seen == WALK_LIMIT {
                return (found, seen < WALK_LIMIT);
            }
            // A cgroup may go away while we walk; then it has no children either.
            let Ok(children) = std::fs::read_dir(self.directory(&path)) else {
                continue;
            };
            for child in children.flatten() {
                if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                    pending.push((path.join(child.file_name()), child.ino()));
                }
            }
        }
        (found, true)
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
    #[error(
        "cannot read /proc/self/mountinfo to find the cgroup2 file system: mount proc at /proc"
    )]
    Mounts(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw\n";

    #[rstest]
    #[case::pure(
        "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "/sys/fs/cgroup"
    )]
    #[case::hybrid(&format!("{V1}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n"), "/sys/fs/cgroup/unified")]
    #[case::another_comes_first(
        "9 1 0:9 / /run/c rw - cgroup2 none rw\n31 23 0:28 / /sys/fs/cgroup rw - cgroup2 none rw\n",
        "/sys/fs/cgroup"
    )]
    #[case::elsewhere("9 1 0:9 / /cgroup2 rw - cgroup2 none rw\n", "/cgroup2")]
    fn finds_the_mount(#[case] mountinfo: &str, #[case] root: &str) {
        let tree = CgroupTree::among(&Mounts::parse(mountinfo.as_bytes())).unwrap();
        assert_eq!(tree.root(), Path::new(root));
    }

    #[test]
    fn version_1_alone_is_none() {
        let error = CgroupTree::among(&Mounts::parse(V1.as_bytes())).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no cgroup2 file system is mounted"),
            "{error}"
        );
    }

    /// Any directory tree has inode numbers, so a scratch one can stand for cgroups.
    fn scratch() -> (tempfile::TempDir, CgroupTree) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("system.slice/ssh.service")).unwrap();
        std::fs::write(dir.path().join("cgroup.procs"), "").unwrap();
        let tree = CgroupTree {
            root: dir.path().to_owned(),
        };
        (dir, tree)
    }

    #[test]
    fn ids_and_paths_are_inverse() {
        let (_dir, tree) = scratch();
        let paths = ["/", "/system.slice", "/system.slice/ssh.service"].map(PathBuf::from);
        let ids = paths
            .iter()
            .map(|path| tree.id(path).unwrap())
            .collect::<BTreeSet<_>>();
        assert_eq!(ids.len(), 3);
        assert_eq!(
            tree.paths(&ids).into_values().collect::<BTreeSet<_>>(),
            BTreeSet::from(paths)
        );
    }

    #[test]
    fn what_is_no_cgroup_has_no_id() {
        let (_dir, tree) = scratch();
        assert_eq!(
            tree.id(Path::new("/none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(
            tree.id(Path::new("/cgroup.procs")).unwrap_err().kind(),
            io::ErrorKind::NotADirectory
        );
        assert!(tree.paths(&BTreeSet::from([u64::MAX])).is_empty());
    }

    #[test]
    fn a_directory_of_another_file_system_is_no_cgroup() {
        let tree = CgroupTree {
            root: PathBuf::from("/"),
        };
        assert_eq!(
            tree.id(Path::new("/proc")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn the_host_s_tree_knows_its_root() {
        // Skipped only where the host has no cgroup2 at all; `find` itself is covered by the cases above.
        let Ok(tree) = CgroupTree::find() else { return };
        let id = tree.id(Path::new("/")).unwrap();
        assert_eq!(tree.paths(&BTreeSet::from([id]))[&id], Path::new("/"));
        if let Ok(below) = tree.root().strip_prefix(CGROUP_PREFIX) {
            assert_eq!(tree.id(&Path::new("/").join(below)).unwrap(), id);
        }
    }
}
