//! What the engine asks of the machine: the time, the contention, the fingerprint. Tests put a fake one in its place.

use std::time::{Duration, Instant};

use crate::{
    contention::Counters,
    fingerprint::{self, Fingerprint},
    plan::Plan,
};

/// The machine as the engine sees it.
pub trait Host {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;
    /// Contention so far.
    fn counters(&self) -> Counters;
    /// Which machine this is.
    fn fingerprint(&self, plan: &Plan) -> Fingerprint;
    /// CPUs of the machine: what "percentage points of the machine" refers to.
    fn cpus(&self) -> u32;
}

/// This machine.
#[derive(Debug, Clone, Copy)]
pub struct Local(Instant);

impl Local {
    /// Its time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl Host for Local {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn counters(&self) -> Counters {
        Counters::read()
    }

    fn fingerprint(&self, plan: &Plan) -> Fingerprint {
        Fingerprint::read(plan)
    }

    fn cpus(&self) -> u32 {
        fingerprint::cpus()
    }
}
