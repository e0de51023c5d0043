//! `files::backup`: the real `tar` archives a tree of small files, as a nightly backup does: an open for each file,
//! and everything is read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aegisbpf_measure::workload::BoxError;

use crate::{
    corpus::{self, Tree},
    workload::{Prepared, Requirement, Workload, find_program, version},
    workloads::{
        batch, files_many_small,
        program::{Job, JobSession, run},
    },
};

const TAR: Requirement = Requirement::Program {
    name: "tar",
    package: "tar",
};
const TREE: Tree = Tree {
    directories: 40,
    files: 100,
};
const SEED: u64 = 0x6261_636b_7570_0001;

/// The workload. One operation is one file of the tree.
#[derive(Debug, Clone, Copy)]
pub struct Backup;

impl Workload for Backup {
    fn name(&self) -> &'static str {
        "files::backup"
    }

    fn configuration(&self) -> String {
        format!(
            "{} directories x {} files, data seed {SEED}, unit of {:?}, {}",
            TREE.directories,
            TREE.files,
            batch::UNIT,
            version(find_program("tar"), "--version")
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[TAR]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let (root, archive) = (scratch.join("tree"), scratch.join("backup.tar"));
        corpus::text_tree(&root, TREE, SEED)?;
        let tar = find_program("tar").ok_or_else(|| TAR.to_string())?;
        let size = first_archive(&tar, &root, &archive)?;
        let written = archive.clone();
        let session = JobSession::prepare(Job {
            program: tar,
            // Not to /dev/null: tar knows it, and then reads nothing.
            arguments: [
                "-cf".into(),
                archive.into(),
                "-C".into(),
                root.clone().into(),
                ".".into(),
            ]
            .to_vec(),
            proof: Box::new(move |_| fs::metadata(&written).is_ok_and(|file| file.len() == size)),
            operations: (TREE.directories * TREE.files) as u64,
            opens: (TREE.directories * TREE.files) as f64,
        })?;
        Ok(Prepared::new(
            session,
            files_many_small::one_in_a_hundred(&root, TREE),
        ))
    }
}

/// Archives the tree once, compares every byte with the tree, and tells the archive's size, which is the later ones'.
fn first_archive(tar: &Path, root: &Path, archive: &PathBuf) -> Result<u64, BoxError> {
    for what in ["-cf", "-df"] {
        let mut command = std::process::Command::new(tar);
        command.arg(what).arg(archive).arg("-C").arg(root);
        let done = run(command.args((what == "-cf").then_some(".")))?;
        if let Some(class) = done.failure {
            return Err(format!("tar {what} of {}: {class}", root.display()).into());
        }
    }
    Ok(fs::metadata(archive)?.len())
}
