//! Where an enforcer that outlives its process has its objects: names in a bpf file system, and what their presence means.
//!
//! ```text
//! /sys/fs/bpf/aegisbpf/       the base: 0700; flock(2) on it is the right to change anything below
//!   owner/                    flock(2) on it is held by the running daemon
//!   reader/                   flock(2) on it is held by the one reader of the events
//!   v4/                       one enforcer, of the ABI with this number; made as `v4-new`, then renamed: whole or not there
//!     maps/ programs/ links/  as the objects name them; a link here is an attached hook
//!     policies/7              the rules of generation 7, with their words; the current generation and the one before it
//!     carried                 what was counted by sets that this one succeeded
//!     about                   backend and sizes, and which object was loaded
//!     switching/              a change of policy has begun and not ended
//!     detached/               nothing shall be attached, whatever the policy needs
//! ```

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use aegisbpf_bpf::abi::ABI_VERSION;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::error::{Error, Result};

/// The names below one base directory. Nothing is read or written before a method is called.
#[derive(Debug, Clone)]
pub(crate) struct Pins {
    base: PathBuf,
    set: PathBuf,
}

impl Pins {
    pub(crate) fn new(base: impl Into<PathBuf>) -> Self {
        let base = base.into();
        let set = base.join(format!("v{ABI_VERSION}"));
        Self { base, set }
    }

    /// The same names for a set that is being made, which nobody looks for.
    pub(crate) fn staging(&self) -> Self {
        Self {
            base: self.base.clone(),
            set: self.base.join(format!("v{ABI_VERSION}-new")),
        }
    }

    /// Makes the base directory if need be.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where it cannot be in a bpf file system.
    pub(crate) fn prepare(&self) -> Result<()> {
        let unsupported = |reason: String| {
            Error::Unsupported {
            what: format!("pinning at {}", self.base.display()),
            reason,
            remedy: "mount one, `mount -t bpf bpf /sys/fs/bpf`, or name a directory in another; or do without (--no-pin)"
                .into(),
            source: None,
        }
        };
        let there = self
            .base
            .ancestors()
            .find(|path| path.exists())
            .unwrap_or(Path::new("/"));
        match statfs(there) {
            Ok(fs) if fs.filesystem_type() == BPF_FS_MAGIC => {}
            Ok(_) => {
                return Err(unsupported(format!(
                    "{} is not in a bpf file system",
                    there.display()
                )));
            }
            Err(e) => return Err(unsupported(format!("{}: {}", there.display(), e.desc()))),
        }
        make(&self.base)?;
        self.trust()?;
        make(&self.owner())?;
        make(&self.reader())
    }

    /// Refuses a base directory that somebody else made or may change: in a bpf file system that is open to all, anybody
    /// can be first.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub(crate) fn trust(&self) -> Result<()> {
        let Ok(meta) = fs::metadata(&self.base) else {
            return Ok(());
        };
        let mode = meta.mode() & 0o777;
        if meta.uid() == nix::unistd::geteuid().as_raw() && mode & 0o077 == 0 {
            return Ok(());
        }
        Err(Error::unsupported(
            format!("using what is pinned at {}", self.base.display()),
            format!(
                "the directory belongs to user {} and has the mode {mode:o}: somebody else could change it",
                meta.uid()
            ),
            "see who made it, remove it, and let `aegisbpf run` make its own; or name another directory",
        ))
    }

    /// Makes the directories of a new set.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(crate) fn make_set(&self) -> Result<()> {
        for part in ["", "maps", "programs", "links", "policies"] {
            make(&self.set.join(part))?;
        }
        Ok(())
    }

    /// Makes the staged set the one that others find, in one step, and gives the one that it replaces, if any, as the
    /// staged one.
    ///
    /// # Errors
    /// If the file system refuses; then nothing has changed.
    pub(crate) fn publish(&self) -> Result<()> {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        let flags = if self.set.exists() {
            RenameFlags::RENAME_EXCHANGE
        } else {
            RenameFlags::RENAME_NOREPLACE
        };
        let staged = self.staging().set;
        renameat2(AT_FDCWD, &staged, AT_FDCWD, &self.set, flags)
            .map_err(|e| Error::kernel(format!("publishing {}", self.set.display()), e))
    }

    /// Removes the set with all in it, the hooks first. What is not there is no error.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(crate) fn remove_set(&self) -> Result<()> {
        let failed = |e: io::Error| Error::kernel(format!("removing {}", self.set.display()), e);
        for gone in [
            fs::remove_dir_all(self.links()),
            fs::remove_dir_all(&self.set),
        ] {
            match gone {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the base directory if nothing but our empty directories is in it.
    pub(crate) fn remove_base(&self) {
        // Somebody may be waiting for the lock, or have another version's set there: then it stays.
        let _ = fs::remove_dir(self.owner());
        let _ = fs::remove_dir(self.reader());
        let _ = fs::remove_dir(&self.base);
    }

    pub(crate) fn exists(&self) -> bool {
        self.about().exists()
    }

    /// The ABI versions of the sets that other versions of this library left or hold here.
    pub(crate) fn other_versions(&self) -> Vec<u32> {
        let mut versions: Vec<u32> = names(&self.base)
            .iter()
            .filter_map(|name| name.strip_prefix('v')?.parse().ok())
            .filter(|version| *version != ABI_VERSION)
            .collect();
        versions.sort_unstable();
        versions
    }

    /// The names for the set of another version.
    pub(crate) fn of_version(&self, version: u32) -> Self {
        Self {
            base: self.base.clone(),
            set: self.base.join(format!("v{version}")),
        }
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    pub(crate) fn set(&self) -> &Path {
        &self.set
    }

    pub(crate) fn owner(&self) -> PathBuf {
        self.base.join("owner")
    }

    pub(crate) fn reader(&self) -> PathBuf {
        self.base.join("reader")
    }

    /// A dot in a name is reserved by the bpf file system.
    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.set
            .join("maps")
            .join(name.trim_start_matches('.').replace('.', "_"))
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.set.join("programs").join(name)
    }

    pub(crate) fn links(&self) -> PathBuf {
        self.set.join("links")
    }

    pub(crate) fn about(&self) -> PathBuf {
        self.set.join("about")
    }

    pub(crate) fn carried(&self) -> PathBuf {
        self.set.join("carried")
    }

    pub(crate) fn policy(&self, generation: u32) -> PathBuf {
        self.set.join("policies").join(generation.to_string())
    }

    /// The generations whose rules are kept.
    pub(crate) fn policies(&self) -> Vec<u32> {
        names(&self.set.join("policies"))
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect()
    }

    pub(crate) fn switching(&self) -> Mark {
        Mark(self.set.join("switching"))
    }

    pub(crate) fn detached(&self) -> Mark {
        Mark(self.set.join("detached"))
    }
}

/// A directory whose presence says something.
pub(crate) struct Mark(PathBuf);

impl Mark {
    pub(crate) fn is_set(&self) -> bool {
        self.0.exists()
    }

    /// # Errors
    /// If the file system refuses.
    pub(crate) fn set(&self) -> Result<()> {
        make(&self.0)
    }

    /// # Errors
    /// If the file system refuses.
    pub(crate) fn clear(&self) -> Result<()> {
        match fs::remove_dir(&self.0) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::kernel(format!("removing {}", self.0.display()), e))
            }
            _ => Ok(()),
        }
    }
}

fn make(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| Error::kernel(format!("making {}", path.display()), e))
}

/// The names in a directory; none if it is not there.
pub(super) fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}
