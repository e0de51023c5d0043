//! The second, independent estimate: what each hook and the enforcer's own process were seen to cost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    estimate::{Differences, deviation},
    guard::{EmptyProgram, Runs},
    interval::{mean, one_sample},
    metric::Metric,
    record::{BlockRecord, Observed},
    schedule::Arm,
    treatment::Check,
    workload::Kind,
};

/// Beyond so many standard errors the direct and the paired estimate disagree (two-sided 1 %).
pub const DISAGREE: f64 = 2.58;
/// Probes that an attribution needs.
const PROBES: usize = 3;

/// Where the overhead goes: the rows of the waterfall are the hooks, the enforcer's process, and what is unexplained.
///
/// `direct` = hooks + process. All percentages are of the bare arm's CPU time per operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// CPU time per operation in the bare arm, in nanoseconds.
    pub bare_ns: f64,
    /// Each hook, the dearest first.
    pub hooks: Vec<HookShare>,
    /// CPU time of the enforcer's own process per operation (guarded minus bare), in nanoseconds.
    pub process_ns: f64,
    /// The same in percent.
    pub process_percent: f64,
    /// Hooks and process together, in percent.
    pub direct_percent: f64,
    /// Its 95 % interval over the quads.
    pub direct_interval: Option<(f64, f64)>,
    /// The same in percentage points of the machine at the load that was measured.
    pub direct_points: Option<f64>,
    /// The paired estimate of CPU time per operation, in percent.
    pub paired_percent: Option<f64>,
    /// Its 95 % interval.
    pub paired_interval: Option<(f64, f64)>,
    /// Paired minus direct: caches, the way into the hooks, noise.
    pub unexplained_percent: Option<f64>,
    /// (paired − direct) / standard error of both. Beyond ±2.58 the two estimates disagree.
    pub z: Option<f64>,
    /// The empty program that the calls are corrected by.
    pub empty: Option<EmptyProgram>,
    /// Probes that it rests on.
    pub probes: u32,
    /// What a reader should know about it.
    pub notes: Vec<String>,
}

/// One hook's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HookShare {
    /// Its name.
    pub hook: String,
    /// Runs per operation.
    pub runs_per_operation: f64,
    /// Calibrated cost of a run, in nanoseconds.
    pub ns_per_run: f64,
    /// CPU time per operation, in nanoseconds.
    pub ns_per_operation: f64,
    /// The same in percent of the bare arm's CPU time per operation.
    pub percent: f64,
}

