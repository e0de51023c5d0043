//! Runs a plan: switches the guard, runs the blocks, keeps the records, and stops when all is decided.

mod calibrate;
mod error;
mod quad;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::error::Error;
use crate::{
    decide::{self, decide},
    estimate::median,
    guard::{Evidence, Guard, Identity},
    host::{Host, Local},
    metric::Metric,
    plan::Plan,
    progress::{Live, Progress},
    record::{BlockRecord, Calibration, Ended, Observed, Purpose, Record, SCHEMA_VERSION},
    schedule::{Arm, Coin, Quad},
    treatment::Check,
    workload::{Block, BoxError, Sample, Session},
};

/// Runs a plan on this machine.
///
/// The guard is released and its run counting is off when this returns, whatever came out.
///
/// # Errors
/// If the plan is not sound, the guard refuses, or the workload breaks. A bad *result* is no error: it is the
/// record's verdict.
pub fn run(
    plan: &Plan,
    session: &mut dyn Session,
    guard: &mut dyn Guard,
    progress: &mut dyn Progress,
) -> Result<Record, Error> {
    run_on(&Local::new(), plan, session, guard, progress)
}

/// Runs a plan with this host's clock and counters (tests have a fake one).
///
/// # Errors
/// As [`run`].
pub fn run_on(
    host: &dyn Host,
    plan: &Plan,
    session: &mut dyn Session,
    guard: &mut dyn Guard,
    progress: &mut dyn Progress,
) -> Result<Record, Error> {
    plan.check()?;
    let found = guard.identity();
    if found != plan.guard {
        return Err(Error::OtherGuard {
            planned: named(&plan.guard),
            found: named(&found),
        });
    }
    let mut engine = Engine {
        host,
        plan,
        session,
        guard,
        progress,
        begin: host.now(),
        blocks: Vec::new(),
        checks: Vec::new(),
        notes: Vec::new(),
        attached: true,
    };
    let outcome = engine.measure();
    // Put back what was switched on, also after an error; the first error is the one that is told.
    let counting = engine.ask("switching off the run counting", |guard| {
        guard.count_runs(false)
    });
    let released = engine.ask("releasing", Guard::release);
    let record = outcome?;
    counting.and(released)?;
    Ok(record)
}

fn named(identity: &Identity) -> String {
    let Identity {
        name,
        version,
        backend,
        mode,
        policy_sha256,
        hooks,
        ..
    } = identity;
    let policy: String = policy_sha256.chars().take(12).collect();
    format!(
        "{name} {version} ({backend}, {mode}, policy {policy}, hooks [{}])",
        hooks.join(", ")
    )
}

struct Engine<'a> {
    host: &'a dyn Host,
    plan: &'a Plan,
    session: &'a mut dyn Session,
    guard: &'a mut dyn Guard,
    progress: &'a mut dyn Progress,
    begin: Duration,
    blocks: Vec<BlockRecord>,
    checks: Vec<Check>,
    notes: Vec<String>,
    attached: bool,
}

/// The coin of the quads between those that count.
struct Sides(Coin);

impl Sides {
    fn new(plan: &Plan) -> Self {
        Self(Coin::new(plan.seed, 2))
    }

    fn next(&mut self) -> Quad {
        self.0.next().expect("a coin never ends")
    }
}

/// What every block of the run shares.
#[derive(Debug, Clone, Copy)]
struct Frame {
    settle: Duration,
    /// Offered rate (services).
    rate: Option<f64>,
    /// The known delay of spike-ins; `None`: this workload cannot be held up, and there are none.
    hold_up: Option<Duration>,
}

impl<'a> Engine<'a> {
    fn measure(&mut self) -> Result<Record, Error> {
        let unix_time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let fingerprint = self.host.fingerprint(self.plan);
        let mut calibration = self.calibrate()?;
        let ended = self.quads(&mut calibration)?;
        self.switch(Arm::Bare)?;
        let changed = fingerprint.differences(&self.host.fingerprint(self.plan));
        let observed = self.observed(&calibration, ended, changed);
        let judgement = decide(self.plan, &observed);
        let matches = self.ask("reading what the policy met", Guard::matches)?;
        Ok(Record {
            schema_version: SCHEMA_VERSION,
            unix_time,
            plan: self.plan.clone(),
            plan_sha256: self.plan.sha256(),
            fingerprint,
            observed,
            judgement,
            matches,
            invocation: None,
            notes: std::mem::take(&mut self.notes),
            baseline: None,
        })
    }

    /// What was observed so far. It is moved, not copied: it may hold millions of samples.
    fn observed(
        &mut self,
        calibration: &Calibration,
        ended: Ended,
        changed: Vec<String>,
    ) -> Observed {
        Observed {
            calibration: calibration.clone(),
            blocks: std::mem::take(&mut self.blocks),
            checks: std::mem::take(&mut self.checks),
            ended,
            changed,
        }
    }

