//! A fake machine with a known effect: for tests of the engine, and of whatever embeds it. Nothing sleeps.
//!
//! Session, guard and host share one virtual clock. The session's cost model: an operation takes a fixed time, times
//! the effect while the guard is attached, times the noise of the block.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use hdrhistogram::Histogram;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    contention::Counters,
    fingerprint::Fingerprint,
    guard::{EmptyProgram, Evidence, Guard, Identity, Memory},
    host::Host,
    plan::Plan,
    workload::{Block, BoxError, Half, Kind, Load, Sample, Session},
};

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

#[derive(Debug)]
struct State {
    truth: Truth,
    now: Duration,
    attached: bool,
    counting: bool,
    evidence: Evidence,
    rng: ChaCha8Rng,
    /// The level's deviation, and when it was drawn.
    level: (f64, Duration),
    /// Whether a burst is under way, and until when that lasts.
    burst: (bool, Duration),
    switched: bool,
    hold_up: Duration,
}

impl State {
    /// ln of how much slower this block is than the machine's mean.
    fn noise(&mut self) -> f64 {
        let truth = self.truth.clone();
        let shape = |rng: &mut ChaCha8Rng| {
            if !truth.heavy_tails {
                return normal(rng);
            }
            // t with 3 degrees of freedom has variance 3.
            let square: f64 = (0..3).map(|_| normal(rng).powi(2)).sum();
            normal(rng) / square.sqrt()
        };
        let mut noise = truth.noise * shape(&mut self.rng);
        if truth.wander > 0.0 {
            let (level, drawn) = self.level;
            let gone = self.now.saturating_sub(drawn).as_secs_f64();
            let kept = (-gone / truth.wander_time.as_secs_f64()).exp();
            let fresh = truth.wander * (1.0 - kept * kept).sqrt() * normal(&mut self.rng);
            self.level = (kept * level + fresh, self.now);
            noise += self.level.0;
        }
        if truth.hold_ups.0 > 0.0 && self.rng.random::<f64>() < truth.hold_ups.0 {
            noise += truth.hold_ups.1.ln_1p();
        }
        if let Some(bursts) = truth.bursts {
            while self.burst.1 <= self.now {
                let on = !self.burst.0;
                let mean = if on { bursts.on } else { bursts.off };
                // At least a microsecond, so that this ends.
                let lasts = mean.mul_f64(-(1.0 - self.rng.random::<f64>()).ln().min(-1e-6));
                self.burst = (on, self.burst.1 + lasts);
            }
            if self.burst.0 {
                noise += bursts.slows.ln_1p();
            }
        }
        if std::mem::take(&mut self.switched) {
            noise += truth.switch_effect.ln_1p();
        }
        noise
    }
}

/// The three parts of a fake machine.
#[derive(Debug)]
pub struct Fake {
    /// Its workload.
    pub session: FakeSession,
    /// Its enforcer.
    pub guard: FakeGuard,
    /// Its clock and counters.
    pub host: FakeHost,
}

/// A workload without work.
#[derive(Debug)]
pub struct FakeSession(Rc<RefCell<State>>);

/// An enforcer that enforces nothing.
#[derive(Debug)]
pub struct FakeGuard(Rc<RefCell<State>>);

/// A machine that does not exist.
#[derive(Debug)]
pub struct FakeHost(Rc<RefCell<State>>);

impl Fake {
    /// A machine of which this is true.
    #[must_use]
    pub fn new(truth: Truth) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(truth.seed);
        let level = (truth.wander * normal(&mut rng), Duration::ZERO);
        let (now, attached, counting, evidence) =
            (Duration::ZERO, false, false, Evidence::default());
        let state = Rc::new(RefCell::new(State {
            truth,
            now,
            attached,
            counting,
            evidence,
            rng,
            level,
            burst: (false, Duration::ZERO),
            switched: false,
            hold_up: Duration::ZERO,
        }));
        Self {
            session: FakeSession(state.clone()),
            guard: FakeGuard(state.clone()),
            host: FakeHost(state),
        }
    }

    /// Runs a plan on it.
    ///
    /// # Errors
    /// As [`run`](crate::engine::run).
    pub fn run(&mut self, plan: &Plan) -> Result<crate::record::Record, crate::engine::Error> {
        crate::engine::run_on(
            &self.host,
            plan,
            &mut self.session,
            &mut self.guard,
            &mut crate::progress::Silent,
        )
    }

    /// Whether its guard is attached, and whether it counts runs.
    #[must_use]
    pub fn is_switched_on(&self) -> (bool, bool) {
        let state = self.host.0.borrow();
        (state.attached, state.counting)
    }
}

