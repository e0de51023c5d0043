//! A root file system for containers, made without a network: busybox if there is a static one, else the shell and
//! the few programs of this machine that the containers run, with their libraries.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::workload::find_program;

/// What a container runs.
pub(crate) const SCRIPT: &str = "echo test && ls -la /";

/// Names of busybox in the root file system.
const APPLETS: [&str; 4] = ["sh", "ls", "cat", "true"];

/// The users that `ls -la` reads to print names. It is bound into each container, as engines bind `/etc/hosts`.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n";

/// A static busybox.
pub(crate) fn busybox() -> Option<PathBuf> {
    find_program("busybox").filter(|path| libraries(path).is_ok_and(|found| found.is_empty()))
}

/// Makes the root file system in an empty directory.
pub(crate) fn make(root: &Path) -> io::Result<()> {
    for directory in ["bin", "etc", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(root.join("etc/passwd"), PASSWD)?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    if let Some(busybox) = busybox() {
        fs::copy(busybox, root.join("bin/busybox"))?;
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        return Ok(());
    }
    for program in ["sh", "ls"] {
        let source = find_program(program).ok_or(io::ErrorKind::NotFound)?;
        for library in libraries(&source)? {
            let target = root.join(library.strip_prefix("/").unwrap_or(&library));
            fs::create_dir_all(target.parent().unwrap_or(root))?;
            fs::copy(&library, target)?;
        }
        fs::copy(source, root.join("bin").join(program))?;
    }
    Ok(())
}

/// The file that is bound over `/etc/passwd` of each container.
pub(crate) fn write_passwd(directory: &Path) -> io::Result<PathBuf> {
    let path = directory.join("passwd");
    fs::write(&path, PASSWD)?;
    Ok(path)
}

/// Whether a container did what [`SCRIPT`] says in that root.
pub(crate) fn proves(output: &str) -> bool {
    let listed = |name: &str| output.lines().any(|line| line.trim_end().ends_with(name));
    output.starts_with("test") && listed(" etc") && listed(" proc")
}

/// The loader and the libraries of a program, as its loader tells them; none for a static one.
fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output()?;
    if !output.status.success() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.lines().filter_map(|line| {
        line.split_ascii_whitespace()
            .find(|word| word.starts_with('/'))
    });
    Ok(words.map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_listing_of_this_root_is_a_proof() {
        let listing = "test\ndrwxr-xr-x 2 root root 4096 Jan 1 00:00 etc\ndr-xr-xr-x 2 root root 0 Jan 1 00:00 proc\n";
        assert!(proves(listing));
        assert!(!proves("test\n"));
        assert!(!proves(&listing.replace("test", "")));
    }
}
