//! The decision: a pure function of plan and observations, so that a replay gives the same verdict bit for bit.

use crate::{
    errors,
    estimate::{self, Differences},
    metric::Metric,
    plan::Plan,
    record::{BlockRecord, Ended, Observed, Purpose, QuantileUse},
    schedule::Arm,
    treatment,
    verdict::{Estimate, Judgement, MemoryResult, MetricResult, Strength, Totals, Verdict},
};

mod checks;
mod looks;
mod outcome;

pub use self::looks::{Look, looks};

/// Steal and run-queue wait above this share, in both arms, make a machine "contended".
const CONTENDED: f64 = 0.20;
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
    let (kept, excluded) = checks::exclude(plan, calibration.kind, &all);
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
    let memory = memory(plan, &everything);
    let contention = (
        contention(&kept_blocks, Arm::Bare),
        contention(&kept_blocks, Arm::Guarded),
    );
    let placebo = checks::placebo(observed);

    let mut invalid = Vec::new();
    for block in &observed.blocks {
        invalid.extend(
            treatment::block_faults(plan, block)
                .into_iter()
                .map(|fault| format!("treatment not applied: {fault}")),
        );
    }
    for check in &observed.checks {
        invalid.extend(
            check
                .faults()
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
    invalid.extend(checks::generator(plan, &kept_blocks, &mut notes));
    invalid.extend(placebo.1);
    if !observed.changed.is_empty() {
        invalid.push(format!(
            "the machine changed during the run: {}",
            observed.changed.join(", ")
        ));
    }
    if excluded.len() as f64 > EXCLUDED * f64::from(done) {
        let why = excluded.first().map_or("", |(_, why)| why);
        invalid.push(format!(
            "{} of {done} quads could not be used ({why})",
            excluded.len()
        ));
    }
    checks::order(calibration, &kept, &mut notes);

    let contended = contention.0 > CONTENDED && contention.1 > CONTENDED;
    let outcome = outcome::sum_up(plan, &metrics, &errors, memory.as_ref(), contended);
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
        totals: totals(&everything),
        quads: done,
        excluded,
        placebo: placebo.0,
        contention,
        time_needed_ns,
        notes,
        self_checks: Vec::new(),
        attribution: None,
        shift: Vec::new(),
    }
}

/// Whether nothing is left to wait for: every judged metric has its verdict.
#[must_use]
pub fn is_decided(plan: &Plan, judgement: &Judgement) -> bool {
    judgement
        .metrics
        .iter()
        .filter(|result| result.metric.is_judged(plan) && result.verdict.is_some())
        .all(|result| result.verdict != Some(Verdict::Inconclusive))
}

/// A metric on its way through the looks.
struct Undecided<'a> {
    metric: Metric,
    plan: &'a Plan,
    observed: &'a Observed,
    judgeable: bool,
    spent: f64,
    estimate: Option<Estimate>,
    differences: Option<Differences>,
    decided: Option<(Verdict, u32)>,
}

impl<'a> Undecided<'a> {
    fn new(metric: Metric, plan: &'a Plan, observed: &'a Observed) -> Self {
        let usage = metric.usage(&observed.calibration);
        let judgeable =
            metric.limit(plan).is_some() && !matches!(usage, QuantileUse::NotJudgeable(_));
        Self {
            metric,
            plan,
            observed,
            judgeable,
            spent: 0.0,
            estimate: None,
            differences: None,
            decided: None,
        }
    }

    /// Where the limit lies among the differences.
    fn limit(&self) -> Option<f64> {
        self.metric
            .limit(self.plan)
            .map(|limit| self.metric.difference(limit))
    }

