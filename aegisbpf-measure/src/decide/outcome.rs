//! From the verdicts of the metrics to the verdict of the workload.

use crate::{
    attribution::{self, Attribution},
    errors,
    metric::Metric,
    plan::Plan,
    verdict::{MemoryResult, MetricResult, Strength, Verdict},
};

/// The verdict of the workload, before the checks of the instrument.
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) strength: Option<Strength>,
    pub(super) reasons: Vec<String>,
}

/// The workload's verdict from the metrics': any FAIL fails, all PASS pass, anything else is inconclusive.
pub(super) fn sum_up(
    plan: &Plan,
    metrics: &[MetricResult],
    errors: &[errors::ErrorClass],
    memory: Option<&MemoryResult>,
    attribution: Option<&Attribution>,
) -> Outcome {
    let (mut failed, mut open, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    let mut strength = None;
    // Where CPU time is not judged (as fast as it goes, more work takes more of it), it does not fail by itself either.
    let judges_cpu = metrics.iter().any(|result| result.metric == Metric::Cpu);
    failed.extend(
        attribution
            .filter(|_| judges_cpu)
            .and_then(|attribution| above_the_limit(plan, attribution)),
    );
    for error in errors.iter().filter(|error| error.fails) {
        let errors::ErrorClass {
            class,
            bare,
            guarded,
            ..
        } = error;
        failed.push(format!(
            "errors of class `{class}`: {guarded} guarded, {bare} bare"
        ));
    }
    if let Some(memory) = memory.filter(|memory| memory.verdict == Verdict::Fail) {
        failed.push(format!(
            "memory is {:.1} MB, the limit {:.1} MB",
            memory.most as f64 / 1e6,
            memory.limit as f64 / 1e6
        ));
    }
    for result in metrics
        .iter()
        .filter(|result| result.metric.is_judged(plan))
    {
        let sentence = sentence(result);
        match result.verdict {
            Some(Verdict::Pass) => {
                // As strong as the weakest.
                strength = strength.into_iter().chain(result.strength).min();
                passed.push(sentence);
            }
            Some(Verdict::Fail) => failed.push(sentence),
            Some(_) => open.push(sentence),
            None => {}
        }
    }
    if !failed.is_empty() {
        return Outcome {
            verdict: Verdict::Fail,
            strength: None,
            reasons: failed,
        };
    }
    if !open.is_empty() {
        return Outcome {
            verdict: Verdict::Inconclusive,
            strength: None,
            reasons: open,
        };
    }
    if passed.is_empty() {
        let reasons = vec!["no metric could be judged".to_owned()];
        return Outcome {
            verdict: Verdict::Inconclusive,
            strength: None,
            reasons,
        };
    }
    passed.insert(0, "every judged metric is below its limit".to_owned());
    Outcome {
        verdict: Verdict::Pass,
        strength,
        reasons: passed,
    }
}

/// What the hooks and the enforcer were seen to use is a lower bound of what they cost; above the limit by itself, it fails.
/// Not if the paired estimate contradicts it: the kernel counts runs for the whole machine, strangers' among them.
fn above_the_limit(plan: &Plan, attribution: &Attribution) -> Option<String> {
    let points_per_percent = attribution.direct_points? / attribution.direct_percent;
    let lower = attribution.direct_interval?.0 * points_per_percent;
    let limit = plan.limits.cpu_points;
    let contradicted = attribution.z.is_some_and(|z| z < -attribution::DISAGREE);
    (lower > limit && !contradicted).then(|| {
        format!("hooks and enforcer alone were seen to use {lower:.2} points of the machine or more, limit {limit} points")
    })
}

fn sentence(result: &MetricResult) -> String {
    let unit = if result.metric == Metric::Cpu {
        " points"
    } else {
        " %"
    };
    let limit = result.limit.unwrap_or(f64::NAN);
    let Some(estimate) = result.estimate else {
        return format!("{}: no quad could be used", result.metric);
    };
    let interval = match estimate.interval {
        Some((lower, upper)) => format!("{lower:+.2} … {upper:+.2}"),
        None => "no interval yet".to_owned(),
    };
    format!(
        "{} {:+.2}{unit} ({interval}), limit {limit}{unit}",
        result.metric, estimate.overhead
    )
}