    fn quads(&mut self, calibration: &mut Calibration) -> Result<Ended, Error> {
        self.progress.phase("quads");
        let frame = Frame {
            settle: calibration.settle,
            rate: calibration.rate,
            hold_up: calibration.hold_up,
        };
        let quads_max = calibration.quads_max;
        let mut sides = Sides::new(self.plan);
        for (number, quad) in (0..quads_max).zip(Coin::new(self.plan.seed, 0)) {
            match self.quad(Purpose::Quad, number, quad, &frame) {
                Err(Error::Stopped { .. }) => return self.stopped(number),
                ran => ran?,
            }
            if !self.checks.iter().any(|check| check.quad == number) {
                return self.stopped(number);
            }
            let done = number + 1;
            if done < quads_max {
                match self.checking_quads(done, &mut sides, &frame) {
                    Err(Error::Stopped { .. }) => return self.stopped(done),
                    ran => ran?,
                }
            }
            let elapsed = self.host.now().saturating_sub(self.begin);
            let late = elapsed + calibration.quad_time > self.plan.budget.mul_f64(1.1);
            let ended = if done == quads_max || (late && done >= self.plan.min_quads) {
                Some(Ended::Budget)
            } else {
                None
            };
            let observed = self.observed(calibration, ended.unwrap_or(Ended::Decided), Vec::new());
            self.show(done, quads_max, &observed, elapsed);
            let all_decided = ended.is_none()
                && decide::is_look(self.plan, done, quads_max)
                && decide::is_decided(self.plan, &decide(self.plan, &observed));
            (self.blocks, self.checks) = (observed.blocks, observed.checks);
            if let Some(ended) = ended.or(all_decided.then_some(Ended::Decided)) {
                return Ok(ended);
            }
            if self.progress.stopped() {
                return self.stopped(done);
            }
        }
        Ok(Ended::Budget)
    }

    /// After so many quads, one more placebo and one more spike-in.
    fn checking_quads(&mut self, done: u32, sides: &mut Sides, frame: &Frame) -> Result<(), Error> {
        for (purpose, every) in [
            (Purpose::Placebo, self.plan.placebo_every),
            (
                Purpose::Spike,
                frame.hold_up.map_or(0, |_| self.plan.spike_every),
            ),
        ] {
            if every > 0 && done.is_multiple_of(every) {
                // The spike-in before the first quad was number 0.
                let number = done / every - u32::from(purpose == Purpose::Placebo);
                self.quad(purpose, number, sides.next(), frame)?;
            }
        }
        Ok(())
    }

    fn stopped(&mut self, done: u32) -> Result<Ended, Error> {
        if done == 0 {
            return Err(self.nothing_measured());
        }
        self.say("stopped; what was not decided by then stays undecided".to_owned());
        Ok(Ended::Stopped)
    }

    /// An error once somebody asked to stop: for what comes before the first quad, which is of no use then.
    fn go_on(&mut self) -> Result<(), Error> {
        if self.progress.stopped() {
            return Err(self.nothing_measured());
        }
        Ok(())
    }

    fn nothing_measured(&self) -> Error {
        Error::Stopped {
            workload: self.plan.workload.clone(),
        }
    }

    fn show(&mut self, done: u32, quads_max: u32, observed: &Observed, elapsed: Duration) {
        if !self.progress.is_live() {
            return;
        }
        let quads = decide::quads(&observed.blocks, Purpose::Quad);
        let quads: Vec<&[&BlockRecord]> = quads.iter().map(Vec::as_slice).collect();
        let calibration = &observed.calibration;
        let overheads = Metric::of(calibration.kind, self.plan)
            .into_iter()
            .filter_map(|metric| {
                let d = metric.differences(calibration, &quads);
                let hl = median(&crate::estimate::walsh_averages(&d))?;
                Some((metric, metric.overhead(hl)))
            })
            .collect();
        let remaining = calibration.quad_time * (quads_max - done);
        self.progress.quad(
            done,
            quads_max,
            &Live {
                overheads,
                elapsed,
                remaining,
            },
        );
    }

    // ---- guard and session, with their errors named

    fn switch(&mut self, arm: Arm) -> Result<(), Error> {
        let attached = arm == Arm::Guarded;
        if attached == self.attached {
            return Ok(());
        }
        if attached {
            self.ask("protecting", Guard::protect)?;
        } else {
            self.ask("releasing", Guard::release)?;
        }
        self.attached = attached;
        Ok(())
    }

    fn evidence(&mut self) -> Result<Evidence, Error> {
        self.ask("reading the counters", Guard::evidence)
    }

    fn ask<T>(
        &mut self,
        doing: &'static str,
        ask: impl FnOnce(&mut (dyn Guard + 'a)) -> Result<T, BoxError>,
    ) -> Result<T, Error> {
        let guard = &self.plan.guard.name;
        ask(&mut *self.guard).map_err(|source| Error::Guard {
            doing,
            guard: guard.clone(),
            source,
        })
    }

    fn window(&mut self, block: &Block, phase: &str) -> Result<Sample, Error> {
        let source = match self.session.run(block) {
            Ok(sample) => return Ok(sample),
            Err(source) => source,
        };
        // What asked to stop may have ended the workload, too.
        self.go_on()?;
        Err(Error::Workload {
            workload: self.plan.workload.clone(),
            phase: phase.to_owned(),
            source,
        })
    }

    fn say(&mut self, text: String) {
        self.progress.note(&text);
        self.notes.push(text);
    }
}
