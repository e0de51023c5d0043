//! The instrument's checks of itself: what a reader should see before believing a number.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// Bare against bare: the estimate must contain zero. Its width is the noise floor.
    Placebo,
    /// A known delay: the estimate must contain it.
    SpikeIn,
    /// `ABBA` against `BAAB`: must not differ.
    OrderEffect,
    /// First against second half of the window: the effect must be the same in both.
    CarryOver,
    /// Correlation of neighbouring quads.
    Autocorrelation,
    /// Trend of the bare arm over the run.
    Drift,
    /// A jump of the bare arm at one moment.
    ChangePoint,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Placebo => "placebo",
            Self::SpikeIn => "spike-in",
            Self::OrderEffect => "order effect",
            Self::CarryOver => "carry-over",
            Self::Autocorrelation => "autocorrelation",
            Self::Drift => "drift of the bare arm",
            Self::ChangePoint => "change point of the bare arm",
        })
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Passed,
    /// Worth knowing; the design of the quads allows for it.
    Noted,
    /// The run is INVALID.
    Failed,
    /// Too few blocks to tell, or not measured by this workload.
    NotJudged,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Noted => "noted",
            Self::Failed => "FAILED",
            Self::NotJudged => "not judged",
        })
    }
}

/// One check, with what it found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelfCheck {
    /// Which.
    pub check: Kind,
    /// What came of it.
    pub status: Status,
    /// What was estimated: percent of throughput; the coefficient for autocorrelation.
    pub estimate: Option<f64>,
    /// What it should be: 0, or the known delay in percent.
    pub expected: f64,
    /// Interval of the estimate.
    pub interval: Option<(f64, f64)>,
    /// Its two-sided confidence (0.99).
    pub confidence: f64,
    /// Pairs, quads or blocks that it rests on.
    pub units: u32,
    /// When it happened, in seconds since the start of the run (change point).
    pub at_seconds: Option<f64>,
    /// All that in one sentence.
    pub sentence: String,
}