/// What the fake machine says of an empty program.
const EMPTY: EmptyProgram = EmptyProgram {
    reported_ps: 52_000,
    true_ps: 21_000,
    margin_ps: 1_000,
};

/// Who the fake guard says it is.
#[must_use]
pub fn identity() -> Identity {
    Identity {
        name: "fake".to_owned(),
        version: "1".to_owned(),
        backend: "fake".to_owned(),
        mode: "audit".to_owned(),
        policy: "none".to_owned(),
        policy_sha256: "00".repeat(32),
        hooks: vec!["file_open".to_owned(), "socket_connect".to_owned()],
    }
}

/// A plan for the fake guard, with the defaults.
#[must_use]
pub fn plan(workload: &str) -> Plan {
    Plan::new(workload, identity())
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small positive numbers"
)]
fn count(value: f64) -> u64 {
    value.round() as u64
}

impl Session for FakeSession {
    fn kind(&self) -> Kind {
        self.0.borrow().truth.kind
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        let mut guard = self.0.borrow_mut();
        let state = &mut *guard;
        let truth = state.truth.clone();
        let effect = if state.attached {
            1.0 + truth.effect
        } else {
            1.0
        };
        let slowness = effect * state.noise().exp();
        let service = slowness / truth.capacity;
        let mut hold_up = 0.0;
        if block.load == Load::Closed {
            hold_up =
                std::mem::take(&mut state.hold_up).as_secs_f64() * truth.held_up.unwrap_or(0.0);
        }
        let (mut operations, wall) = match (truth.kind, block.load) {
            (Kind::Batch, _) => (truth.unit, truth.unit as f64 * service + hold_up),
            (Kind::Service | Kind::Timed, Load::Open { rate }) => (
                count(rate * block.window.as_secs_f64()),
                block.window.as_secs_f64(),
            ),
            (Kind::Service | Kind::Timed, Load::Closed) => {
                let window = block.window.as_secs_f64();
                (count((window - hold_up) / service), window)
            }
        };
        let cpu = operations as f64 * effect / truth.capacity
            * (truth.cpu_noise * normal(&mut state.rng)).exp();
        let mut errors = truth.errors_everywhere.clone();
        if state.attached {
            operations -= count(truth.lost * operations as f64);
            for (class, count) in &truth.errors {
                *errors.entry(class.clone()).or_default() += count;
            }
            if state.counting {
                let runs = state
                    .evidence
                    .runs
                    .entry("file_open".to_owned())
                    .or_default();
                runs.count += 2 * operations;
                if let Some(seen) = truth.seen {
                    // The effect, seen by the kernel's statistics, with the bias that the empty program has.
                    let cost = 1e9 * seen * truth.effect / truth.capacity / 2.0;
                    let bias = (EMPTY.reported_ps as f64 - EMPTY.true_ps as f64) / 1e3;
                    runs.nanos += count(2.0 * operations as f64 * (cost + bias).max(1.0));
                }
            }
        }
        operations = operations.saturating_sub(errors.values().sum());
        let latency = match block.load {
            Load::Open { .. } if truth.kind == Kind::Service => {
                Some(latencies(operations, 30e6 * service)?)
            }
            _ => None,
        };
        state.now += block.settle + Duration::from_secs_f64(wall);
        if state.attached {
            state.evidence.cpu += Duration::from_secs_f64(
                truth.process * operations as f64 / truth.capacity
                    * (1.0 + block.settle.as_secs_f64() / wall),
            );
        }
        let carried = if state.attached {
            1.0 + truth.carry_over
        } else {
            1.0
        };
        let jitter = 0.3 * truth.noise * normal(&mut state.rng);
        let half = |part: f64| Half {
            operations: operations / 2,
            wall: Duration::from_secs_f64(part * wall),
        };
        let first = carried * jitter.exp() / (1.0 + carried * jitter.exp());
        let guarded_switches = if state.attached {
            truth.switches
        } else {
            Some(1.0)
        };
        Ok(Sample {
            operations,
            wall: Duration::from_secs_f64(wall),
            cpu: Duration::from_secs_f64(cpu),
            generator_cpu: Duration::ZERO,
            latency,
            lag_p99: matches!(block.load, Load::Open { .. }).then_some(truth.lag),
            errors,
            halves: matches!(block.load, Load::Closed).then(|| [half(first), half(1.0 - first)]),
            voluntary_switches: truth
                .switches
                .and(guarded_switches)
                .map(|each| count(each * operations as f64)),
        })
    }

