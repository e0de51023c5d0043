//! The method against machines of which the truth is known, beside the method that it replaces: one run before the
//! enforcer is switched on and one after. Generates the table of `docs/METHOD.md`.
//!
//! Both get the same time on the same fake machine. Everything is seeded: the same numbers come out anywhere.

use std::{fmt::Write as _, thread, time::Duration};

use crate::{
    fake::{self, Bursts, Fake, Truth},
    guard::Guard,
    metric::Metric,
    plan::Plan,
    verdict::Verdict,
    workload::{Block, Kind, Load, Session},
};

/// True losses of throughput, in percent; the limit is 5.
pub const LOSSES: [f64; 4] = [0.0, 3.0, 5.0, 8.0];
/// The limit, in percent.
const LIMIT: f64 = 5.0;
/// Time for each method, where the machine has no other.
const TIME: Duration = Duration::from_secs(300);

/// A kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// 2 % between blocks.
    Quiet,
    /// The same, and its level wanders by 5 % from run to run.
    Wanders5,
    /// By 10 %.
    Wanders10,
    /// Wanders by 5 %, and one block in twenty is held up by 30 %: steal that nobody reports.
    HeldUp,
    /// Wanders by 5 %, and the noise of a block has heavy tails (Student's t with 3 degrees of freedom).
    HeavyTails,
    /// Others' bursts, longer than a block and shorter than a quad, hold up by 60 % whichever arm they meet; and the budget is
    /// so small that it ends with the sixth quad. What one quad shows is far above the limit.
    Bursts,
}

impl Machine {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Quiet,
        Self::Wanders5,
        Self::Wanders10,
        Self::HeldUp,
        Self::HeavyTails,
        Self::Bursts,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Wanders5 => "5 % from run to run",
            Self::Wanders10 => "10 % from run to run",
            Self::HeldUp => "5 %, and hold-ups",
            Self::HeavyTails => "5 %, heavy tails",
            Self::Bursts => "bursts, 6 quads",
        }
    }

    /// Time for each method.
    fn time(self) -> Duration {
        match self {
            Self::Bursts => Duration::from_secs(40),
            _ => TIME,
        }
    }

    fn truth(self, loss: f64, seed: u64) -> Truth {
        let quiet = Truth {
            kind: Kind::Batch,
            // A unit takes a second.
            capacity: 1_000.0,
            unit: 1_000,
            effect: 1.0 / (1.0 - loss / 100.0) - 1.0,
            noise: 0.02,
            cpu_noise: 0.02,
            // Pairs alone: no rescue by attribution.
            seen: None,
            seed,
            ..Truth::default()
        };
        let wanders = |wander| Truth {
            wander,
            ..quiet.clone()
        };
        match self {
            Self::Quiet => quiet,
            Self::Wanders5 => wanders(0.05),
            Self::Wanders10 => wanders(0.10),
            Self::HeldUp => Truth {
                hold_ups: (0.05, 0.30),
                ..wanders(0.05)
            },
            Self::HeavyTails => Truth {
                noise: 0.03,
                heavy_tails: true,
                ..wanders(0.05)
            },
            Self::Bursts => Truth {
                noise: 0.3,
                bursts: Some(Bursts {
                    on: Duration::from_millis(1_500),
                    off: Duration::from_millis(1_500),
                    slows: 1.0,
                }),
                ..wanders(0.05)
            },
        }
    }
}

/// What many runs on one machine with one truth gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// On what.
    pub machine: Machine,
    /// True loss in percent.
    pub loss: f64,
    /// Verdict of each run, by seed.
    pub verdicts: Vec<Verdict>,
    /// Whether the plain 95 % interval of a run of full length covered the truth, by seed.
    pub covered: Vec<bool>,
    /// Verdict of one run before and one after, by seed.
    pub before_after: Vec<Verdict>,
}

impl Cell {
    /// Runs both methods with the seeds 0 … runs.
    #[must_use]
    pub fn simulate(machine: Machine, loss: f64, runs: u64) -> Self {
        let mut cell = Self {
            machine,
            loss,
            verdicts: Vec::new(),
            covered: Vec::new(),
            before_after: Vec::new(),
        };
        for seed in 0..runs {
            let truth = machine.truth(loss, seed);
            let time = machine.time();
            cell.verdicts.push(judge(&truth, time, seed));
            cell.covered.push(covers(&truth, seed));
            cell.before_after.push(before_and_after(truth, time));
        }
        cell
    }

    /// Share of the runs with this verdict, in percent.
    #[must_use]
    pub fn share(&self, verdict: Verdict) -> f64 {
        percent(&self.verdicts, |found| *found == verdict)
    }

    /// Share of wrong verdicts, in percent: FAIL below the limit, PASS above it. On the limit both are half right, and the
    /// larger of the two counts.
    #[must_use]
    pub fn wrong(&self) -> f64 {
        wrong(&self.verdicts, self.loss)
    }

    /// The same of one run before and one after.
    #[must_use]
    pub fn wrong_before_after(&self) -> f64 {
        wrong(&self.before_after, self.loss)
    }

