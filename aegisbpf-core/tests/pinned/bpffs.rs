//! A bpf file system for one test.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

/// Mounted on a directory of its own; unmounting it drops every pin in it.
pub(crate) struct BpfFs(TempDir);

impl BpfFs {
    pub(crate) fn mount() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let flags = MsFlags::empty();
        mount(Some("bpf"), dir.path(), Some("bpf"), flags, None::<&Path>).unwrap();
        Self(dir)
    }

    /// Where to pin.
    pub(crate) fn base(&self) -> PathBuf {
        self.0.path().join("aegisbpf")
    }

    /// Where what is pinned there is.
    pub(crate) fn set(&self) -> PathBuf {
        set_of(&self.base())
    }
}

/// See [`BpfFs::set`].
pub(crate) fn set_of(base: &Path) -> PathBuf {
    base.join(format!("v{}", aegisbpf_bpf::abi::ABI_VERSION))
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}