    fn opens_per_operation(&self) -> f64 {
        2.0
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        let state = &mut *self.0.borrow_mut();
        state.hold_up = delay;
        state.truth.held_up.is_some()
    }
}

/// Latencies of an exponential queue above a fixed floor, the same shape every time. `scale` is in milliseconds.
fn latencies(operations: u64, scale: f64) -> Result<Histogram<u64>, BoxError> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
    for i in 0..operations {
        let u = (i as f64 + 0.5) / operations as f64;
        histogram.record(count(1e3 * scale * (0.5 - (1.0 - u).ln())).max(1))?;
    }
    Ok(histogram)
}

impl Guard for FakeGuard {
    fn identity(&self) -> Identity {
        identity()
    }

    fn protect(&mut self) -> Result<(), BoxError> {
        let state = &mut *self.0.borrow_mut();
        state.now += Duration::from_millis(10);
        state.attached = state.truth.attaches;
        state.switched = true;
        if state.attached {
            state.evidence.links = identity().hooks;
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), BoxError> {
        let state = &mut *self.0.borrow_mut();
        state.now += Duration::from_millis(5);
        state.attached = false;
        state.switched = true;
        state.evidence.links.clear();
        Ok(())
    }

    fn evidence(&mut self) -> Result<Evidence, BoxError> {
        Ok(self.0.borrow().evidence.clone())
    }

    fn touch_denied(&mut self) -> Result<(), BoxError> {
        let state = &mut *self.0.borrow_mut();
        if state.attached && state.truth.counts_hits {
            state.evidence.hits += 1;
            state.evidence.blocks += 1;
            state.evidence.events += 1;
        }
        Ok(())
    }

    fn count_runs(&mut self, on: bool) -> Result<(), BoxError> {
        self.0.borrow_mut().counting = on;
        Ok(())
    }

    fn memory(&mut self) -> Result<Memory, BoxError> {
        let total = self.0.borrow().truth.memory;
        Ok(Memory {
            process: total / 2,
            kernel: total - total / 2,
        })
    }

    fn calibrate(&mut self) -> Result<Option<EmptyProgram>, BoxError> {
        Ok(Some(EMPTY))
    }
}

impl Host for FakeHost {
    fn now(&self) -> Duration {
        self.0.borrow().now
    }

    fn counters(&self) -> Counters {
        let state = self.0.borrow();
        let ticks = 100.0 * f64::from(self.cpus()) * state.now.as_secs_f64();
        Counters {
            steal: Some(count(ticks * state.truth.steal)),
            ticks: Some(count(ticks)),
            busy: Some(count(0.5 * ticks)),
            waited: Some(state.now.mul_f64(state.truth.wait)),
            uptime: Some(state.now),
        }
    }

    fn fingerprint(&self, plan: &Plan) -> Fingerprint {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Fingerprint {
            hard: BTreeMap::from([
                pair("kernel", "6.12.0"),
                pair("cpu", "Fake CPU @ 2.30 GHz"),
                pair("cpus", "2"),
                pair("backend", &plan.guard.backend),
            ]),
            soft: BTreeMap::from([
                pair("load average", "0.10 0.10 0.10"),
                pair("memory", "8000000 kB"),
            ]),
        }
    }

    fn cpus(&self) -> u32 {
        2
    }
}
