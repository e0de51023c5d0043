//! What was measured, in a form that lasts: whole numbers, one JSON line a block.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{
    baseline::Comparison,
    contention::Contention,
    fingerprint::Fingerprint,
    guard::{EmptyProgram, Evidence, Matches, Memory},
    metric::Quantile,
    plan::Plan,
    schedule::Arm,
    treatment::Check,
    verdict::Judgement,
    workload::{Half, Kind, Sample},
};

/// Version of the JSON form of [`Record`] (`docs/schema/report-v2.schema.json`).
pub const SCHEMA_VERSION: u32 = 2;

/// A latency distribution: the recorded values of an HdrHistogram (3 significant digits), ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many operations.
    pub count: u64,
    /// Median, 95th and 99th percentile, in nanoseconds: for readers; [`Latency::quantile`] computes from the buckets.
    pub p50_p95_p99: [u64; 3],
    /// (value in nanoseconds, count), only values that occurred.
    pub buckets: Vec<(u64, u64)>,
}

impl Latency {
    /// From a histogram.
    #[must_use]
    pub fn new(histogram: &Histogram<u64>) -> Self {
        Self::of(
            histogram
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_at_value()))
                .collect(),
        )
    }

    /// Several together.
    #[must_use]
    pub fn merged<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = BTreeMap::<u64, u64>::new();
        for (value, count) in parts.into_iter().flat_map(|part| &part.buckets) {
            *all.entry(*value).or_default() += count;
        }
        Self::of(all.into_iter().collect())
    }

    fn of(buckets: Vec<(u64, u64)>) -> Self {
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut latency = Self {
            count,
            p50_p95_p99: [0; 3],
            buckets,
        };
        latency.p50_p95_p99 = [0.5, 0.95, 0.99].map(|q| latency.quantile(q).unwrap_or(0));
        latency
    }

    /// The smallest value that a share `q` of all operations did not exceed, in nanoseconds.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let rank = (q * self.count as f64).ceil().max(1.0);
        let mut seen = 0;
        self.buckets
            .iter()
            .find(|(_, count)| {
                seen += count;
                seen as f64 >= rank
            })
            .map(|(value, _)| *value)
    }
}

/// One counted window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Operations done and verified.
    pub operations: u64,
    /// Length of the window.
    pub wall_ns: u64,
    /// CPU time of the workload.
    pub cpu_ns: u64,
    /// CPU time of the enforcer's own process in the window.
    pub guard_cpu_ns: u64,
    /// CPU time of the load generator; part of no metric.
    pub generator_cpu_ns: u64,
    /// The generator's lag, 99th percentile (open loop).
    pub lag_p99_ns: Option<u64>,
    /// Latency from the intended start.
    pub latency: Option<Latency>,
    /// Failed operations by class.
    pub errors: BTreeMap<String, u64>,
    /// Its first and second half, if the workload tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halves: Option<[Half; 2]>,
    /// Voluntary context switches of the workload, if it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voluntary_switches: Option<u64>,
}

impl Window {
    /// From a sample, and the enforcer's CPU time over window and settle time together.
    #[must_use]
    pub fn new(sample: &Sample, guard_cpu: Duration, settle: Duration) -> Self {
        let wall = sample.wall.as_secs_f64();
        let counted = wall / (wall + settle.as_secs_f64()).max(f64::MIN_POSITIVE);
        Self {
            operations: sample.operations,
            wall_ns: nanos(sample.wall),
            cpu_ns: nanos(sample.cpu),
            guard_cpu_ns: nanos(guard_cpu.mul_f64(counted)),
            generator_cpu_ns: nanos(sample.generator_cpu),
            lag_p99_ns: sample.lag_p99.map(nanos),
            latency: sample.latency.as_ref().map(Latency::new),
            errors: sample.errors.clone(),
            halves: sample.halves,
            voluntary_switches: sample.voluntary_switches,
        }
    }

    /// Operations tried: done or failed.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.operations + self.errors.values().sum::<u64>()
    }

    /// CPU time of workload and enforcer, in nanoseconds.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        (self.cpu_ns + self.guard_cpu_ns) as f64
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What the enforcer's counters did over one block.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Links attached at the end of the block, sorted.
    pub links: Vec<String>,
    /// Decisions on a matching rule.
    pub hits: u64,
    /// Audited or denied.
    pub blocks: u64,
    /// Events handed to the consumer.
    pub events: u64,
    /// Events lost.
    pub drops: u64,
}

impl Activity {
    /// Between two readings.
    #[must_use]
    pub fn between(before: &Evidence, after: &Evidence) -> Self {
        Self {
            links: after.links.clone(),
            hits: after.hits.saturating_sub(before.hits),
            blocks: after.blocks.saturating_sub(before.blocks),
            events: after.events.saturating_sub(before.events),
            drops: after.drops.saturating_sub(before.drops),
        }
    }
}

/// Why a block was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Bare whatever its label says, before the first quad: shows the noise, and is part of the placebo.
    Pilot,
    /// The same in between: the guarded label attaches and detaches at once, so all happens but the treatment.
    Placebo,
    /// Bare, and the guarded label is held up by a known delay, which the estimate must find.
    Spike,
    /// Counts.
    Quad,
}

impl Purpose {
    /// Whether every block of it is bare, whatever its label says.
    #[must_use]
    pub fn is_bare(self) -> bool {
        self != Self::Quad
    }
}

