//! What is true of a fake machine, and its defaults.

use std::{collections::BTreeMap, time::Duration};

use crate::workload::Kind;

/// What is true of the fake machine. All fields are the truth that an estimate should find.
#[derive(Debug, Clone)]
pub struct Truth {
    /// Service or batch. Default service.
    pub kind: Kind,
    /// Operations a second in the bare arm, closed loop. Default 30,000.
    pub capacity: f64,
    /// Operations of one batch unit. Default 1,000.
    pub unit: u64,
    /// Relative rise of time and CPU per operation while guarded: 0.15 is 15 %. Default 0.
    pub effect: f64,
    /// Standard deviation of a block's noise, relative. Default 0.01.
    pub noise: f64,
    /// Whether attaching attaches anything. Default yes.
    pub attaches: bool,
    /// Whether a denied file's access is counted. Default yes.
    pub counts_hits: bool,
    /// Share of the operations that the guarded arm loses silently. Default 0.
    pub lost: f64,
    /// Errors of each guarded window. Default none.
    pub errors: BTreeMap<String, u64>,
    /// Errors of each window of both arms. Default none.
    pub errors_everywhere: BTreeMap<String, u64>,
    /// Lag of the generator. Default 5 µs.
    pub lag: Duration,
    /// Steal, as a share of CPU time. Default 0.
    pub steal: f64,
    /// Share of time in which a task waits for a CPU. Default 0.
    pub wait: f64,
    /// CPU time carries no noise of waiting. Relative noise of CPU time per operation. Default 0.01.
    pub cpu_noise: f64,
    /// Relative standard deviation with which the machine's level wanders, over minutes: what two runs, one after the other, differ by.
    /// Default 0.
    pub wander: f64,
    /// How long the level stays about the same. Default 60 s.
    pub wander_time: Duration,
    /// Share of the blocks that something holds up, and by how much (relative). Default none.
    pub hold_ups: (f64, f64),
    /// Bursts of somebody else's work: how long one lasts and how long it is quiet, both on average and seeded, and by how
    /// much it holds up (relative) the blocks that begin in it. Longer than a block and shorter than a quad, they hit the arms
    /// unevenly. Default none.
    pub bursts: Option<Bursts>,
    /// Whether the noise of a block has heavy tails (Student's t with 3 degrees of freedom, same deviation). Default no.
    pub heavy_tails: bool,
    /// Part of the effect that is there in the first half of a guarded window only. Default 0.
    pub carry_over: f64,
    /// Relative cost of merely having switched, in the next block: what a placebo must find. Default 0.
    pub switch_effect: f64,
    /// CPU time of the guard's own process per operation, as a share of the operation's. Default 0.
    pub process: f64,
    /// Share of the effect that the hooks' run times show. `None`: the guard tells no times. Default 1.
    pub seen: Option<f64>,
    /// Share of a hold-up that the session's own clock contains: one that lies. `None`: it cannot be held up. Default 1.
    pub held_up: Option<f64>,
    /// Voluntary switches of an operation while guarded, with one while bare. Default none: not told.
    pub switches: Option<f64>,
    /// Memory of the guard, in bytes. Default 8,200,000.
    pub memory: u64,
    /// Seeds the noise.
    pub seed: u64,
}

/// Somebody else's work, on and off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// Mean length of a burst.
    pub on: Duration,
    /// Mean length of the quiet between two.
    pub off: Duration,
    /// By how much a burst holds up, relative.
    pub slows: f64,
}

impl Truth {
    /// A batch job on a machine that others use so much that only CPU seconds show what the guard costs: 2 %.
    #[must_use]
    pub fn contended() -> Self {
        Self {
            kind: Kind::Batch,
            effect: 0.02,
            noise: 0.2,
            cpu_noise: 0.005,
            wait: 0.5,
            seed: 3,
            ..Self::default()
        }
    }
}

impl Default for Truth {
    fn default() -> Self {
        Self {
            kind: Kind::Service,
            capacity: 30_000.0,
            unit: 1_000,
            effect: 0.0,
            noise: 0.01,
            attaches: true,
            counts_hits: true,
            lost: 0.0,
            errors: BTreeMap::new(),
            errors_everywhere: BTreeMap::new(),
            lag: Duration::from_micros(5),
            steal: 0.0,
            wait: 0.0,
            cpu_noise: 0.01,
            wander: 0.0,
            wander_time: Duration::from_secs(60),
            hold_ups: (0.0, 0.0),
            bursts: None,
            heavy_tails: false,
            carry_over: 0.0,
            switch_effect: 0.0,
            process: 0.0,
            seen: Some(1.0),
            held_up: Some(1.0),
            switches: None,
            memory: 8_200_000,
            seed: 1,
        }
    }
}
