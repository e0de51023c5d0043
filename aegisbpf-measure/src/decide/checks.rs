//! The checks of the instrument itself: exclusions, work, generator, placebo, order.

use crate::{
    estimate::{Differences, median},
    metric::Metric,
    plan::Plan,
    record::{BlockRecord, Calibration, Observed, Purpose, Window},
    schedule::Arm,
    workload::Kind,
};

/// Splits the quads into those that count and those that do not, with the reason.
pub(super) fn exclude<'a>(
    plan: &Plan,
    kind: Kind,
    all: &[Vec<&'a BlockRecord>],
) -> (Vec<Vec<&'a BlockRecord>>, Vec<(u32, String)>) {
    let (mut kept, mut excluded) = (Vec::new(), Vec::new());
    for quad in all {
        match fault(plan, kind, quad) {
            Some(why) => excluded.push((quad[0].quad, why)),
            None => kept.push(quad.clone()),
        }
    }
    (kept, excluded)
}

fn fault(plan: &Plan, kind: Kind, quad: &[&BlockRecord]) -> Option<String> {
    let steal = quad
        .iter()
        .filter_map(|block| block.contention.steal_ppm)
        .max()
        .unwrap_or(0);
    let percent = f64::from(steal) / 1e4;
    if percent > plan.exclude_steal_percent {
        return Some(format!(
            "steal {percent:.1} %, the plan excludes above {} %",
            plan.exclude_steal_percent
        ));
    }
    quad.chunks(2).find_map(|pair| {
        let (first, second) = (pair[0].steady().attempts(), pair[1].steady().attempts());
        // A schedule may lose a request at the window's edge; a unit of work may lose nothing.
        let slack = match kind {
            Kind::Service => (first.max(second) / 200).max(1),
            Kind::Batch => 0,
            // How much a closed loop does in its time is what is measured.
            Kind::Timed => u64::MAX,
        };
        let apart = first.abs_diff(second) > slack;
        let idle = pair
            .iter()
            .any(|block| block.steady().operations == 0 || block.closed.operations == 0);
        if idle {
            return Some("void: a block did no work".to_owned());
        }
        apart.then(|| {
            format!(
                "void: the blocks of a pair did different work ({first} and {second} operations)"
            )
        })
    })
}

/// Whether the generator kept its schedule, in the median block. A lag is part of the latency of both arms, so it hides
/// effects on the quantiles; it never makes up one.
pub(super) fn generator(
    plan: &Plan,
    blocks: &[&BlockRecord],
    notes: &mut Vec<String>,
) -> Option<String> {
    let of = |arm: Option<Arm>, value: &dyn Fn(&Window) -> Option<u64>| {
        let windows = blocks
            .iter()
            .filter(|block| arm.is_none_or(|arm| block.arm == arm))
            .filter_map(|block| block.open.as_ref());
        let values: Vec<f64> = windows
            .filter_map(|window| value(window).map(|value| value as f64))
            .collect();
        median(&values)
    };
    let lag_of = |window: &Window| window.lag_p99_ns;
    let lag = of(None, &lag_of)?;
    let p50 = of(None, &|window| window.latency.as_ref()?.quantile(0.5))?;
    let floor = plan.lag_floor.as_nanos() as f64;
    let us = |ns: f64| ns / 1e3;
    if lag > (0.1 * p50).max(floor) {
        return Some(format!(
            "generator-limited: its lag (p99 {:.0} µs) is above a tenth of the median latency ({:.0} µs) and above {:.0} µs",
            us(lag),
            us(p50),
            us(floor)
        ));
    }
    if lag > 0.1 * p50 {
        notes.push(format!(
            "the generator's lag (p99 {:.0} µs) is above a tenth of the median latency ({:.0} µs), though within what a wake-up costs; \
             it is part of the latency of both arms, so relative rises of p95 and p99 may be understated",
            us(lag), us(p50)
        ));
    }
    if let (Some(bare), Some(guarded)) = (
        of(Some(Arm::Bare), &lag_of),
        of(Some(Arm::Guarded), &lag_of),
    ) && guarded > 1.5 * bare
        && guarded - bare > 0.1 * p50
    {
        notes.push(format!(
            "the generator lags more in the guarded arm (p99 {:.0} µs against {:.0} µs)",
            us(guarded),
            us(bare)
        ));
    }
    None
}

/// The pilot's estimate in percent of throughput; and what is wrong if it excludes 0 at 99 % (from 8 quads on).
pub(super) fn placebo(observed: &Observed) -> (Option<f64>, Option<String>) {
    let quads = super::quads(&observed.blocks, Purpose::Pilot);
    let quads: Vec<&[&BlockRecord]> = quads.iter().map(Vec::as_slice).collect();
    let metric = Metric::Throughput;
    let d = Differences::new(&metric.differences(&observed.calibration, &quads));
    let excludes = |b: crate::estimate::Bounds| b.lower > 0.0 || b.upper < 0.0;
    let fault = d.bounds(0.005).is_some_and(excludes).then(|| {
        format!(
            "the placebo of {} bare quads shows an effect where there is none",
            d.count()
        )
    });
    (d.estimate().map(|hl| metric.overhead(hl)), fault)
}

/// Notes an autocorrelation of the differences and a drift of the bare blocks.
pub(super) fn order(
    calibration: &Calibration,
    kept: &[Vec<&BlockRecord>],
    notes: &mut Vec<String>,
) {
    let quads: Vec<&[&BlockRecord]> = kept.iter().map(Vec::as_slice).collect();
    let d = Metric::Throughput.differences(calibration, &quads);
    let n = d.len() as f64;
    if n < 8.0 {
        return;
    }
    let mean = d.iter().sum::<f64>() / n;
    let variance: f64 = d.iter().map(|x| (x - mean).powi(2)).sum();
    let r1 = d
        .windows(2)
        .map(|w| (w[0] - mean) * (w[1] - mean))
        .sum::<f64>()
        / variance;
    if r1.abs() > 0.3 && r1.abs() > 2.0 / n.sqrt() {
        notes.push(format!(
            "neighbouring quads are correlated (r₁ = {r1:+.2}); the interval may be too narrow"
        ));
    }
    let bare = |quads: &[Vec<&BlockRecord>]| {
        let values: Vec<f64> = quads
            .iter()
            .flatten()
            .filter(|block| block.arm == Arm::Bare)
            .filter_map(|block| Metric::Throughput.value(calibration, block))
            .collect();
        median(&values)
    };
    let third = kept.len() / 3;
    if let (Some(first), Some(last)) = (bare(&kept[..third]), bare(&kept[kept.len() - third..])) {
        let drift = Metric::Throughput.overhead(first - last);
        if drift.abs() > 10.0 {
            notes.push(format!("the bare arm drifted by {drift:+.0} % of throughput over the run; pairing cancels it"));
        }
    }
}
