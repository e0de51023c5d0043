//! Which quads count, by rules that are blind to the arm and to the result; and whether the generator kept up.

use crate::{
    estimate::median,
    plan::Plan,
    record::{BlockRecord, Calibration, Window},
    schedule::Arm,
    workload::Kind,
};

/// A quad that does not count.
pub(super) struct Excluded {
    pub(super) quad: u32,
    pub(super) why: String,
    /// It is the work that is missing, and not the machine that was disturbed.
    pub(super) is_void: bool,
}

/// Splits the quads into those that count and those that do not, with the reason.
pub(super) fn exclude<'a>(
    plan: &Plan,
    calibration: &Calibration,
    all: &[Vec<&'a BlockRecord>],
) -> (Vec<Vec<&'a BlockRecord>>, Vec<Excluded>) {
    let (mut kept, mut excluded) = (Vec::new(), Vec::new());
    for quad in all {
        let disturbed = disturbed(plan, calibration, quad);
        let is_void = disturbed.is_none();
        match disturbed.or_else(|| void(calibration.kind, quad)) {
            Some(why) => excluded.push(Excluded {
                quad: quad[0].quad,
                why,
                is_void,
            }),
            None => kept.push(quad.clone()),
        }
    }
    (kept, excluded)
}

/// Whether the machine was disturbed.
fn disturbed(plan: &Plan, calibration: &Calibration, quad: &[&BlockRecord]) -> Option<String> {
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
    let suspended = quad
        .iter()
        .filter_map(|block| block.contention.suspended_ms)
        .max();
    if let Some(ms @ 1_000..) = suspended {
        return Some(format!("the machine was suspended for {} s", ms / 1_000));
    }
    let foreign: Vec<f64> = quad
        .iter()
        .filter_map(|block| foreign_points(calibration.cpus, block))
        .collect();
    let spread = foreign.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        - foreign.iter().copied().fold(f64::INFINITY, f64::min);
    if spread > plan.exclude_foreign_points {
        return Some(format!(
            "the CPU time of others moved by {spread:.0} points within the quad, the plan excludes above {}",
            plan.exclude_foreign_points
        ));
    }
    None
}

/// Whether the blocks of a pair did different work, or none.
fn void(kind: Kind, quad: &[&BlockRecord]) -> Option<String> {
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

/// CPU time of others in a block, in percentage points of the machine. What the workload does in its settle times counts as
/// others' too; it is the same in all blocks of a quad, and only their differences are looked at.
fn foreign_points(cpus: u32, block: &BlockRecord) -> Option<f64> {
    let windows = || block.open.iter().chain([&block.closed]);
    let own: f64 = windows()
        .map(|window| window.cpu() + window.generator_cpu_ns as f64)
        .sum();
    let wall: f64 = windows().map(|window| window.wall_ns as f64).sum();
    let busy = f64::from(block.contention.busy_ppm?) / 1e4;
    Some(busy - 100.0 * own / wall / f64::from(cpus))
}

/// A generator that offers less than this part of the rate is no open loop.
const KEPT: f64 = 0.9;
/// Fewer operations than these in a window are no rate that a tool can keep.
const COUNTABLE: f64 = 20.0;

/// Whether the offered rate was offered, in the median bare block. A load tool that tells no lag is known by this alone.
pub(super) fn behind(calibration: &Calibration, blocks: &[&BlockRecord]) -> Option<String> {
    let rate = calibration.rate?;
    let bare = blocks.iter().filter(|block| block.arm == Arm::Bare);
    let shares: Vec<f64> = bare
        .filter_map(|block| {
            let window = block.open.as_ref()?;
            let due = rate * window.wall_ns as f64 / 1e9;
            (due >= COUNTABLE).then(|| window.attempts() as f64 / due)
        })
        .collect();
    let share = median(&shares).filter(|share| *share < KEPT)?;
    Some(format!(
        "generator-limited: of the rate that was to be offered ({rate:.0} a second) it offered {:.0} %",
        100.0 * share
    ))
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
