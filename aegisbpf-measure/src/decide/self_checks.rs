//! The instrument's checks of itself, from the same records as the verdict.

use crate::{
    decide::exclude::exclude,
    interval::{Interval, mean, one_sample, two_samples},
    metric::Metric,
    plan::Plan,
    record::{BlockRecord, Calibration, Observed, Purpose},
    schedule::Arm,
    self_check::{Kind as Check, SelfCheck, Status},
    trend,
    workload::Kind,
};

/// Confidence of the intervals that are shown.
const CONFIDENCE: f64 = 0.99;
/// Order effect and carry-over fail only beyond this: they are looked for in every run.
const STRICT: f64 = 0.999;
/// … and only if they are larger than this part of the limit: the coin balances what is smaller.
const RELEVANT: f64 = 0.25;
/// Pairs that placebo and spike-in need to be judged.
const PAIRS: usize = 4;
/// Quads that the other checks need.
const QUADS: usize = 8;
/// Quads of each order, where the two are compared.
const EACH_ORDER: usize = 4;
/// Neighbouring quads that correlate more than this are merged.
const CORRELATED: f64 = 0.3;

/// All checks of one run, on its first metric (throughput, or wall time).
pub(super) fn all(plan: &Plan, observed: &Observed, kept: &[Vec<&BlockRecord>]) -> Vec<SelfCheck> {
    let calibration = &observed.calibration;
    let metric = Metric::of(calibration.kind, plan)[0];
    let checks = Checks {
        plan,
        calibration,
        metric,
    };
    let mut all = vec![
        checks.placebo(observed),
        checks.spike_in(observed),
        checks.order_effect(kept),
        checks.carry_over(kept),
        checks.autocorrelation(kept),
        checks.drift(kept),
        checks.change_point(kept),
    ];
    for check in &mut all {
        if check.status == Status::NotJudged {
            // An interval of two pairs is hundreds of times as wide as what they differ by, and helps nobody.
            (check.estimate, check.interval) = (None, None);
        }
    }
    all
}

/// What is said instead of a judgement.
fn too_few(has: usize, unit: &str, needed: usize) -> String {
    format!("{has} {unit} of {needed} needed")
}

/// Means of neighbouring differences, two by two, if neighbours correlate: the effect itself wanders then, and
/// single quads would pretend to know more than they do.
///
/// The coin makes the *noise* of neighbouring quads independent whatever the machine does, so chance alone must not
/// trigger this: the coefficient must also be beyond twice its own standard error.
pub(super) fn decorrelated(d: Vec<f64>) -> (Vec<f64>, bool) {
    if !correlates(&d) {
        return (d, false);
    }
    (d.chunks_exact(2).map(mean).collect(), true)
}

fn correlates(d: &[f64]) -> bool {
    let n = d.len() as f64;
    d.len() >= 12
        && trend::autocorrelation(d).is_some_and(|r| r.abs() > CORRELATED.max(2.0 / n.sqrt()))
}

struct Checks<'a> {
    plan: &'a Plan,
    calibration: &'a Calibration,
    metric: Metric,
}

