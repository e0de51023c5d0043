//! The blocks of one metric as points in time, for figures.

use crate::{
    metric::Metric,
    record::{Observed, Purpose},
    schedule::Arm,
};

/// One block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When it began, since the start of the run.
    pub seconds: f64,
    /// Its label.
    pub arm: Arm,
    /// Why it was run; all but [`Purpose::Quad`] are bare whatever the label.
    pub purpose: Purpose,
    /// Number of its quad in its purpose.
    pub quad: u32,
    /// What people read of the metric: operations a second, seconds, percent of the machine, nanoseconds.
    pub level: f64,
}

/// All blocks that have this metric, in time.
#[must_use]
pub fn of(metric: Metric, observed: &Observed) -> Vec<Point> {
    observed
        .blocks
        .iter()
        .filter_map(|block| {
            Some(Point {
                seconds: block.begin_ns as f64 / 1e9,
                arm: block.arm,
                purpose: block.purpose,
                quad: block.quad,
                level: metric.level(&observed.calibration, &[block])?,
            })
        })
        .collect()
}
