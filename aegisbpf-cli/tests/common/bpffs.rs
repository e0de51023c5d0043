//! A bpf file system for one test, so that no two meet and nothing is left.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

/// Mounted on a directory of its own; unmounting it drops every pin in it.
pub(crate) struct BpfFs(TempDir);

impl BpfFs {
    #[track_caller]
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

    /// Whether an enforcer is pinned there.
    pub(crate) fn has_pins(&self) -> bool {
        let Ok(below) = std::fs::read_dir(self.base()) else {
            return false;
        };
        below
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with('v'))
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}
