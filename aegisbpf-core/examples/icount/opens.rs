//! Opens of files that no rule is about.

use std::{
    fs::{self, File},
    path::PathBuf,
};

use aegisbpf_core::{Enforcer, selftest::EmptyHook};
use tempfile::TempDir;

use crate::{Any, Row, apply, audit, clock};

/// Rules of a large policy.
pub(crate) const MANY: usize = 10_000;
/// Rules of the largest.
const MOST: usize = 1_000_000;
const FILES: usize = 64;
const ROUNDS: usize = 21;

/// Files on tmpfs, none of which is denied.
pub(crate) struct Files {
    _folder: TempDir,
    pub(crate) paths: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn new() -> Result<Self, Any> {
        let folder = tempfile::tempdir()?;
        let paths: Vec<_> = (0..FILES)
            .map(|n| folder.path().join(format!("file{n}")))
            .collect();
        for path in &paths {
            fs::write(path, "")?;
        }
        Ok(Self {
            _folder: folder,
            paths,
        })
    }
}

/// One open and close: the median of each file, the mean of the files, since the filter may be wrong about some.
pub(crate) fn open_and_close(files: &[PathBuf]) -> Result<f64, Any> {
    let mut sum = 0.0;
    for file in files {
        sum += clock::median(ROUNDS, || File::open(file))?;
    }
    Ok(sum / files.len() as f64)
}

pub(crate) fn measure(aegis: &mut Enforcer, files: &Files) -> Result<(), Any> {
    let open = || open_and_close(&files.paths);
    open()?;
    let mut empty = None;
    for (row, sections) in [
        ("open, no match, 10 rules", inodes(10)),
        ("open, no match, 10,000 rules", inodes(MANY)),
        (
            "open, rules about ports alone",
            "[deny_port]\n9:tcp:egress\n".to_owned(),
        ),
    ] {
        let (base, with) = clock::least(aegis, &sections, open)?;
        apply(aegis, "")?;
        if empty.is_none() {
            empty = Some(floor(files, base)?);
        }
        Row::new(row, base, empty, with).print()?;
    }
    Ok(())
}

/// The row that needs minutes and gigabytes.
pub(crate) fn measure_most(files: &Files) -> Result<(), Any> {
    let base = open_and_close(&files.paths)?;
    let empty = floor(files, base)?;
    let mut aegis = audit().rule_capacity(MOST as u32).attach()?;
    apply(&mut aegis, &inodes(MOST))?;
    let with = open_and_close(&files.paths)?;
    Row::new("open, no match, 1,000,000 rules", base, Some(empty), with).print()
}

/// An open with a program that does nothing.
fn floor(files: &Files, base: f64) -> Result<f64, Any> {
    let with = clock::least_with(EmptyHook::attach, || open_and_close(&files.paths))?;
    Ok(with - base)
}

/// Rules about inodes of a device that no machine has, spread over the filter as inode numbers are.
fn inodes(rules: usize) -> String {
    let mut text = String::from("[deny_inode]\n");
    for n in 0..rules {
        text.push_str(&format!("4293918720:{}\n", 1_000_000 + n * 7));
    }
    text
}