    fn see(&mut self, look: &Look, seen: &[&[&BlockRecord]]) {
        let d = Differences::new(&self.metric.differences(&self.observed.calibration, seen));
        let Some(hl) = d.estimate() else { return };
        let metric = self.metric;
        let level = (look.cumulative - self.spent).max(0.0);
        let bounds = d.bounds(level);
        let shown = |b: estimate::Bounds| (metric.overhead(b.lower), metric.overhead(b.upper));
        // The level spent is the discrete one that was really used; what is left is there for the next look.
        self.spent += bounds.map_or(0.0, |b| b.level);
        self.estimate = Some(Estimate {
            units: u32::try_from(d.count()).unwrap_or(u32::MAX),
            overhead: metric.overhead(hl),
            interval: bounds.map(shown),
            level: bounds.map_or(level, |b| b.level),
            interval95: d.bounds(0.025).map(shown),
            resolvable: d.resolvable().map(|effect| metric.overhead(effect)),
            p_above: self.limit().map(|limit| d.p_above(limit)),
        });
        if let (true, Some(b), Some(limit)) = (self.judgeable, bounds, self.limit())
            && b.upper < limit
        {
            self.decided = Some((Verdict::Pass, look.quads));
        }
        self.differences = Some(d);
    }

    fn result(
        self,
        observed: &Observed,
        blocks: &[&BlockRecord],
        notes: &mut Vec<String>,
    ) -> MetricResult {
        let metric = self.metric;
        let calibration = &observed.calibration;
        let of = |arm| {
            let blocks: Vec<&BlockRecord> = blocks
                .iter()
                .copied()
                .filter(|block| block.arm == arm)
                .collect();
            (!blocks.is_empty())
                .then(|| metric.level(calibration, &blocks))
                .flatten()
        };
        let (bare, guarded) = (of(Arm::Bare), of(Arm::Guarded));
        let limit = metric.limit(self.plan);
        let mut remark = match metric.usage(calibration) {
            QuantileUse::Blocks => None,
            QuantileUse::Merged(1) => Some("both blocks of an arm merged".to_owned()),
            QuantileUse::Merged(group) => Some(format!("{group} neighbouring quads merged")),
            QuantileUse::NotJudgeable(u32::MAX) => Some("not measured by this workload".to_owned()),
            QuantileUse::NotJudgeable(quads) => {
                let has = calibration.quads_max;
                Some(format!(
                    "not judgeable in this budget: it allows {has} quads, {quads} would be needed"
                ))
            }
        };
        let measured = self.estimate.is_some() || blocks.is_empty();
        if !measured && remark.is_none() {
            remark = Some("not measured by this workload".to_owned());
        }
        let verdict = (self.judgeable && measured).then(|| {
            self.decided
                .map_or(Verdict::Inconclusive, |(verdict, _)| verdict)
        });
        let overhead = self.estimate.map(|estimate| estimate.overhead);
        if let (Some(limit), Some(overhead), Some(Verdict::Pass | Verdict::Inconclusive)) =
            (limit, overhead, verdict)
            && (limit / 2.0..=limit).contains(&overhead)
            && metric.is_judged(self.plan)
        {
            notes.push(format!(
                "{metric}: marginal, the estimate is between half the limit and the limit"
            ));
        }
        if let Some((_, upper)) = self.estimate.and_then(|estimate| estimate.interval)
            && upper < 0.0
        {
            notes.push(format!("{metric}: implausible, the guarded arm looks better than the bare one; look for what differs between the arms"));
        }
        let quads_needed = match (verdict, &self.differences, self.limit()) {
            (Some(Verdict::Inconclusive), Some(d), Some(limit)) => {
                let group = f64::from(
                    if let QuantileUse::Merged(group) = metric.usage(calibration) {
                        group
                    } else {
                        1
                    },
                );
                let distance = d.estimate().map_or(0.0, |hl| (limit - hl).abs());
                let needed = d
                    .deviation()
                    .map(|sd| group * estimate::needed(sd, distance).max(6.0));
                needed.filter(|quads| *quads < 10_000.0).map(whole)
            }
            _ => None,
        };
        let decided_after = self.decided.map(|(_, quads)| quads);
        MetricResult {
            metric,
            bare,
            guarded,
            estimate: self.estimate,
            limit,
            verdict,
            decided_after,
            quads_needed,
            remark,
            strength: (verdict == Some(Verdict::Pass)).then_some(Strength::WallClock),
            differences: Vec::new(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 10,000"
)]
fn whole(quads: f64) -> u32 {
    quads.ceil() as u32
}

/// One look at all metrics that are still open: PASS each for itself, FAIL by Holm's step-down over all judged ones.
fn step(metrics: &mut [Undecided<'_>], look: &Look, seen: &[&[&BlockRecord]]) {
    for metric in metrics.iter_mut().filter(|metric| metric.decided.is_none()) {
        metric.see(look, seen);
    }
    let judged = metrics
        .iter()
        .filter(|m| m.judgeable && m.metric.is_judged(m.plan))
        .count();
    let mut open: Vec<&mut Undecided<'_>> = metrics
        .iter_mut()
        .filter(|m| {
            m.judgeable && m.metric.is_judged(m.plan) && m.decided.is_none() && m.estimate.is_some()
        })
        .collect();
    let p = |m: &Undecided<'_>| {
        m.estimate
            .and_then(|estimate| estimate.p_above)
            .unwrap_or(1.0)
    };
    open.sort_by(|a, b| p(a).total_cmp(&p(b)));
    for (rank, metric) in open.into_iter().enumerate() {
        let level = metric.estimate.map_or(0.0, |estimate| estimate.level);
        if p(metric) > level / (judged - rank) as f64 {
            break;
        }
        metric.decided = Some((Verdict::Fail, look.quads));
    }
}

fn time_needed(metrics: &[MetricResult], done: u32, observed: &Observed) -> Option<u64> {
    let open = metrics.iter().filter(|result| {
        result.verdict == Some(Verdict::Inconclusive) && result.metric != Metric::CpuThroughput
    });
    let quads: Option<Vec<u32>> = open.map(|result| result.quads_needed).collect();
    let more = quads?.into_iter().max()?.saturating_sub(done).max(1);
    Some(crate::record::nanos(observed.calibration.quad_time) * u64::from(more))
}

fn memory(plan: &Plan, blocks: &[&BlockRecord]) -> Option<MemoryResult> {
    let seen: Vec<(f64, crate::guard::Memory)> = blocks
        .iter()
        .filter_map(|block| Some((block.begin_ns as f64 / 1e9, block.memory?)))
        .collect();
    let most = seen
        .iter()
        .map(|(_, memory)| *memory)
        .max_by_key(|memory| memory.total())?;
    let slopes: Vec<f64> = seen
        .iter()
        .enumerate()
        .flat_map(|(i, (t, m))| {
            seen[i + 1..]
                .iter()
                .map(move |(u, n)| (n.total() as f64 - m.total() as f64) / (u - t))
        })
        .filter(|slope| slope.is_finite())
        .collect();
    let limit = plan.limits.memory_bytes;
    let verdict = if most.total() < limit {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let slope = estimate::median(&slopes).unwrap_or(0.0);
    Some(MemoryResult {
        most: most.total(),
        process: most.process,
        kernel: most.kernel,
        slope,
        limit,
        verdict,
    })
}

fn totals(blocks: &[&BlockRecord]) -> Totals {
    let guarded = blocks.iter().filter(|block| block.arm == Arm::Guarded);
    guarded.fold(Totals::default(), |sum, block| {
        let activity = &block.activity;
        Totals {
            hits: sum.hits + activity.hits,
            blocks: sum.blocks + activity.blocks,
            events: sum.events + activity.events,
            drops: sum.drops + activity.drops,
        }
    })
}

fn contention(blocks: &[&BlockRecord], arm: Arm) -> f64 {
    let shares: Vec<f64> = blocks
        .iter()
        .filter(|block| block.arm == arm)
        .map(|block| block.contention.share())
        .collect();
    if shares.is_empty() {
        0.0
    } else {
        shares.iter().sum::<f64>() / shares.len() as f64
    }
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
