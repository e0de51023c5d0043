//! What came out, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    attribution::Attribution, errors::ErrorClass, metric::Metric, self_check::SelfCheck,
    shift::ShiftPoint,
};

/// The four answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// The overhead is below the limit, with the planned confidence.
    Pass,
    /// It is above.
    Fail,
    /// Neither could be shown.
    Inconclusive,
    /// The run cannot tell: treatment, generator, placebo or fingerprint check failed.
    Invalid,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Invalid => "INVALID",
        })
    }
}

/// How strong a PASS is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strength {
    /// By the runs and times of the hooks: the paired interval is inconclusive, and twice what the hooks and the enforcer
    /// were seen to cost stays below half the limit. The weakest.
    Attributed,
    /// By operations a CPU second: by wall clock it is inconclusive, on a machine that others contend for.
    PerCpu,
    /// By wall clock.
    WallClock,
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::WallClock => "by wall clock",
            Self::Attributed => {
                "(attributed: the paired interval is inconclusive, and what hooks and enforcer were seen to cost is far below the limit)"
            }
            Self::PerCpu => {
                "per CPU second (the wall clock is inconclusive on this contended machine)"
            }
        })
    }
}

/// An overhead with its interval: percent, or percentage points for CPU. Above zero is worse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Quads, or merged units of quads, that it rests on.
    pub units: u32,
    /// Hodges–Lehmann.
    pub overhead: f64,
    /// The interval that was decided on. `None`: too few units for the level that this look could spend.
    pub interval: Option<(f64, f64)>,
    /// Its one-sided level.
    pub level: f64,
    /// The plain two-sided 95 % interval, as if there had been one look only. `None` below 6 units.
    pub interval95: Option<(f64, f64)>,
    /// Smallest overhead that so many units of this noise resolve.
    pub resolvable: Option<f64>,
    /// p-value of "at most the limit".
    pub p_above: Option<f64>,
}

/// One metric, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricResult {
    /// Which.
    pub metric: Metric,
    /// Level of the bare arm over all kept quads: operations a second (or a CPU second), seconds, percent of the
    /// machine, CPU seconds an operation, nanoseconds.
    pub bare: Option<f64>,
    /// The same of the guarded arm.
    pub guarded: Option<f64>,
    /// Estimate at the look that decided, or at the last one.
    pub estimate: Option<Estimate>,
    /// What is accepted (percent or points).
    pub limit: Option<f64>,
    /// `None`: shown without verdict.
    pub verdict: Option<Verdict>,
    /// Quads after which it was decided.
    pub decided_after: Option<u32>,
    /// For INCONCLUSIVE: how many quads it would take in all, if the estimate were true.
    pub quads_needed: Option<u32>,
    /// Why it has no verdict, or how it was taken.
    pub remark: Option<String>,
    /// How a PASS was reached.
    pub strength: Option<Strength>,
    /// The difference of each kept quad (or merged unit), in time, as an overhead: percent or points.
    pub differences: Vec<f64>,
}

/// Memory of the enforcer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MemoryResult {
    /// Largest value at the end of any guarded block, in bytes.
    pub most: u64,
    /// Of that, its process.
    pub process: u64,
    /// Of that, its maps and programs in the kernel.
    pub kernel: u64,
    /// Median slope over the run, in bytes a second (Theil–Sen).
    pub slope: f64,
    /// What is accepted, in bytes.
    pub limit: u64,
    /// PASS or FAIL.
    pub verdict: Verdict,
}

/// What the enforcer did in all guarded blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Decisions on a matching rule.
    pub hits: u64,
    /// Audited or denied.
    pub blocks: u64,
    /// Events handed to the consumer.
    pub events: u64,
    /// Events lost.
    pub drops: u64,
}

/// The answer, with everything that a reader needs to believe it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// How strong, if PASS.
    pub strength: Option<Strength>,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// Every metric.
    pub metrics: Vec<MetricResult>,
    /// Errors by class.
    pub errors: Vec<ErrorClass>,
    /// Memory, if the guard told.
    pub memory: Option<MemoryResult>,
    /// What the enforcer did.
    pub totals: Totals,
    /// Complete quads.
    pub quads: u32,
    /// Of these, not used, with the reason.
    pub excluded: Vec<(u32, String)>,
    /// The pilot's bare-against-bare throughput difference in percent: what no treatment looks like here.
    pub placebo: Option<f64>,
    /// Steal and run-queue wait, share of one, mean over the blocks of each arm (bare, guarded).
    pub contention: (f64, f64),
    /// Time still needed to decide, if INCONCLUSIVE and it can be had at all; in nanoseconds.
    pub time_needed_ns: Option<u64>,
    /// What a reader should know besides.
    pub notes: Vec<String>,
    /// The instrument's checks of itself.
    pub self_checks: Vec<SelfCheck>,
    /// What each hook and the enforcer's process were seen to cost: the second, independent estimate.
    pub attribution: Option<Attribution>,
    /// How each quantile of latency moved, p1 … p99.9; empty without latencies.
    pub shift: Vec<ShiftPoint>,
}

impl Judgement {
    /// The verdict in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let reasons = self.reasons.join("; ");
        match (self.verdict, self.strength) {
            (Verdict::Pass, Some(strength)) => format!("PASS {strength}: {reasons}"),
            (verdict, _) => format!("{verdict}: {reasons}"),
        }
    }

    /// The verdict if only the strongest PASS counts (`AEGIS_STRICT=1`): the weaker ones are INCONCLUSIVE.
    #[must_use]
    pub fn strict(&self) -> Verdict {
        match (self.verdict, self.strength) {
            (Verdict::Pass, Some(Strength::WallClock)) => Verdict::Pass,
            (Verdict::Pass, _) => Verdict::Inconclusive,
            (verdict, _) => verdict,
        }
    }

    /// The verdict that counts: [`Judgement::strict`], or as it is.
    #[must_use]
    pub fn counted(&self, strict: bool) -> Verdict {
        if strict { self.strict() } else { self.verdict }
    }

    /// One of the instrument's checks of itself.
    #[must_use]
    pub fn self_check(&self, check: crate::self_check::Kind) -> Option<&SelfCheck> {
        self.self_checks.iter().find(|found| found.check == check)
    }

    /// One metric's result.
    #[must_use]
    pub fn metric(&self, metric: Metric) -> Option<&MetricResult> {
        self.metrics.iter().find(|result| result.metric == metric)
    }
}
