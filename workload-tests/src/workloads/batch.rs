//! What the batch workloads share: a fixed unit of work per block, and its proof.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{Block, Sample};

/// How long the unit of work of one block takes, about.
pub(crate) const UNIT: Duration = Duration::from_millis(600);

/// The class of a pass that found other matches than were written.
const WRONG: &str = "wrong match count";

/// How many passes make up a unit if one takes so long. Fixed for the session, so that all blocks do the same work.
pub(crate) fn passes(one: Duration) -> u32 {
    let ratio = UNIT.as_secs_f64() / one.as_secs_f64().max(1e-6);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 1 ..= 10,000"
    )]
    let passes = ratio.round().clamp(1.0, 10_000.0) as u32;
    passes
}

/// Runs passes that are not counted, for the block's settle time.
pub(crate) fn settle<T, E>(block: &Block, mut pass: impl FnMut() -> Result<T, E>) -> Result<(), E> {
    let settled = Instant::now() + block.settle;
    while Instant::now() < settled {
        pass()?;
    }
    Ok(())
}

/// The work of one block.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    operations: u64,
    errors: BTreeMap<String, u64>,
}

impl Unit {
    /// Books a pass: its operations if it proved its work, an error if not.
    pub(crate) fn pass(&mut self, operations: u64, proved: bool) {
        if proved {
            self.operations += operations;
        } else {
            *self.errors.entry(WRONG.to_owned()).or_default() += 1;
        }
    }

    /// Books failed operations by class.
    pub(crate) fn errors(&mut self, classes: &[String]) {
        for class in classes {
            *self.errors.entry(class.clone()).or_default() += 1;
        }
    }

    pub(crate) fn sample(self, wall: Duration, cpu: Duration, generator_cpu: Duration) -> Sample {
        let Self { operations, errors } = self;
        Sample {
            operations,
            wall,
            cpu,
            generator_cpu,
            latency: None,
            lag_p99: None,
            errors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_without_proof_is_an_error_and_not_an_operation() {
        let mut unit = Unit::default();
        unit.pass(100, true);
        unit.pass(100, false);
        let sample = unit.sample(UNIT, UNIT, Duration::ZERO);
        assert_eq!(sample.operations, 100);
        assert_eq!(sample.errors, BTreeMap::from([(WRONG.to_owned(), 1)]));
    }

    #[test]
    fn a_unit_has_at_least_one_pass_and_never_endlessly_many() {
        assert_eq!(passes(UNIT / 6), 6);
        assert_eq!(passes(UNIT * 10), 1);
        assert_eq!(passes(Duration::ZERO), 10_000);
    }
}
