//! How the whole latency distribution moved: one point for each quantile, p1 … p99.9.

use serde::{Deserialize, Serialize};

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
