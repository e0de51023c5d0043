//! Recorded baselines: what a workload looked like on a machine, to be compared with a later run.
//!
//! A recorded absolute value is never subtracted from today's run: machines move by more than an enforcer costs. What
//! is compared is the *overhead*, as a difference of log ratios with both standard errors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{attribution::HookShare, fingerprint::Fingerprint, metric::Metric, verdict::Verdict};

/// Version of the JSON form of [`Baseline`].
pub const SCHEMA_VERSION: u32 = 1;

/// One workload on one machine, recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Unix time of the run, in seconds.
    pub unix_time: u64,
    /// Name of the workload.
    pub workload: String,
    /// Hash of the plan.
    pub plan_sha256: String,
    /// On what machine, and with which enforcer.
    pub fingerprint: Fingerprint,
    /// What came out of the run.
    pub verdict: Verdict,
    /// Quads that were kept.
    pub quads: u32,
    /// Each metric that was measured.
    pub metrics: BTreeMap<Metric, BaselineMetric>,
    /// What each hook cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookShare>,
}

/// One metric, recorded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BaselineMetric {
    /// Levels of the bare blocks: smallest, quartiles, largest; in the metric's unit.
    pub bare: [f64; 5],
    /// Overhead in percent, or points for CPU.
    pub overhead: f64,
    /// Its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// The estimate among the differences: a logarithm, or points for CPU.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Smallest overhead that the run could resolve.
    pub resolvable: Option<f64>,
}

/// A run beside a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Where the baseline lies, as it was named.
    pub baseline: String,
    /// When it was recorded, Unix time in seconds.
    pub recorded: u64,
    /// The enforcer that was recorded (name and version).
    pub enforcer: String,
    /// Hard keys that differ: (key, recorded, today). If there is any, nothing is compared, only shown.
    pub refused: Vec<(String, String, String)>,
    /// Each metric that both have.
    pub metrics: Vec<MetricComparison>,
    /// PASS: no regression. FAIL: some metric's. INCONCLUSIVE: a regression can neither be shown nor ruled out. INVALID: refused.
    pub verdict: Verdict,
    /// All that in one sentence.
    pub sentence: String,
}

/// One metric beside the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// Which.
    pub metric: Metric,
    /// Today's bare level.
    pub bare: Option<f64>,
    /// The band in which it was expected.
    pub band: (f64, f64),
    /// Whether it is outside: "baseline moved". The verdict does not depend on it.
    pub moved: bool,
    /// Overhead then.
    pub then: f64,
    /// Overhead now.
    pub now: f64,
    /// Now minus then, in points. `None` if refused.
    pub change: Option<f64>,
    /// Its 95 % interval.
    pub change_interval: Option<(f64, f64)>,
    /// Whether the enforcer became dearer: the lower bound exceeds one point.
    pub verdict: Option<Verdict>,
}
