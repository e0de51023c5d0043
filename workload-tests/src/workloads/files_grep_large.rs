//! `files::grep_large`: the real `grep` over one big log. It opens few files: the case where an enforcer that hooks
//! file opens should cost nothing.

use std::path::Path;

use aegisbpf_measure::workload::BoxError;

use crate::{
    corpus::{self, NEEDLE},
    workload::{Prepared, Requirement, Workload, find_program, version},
    workloads::{
        batch,
        program::{Job, JobSession},
    },
};

const GREP: Requirement = Requirement::Program {
    name: "grep",
    package: "grep",
};
const SEED: u64 = 0x6c61_7267_6500_0001;

/// The workload. One operation is one MiB of the log.
#[derive(Debug, Clone, Copy)]
pub struct GrepLarge {
    /// Size of the log in MiB.
    pub mebibytes: usize,
}

impl Workload for GrepLarge {
    fn name(&self) -> &'static str {
        "files::grep_large"
    }

    fn configuration(&self) -> String {
        format!(
            "log of {} MiB, data seed {SEED}, unit of {:?}, {}",
            self.mebibytes,
            batch::UNIT,
            version(find_program("grep"), "--version")
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[GREP]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let log = scratch.join("big.log");
        let needles = corpus::log_file(&log, self.mebibytes, SEED)?;
        let session = JobSession::prepare(Job {
            program: find_program("grep").ok_or_else(|| GREP.to_string())?,
            arguments: ["-c", "-F", NEEDLE]
                .map(Into::into)
                .into_iter()
                .chain([log.clone().into()])
                .collect(),
            proof: Box::new(move |output| output.trim().parse() == Ok(needles)),
            operations: self.mebibytes as u64,
            opens: 1.0,
        })?;
        Ok(Prepared::new(session, vec![log]))
    }
}
