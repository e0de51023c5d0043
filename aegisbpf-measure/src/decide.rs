//! The decision: a pure function of plan and observations, so that a replay gives the same verdict bit for bit.

use crate::{
    attribution, errors,
    metric::Metric,
    plan::Plan,
    record::{BlockRecord, Ended, Observed, Purpose},
    schedule::Arm,
    self_check::{Kind, Status},
    shift, treatment,
    verdict::{Judgement, MetricResult, Strength, Verdict},
};

mod course;
mod exclude;
mod looks;
mod outcome;
mod self_checks;
mod strength;
mod summary;

use self::course::{Undecided, step};
pub use self::looks::{Look, looks};

/// Excluded or void quads above this share make a run invalid.
const EXCLUDED: f64 = 0.25;

/// Complete quads, in time, each with its four blocks in time.
#[must_use]
pub fn quads(blocks: &[BlockRecord], purpose: Purpose) -> Vec<Vec<&BlockRecord>> {
    let mut found: Vec<Vec<&BlockRecord>> = Vec::new();
    for block in blocks.iter().filter(|block| block.purpose == purpose) {
        match found.last_mut() {
            Some(quad) if quad[0].quad == block.quad => quad.push(block),
            _ => found.push(vec![block]),
        }
    }
    found.retain(|quad| quad.len() == 4);
    found
}

/// Judges what was observed, by the plan. Reads no clock, no file and no randomness.
#[must_use]
pub fn decide(plan: &Plan, observed: &Observed) -> Judgement {
    let calibration = &observed.calibration;
    let all = quads(&observed.blocks, Purpose::Quad);
    let done = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let (kept, excluded) = exclude::exclude(plan, calibration, &all);
    let mut notes = Vec::new();

    let looks = looks(plan, calibration.quads_max, done, observed.ended);
    let mut metrics: Vec<Undecided<'_>> = Metric::of(calibration.kind, plan)
        .into_iter()
        .map(|metric| Undecided::new(metric, plan, observed))
        .collect();
    for look in &looks {
        let seen: Vec<&[&BlockRecord]> = kept
            .iter()
            .filter(|quad| quad[0].quad < look.quads)
            .map(Vec::as_slice)
            .collect();
        step(&mut metrics, look, &seen);
    }
    if looks.is_empty() {
        // Nothing may be decided yet; estimates are shown all the same.
        let seen: Vec<&[&BlockRecord]> = kept.iter().map(Vec::as_slice).collect();
        step(
            &mut metrics,
            &Look {
                quads: done,
                cumulative: 0.0,
            },
            &seen,
        );
    }

    let kept_blocks: Vec<&BlockRecord> =
        kept.iter().flat_map(|quad| quad.iter().copied()).collect();
    let mut metrics: Vec<MetricResult> = metrics
        .into_iter()
        .map(|metric| metric.result(observed, &kept_blocks, &mut notes))
        .collect();
    metrics.retain(|result| result.bare.is_some() || result.metric.is_judged(plan));

    let everything: Vec<&BlockRecord> = observed
        .blocks
        .iter()
        .filter(|block| block.purpose == Purpose::Quad)
        .collect();
    let errors = errors::judge(&everything);
    let memory = summary::memory(plan, &everything);
    let contention = (
        summary::contention(&kept_blocks, Arm::Bare),
        summary::contention(&kept_blocks, Arm::Guarded),
    );
    let self_checks = self_checks::all(plan, observed, &kept);
    let attribution = attribution::of(observed, &kept);

    let mut invalid = Vec::new();
    for block in &observed.blocks {
        invalid.extend(
            treatment::block_faults(plan, block)
                .into_iter()
                .map(|fault| format!("treatment not applied: {fault}")),
        );
    }
    // Work that fails for the guard's sake is a finding; that it was not done then is no fault of the measurement.
    let fails = errors.iter().any(|class| class.fails);
    for check in &observed.checks {
        let faults = if fails {
            check.guard_faults()
        } else {
            check.faults()
        };
        invalid.extend(
            faults
                .into_iter()
                .map(|fault| format!("treatment not applied: {fault}")),
        );
    }
    if observed.checks.len() < all.len() || all.is_empty() {
        invalid.push(format!(
            "treatment not shown: {} checks for {done} quads",
            observed.checks.len()
        ));
    }
    invalid.extend(exclude::behind(calibration, &kept_blocks));
    invalid.extend(exclude::generator(plan, &kept_blocks, &mut notes));
    for check in &self_checks {
        match check.status {
            Status::Failed => invalid.push(format!("{}: {}", check.check, check.sentence)),
            Status::Noted => notes.push(format!("{}: {}", check.check, check.sentence)),
            Status::Passed | Status::NotJudged => {}
        }
    }
    if !observed.changed.is_empty() {
        invalid.push(format!(
            "the machine changed during the run: {}",
            observed.changed.join(", ")
        ));
    }
    let unusable = excluded
        .iter()
        .filter(|excluded| !(fails && excluded.is_void));
    if unusable.clone().count() as f64 > EXCLUDED * f64::from(done) {
        let why = unusable.clone().next().map_or("", |excluded| &excluded.why);
        invalid.push(format!(
            "{} of {done} quads could not be used ({why})",
            unusable.count()
        ));
    }
    strength::rescue(
        plan,
        &mut metrics,
        &kept,
        contention,
        attribution.as_ref(),
        &mut notes,
    );
    let outcome = outcome::sum_up(
        plan,
        &metrics,
        &errors,
        memory.as_ref(),
        attribution.as_ref(),
    );
    let time_needed_ns = (outcome.verdict == Verdict::Inconclusive)
        .then(|| time_needed(&metrics, done, observed))
        .flatten();
    let (verdict, strength, reasons) = if invalid.is_empty() {
        (outcome.verdict, outcome.strength, outcome.reasons)
    } else {
        (Verdict::Invalid, None, shortened(invalid))
    };
    Judgement {
        verdict,
        strength,
        reasons,
        metrics,
        errors,
        memory,
        totals: summary::totals(&everything),
        quads: done,
        excluded: excluded
            .into_iter()
            .map(|excluded| (excluded.quad, excluded.why))
            .collect(),
        placebo: self_checks
            .iter()
            .find(|check| check.check == Kind::Placebo)
            .and_then(|check| check.estimate),
        contention,
        time_needed_ns,
        notes,
        self_checks,
        attribution,
        shift: shift::of(&kept),
    }
}

