//! The fake workload: its cost model.

use std::{cell::RefCell, rc::Rc, time::Duration};

use hdrhistogram::Histogram;

use super::{
    guard::EMPTY,
    state::{State, count, normal},
};
use crate::workload::{Block, BoxError, Half, Kind, Load, Sample, Session};

/// A workload without work.
#[derive(Debug)]
pub struct FakeSession(pub(super) Rc<RefCell<State>>);

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
