//! `files::many_small`: walks a tree of small files and counts a pattern in them, as `grep -r` does.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};

use crate::{
    corpus::{self, NEEDLE, Tree},
    cpu::CpuClock,
    workload::{Prepared, Requirement, Workload},
    workloads::batch,
};

const TREE: Tree = Tree {
    directories: 40,
    files: 100,
};
const SEED: u64 = 0x736d_616c_6c00_0001;

/// The workload. One operation is one file: open, read, scan, close.
#[derive(Debug, Clone, Copy)]
pub struct ManySmall;

impl Workload for ManySmall {
    fn name(&self) -> &'static str {
        "files::many_small"
    }

    fn configuration(&self) -> String {
        format!(
            "{} directories x {} files, data seed {SEED}, unit of {:?}",
            TREE.directories,
            TREE.files,
            batch::UNIT
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let root = scratch.join("tree");
        let needles = corpus::text_tree(&root, TREE, SEED)?;
        let sensitive = one_in_a_hundred(&root, TREE);
        let mut session = ManySmallSession {
            root,
            needles,
            passes: 1,
            hold_up: Duration::ZERO,
        };
        // The first pass fills the caches, the second says how long one takes here.
        session.pass()?;
        let start = Instant::now();
        session.pass()?;
        session.passes = batch::passes(start.elapsed());
        Ok(Prepared::new(session, sensitive))
    }
}

/// The first file of each directory: one in a hundred.
pub(crate) fn one_in_a_hundred(root: &Path, tree: Tree) -> Vec<PathBuf> {
    (0..tree.directories)
        .map(|directory| root.join(format!("d{directory:03}/f000.txt")))
        .collect()
}

struct ManySmallSession {
    root: PathBuf,
    needles: u64,
    /// Passes over the tree in one block.
    passes: u32,
    /// The known delay of the next block, if it is a spike-in.
    hold_up: Duration,
}

impl ManySmallSession {
    fn pass(&self) -> io::Result<Scan> {
        let mut scan = Scan::default();
        scan.directory(&self.root, &mut Vec::with_capacity(8 << 10))?;
        Ok(scan)
    }
}

impl Session for ManySmallSession {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        batch::settle(block, || self.pass())?;
        let clock = CpuClock::of_this_thread();
        let (cpu, start) = (clock.read()?, Instant::now());
        let mut unit = batch::Unit::held_up(std::mem::take(&mut self.hold_up));
        for _ in 0..self.passes {
            let scan = self.pass()?;
            unit.errors(&scan.errors);
            unit.pass(
                scan.files,
                scan.needles == self.needles || !scan.errors.is_empty(),
            );
        }
        Ok(unit.sample(
            start.elapsed(),
            clock.read()?.saturating_sub(cpu),
            Duration::ZERO,
        ))
    }

    fn opens_per_operation(&self) -> f64 {
        1.0
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.hold_up = delay;
        true
    }
}

#[derive(Debug, Default)]
struct Scan {
    files: u64,
    needles: u64,
    errors: Vec<String>,
}

impl Scan {
    fn directory(&mut self, path: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.directory(&entry.path(), buffer)?;
            } else {
                match self.file(&entry.path(), buffer) {
                    Ok(()) => self.files += 1,
                    Err(error) => self.errors.push(error.kind().to_string()),
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        File::open(path)?.read_to_end(buffer)?;
        let lines = buffer.split(|&byte| byte == b'\n');
        self.needles += lines
            .filter(|line| contains(line, NEEDLE.as_bytes()))
            .count() as u64;
        Ok(())
    }
}

fn contains(line: &[u8], needle: &[u8]) -> bool {
    line.windows(needle.len()).any(|window| window == needle)
}
