//! The weaker ways to a PASS, for metrics that the wall clock leaves open.

use crate::{
    attribution::{Attribution, DISAGREE},
    interval::{mean, one_sample},
    metric::Metric,
    plan::Plan,
    record::BlockRecord,
    schedule::Arm,
    verdict::{MetricResult, Strength, Verdict},
};

/// Steal and run-queue wait above this share, in both arms, make a machine "contended".
const CONTENDED: f64 = 0.20;

/// Gives judged metrics that are inconclusive a PASS per CPU second or by attribution, where the rules allow it.
pub(super) fn rescue(
    plan: &Plan,
    metrics: &mut [MetricResult],
    kept: &[Vec<&BlockRecord>],
    contention: (f64, f64),
    attribution: Option<&Attribution>,
    notes: &mut Vec<String>,
) {
    let contended = contention.0 > CONTENDED && contention.1 > CONTENDED;
    let per_cpu = contended && passes(metrics, Metric::CpuThroughput);
    let waits = waits_more(kept);
    let open = metrics.iter_mut().filter(|result| {
        result.verdict == Some(Verdict::Inconclusive) && result.metric.is_judged(plan)
    });
    for result in open {
        let by_wall = matches!(result.metric, Metric::Throughput | Metric::WallTime);
        let strength = if by_wall && per_cpu && !above(result) {
            Strength::PerCpu
        } else if attribution.is_some_and(|attribution| attributed(attribution, result)) {
            Strength::Attributed
        } else {
            continue;
        };
        // Neither sees time in which nobody works.
        match waits {
            Some(more) if by_wall && more > 0.0 => {
                notes.push(format!(
                    "no weaker PASS for {}: the workload waits more often when guarded ({more:+.3} times an operation or more)",
                    result.metric
                ));
                continue;
            }
            None if by_wall => notes.push(format!(
                "{}: this workload does not tell how often it waits, so a PASS that is not by wall clock may miss waiting",
                result.metric
            )),
            _ => {}
        }
        let remark = strength.to_string();
        result.remark = Some(match result.remark.take() {
            Some(other) => format!("{remark}; {other}"),
            None => remark,
        });
        (result.verdict, result.strength) = (Some(Verdict::Pass), Some(strength));
    }
}

/// Whether the interval is wholly above the limit, though not by so much that it is a FAIL.
fn above(result: &MetricResult) -> bool {
    let lower = result
        .estimate
        .and_then(|estimate| estimate.interval)
        .map(|(lower, _)| lower);
    lower
        .zip(result.limit)
        .is_some_and(|(lower, limit)| lower > limit)
}

fn passes(metrics: &[MetricResult], metric: Metric) -> bool {
    metrics
        .iter()
        .any(|result| result.metric == metric && result.verdict == Some(Verdict::Pass))
}

/// By how much more often the workload gives up the CPU to wait when guarded, per operation: the lower bound at 97.5 %.
/// `None` if it does not tell.
fn waits_more(kept: &[Vec<&BlockRecord>]) -> Option<f64> {
    let d: Vec<f64> = kept
        .iter()
        .filter_map(|quad| {
            let of = |arm| {
                let blocks = quad.iter().filter(|block| block.arm == arm);
                let values: Option<Vec<f64>> = blocks
                    .map(|block| {
                        let window = &block.closed;
                        Some(window.voluntary_switches? as f64 / window.operations as f64)
                    })
                    .collect();
                values.map(|values| mean(&values))
            };
            Some(of(Arm::Guarded)? - of(Arm::Bare)?)
        })
        .collect();
    one_sample(&d, 0.95).map(|found| found.lower)
}

/// The paired interval is inconclusive, its lower bound is below the limit, and twice the direct estimate stays under
/// half the limit; for CPU and throughput only. And the two estimates must not disagree.
fn attributed(attribution: &Attribution, result: &MetricResult) -> bool {
    let direct = match result.metric {
        Metric::Cpu => attribution.direct_points,
        Metric::WallTime => Some(attribution.direct_percent),
        Metric::Throughput => {
            Some(100.0 * (1.0 - 1.0 / (1.0 + attribution.direct_percent / 100.0)))
        }
        _ => None,
    };
    let (Some(direct), Some(limit), Some(estimate)) = (direct, result.limit, result.estimate)
    else {
        return false;
    };
    let Some((lower, _)) = estimate.interval.or(estimate.interval95) else {
        return false;
    };
    let agree = attribution.z.is_some_and(|z| z < DISAGREE);
    lower < limit && 2.0 * direct < limit / 2.0 && agree
}
