//! Opens of files that no rule is about.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use aegisbpf_core::selftest::EmptyHook;
use tempfile::TempDir;

use crate::{Any, Row, Subject, apply, audit, be_alone, clock};

/// Rules of a large policy.
pub(crate) const MANY: usize = 10_000;
/// Rules of the largest.
const MOST: usize = 1_000_000;
const FILES: usize = 64;
/// Directories above a file, the root of its file system among them.
const LEVELS: usize = 3;
const ROUNDS: usize = 21;

/// Files on tmpfs, none of which is denied.
pub(crate) struct Files {
    folder: TempDir,
    pub(crate) paths: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn new() -> Result<Self, Any> {
        let folder = tempfile::tempdir()?;
        let paths = Self::below(folder.path())?;
        Ok(Self { folder, paths })
    }

    /// A directory to deny, and files that do not lie there.
    fn tree(&self) -> Result<(PathBuf, Vec<PathBuf>), Any> {
        let folder = self.folder.path();
        let mut directory = folder.to_owned();
        for level in levels(folder)?..LEVELS {
            directory.push(format!("level{level}"));
        }
        let denied = folder.join("denied");
        fs::create_dir_all(&directory)?;
        fs::create_dir(&denied)?;
        Ok((denied, Self::below(&directory)?))
    }

    fn below(directory: &Path) -> Result<Vec<PathBuf>, Any> {
        let paths: Vec<_> = (0..FILES)
            .map(|n| directory.join(format!("file{n}")))
            .collect();
        for path in &paths {
            fs::write(path, "")?;
        }
        Ok(paths)
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

pub(crate) fn subjects(files: &Files) -> Result<Vec<Subject<'_>>, Any> {
    let subject = |row, sections, paths: Vec<PathBuf>| Subject {
        row,
        sections,
        empty: Some(EmptyHook::attach),
        one: Box::new(move || open_and_close(&paths)),
    };
    let (denied, below) = files.tree()?;
    let paths = || files.paths.clone();
    Ok(vec![
        subject("open, no match, 10 rules", inodes(10), paths()),
        subject("open, no match, 10,000 rules", inodes(MANY), paths()),
        // Three directories below the root of their file system: each open walks up to that root.
        subject(
            "open, directory rules, 3 levels deep, no match",
            format!("[deny_dir]\n{}\n", denied.display()),
            below,
        ),
        subject(
            "open, rules about ports alone",
            "[deny_port]\n9:tcp:egress\n".to_owned(),
            paths(),
        ),
    ])
}

/// How many directories there are from the root of a file system to what lies in `folder`.
fn levels(folder: &Path) -> Result<usize, Any> {
    let device = fs::metadata(folder)?.dev();
    let is_there = |above: &&Path| fs::metadata(above).is_ok_and(|meta| meta.dev() == device);
    Ok(folder.ancestors().take_while(is_there).count())
}

/// One open and close, once it costs the same as a second before: the kernel takes its time to release the hooks of a
/// process that has ended.
fn undisturbed(files: &Files) -> Result<f64, Any> {
    let mut last = f64::INFINITY;
    loop {
        let now = open_and_close(&files.paths)?;
        if (last - now).abs() < 1.0 {
            return Ok(now);
        }
        last = now;
        thread::sleep(Duration::from_secs(1));
    }
}

/// The row that needs minutes and gigabytes.
pub(crate) fn measure_most(files: &Files) -> Result<(), Any> {
    let mut aegis = audit().rule_capacity(MOST as u32).attach()?;
    apply(&mut aegis, "")?;
    be_alone()?;
    let base = undisturbed(files)?;
    let empty = {
        let _hook = EmptyHook::attach()?;
        open_and_close(&files.paths)? - base
    };
    apply(&mut aegis, &inodes(MOST))?;
    be_alone()?;
    let with = open_and_close(&files.paths)?;
    Row::new("open, no match, 1,000,000 rules", base, Some(empty), with).print()
}

/// Rules about inodes of a device that no machine has, spread over the filter as inode numbers are.
fn inodes(rules: usize) -> String {
    let mut text = String::from("[deny_inode]\n");
    for n in 0..rules {
        text.push_str(&format!("4293918720:{}\n", 1_000_000 + n * 7));
    }
    text
}
