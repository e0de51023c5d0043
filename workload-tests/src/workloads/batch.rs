//! What the batch workloads share: a fixed unit of work per block, and its proof.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{self, Block, Half, Sample};

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

/// The work of one block. Its time begins when it is made.
#[derive(Debug)]
pub(crate) struct Unit {
    begin: Instant,
    operations: u64,
    errors: BTreeMap<String, u64>,
    /// Operations and time after each pass.
    passes: Vec<Half>,
    /// Time to waste after the first pass: the known delay of a spike-in.
    hold_up: Duration,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            begin: Instant::now(),
            operations: 0,
            errors: BTreeMap::new(),
            passes: Vec::new(),
            hold_up: Duration::ZERO,
        }
    }
}

impl Unit {
    /// One that is held up on its way.
    pub(crate) fn held_up(hold_up: Duration) -> Self {
        Self {
            hold_up,
            ..Self::default()
        }
    }

    /// Books a pass: its operations if it proved its work, an error if not.
    pub(crate) fn pass(&mut self, operations: u64, proved: bool) {
        if proved {
            self.operations += operations;
        } else {
            *self.errors.entry(WRONG.to_owned()).or_default() += 1;
        }
        workload::hold_up(std::mem::take(&mut self.hold_up));
        self.passes.push(Half {
            operations: self.operations,
            wall: self.begin.elapsed(),
        });
    }

    /// Books failed operations by class.
    pub(crate) fn errors(&mut self, classes: &[String]) {
        for class in classes {
            *self.errors.entry(class.clone()).or_default() += 1;
        }
    }

    pub(crate) fn sample(self, wall: Duration, cpu: Duration, generator_cpu: Duration) -> Sample {
        let halves = self.halves();
        let Self {
            operations, errors, ..
        } = self;
        Sample {
            operations,
            wall,
            cpu,
            generator_cpu,
            errors,
            halves,
            ..Sample::default()
        }
    }

    /// The passes, cut in the middle (the last one of an odd number is in neither half, so that both did the same work).
    fn halves(&self) -> Option<[Half; 2]> {
        let half = self.passes.len() / 2;
        let first = *self.passes.get(half.checked_sub(1)?)?;
        let both = self.passes[2 * half - 1];
        let second = Half {
            operations: both.operations - first.operations,
            wall: both.wall.saturating_sub(first.wall),
        };
        Some([first, second])
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
    fn the_halves_of_a_unit_did_the_same_number_of_passes() {
        let halves = |passes: u64| {
            let mut unit = Unit::default();
            (0..passes).for_each(|_| unit.pass(10, true));
            let sample = unit.sample(UNIT, UNIT, Duration::ZERO);
            sample
                .halves
                .map(|halves| halves.map(|half| half.operations))
        };
        assert_eq!(halves(6), Some([30, 30]));
        assert_eq!(halves(7), Some([30, 30]));
        assert_eq!(halves(1), None);
    }

    #[test]
    fn a_unit_has_at_least_one_pass_and_never_endlessly_many() {
        assert_eq!(passes(UNIT / 6), 6);
        assert_eq!(passes(UNIT * 10), 1);
        assert_eq!(passes(Duration::ZERO), 10_000);
    }
}
