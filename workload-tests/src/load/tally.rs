//! What was counted in a window, and the sample that comes of it.

use std::{collections::BTreeMap, time::Duration};

use aegisbpf_measure::workload::{Block, Half, Load, Sample};
use hdrhistogram::Histogram;

/// Latencies are kept up to a minute, in nanoseconds.
const LATENCY_LIMIT: u64 = 60_000_000_000;

/// Counts of one window.
#[derive(Debug)]
pub(super) struct Tally {
    latency: Histogram<u64>,
    lag: Histogram<u64>,
    errors: BTreeMap<String, u64>,
    /// Operations of the first half of the window.
    first_half: u64,
}

/// What a window took, beside what was done in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    pub(super) generator_cpu: Duration,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            latency: histogram(),
            lag: histogram(),
            errors: BTreeMap::new(),
            first_half: 0,
        }
    }
}

impl Tally {
    /// An operation that succeeded, so long after it was due.
    pub(super) fn done(&mut self, latency: Duration, in_first_half: bool) {
        self.latency.saturating_record(nanos(latency));
        self.first_half += u64::from(in_first_half);
    }

    /// One that did not.
    pub(super) fn error(&mut self, class: &str) {
        *self.errors.entry(class.to_owned()).or_default() += 1;
    }

    /// How late it was sent, as far as the generator is to blame.
    pub(super) fn lag(&mut self, lag: Duration) {
        self.lag.saturating_record(nanos(lag));
    }

    /// Another part of the same window.
    pub(super) fn add(&mut self, other: &Self) {
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
        let _ = self.lag.add(&other.lag);
        self.first_half += other.first_half;
        for (class, count) in &other.errors {
            *self.errors.entry(class.clone()).or_default() += count;
        }
    }

    /// The sample of the block.
    pub(super) fn into_sample(self, block: &Block, took: Took) -> Sample {
        let Took {
            wall,
            cpu,
            generator_cpu,
        } = took;
        let operations = self.latency.len();
        let (lag_p99, halves) = match block.load {
            Load::Open { .. } => {
                let lag = Duration::from_nanos(self.lag.value_at_quantile(0.99));
                (Some(lag), None)
            }
            Load::Closed => {
                let (half, rest) = (block.window / 2, operations.saturating_sub(self.first_half));
                let halves = [(self.first_half, half), (rest, wall.saturating_sub(half))];
                let halves = halves.map(|(operations, wall)| Half { operations, wall });
                (None, Some(halves))
            }
        };
        Sample {
            operations,
            wall,
            cpu,
            generator_cpu,
            latency: Some(self.latency),
            lag_p99,
            errors: self.errors,
            halves,
            ..Sample::default()
        }
    }
}

/// An empty histogram of latencies: 3 significant digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_LIMIT, 3).expect("1 < limit, and 3 digits are allowed")
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
