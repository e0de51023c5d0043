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
    guard::{Evidence, Guard, Identity, Memory},
    host::Host,
    plan::Plan,
    workload::{Block, BoxError, Kind, Load, Sample, Session},
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
    /// Memory of the guard, in bytes. Default 8,200,000.
    pub memory: u64,
    /// Seeds the noise.
    pub seed: u64,
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
        let rng = ChaCha8Rng::seed_from_u64(truth.seed);
        let (now, attached, counting, evidence) =
            (Duration::ZERO, false, false, Evidence::default());
        let state = Rc::new(RefCell::new(State {
            truth,
            now,
            attached,
            counting,
            evidence,
            rng,
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
        let slowness = effect * (truth.noise * normal(&mut state.rng)).exp();
        let service = slowness / truth.capacity;
        let (mut operations, wall) = match (truth.kind, block.load) {
            (Kind::Batch, _) => (truth.unit, truth.unit as f64 * service),
            (Kind::Service | Kind::Timed, Load::Open { rate }) => (
                count(rate * block.window.as_secs_f64()),
                block.window.as_secs_f64(),
            ),
            (Kind::Service | Kind::Timed, Load::Closed) => {
                let window = block.window.as_secs_f64();
                (count(window / service), window)
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
        Ok(Sample {
            operations,
            wall: Duration::from_secs_f64(wall),
            cpu: Duration::from_secs_f64(cpu),
            generator_cpu: Duration::ZERO,
            latency,
            lag_p99: matches!(block.load, Load::Open { .. }).then_some(truth.lag),
            errors,
            ..Sample::default()
        })
    }

    fn opens_per_operation(&self) -> f64 {
        2.0
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
        if state.attached {
            state.evidence.links = identity().hooks;
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), BoxError> {
        let state = &mut *self.0.borrow_mut();
        state.now += Duration::from_millis(5);
        state.attached = false;
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
            waited: Some(state.now.mul_f64(state.truth.wait)),
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
