//! One metric's way through the looks, to its verdict.

use crate::{
    decide::{Look, self_checks::decorrelated},
    estimate::{self, Differences},
    metric::Metric,
    plan::Plan,
    record::{BlockRecord, Observed, QuantileUse},
    schedule::Arm,
    verdict::{Estimate, MetricResult, Strength, Verdict},
};

/// A verdict that is wrong by far may be wrong so many times less often than one that is wrong by little: FAIL where
/// there is no effect at all, PASS where it is twice the limit. By ranks alone, noise far above the limit makes both
/// as frequent as the plan's error level, since it hides where the limit is.
const BY_FAR: f64 = 1.0 / 50.0;

/// A metric on its way through the looks.
pub(super) struct Undecided<'a> {
    metric: Metric,
    plan: &'a Plan,
    observed: &'a Observed,
    judgeable: bool,
    spent: f64,
    estimate: Option<Estimate>,
    differences: Option<Differences>,
    /// The differences in time, before any merging: for figures.
    series: Vec<f64>,
    merged: bool,
    decided: Option<(Verdict, u32)>,
}

impl<'a> Undecided<'a> {
    pub(super) fn new(metric: Metric, plan: &'a Plan, observed: &'a Observed) -> Self {
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
            series: Vec::new(),
            merged: false,
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
        self.series = self.metric.differences(&self.observed.calibration, seen);
        let (units, merged) = decorrelated(self.series.clone());
        self.merged = merged;
        let d = Differences::new(&units);
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
            && d.t_below(2.0 * limit) <= BY_FAR * b.level
        {
            self.decided = Some((Verdict::Pass, look.quads));
        }
        self.differences = Some(d);
    }

    /// p-value of FAIL: that the effect is at most the limit, by ranks, and that there is none at all, by far.
    fn p_fail(&self) -> f64 {
        match (&self.differences, self.limit()) {
            (Some(d), Some(limit)) => d.p_above(limit).max(d.t_above(0.0) / BY_FAR),
            _ => 1.0,
        }
    }

    /// Why it is open although its interval is on one side of the limit.
    fn scatter(&self) -> Option<String> {
        let (limit, d) = (self.limit()?, self.differences.as_ref()?);
        let estimate = self.estimate.filter(|_| self.decided.is_none())?;
        let (lower, upper) = estimate.interval?;
        let accepted = self.metric.limit(self.plan)?;
        let sure = BY_FAR * estimate.level;
        let hidden = if lower > accepted && d.t_above(0.0) > sure {
            "it may as well be nothing"
        } else if lower > accepted {
            "it is one of several metrics, of which one is above its limit by chance more often"
        } else if upper < accepted && d.t_below(2.0 * limit) > sure {
            "it may as well be twice the limit"
        } else {
            return None;
        };
        let scatter = self.metric.overhead(d.deviation()?).abs();
        Some(format!("the quads scatter by {scatter:.1}: {hidden}"))
    }

    pub(super) fn result(
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
        if self.merged {
            let merged = "correlated neighbours merged two by two";
            remark = Some(remark.map_or(merged.to_owned(), |other| format!("{other}; {merged}")));
        }
        let measured = self.estimate.is_some() || blocks.is_empty();
        if !measured && remark.is_none() {
            remark = Some("not measured by this workload".to_owned());
        }
        let verdict = (self.judgeable && measured).then(|| {
            self.decided
                .map_or(Verdict::Inconclusive, |(verdict, _)| verdict)
        });
        if let (Some(Verdict::Inconclusive), Some(why)) = (verdict, self.scatter()) {
            remark = Some(remark.map_or(why.clone(), |other| format!("{other}; {why}")));
        }
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
                let mut group = match metric.usage(calibration) {
                    QuantileUse::Merged(group) => f64::from(group),
                    _ => 1.0,
                };
                if self.merged {
                    group *= 2.0;
                }
                let hl = d.estimate().unwrap_or(limit);
                let far = if hl > limit { hl } else { 2.0 * limit - hl };
                let needed = d.deviation().map(|sd| {
                    let near = estimate::needed(sd, (limit - hl).abs());
                    group * near.max(estimate::needed_surely(sd, far)).max(6.0)
                });
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
            differences: self.series.iter().map(|d| metric.overhead(*d)).collect(),
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
pub(super) fn step(metrics: &mut [Undecided<'_>], look: &Look, seen: &[&[&BlockRecord]]) {
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
    open.sort_by(|a, b| a.p_fail().total_cmp(&b.p_fail()));
    for (rank, metric) in open.into_iter().enumerate() {
        let level = metric.estimate.map_or(0.0, |estimate| estimate.level);
        if metric.p_fail() > level / (judged - rank) as f64 {
            break;
        }
        metric.decided = Some((Verdict::Fail, look.quads));
    }
}
