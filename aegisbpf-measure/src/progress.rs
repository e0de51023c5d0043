//! What a person sees while a run goes on. Nothing here influences the run, but [`Progress::stopped`].

use std::time::Duration;

use crate::metric::Metric;

/// Estimates so far. They are shown, never decided on.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Hodges–Lehmann estimate of each metric: percent, or percentage points for CPU.
    pub overheads: Vec<(Metric, f64)>,
    /// Time since the run began.
    pub elapsed: Duration,
    /// Time until the last quad of the budget; the run may end earlier.
    pub remaining: Duration,
}

/// Hears of a run. All methods have an empty default.
pub trait Progress {
    /// A new phase begins (`warm-up`, `pilot`, …).
    fn phase(&mut self, name: &str) {
        let _ = name;
    }

    /// Whether [`Progress::quad`] wants estimates; computing them after every quad takes time.
    fn is_live(&self) -> bool {
        true
    }

    /// Quad `n` of at most `n_max` is done.
    fn quad(&mut self, n: u32, n_max: u32, live: &Live) {
        let _ = (n, n_max, live);
    }

    /// Something that a person wants to know.
    fn note(&mut self, text: &str) {
        let _ = text;
    }

    /// Whether to stop after the current block (an interrupt). What was not decided by then stays undecided.
    fn stopped(&mut self) -> bool {
        false
    }
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn is_live(&self) -> bool {
        false
    }
}