/// One block, as it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRecord {
    /// Pilot or not.
    pub purpose: Purpose,
    /// Number of its quad, from 0, in its purpose.
    pub quad: u32,
    /// Its place in the quad, 0 … 3.
    pub position: u8,
    /// Its arm; in the pilot a made-up label.
    pub arm: Arm,
    /// What it replayed.
    pub seed: u64,
    /// When it began, since the start of the run.
    pub begin_ns: u64,
    /// Services: the window at the fixed offered rate.
    pub open: Option<Window>,
    /// The window as fast as it goes; a batch job's only one.
    pub closed: Window,
    /// What the enforcer did meanwhile.
    pub activity: Activity,
    /// Memory of the enforcer at the end (guarded blocks).
    pub memory: Option<Memory>,
    /// Who else wanted the CPUs.
    pub contention: Contention,
    /// The delay that was put into its closed-loop window (guarded labels of [`Purpose::Spike`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spike_ns: Option<u64>,
}

impl BlockRecord {
    /// The window at the fixed rate, or that of the batch: where CPU and latency are taken.
    #[must_use]
    pub fn steady(&self) -> &Window {
        self.open.as_ref().unwrap_or(&self.closed)
    }
}

/// What was found before the first quad. Fixed from then on, like the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Service or batch.
    pub kind: Kind,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Time of each attach and each detach, in nanoseconds.
    pub switches_ns: Vec<u64>,
    /// Settle time that was used.
    #[serde(with = "crate::guard::nanos")]
    pub settle: Duration,
    /// Services: offered rate in operations a second, half of the capacity found in the bare arm.
    pub rate: Option<f64>,
    /// The known delay of spike-ins, if the workload can be held up.
    #[serde(
        with = "crate::guard::nanos_or_none",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub hold_up: Option<Duration>,
    /// Batch jobs: wall time of one bare unit after warm-up; additional CPU refers to it.
    #[serde(with = "crate::guard::nanos")]
    pub unit_wall: Duration,
    /// Blocks that the warm-up took, and whether it ended by itself.
    pub warmup: (u32, bool),
    /// Standard deviation of ln(throughput) between the pilot's blocks.
    pub noise: f64,
    /// Time of one quad, with everything that belongs to it.
    #[serde(with = "crate::guard::nanos")]
    pub quad_time: Duration,
    /// Quads that the budget allows.
    pub quads_max: u32,
    /// How p95 and p99 are taken, or why not.
    pub quantiles: BTreeMap<Quantile, QuantileUse>,
    /// What an empty program costs here, if the guard can tell: attribution is corrected by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<EmptyProgram>,
}

/// How a quantile is taken, declared before the first quad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantileUse {
    /// Each block has enough samples of its own.
    Blocks,
    /// Histograms of so many neighbouring quads are merged, arm by arm.
    Merged(u32),
    /// Not judgeable in this budget: this many quads would be needed.
    NotJudgeable(u32),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every metric was decided at a look.
    Decided,
    /// The budget's last quad was run.
    Budget,
    /// Somebody stopped it.
    Stopped,
}

/// What [`decide`](crate::decide::decide) decides on, apart from the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// What was found before the first quad.
    pub calibration: Calibration,
    /// All blocks, pilot and quads, in time.
    pub blocks: Vec<BlockRecord>,
    /// Treatment checks, one a quad.
    pub checks: Vec<Check>,
    /// How it ended.
    pub ended: Ended,
    /// Hard fingerprint keys that changed during the run.
    pub changed: Vec<String>,
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Unix time of its start, in seconds.
    pub unix_time: u64,
    /// What was planned.
    pub plan: Plan,
    /// Its hash.
    pub plan_sha256: String,
    /// On what machine.
    pub fingerprint: Fingerprint,
    /// What was measured.
    pub observed: Observed,
    /// What that means.
    pub judgement: Judgement,
    /// What of the policy was met, in the whole run: what an advice needs.
    #[serde(default)]
    pub matches: Matches,
    /// The command that started the run, if there was one: how to do it again.
    #[serde(default)]
    pub invocation: Option<String>,
    /// What happened on the way.
    pub notes: Vec<String>,
    /// How it compares with the recorded baseline, if there is one. No part of the judgement, which a replay repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Comparison>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_from_buckets_are_those_of_the_histogram() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        for i in 1..=10_007_u64 {
            histogram.record(i * i).unwrap();
        }
        let latency = Latency::new(&histogram);
        assert_eq!(latency.count, 10_007);
        for q in [0.01, 0.5, 0.95, 0.99, 0.999, 1.0] {
            assert_eq!(
                latency.quantile(q),
                Some(histogram.value_at_quantile(q)),
                "{q}"
            );
        }
    }

    #[test]
    fn merging_is_as_if_all_were_recorded_in_one() {
        let part = |values: std::ops::Range<u64>| {
            let mut histogram = Histogram::<u64>::new(3).unwrap();
            values.for_each(|value| histogram.record(value).unwrap());
            Latency::new(&histogram)
        };
        assert_eq!(
            Latency::merged([&part(1..400), &part(200..900)]).count,
            399 + 700
        );
        assert_eq!(
            Latency::merged([&part(1..400), &part(400..900)]),
            part(1..900)
        );
    }

    #[test]
    fn the_guards_cpu_is_booked_for_the_window_alone() {
        let sample = Sample {
            operations: 1,
            wall: Duration::from_millis(300),
            cpu: Duration::from_millis(10),
            generator_cpu: Duration::ZERO,
            latency: None,
            lag_p99: None,
            errors: BTreeMap::new(),
            ..Sample::default()
        };
        let window = Window::new(
            &sample,
            Duration::from_millis(4),
            Duration::from_millis(100),
        );
        assert_eq!(window.guard_cpu_ns, 3_000_000);
        assert_eq!(window.cpu(), 13e6);
    }
}
