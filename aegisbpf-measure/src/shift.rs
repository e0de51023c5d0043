//! How the whole latency distribution moved: one point for each quantile, p1 … p99.9.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    estimate::Differences,
    interval::mean,
    record::{BlockRecord, Latency},
    schedule::Arm,
};

/// The quantiles of the curve.
pub const QUANTILES: [f64; 12] = [
    0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.975, 0.99, 0.995, 0.999,
];

/// One quantile in both arms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShiftPoint {
    /// 0.99 is p99.
    pub quantile: f64,
    /// Latency in the bare arm, all kept quads together, in nanoseconds.
    pub bare_ns: u64,
    /// The same in the guarded arm.
    pub guarded_ns: u64,
    /// Rise in percent: Hodges–Lehmann over the units, or of the merged histograms where there are too few units.
    pub percent: f64,
    /// 95 % interval. `None`: fewer than six units with enough samples beyond the quantile.
    pub interval: Option<(f64, f64)>,
}

/// Samples beyond the quantile (on its thinner side) that a unit needs in each arm; as p95 and p99 have it.
const BEYOND: f64 = 100.0;

/// The curve over all kept quads. Neighbouring quads are merged, arm by arm, until a unit can carry the quantile.
#[must_use]
pub fn of(kept: &[Vec<&BlockRecord>]) -> Vec<ShiftPoint> {
    let counts: Vec<f64> = kept
        .iter()
        .flatten()
        .filter_map(|block| Some(block.steady().latency.as_ref()?.count as f64))
        .collect();
    if counts.is_empty() {
        return Vec::new();
    }
    let samples = mean(&counts).max(1.0);
    let whole = merged(kept);
    let mut units = BTreeMap::<usize, Vec<[Latency; 2]>>::new();
    QUANTILES
        .into_iter()
        .filter_map(|quantile| {
            let needed = BEYOND / quantile.min(1.0 - quantile);
            let group = groups(needed / (2.0 * samples), kept.len());
            let units = units
                .entry(group)
                .or_insert_with(|| kept.chunks_exact(group).map(merged).collect());
            let d: Vec<f64> = units
                .iter()
                .filter_map(|unit| rise(unit, quantile))
                .collect();
            let d = Differences::new(&d);
            let percent = |d: f64| 100.0 * d.exp_m1();
            let estimate = match d.estimate() {
                Some(estimate) if d.count() > 1 => estimate,
                _ => rise(&whole, quantile)?,
            };
            Some(ShiftPoint {
                quantile,
                bare_ns: whole[0].quantile(quantile)?,
                guarded_ns: whole[1].quantile(quantile)?,
                percent: percent(estimate),
                interval: d
                    .bounds(0.025)
                    .map(|bounds| (percent(bounds.lower), percent(bounds.upper))),
            })
        })
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 1 ..= the number of quads"
)]
fn groups(quads: f64, all: usize) -> usize {
    quads.ceil().clamp(1.0, all.max(1) as f64) as usize
}

/// Bare and guarded histograms of these quads.
fn merged(quads: &[Vec<&BlockRecord>]) -> [Latency; 2] {
    [Arm::Bare, Arm::Guarded].map(|arm| {
        let blocks = quads.iter().flatten().filter(|block| block.arm == arm);
        Latency::merged(blocks.filter_map(|block| block.steady().latency.as_ref()))
    })
}

fn rise([bare, guarded]: &[Latency; 2], quantile: f64) -> Option<f64> {
    let d = (guarded.quantile(quantile)? as f64 / bare.quantile(quantile)? as f64).ln();
    d.is_finite().then_some(d)
}