impl Checks<'_> {
    /// Differences guarded − bare of the pairs of these purposes, and the part of each that a known delay explains.
    fn pairs(&self, observed: &Observed, purposes: &[Purpose]) -> Vec<(f64, f64)> {
        let quads = purposes
            .iter()
            .flat_map(|purpose| super::quads(&observed.blocks, *purpose))
            .collect::<Vec<_>>();
        let (usable, _) = exclude(self.plan, self.calibration, &quads);
        usable
            .iter()
            .flat_map(|quad| quad.chunks(2))
            .filter_map(|pair| {
                let of = |arm| pair.iter().copied().find(|block| block.arm == arm);
                let (bare, guarded) = (of(Arm::Bare)?, of(Arm::Guarded)?);
                let d = self.value(guarded)? - self.value(bare)?;
                let delay = guarded.spike_ns.unwrap_or(0) as f64;
                let known = match self.calibration.kind {
                    // A service's window is as long as planned, and the delay takes a part of it.
                    Kind::Service | Kind::Timed => {
                        -(-delay / guarded.closed.wall_ns as f64).ln_1p()
                    }
                    // A job takes longer by the delay. By how much is told by the block without it.
                    Kind::Batch => (delay / bare.closed.wall_ns as f64).ln_1p(),
                };
                Some((d, known))
            })
            .collect()
    }

    fn value(&self, block: &BlockRecord) -> Option<f64> {
        self.metric.value(self.calibration, block)
    }

    fn placebo(&self, observed: &Observed) -> SelfCheck {
        let pairs = self.pairs(observed, &[Purpose::Pilot, Purpose::Placebo]);
        let d: Vec<f64> = pairs.iter().map(|(d, _)| *d).collect();
        let mut check = self.check(Check::Placebo, d.len(), one_sample(&d, CONFIDENCE), 0.0);
        check.status = match check.interval {
            _ if d.len() < PAIRS => Status::NotJudged,
            Some(interval) if contains(interval, 0.0) => Status::Passed,
            _ => Status::Failed,
        };
        check.sentence = match check.status {
            Status::Failed => format!(
                "{} pairs of bare blocks show an effect where there is none: {}",
                d.len(),
                show(&check)
            ),
            Status::Passed => format!(
                "bare against bare is {}: the noise floor of {} pairs",
                show(&check),
                d.len()
            ),
            _ => too_few(d.len(), "pairs", PAIRS),
        };
        check
    }

    fn spike_in(&self, observed: &Observed) -> SelfCheck {
        let pairs = self.pairs(observed, &[Purpose::Spike]);
        let residuals: Vec<f64> = pairs.iter().map(|(d, known)| d - known).collect();
        let known = mean(&pairs.iter().map(|(_, known)| *known).collect::<Vec<_>>());
        let known = if known.is_finite() { known } else { 0.0 };
        let found = one_sample(&residuals, CONFIDENCE).map(|residual| Interval {
            estimate: residual.estimate + known,
            lower: residual.lower + known,
            upper: residual.upper + known,
        });
        let mut check = self.check(Check::SpikeIn, pairs.len(), found, known);
        check.status = match check.interval {
            _ if pairs.len() < PAIRS => Status::NotJudged,
            Some(interval) if !contains(interval, check.expected) => Status::Failed,
            // It does not miss the delay, but it does not see it either.
            Some(interval) if contains(interval, 0.0) => Status::Noted,
            _ => Status::Passed,
        };
        let expected = check.expected;
        check.sentence = match check.status {
            Status::Failed => format!(
                "a known delay of {expected:.1} % was estimated as {}",
                show(&check)
            ),
            Status::Noted => format!(
                "a known delay of {expected:.1} % is lost in the noise: {}",
                show(&check)
            ),
            Status::Passed => format!(
                "a known delay of {expected:.1} % was found: {}",
                show(&check)
            ),
            Status::NotJudged if self.calibration.hold_up.is_none() => {
                "this workload cannot be held up by a known delay, or the plan has none".to_owned()
            }
            Status::NotJudged => too_few(pairs.len(), "pairs", PAIRS),
        };
        check
    }

    /// The effect must not depend on which arm came first.
    fn order_effect(&self, kept: &[Vec<&BlockRecord>]) -> SelfCheck {
        let of = |first: Arm| -> Vec<f64> {
            let quads = kept.iter().filter(|quad| quad[0].arm == first);
            let quads: Vec<&[&BlockRecord]> = quads.map(Vec::as_slice).collect();
            self.metric.differences(self.calibration, &quads)
        };
        let (abba, baab) = (of(Arm::Bare), of(Arm::Guarded));
        let enough = abba.len() >= EACH_ORDER && baab.len() >= EACH_ORDER;
        let interval = |confidence| two_samples(&abba, &baab, confidence);
        let mut check = self.check(Check::OrderEffect, kept.len(), interval(CONFIDENCE), 0.0);
        check.status = if enough {
            self.bias(interval)
        } else {
            Status::NotJudged
        };
        check.sentence = match check.status {
            Status::Failed => format!(
                "the effect depends on the order of the arms, by {}",
                show(&check)
            ),
            Status::Noted => format!(
                "the two orders differ by {}; the coin balances them",
                show(&check)
            ),
            Status::Passed => format!(
                "{} ABBA and {} BAAB quads agree: {}",
                abba.len(),
                baab.len(),
                show(&check)
            ),
            Status::NotJudged => format!(
                "{} ABBA and {} BAAB quads, {EACH_ORDER} of each needed",
                abba.len(),
                baab.len()
            ),
        };
        check
    }

    /// The effect must be the same in both halves of the window: else the settle time is too short. Where the workload
    /// tells no halves: the same in the block after a switch as in the next one, which follows none.
    fn carry_over(&self, kept: &[Vec<&BlockRecord>]) -> SelfCheck {
        let halves: Vec<f64> = kept.iter().filter_map(|quad| halves(quad)).collect();
        let by_halves = !halves.is_empty() && halves.len() == kept.len();
        // In the middle of a quad stand two blocks of one arm: the first has just been switched to.
        let fresh = |arm: Arm| -> Vec<f64> {
            let quads = kept.iter().filter(|quad| quad[1].arm == arm);
            quads
                .filter_map(|quad| Some(self.value(quad[1])? - self.value(quad[2])?))
                .collect()
        };
        let (guarded, bare) = (fresh(Arm::Guarded), fresh(Arm::Bare));
        let interval = |confidence| {
            if by_halves {
                one_sample(&halves, confidence)
            } else {
                two_samples(&guarded, &bare, confidence)
            }
        };
        let (units, enough) = if by_halves {
            (halves.len(), halves.len() >= QUADS)
        } else {
            let units = guarded.len() + bare.len();
            (
                units,
                guarded.len() >= EACH_ORDER && bare.len() >= EACH_ORDER,
            )
        };
        let mut check = self.check(Check::CarryOver, units, interval(CONFIDENCE), 0.0);
        check.status = if enough {
            self.bias(interval)
        } else {
            Status::NotJudged
        };
        let what = if by_halves {
            "first minus second half of the windows"
        } else {
            "blocks just after a switch minus the next ones"
        };
        check.sentence = match check.status {
            Status::Failed => format!(
                "the settle time is too short: the effect moves within the window ({what}: {})",
                show(&check)
            ),
            Status::Noted => format!(
                "{what}: the effect moves by {}, little against the limit",
                show(&check)
            ),
            Status::Passed => format!("{what}: {}", show(&check)),
            Status::NotJudged => too_few(units, "quads", QUADS),
        };
        check
    }

    fn autocorrelation(&self, kept: &[Vec<&BlockRecord>]) -> SelfCheck {
        let quads: Vec<&[&BlockRecord]> = kept.iter().map(Vec::as_slice).collect();
        let d = self.metric.differences(self.calibration, &quads);
        let r1 = trend::autocorrelation(&d);
        let width = 2.576 / (d.len() as f64).sqrt();
        let mut check = self.check(Check::Autocorrelation, d.len(), None, 0.0);
        (check.estimate, check.interval) = (r1, r1.map(|r| (r - width, r + width)));
        let (merged, was_merged) = decorrelated(d);
        let shown = r1.map_or("not known".to_owned(), |r| format!("{r:+.2}"));
        (check.status, check.sentence) = match r1 {
            None => (
                Status::NotJudged,
                "too few quads to correlate neighbours".to_owned(),
            ),
            _ if was_merged && correlates(&merged) => (
                Status::Noted,
                format!(
                    "neighbouring quads correlate (r₁ = {shown}) even when merged two by two; the interval may be too narrow"
                ),
            ),
            _ if was_merged => (
                Status::Noted,
                format!(
                    "neighbouring quads correlate (r₁ = {shown}), so they were merged two by two"
                ),
            ),
            _ => (Status::Passed, format!("neighbouring quads: r₁ = {shown}")),
        };
        check
    }

    fn bare(&self, kept: &[Vec<&BlockRecord>]) -> Vec<(f64, f64)> {
        let blocks = kept.iter().flatten().filter(|block| block.arm == Arm::Bare);
        blocks
            .filter_map(|block| Some((block.begin_ns as f64 / 1e9, self.value(block)?)))
            .collect()
    }

    fn drift(&self, kept: &[Vec<&BlockRecord>]) -> SelfCheck {
        let points = self.bare(kept);
        let time =
            points.last().map_or(0.0, |last| last.0) - points.first().map_or(0.0, |first| first.0);
        let total = trend::slope(&points, CONFIDENCE).map(|slope| Interval {
            estimate: slope.estimate * time,
            lower: slope.lower * time,
            upper: slope.upper * time,
        });
        let mut check = self.check(Check::Drift, points.len(), total, 0.0);
        let large = check.estimate.is_some_and(|percent| percent.abs() > 10.0);
        (check.status, check.sentence) = match check.interval {
            _ if kept.len() < QUADS => (Status::NotJudged, too_few(kept.len(), "quads", QUADS)),
            Some(interval) if large && !contains(interval, 0.0) => (
                Status::Noted,
                format!(
                    "the bare arm moved by {} over the run (above zero: slower); pairing cancels it",
                    show(&check)
                ),
            ),
            _ => (
                Status::Passed,
                format!("trend of the bare arm over the run: {}", show(&check)),
            ),
        };
        check
    }

    fn change_point(&self, kept: &[Vec<&BlockRecord>]) -> SelfCheck {
        let points = self.bare(kept);
        let values: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
        let mut check = self.check(Check::ChangePoint, values.len(), None, 0.0);
        let Some(found) = trend::change_point(&values).filter(|_| kept.len() >= QUADS) else {
            check.sentence = too_few(kept.len(), "quads", QUADS);
            return check;
        };
        let jump = self.metric.overhead(found.jump);
        check.estimate = Some(jump);
        if found.p < 1.0 - CONFIDENCE {
            let at = points[found.index].0;
            check.at_seconds = Some(at);
            check.status = Status::Noted;
            check.sentence = format!(
                "after {at:.0} s the bare arm's level moved by {jump:+.1} % (p = {:.4}); pairing cancels it but within one quad",
                found.p
            );
        } else {
            check.status = Status::Passed;
            check.sentence = format!(
                "no jump of the bare arm (likeliest {jump:+.1} %, p = {:.2})",
                found.p
            );
        }
        check
    }

    /// Of something that should be zero: failed if surely not zero and not small against the limit either.
    fn bias(&self, interval: impl Fn(f64) -> Option<Interval>) -> Status {
        let limit = self
            .metric
            .limit(self.plan)
            .map_or(0.05, |limit| self.metric.difference(limit));
        match (interval(CONFIDENCE), interval(STRICT)) {
            (_, Some(strict))
                if !strict.contains(0.0) && strict.estimate.abs() > RELEVANT * limit =>
            {
                Status::Failed
            }
            (Some(found), _) if !found.contains(0.0) => Status::Noted,
            _ => Status::Passed,
        }
    }

    /// A check that is not judged yet.
    fn check(
        &self,
        kind: Check,
        units: usize,
        found: Option<Interval>,
        expected: f64,
    ) -> SelfCheck {
        let shown = |d| self.metric.overhead(d);
        SelfCheck {
            check: kind,
            status: Status::NotJudged,
            estimate: found.map(|found| shown(found.estimate)),
            expected: shown(expected),
            interval: found.map(|found| (shown(found.lower), shown(found.upper))),
            confidence: CONFIDENCE,
            units: u32::try_from(units).unwrap_or(u32::MAX),
            at_seconds: None,
            sentence: String::new(),
        }
    }
}

