//! A run beside a recorded baseline: has the enforcer become dearer, and is this the same machine at all?

use serde::{Deserialize, Serialize};

use super::{Baseline, BaselineMetric, recorded};
use crate::{
    fingerprint::Fingerprint,
    metric::Metric,
    record::Record,
    verdict::{MetricResult, Verdict},
};

/// A run beside a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Where the baseline lies, as it was named.
    pub baseline: String,
    /// When it was recorded, Unix time in seconds.
    pub recorded: u64,
    /// The enforcer that was recorded (name and version).
    pub enforcer: String,
    /// Hard keys that differ: (key, recorded, today). If there is any, nothing is compared, only shown.
    pub refused: Vec<(String, String, String)>,
    /// Each metric that both have.
    pub metrics: Vec<MetricComparison>,
    /// PASS: no regression. FAIL: some metric's. INCONCLUSIVE: a regression can neither be shown nor ruled out. INVALID: refused.
    pub verdict: Verdict,
    /// All that in one sentence.
    pub sentence: String,
}

/// One metric beside the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// Which.
    pub metric: Metric,
    /// Today's bare level.
    pub bare: Option<f64>,
    /// The band in which it was expected.
    pub band: (f64, f64),
    /// Whether it is outside: "baseline moved". The verdict does not depend on it.
    pub moved: bool,
    /// Overhead then.
    pub then: f64,
    /// Overhead now.
    pub now: f64,
    /// Now minus then, in points. `None` if refused.
    pub change: Option<f64>,
    /// Its bounds, each at one-sided 95 %.
    pub change_interval: Option<(f64, f64)>,
    /// Whether the enforcer became dearer: the lower bound exceeds one point.
    pub verdict: Option<Verdict>,
}

/// Machines drift by so much within minutes (measured: 2–12 %): a bare level is unexpected only beyond it.
const DRIFT: f64 = 1.12;
/// An enforcer became dearer if the lower bound of the change exceeds so many points.
const REGRESSION: f64 = 1.0;
/// One-sided 95 %.
const Z: f64 = 1.645;
/// The hard key of name and version of the enforcer. Versions may differ: to compare them is what baselines are for.
const ENFORCER: &str = "enforcer";

impl Baseline {
    /// A run beside this baseline, which is called `named` in outputs.
    #[must_use]
    pub fn compare(&self, record: &Record, named: &str) -> Comparison {
        let refused = differences(&self.fingerprint, &record.fingerprint);
        let metrics: Vec<MetricComparison> = record
            .judgement
            .metrics
            .iter()
            .filter_map(|result| {
                let then = self.metrics.get(&result.metric)?;
                let now = recorded(record, result)?;
                let judged = refused.is_empty() && result.metric.is_judged(&record.plan);
                Some(beside(result, then, &now, refused.is_empty(), judged))
            })
            .collect();
        let enforcer = self
            .fingerprint
            .hard
            .get(ENFORCER)
            .cloned()
            .unwrap_or_default();
        let verdict = overall(&refused, &metrics);
        Comparison {
            baseline: named.to_owned(),
            recorded: self.unix_time,
            sentence: sentence(verdict, &enforcer, &refused, &metrics),
            enforcer,
            refused,
            metrics,
            verdict,
        }
    }
}

fn beside(
    result: &MetricResult,
    then: &BaselineMetric,
    now: &BaselineMetric,
    comparable: bool,
    judged: bool,
) -> MetricComparison {
    // A difference of logarithms is one of ratios; a hundredth of it is a point. CPU is in points already.
    let points = |d: f64| {
        if result.metric == Metric::Cpu {
            d
        } else {
            100.0 * d
        }
    };
    let change = points(now.difference - then.difference);
    let width = Z * points(now.standard_error.hypot(then.standard_error));
    let (lower, upper) = (change - width, change + width);
    let band = (then.bare[0] / DRIFT, then.bare[4] * DRIFT);
    let outside = |level: f64| level < band.0 || band.1 < level;
    MetricComparison {
        metric: result.metric,
        bare: result.bare,
        band,
        moved: comparable && result.bare.is_some_and(outside),
        then: then.overhead,
        now: now.overhead,
        change: comparable.then_some(change),
        change_interval: comparable.then_some((lower, upper)),
        verdict: judged.then_some(if lower > REGRESSION {
            Verdict::Fail
        } else if upper < REGRESSION {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        }),
    }
}

/// Hard keys that differ: (key, recorded, today).
fn differences(then: &Fingerprint, now: &Fingerprint) -> Vec<(String, String, String)> {
    let value = |print: &Fingerprint, key: &str| {
        let value = print.hard(key);
        // Of the enforcer the name alone counts.
        let name = value.split(' ').next().unwrap_or(value);
        if key == ENFORCER { name } else { value }.to_owned()
    };
    then.differences(now)
        .into_iter()
        .map(|key| {
            let (then, now) = (value(then, &key), value(now, &key));
            (key, then, now)
        })
        .filter(|(_, then, now)| then != now)
        .collect()
}

fn overall(refused: &[(String, String, String)], metrics: &[MetricComparison]) -> Verdict {
    let mut verdicts = metrics
        .iter()
        .filter_map(|metric| metric.verdict)
        .peekable();
    if !refused.is_empty() {
        return Verdict::Invalid;
    }
    if verdicts.peek().is_none() {
        return Verdict::Inconclusive;
    }
    verdicts.fold(Verdict::Pass, |all, one| match (all, one) {
        (Verdict::Fail, _) | (_, Verdict::Fail) => Verdict::Fail,
        (Verdict::Pass, Verdict::Pass) => Verdict::Pass,
        _ => Verdict::Inconclusive,
    })
}

fn sentence(
    verdict: Verdict,
    enforcer: &str,
    refused: &[(String, String, String)],
    metrics: &[MetricComparison],
) -> String {
    if !refused.is_empty() {
        let keys: Vec<String> = refused
            .iter()
            .map(|(key, then, now)| format!("{key} (recorded {then}, today {now})"))
            .collect();
        return format!(
            "not compared with the baseline, since it is of other conditions: {}",
            keys.join(", ")
        );
    }
    let mut parts: Vec<String> = metrics
        .iter()
        .filter_map(|metric| {
            let ((lower, upper), verdict) = (metric.change_interval?, metric.verdict?);
            (verdict == Verdict::Fail).then(|| {
                format!(
                    "{} became dearer by {:+.2} points ({lower:+.2} … {upper:+.2})",
                    metric.metric,
                    metric.change.unwrap_or(f64::NAN)
                )
            })
        })
        .collect();
    let word = match verdict {
        Verdict::Pass => "no regression",
        Verdict::Fail => "regression",
        _ => "a regression of one point can neither be shown nor ruled out",
    };
    parts.insert(0, format!("against {enforcer}: {word}"));
    let moved: Vec<String> = metrics
        .iter()
        .filter(|metric| metric.moved)
        .map(|metric| metric.metric.to_string())
        .collect();
    if !moved.is_empty() {
        parts.push(format!(
            "baseline moved: the bare level of {} is outside of its band",
            moved.join(", ")
        ));
    }
    parts.join("; ")
}
