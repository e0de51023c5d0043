//! The cache directory: unpacked kernels, which stay, and scratch directories, which do not.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::{Attempt, Result};

/// Scratch directories are named by their owner: `run-PID-RANDOM`.
const PREFIX: &str = "run-";

/// `target/vm`, where `cargo clean` finds it; or AEGIS_VM_CACHE, which may outlive it.
pub(crate) fn open() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let cache = std::env::var_os("AEGIS_VM_CACHE")
        .map_or_else(|| target.unwrap_or(workspace).join("vm"), PathBuf::from);
    // Absolute, since apt-get and dpkg are started in directories of their own.
    let cache = std::path::absolute(&cache).attempt("finding", &cache)?;
    fs::create_dir_all(&cache).attempt("making the cache directory", &cache)?;
    sweep(&cache)?;
    Ok(cache)
}

/// A directory that goes with its value, or at the next start if we are killed.
pub(crate) fn scratch(cache: &Path) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir_in(cache)
        .attempt("making a directory in", cache)
}

/// Removes what runners left that were interrupted.
fn sweep(cache: &Path) -> Result<()> {
    for entry in fs::read_dir(cache).attempt("listing", cache)? {
        let path = entry.attempt("listing", cache)?.path();
        let owner = path.file_name().and_then(|name| owner(name.to_str()?));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {} // another runner was faster
                result => result.attempt("removing", &path)?,
            }
        }
    }
    Ok(())
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_dead_left_is_swept() {
        let cache = tempfile::tempdir().unwrap();
        let own = scratch(cache.path()).unwrap();
        // Above the largest pid that a kernel gives.
        let dead = cache.path().join("run-4194999-abc");
        let kernel = cache
            .path()
            .join("linux-image-6.1.0-1-cloud-amd64-unsigned");
        for directory in [&dead, &kernel] {
            fs::create_dir(directory).unwrap();
        }
        sweep(cache.path()).unwrap();
        assert!(own.path().exists());
        assert!(kernel.exists());
        assert!(!dead.exists());
    }
}