    /// Share of the intervals that covered the truth, in percent.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        percent(&self.covered, |covered| *covered)
    }

    /// One letter a run, for comparing.
    #[must_use]
    pub fn letters(&self, runs: usize) -> String {
        let letter = |verdict: &Verdict| {
            verdict
                .to_string()
                .remove(if *verdict == Verdict::Invalid { 2 } else { 0 })
        };
        self.verdicts.iter().take(runs).map(letter).collect()
    }
}

fn percent<T>(all: &[T], is: impl Fn(&T) -> bool) -> f64 {
    100.0 * all.iter().filter(|one| is(one)).count() as f64 / all.len().max(1) as f64
}

fn wrong(verdicts: &[Verdict], loss: f64) -> f64 {
    let (pass, fail) = (
        percent(verdicts, |v| *v == Verdict::Pass),
        percent(verdicts, |v| *v == Verdict::Fail),
    );
    if loss < LIMIT {
        fail
    } else if loss > LIMIT {
        pass
    } else {
        pass.max(fail)
    }
}

fn plan(budget: Duration, seed: u64) -> Plan {
    let mut plan = Plan {
        budget,
        seed,
        ..fake::plan("simulated")
    };
    // Only throughput is asked for.
    plan.limits.cpu_points = 100.0;
    plan
}

fn judge(truth: &Truth, time: Duration, seed: u64) -> Verdict {
    Fake::new(truth.clone())
        .run(&plan(time, seed))
        .map_or(Verdict::Invalid, |record| record.judgement.verdict)
}

/// The plain interval holds for a length that was fixed beforehand: twenty quads.
fn covers(truth: &Truth, seed: u64) -> bool {
    let plan = Plan {
        looks: vec![20],
        min_quads: 20,
        max_quads: 20,
        placebo_every: 0,
        spike_every: 0,
        ..plan(TIME, seed)
    };
    let loss = 100.0 * (1.0 - 1.0 / (1.0 + truth.effect));
    let record = Fake::new(truth.clone()).run(&plan).ok();
    let interval = record.and_then(|record| {
        record
            .judgement
            .metric(Metric::Throughput)?
            .estimate?
            .interval95
    });
    interval.is_some_and(|(lower, upper)| lower <= loss && loss <= upper)
}

/// Half of the time bare, half guarded, then: PASS if the means differ by less than the limit, else FAIL.
fn before_and_after(truth: Truth, time: Duration) -> Verdict {
    let mut fake = Fake::new(truth);
    let mut rate = |guarded: bool| {
        let switched = if guarded {
            fake.guard.protect()
        } else {
            fake.guard.release()
        };
        let block = Block {
            seed: 1,
            settle: Duration::ZERO,
            window: Duration::from_secs(1),
            load: Load::Closed,
        };
        let (mut operations, mut wall) = (0, Duration::ZERO);
        while switched.is_ok() && wall < time / 2 {
            let Ok(sample) = fake.session.run(&block) else {
                break;
            };
            operations += sample.operations;
            wall += sample.wall;
        }
        operations as f64 / wall.as_secs_f64()
    };
    let (before, after) = (rate(false), rate(true));
    if (100.0 * (before - after) / before).abs() < LIMIT {
        Verdict::Pass
    } else {
        Verdict::Fail
    }
}

/// All machines and losses, with so many runs each, on two threads.
///
/// # Panics
/// If a simulation does.
#[must_use]
pub fn cells(runs: u64) -> Vec<Cell> {
    let all: Vec<(Machine, f64)> = Machine::ALL
        .into_iter()
        .flat_map(|machine| LOSSES.map(|loss| (machine, loss)))
        .collect();
    thread::scope(|scope| {
        let halves: Vec<_> = all
            .chunks(all.len().div_ceil(2))
            .map(|half| {
                scope.spawn(move || -> Vec<Cell> {
                    half.iter()
                        .map(|(machine, loss)| Cell::simulate(*machine, *loss, runs))
                        .collect()
                })
            })
            .collect();
        halves
            .into_iter()
            .flat_map(|half| half.join().expect("a simulation does not panic"))
            .collect()
    })
}

/// So many runs of each cell are repeated by the test that keeps the table true.
pub const REPEATED: usize = 12;

/// The table as it stands in `docs/METHOD.md`.
#[must_use]
pub fn table(cells: &[Cell]) -> String {
    let runs = cells.first().map_or(0, |cell| cell.verdicts.len());
    let mut text = String::from(
        "| machine | true loss | PASS | FAIL | INCONCLUSIVE | INVALID | wrong | 95 % interval covers | one before, one after: wrong |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for cell in cells {
        let [pass, fail, open, invalid] = [
            Verdict::Pass,
            Verdict::Fail,
            Verdict::Inconclusive,
            Verdict::Invalid,
        ]
        .map(|verdict| cell.share(verdict));
        let _ = writeln!(
            text,
            "| {} | {} % | {pass:.1} % | {fail:.1} % | {open:.1} % | {invalid:.1} % | **{:.1} %** | {:.1} % | {:.1} % |",
            cell.machine.name(),
            cell.loss,
            cell.wrong(),
            cell.coverage(),
            cell.wrong_before_after(),
        );
    }
    let letters: Vec<String> = cells.iter().map(|cell| cell.letters(REPEATED)).collect();
    let _ = writeln!(
        text,
        "\n{runs} seeded runs a row. <!-- first {REPEATED} runs of each row: {} -->",
        letters.join(" ")
    );
    text
}