/// Effect in the first half of the windows minus effect in the second.
fn halves(quad: &[&BlockRecord]) -> Option<f64> {
    let moved = |block: &BlockRecord| {
        let [first, second] = block.closed.halves?;
        let y =
            |half: crate::workload::Half| -(half.operations as f64 / half.wall.as_secs_f64()).ln();
        let moved = y(first) - y(second);
        moved.is_finite().then_some(moved)
    };
    let of = |arm| -> Option<f64> {
        let blocks = quad.iter().filter(|block| block.arm == arm);
        let values: Option<Vec<f64>> = blocks.map(|block| moved(block)).collect();
        values
            .filter(|values| !values.is_empty())
            .map(|values| mean(&values))
    };
    Some(of(Arm::Guarded)? - of(Arm::Bare)?)
}

fn contains((lower, upper): (f64, f64), value: f64) -> bool {
    lower <= value && value <= upper
}

/// Estimate and interval, in percent.
fn show(check: &SelfCheck) -> String {
    match (check.estimate, check.interval) {
        (Some(estimate), Some((lower, upper))) => {
            format!("{estimate:+.2} % ({lower:+.2} … {upper:+.2})")
        }
        (Some(estimate), None) => format!("{estimate:+.2} %"),
        _ => "no estimate".to_owned(),
    }
}