/// Whether nothing is left to wait for: every judged metric has its verdict, and no PASS is one of the weaker ones.
#[must_use]
pub fn is_decided(plan: &Plan, judgement: &Judgement) -> bool {
    judgement
        .metrics
        .iter()
        .filter(|result| result.metric.is_judged(plan) && result.verdict.is_some())
        .all(|result| {
            result.verdict == Some(Verdict::Fail) || result.strength == Some(Strength::WallClock)
        })
}

fn time_needed(metrics: &[MetricResult], done: u32, observed: &Observed) -> Option<u64> {
    let open = metrics.iter().filter(|result| {
        result.verdict == Some(Verdict::Inconclusive) && result.metric != Metric::CpuThroughput
    });
    let quads: Option<Vec<u32>> = open.map(|result| result.quads_needed).collect();
    let more = quads?.into_iter().max()?.saturating_sub(done).max(1);
    Some(crate::record::nanos(observed.calibration.quad_time).saturating_mul(u64::from(more)))
}

/// The first few of many reasons, and how many more there are.
fn shortened(mut reasons: Vec<String>) -> Vec<String> {
    const SHOWN: usize = 5;
    if reasons.len() > SHOWN {
        let more = reasons.len() - SHOWN;
        reasons.truncate(SHOWN);
        reasons.push(format!("and {more} more"));
    }
    reasons
}

/// Whether the run may stop at this number of quads, if nothing is left open.
#[must_use]
pub fn is_look(plan: &Plan, quads: u32, quads_max: u32) -> bool {
    looks(plan, quads_max, quads, Ended::Decided)
        .last()
        .is_some_and(|look| look.quads == quads)
}
