//! What the engine sees of a workload: a session that runs blocks and hands back samples.
//!
//! A session never learns which arm it runs in, so it cannot treat the arms differently.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Anything that a session or a guard may report; the engine only passes it on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How the load of one window is offered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    /// Requests are due on a fixed schedule, whether or not earlier ones were answered; latency counts
    /// from the *intended* time, so that a stall is not hidden (coordinated omission).
    Open {
        /// Offered rate, in operations a second.
        rate: f64,
    },
    /// The next operation starts when the last one ends: capacity for services, and every batch job.
    Closed,
}

/// What a workload is, which decides how the engine runs its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A service: each block has an open-loop window (latency, CPU at a fixed rate) and a closed-loop one (capacity).
    Service,
    /// A batch job: each block is one closed-loop window that does a fixed unit of work; `Block::window` is ignored.
    Batch,
    /// A service under a load tool that offers no fixed rate: each block is one timed closed-loop window. What CPU it
    /// takes at a fixed rate cannot be known, so additional CPU is not judged.
    Timed,
}

/// One window to run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// Seeds schedule, URLs and keys. The blocks of a pair carry the same seed, so they replay the same work.
    pub seed: u64,
    /// Time that is run but not counted, before the window.
    pub settle: Duration,
    /// Time that is counted (services).
    pub window: Duration,
    /// How the load is offered.
    pub load: Load,
}

/// What one window yielded.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Operations done *and verified* in the window: the proof that the work was done.
    pub operations: u64,
    /// Length of the window as it was.
    pub wall: Duration,
    /// CPU time of the workload itself (servers and their children, or the batch job), from an exact clock.
    pub cpu: Duration,
    /// CPU time of the load generator, apart from the workload's. Zero where there is none.
    pub generator_cpu: Duration,
    /// Latency from the intended start to the end of each operation, in nanoseconds (3 significant digits).
    pub latency: Option<Histogram<u64>>,
    /// 99th percentile of (actual − intended) send time: the generator's own lag. Open loop only.
    pub lag_p99: Option<Duration>,
    /// Failed operations by class (`http 500`, `EPERM`, `timeout`, …). Never counted in `operations`.
    pub errors: BTreeMap<String, u64>,
    /// The window's first and second half, closed loop: operations and time of each. A difference between the halves
    /// that depends on the arm is a settle time that is too short. `None` where the workload does not tell.
    pub halves: Option<[Half; 2]>,
    /// How often the workload gave up the CPU to wait (voluntary context switches). `None` where it does not tell.
    pub voluntary_switches: Option<u64>,
}

/// One half of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Half {
    /// Operations done in it.
    pub operations: u64,
    /// How long it was.
    #[serde(with = "crate::guard::nanos", rename = "wall_ns")]
    pub wall: Duration,
}

/// A workload that is prepared and can be run again and again.
pub trait Session {
    /// Service or batch.
    fn kind(&self) -> Kind;

    /// Runs one window and proves its work.
    ///
    /// # Errors
    /// Only where the workload itself broke (a server died, a file vanished). Failed operations are not an
    /// error here: they are counted in [`Sample::errors`].
    fn run(&mut self, block: &Block) -> Result<Sample, BoxError>;

    /// How many file opens one operation makes, at the least: what the treatment check expects of the hooks.
    fn opens_per_operation(&self) -> f64;

    /// The next closed-loop window is to waste this time inside, by its own clock: a known delay that the estimate must
    /// find (spike-in). [`hold_up`] wastes it. `false` (the default): this workload cannot.
    fn hold_up(&mut self, delay: Duration) -> bool {
        let _ = delay;
        false
    }
}

/// Wastes time: spinning, since a sleeping thread wakes late on a busy machine.
pub fn hold_up(delay: Duration) {
    let until = Instant::now() + delay;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}
