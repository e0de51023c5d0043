//! What a build does to files, without a compiler: many are looked up, opened, written, read, moved and removed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};

use crate::{cpu::CpuClock, workload::Prepared, workloads::batch};

const FILES: usize = 400;
const SIZE: usize = 8 << 10;

pub(crate) fn configuration() -> String {
    format!(
        "no C++ compiler: churn of {FILES} files of {SIZE} bytes, unit of {:?}",
        batch::UNIT
    )
}

pub(crate) fn prepare(scratch: &Path) -> Result<Prepared, BoxError> {
    let header = scratch.join("config.h");
    fs::write(&header, vec![b'x'; SIZE])?;
    let mut churn = Churn {
        directory: scratch.join("objects"),
        header: header.clone(),
        passes: 1,
        hold_up: Duration::ZERO,
    };
    fs::create_dir(&churn.directory)?;
    churn.pass();
    let start = Instant::now();
    churn.pass();
    churn.passes = batch::passes(start.elapsed());
    Ok(Prepared::new(churn, vec![header]))
}

struct Churn {
    directory: PathBuf,
    header: PathBuf,
    passes: u32,
    /// The known delay of the next block, if it is a spike-in.
    hold_up: Duration,
}

impl Churn {
    /// Classes of the files that could not be churned.
    fn pass(&self) -> Vec<String> {
        (0..FILES)
            .filter_map(|number| self.file(number).err())
            .map(|error| error.kind().to_string())
            .collect()
    }

    /// As a compiler with its temporary file: looks for headers that are not there, reads one, writes, moves.
    fn file(&self, number: usize) -> std::io::Result<()> {
        let object = self.directory.join(format!("{number}.o"));
        let temporary = object.with_extension("tmp");
        for missing in 0..4 {
            let _ = fs::metadata(self.directory.join(format!("{missing}.h")));
        }
        // One unit in a hundred includes the configuration.
        let mut text = vec![u8::try_from(number % 251).unwrap_or_default(); SIZE];
        if number.is_multiple_of(100) {
            text[..SIZE / 2].copy_from_slice(&fs::read(&self.header)?[..SIZE / 2]);
        }
        fs::write(&temporary, &text)?;
        fs::rename(&temporary, &object)?;
        let whole = fs::read(&object)? == text;
        fs::remove_file(&object)?;
        if whole {
            Ok(())
        } else {
            Err(std::io::ErrorKind::InvalidData.into())
        }
    }
}

impl Session for Churn {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        batch::settle(block, || Ok::<_, BoxError>(self.pass()))?;
        let clock = CpuClock::of_this_thread();
        let (cpu, start) = (clock.read()?, Instant::now());
        let mut unit = batch::Unit::held_up(std::mem::take(&mut self.hold_up));
        for _ in 0..self.passes {
            let errors = self.pass();
            unit.errors(&errors);
            unit.pass((FILES - errors.len()) as u64, true);
        }
        let cpu = clock.read()?.saturating_sub(cpu);
        Ok(unit.sample(start.elapsed(), cpu, Duration::ZERO))
    }

    fn opens_per_operation(&self) -> f64 {
        2.0
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.hold_up = delay;
        true
    }
}

#[cfg(test)]
mod tests {
    use aegisbpf_measure::workload::Load;

    use super::*;

    #[test]
    fn churn_leaves_no_file_and_says_what_it_could_not_read() {
        let scratch = tempfile::tempdir().unwrap();
        let mut prepared = prepare(scratch.path()).unwrap();
        let block = Block {
            seed: 1,
            settle: Duration::ZERO,
            window: Duration::ZERO,
            load: Load::Closed,
        };
        let sample = prepared.session.run(&block).unwrap();
        assert!(sample.operations > 0 && sample.errors.is_empty());
        let objects = scratch.path().join("objects");
        assert_eq!(fs::read_dir(objects).unwrap().count(), 0);
        fs::remove_file(&prepared.sensitive[0]).unwrap();
        let sample = prepared.session.run(&block).unwrap();
        assert_eq!(
            sample.errors.keys().collect::<Vec<_>>(),
            ["entity not found"]
        );
    }
}