/// From the untimed probes (runs and time of the hooks) and the timed blocks (CPU per operation of workload and enforcer).
/// `None` if the guard tells no times, or the workload no CPU time.
#[must_use]
pub fn of(observed: &Observed, kept: &[Vec<&BlockRecord>]) -> Option<Attribution> {
    let calibration = &observed.calibration;
    let metric = match calibration.kind {
        Kind::Service => Metric::CpuPerOperation,
        Kind::Batch | Kind::Timed => Metric::CpuThroughput,
    };
    let bare: Vec<&BlockRecord> = of_arm(kept.iter().flatten(), Arm::Bare);
    let bare_ns = match (metric, metric.level(calibration, &bare)?) {
        (Metric::CpuPerOperation, seconds) => seconds * 1e9,
        (_, operations_a_second) => 1e9 / operations_a_second,
    };
    let empty = calibration.empty;
    let probes: Vec<(&Check, f64)> = kept
        .iter()
        .filter_map(|quad| {
            let check = observed
                .checks
                .iter()
                .find(|check| check.quad == quad[0].quad)?;
            (check.operations > 0 && check.hooks.values().any(|runs| runs.nanos > 0))
                .then(|| (check, process_ns(quad)))
        })
        .collect();
    if probes.len() < PROBES || bare_ns <= 0.0 {
        return None;
    }

    let percent = |ns: f64| 100.0 * ns / bare_ns;
    let direct: Vec<f64> = probes
        .iter()
        .map(|(check, process)| {
            let hooks = check.hooks.values();
            let ns: f64 = hooks
                .map(|runs| cost(*runs, empty) * runs.count as f64)
                .sum();
            percent(ns / check.operations as f64 + process)
        })
        .collect();
    let mut hooks = shares(&probes, empty, percent);
    hooks.sort_by(|a, b| b.ns_per_operation.total_cmp(&a.ns_per_operation));
    let process_ns = mean(
        &probes
            .iter()
            .map(|(_, process)| *process)
            .collect::<Vec<_>>(),
    );
    let direct_percent = mean(&direct);
    // The empty program's own uncertainty is in every run alike.
    let runs: f64 = hooks.iter().map(|hook| hook.runs_per_operation).sum();
    let margin = percent(runs * empty.map_or(0.0, |empty| empty.margin_ps as f64 / 1e3));
    let direct_error = (deviation(&direct)? / (direct.len() as f64).sqrt()).hypot(margin / 1.96);

    let quads: Vec<&[&BlockRecord]> = kept.iter().map(Vec::as_slice).collect();
    let d = metric.differences(calibration, &quads);
    let rise = |d: f64| 100.0 * d.exp_m1();
    let paired = Differences::new(&d);
    let paired_percent = paired.estimate().map(rise);
    let paired_error = deviation(&d).map(|sd| 100.0 * sd / (d.len() as f64).sqrt());
    let unexplained_percent = paired_percent.map(|paired| paired - direct_percent);
    let z = unexplained_percent
        .zip(paired_error)
        .map(|(unexplained, error)| unexplained / direct_error.hypot(error))
        .filter(|z| z.is_finite());

    let mut notes = Vec::new();
    if empty.is_none() {
        notes.push("no empty program was measured: the runs' times are the kernel's own, with its clock reads in them".to_owned());
    }
    if let Some(z) = z.filter(|z| z.abs() > DISAGREE) {
        notes.push(format!("the direct and the paired estimate disagree (z = {z:+.1}): look for a cost outside the hooks' programs"));
    }
    let points = Metric::Cpu.level(calibration, &bare);
    Some(Attribution {
        bare_ns,
        hooks,
        process_ns,
        process_percent: percent(process_ns),
        direct_percent,
        direct_interval: one_sample(&direct, 0.95).map(|found| {
            let (down, up) = (found.estimate - found.lower, found.upper - found.estimate);
            (
                direct_percent - down.hypot(margin),
                direct_percent + up.hypot(margin),
            )
        }),
        direct_points: points.map(|points| points * direct_percent / 100.0),
        paired_percent,
        paired_interval: paired
            .bounds(0.025)
            .map(|bounds| (rise(bounds.lower), rise(bounds.upper))),
        unexplained_percent,
        z,
        empty,
        probes: u32::try_from(probes.len()).unwrap_or(u32::MAX),
        notes,
    })
}

/// Calibrated cost of one run: `run_time_ns / run_cnt − τ₀ + δ₀`, in nanoseconds. Never below zero.
fn cost(runs: Runs, empty: Option<EmptyProgram>) -> f64 {
    if runs.count == 0 {
        return 0.0;
    }
    let correction = empty.map_or(0.0, |empty| {
        (empty.true_ps as f64 - empty.reported_ps as f64) / 1e3
    });
    (runs.nanos as f64 / runs.count as f64 + correction).max(0.0)
}

fn shares(
    probes: &[(&Check, f64)],
    empty: Option<EmptyProgram>,
    percent: impl Fn(f64) -> f64,
) -> Vec<HookShare> {
    let mut totals = BTreeMap::<&str, Runs>::new();
    let mut operations = 0;
    for (check, _) in probes {
        operations += check.operations;
        for (hook, runs) in &check.hooks {
            let total = totals.entry(hook).or_default();
            total.count += runs.count;
            total.nanos += runs.nanos;
        }
    }
    totals
        .into_iter()
        .map(|(hook, total)| {
            let (ns_per_run, runs_per_operation) =
                (cost(total, empty), total.count as f64 / operations as f64);
            let ns_per_operation = ns_per_run * runs_per_operation;
            HookShare {
                hook: hook.to_owned(),
                runs_per_operation,
                ns_per_run,
                ns_per_operation,
                percent: percent(ns_per_operation),
            }
        })
        .collect()
}

/// CPU time of the enforcer's process per operation, guarded minus bare.
fn process_ns(quad: &[&BlockRecord]) -> f64 {
    let of = |arm| {
        let blocks = of_arm(quad.iter(), arm);
        mean(
            &blocks
                .iter()
                .map(|block| block.steady().guard_cpu_ns as f64 / block.steady().operations as f64)
                .collect::<Vec<_>>(),
        )
    };
    of(Arm::Guarded) - of(Arm::Bare)
}

fn of_arm<'a>(blocks: impl Iterator<Item = &'a &'a BlockRecord>, arm: Arm) -> Vec<&'a BlockRecord> {
    blocks.copied().filter(|block| block.arm == arm).collect()
}
