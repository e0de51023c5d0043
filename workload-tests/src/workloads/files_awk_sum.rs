//! `files::awk_sum`: the real `awk` sums a column of a big file: almost no system calls, all CPU.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use aegisbpf_measure::workload::BoxError;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    workload::{Prepared, Requirement, Workload, find_program, version},
    workloads::{
        batch,
        program::{Job, JobSession},
    },
};

const GAWK: Requirement = Requirement::Program {
    name: "gawk",
    package: "gawk",
};
const SEED: u64 = 0x6177_6b73_756d_0001;
const THOUSANDS: u64 = 500;

/// The workload. One operation is a thousand lines.
#[derive(Debug, Clone, Copy)]
pub struct AwkSum;

impl Workload for AwkSum {
    fn name(&self) -> &'static str {
        "files::awk_sum"
    }

    fn configuration(&self) -> String {
        format!(
            "{THOUSANDS},000 lines of 3 columns, data seed {SEED}, unit of {:?}, {}",
            batch::UNIT,
            version(find_program("gawk"), "--version")
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[GAWK]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let table = scratch.join("numbers");
        let sum = write(&table)?;
        let session = JobSession::prepare(Job {
            program: find_program("gawk").ok_or_else(|| GAWK.to_string())?,
            arguments: vec![
                r#"{ sum += $2 } END { printf "%d %d\n", NR, sum }"#.into(),
                table.clone().into(),
            ],
            proof: Box::new(move |output| output.trim() == format!("{} {sum}", THOUSANDS * 1_000)),
            operations: THOUSANDS,
            opens: 1.0,
        })?;
        Ok(Prepared::new(session, vec![table]))
    }
}

/// Writes the table and returns the sum of its second column.
fn write(path: &Path) -> std::io::Result<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut file = BufWriter::new(File::create(path)?);
    let mut sum = 0;
    for line in 0..THOUSANDS * 1_000 {
        let value: u64 = rng.random_range(0..1_000_000);
        sum += value;
        writeln!(file, "{line} {value} {}", rng.random_range(0..10))?;
    }
    // On disk before the first block is timed, so that write-back does not run beside it.
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()?;
    Ok(sum)
}
