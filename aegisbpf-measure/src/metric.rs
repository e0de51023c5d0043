//! What is compared: each metric's value of a block, its scale, its limit, and the differences of the quads.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    plan::Plan,
    record::{BlockRecord, Calibration, Latency, QuantileUse},
    schedule::Arm,
    workload::Kind,
};

/// Samples of a block that p95 needs; p99 needs five times as many.
pub const P95_SAMPLES: u64 = 2_000;
/// Samples of a block that p99 needs.
pub const P99_SAMPLES: u64 = 10_000;
/// Merged units that a verdict on a quantile needs at the least.
pub const MERGED_UNITS: u32 = 6;

/// One thing that is compared between the arms. Always so that above zero is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Loss of operations a wall second, closed loop.
    Throughput,
    /// Rise of wall time per unit of a batch job.
    WallTime,
    /// Loss of operations a CPU second (workload and enforcer), closed loop.
    CpuThroughput,
    /// Additional CPU in percentage points of the machine: at the fixed offered rate, or for a batch job per
    /// wall time of a bare unit.
    Cpu,
    /// Rise of CPU time per operation, at the fixed rate.
    CpuPerOperation,
    /// Rise of the median latency.
    P50,
    /// Rise of the 95th percentile.
    P95,
    /// Rise of the 99th percentile.
    P99,
}

/// The quantiles that need many samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantile {
    /// 0.95
    P95,
    /// 0.99
    P99,
}

impl Quantile {
    /// Samples that a block or merged unit needs.
    #[must_use]
    pub fn samples(self) -> u64 {
        match self {
            Self::P95 => P95_SAMPLES,
            Self::P99 => P99_SAMPLES,
        }
    }

    /// How it can be taken from blocks of so many samples, if `quads_max` quads are possible.
    #[must_use]
    pub fn usage(self, samples: u64, quads_max: u32) -> QuantileUse {
        if samples >= self.samples() {
            return QuantileUse::Blocks;
        }
        if samples == 0 {
            return QuantileUse::NotJudgeable(u32::MAX);
        }
        // A quad has two blocks of each arm.
        let group = u32::try_from(self.samples().div_ceil(2 * samples)).unwrap_or(u32::MAX);
        let quads = group.saturating_mul(MERGED_UNITS);
        if quads <= quads_max {
            QuantileUse::Merged(group)
        } else {
            QuantileUse::NotJudgeable(quads)
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Throughput => "throughput",
            Self::WallTime => "wall time",
            Self::CpuThroughput => "throughput per CPU second",
            Self::Cpu => "additional CPU",
            Self::CpuPerOperation => "CPU per operation",
            Self::P50 => "latency p50",
            Self::P95 => "latency p95",
            Self::P99 => "latency p99",
        })
    }
}

impl Metric {
    /// Those that a workload of this kind can have, in the order of the report.
    #[must_use]
    pub fn of(kind: Kind, plan: &Plan) -> Vec<Self> {
        let mut all = vec![
            Self::Throughput,
            Self::CpuThroughput,
            Self::P50,
            Self::P95,
            Self::P99,
            Self::Cpu,
        ];
        match kind {
            Kind::Service => all.push(Self::CpuPerOperation),
            Kind::Batch if plan.limits.wall_time_percent.is_some() => all[0] = Self::WallTime,
            Kind::Batch => {}
            Kind::Timed => {
                all.retain(|metric| *metric != Self::Cpu);
                all.push(Self::CpuPerOperation);
            }
        }
        all
    }

    /// The limit as the plan has it (percent, or points for CPU). `None`: shown without verdict.
    #[must_use]
    pub fn limit(self, plan: &Plan) -> Option<f64> {
        let limits = &plan.limits;
        match self {
            Self::Throughput => Some(limits.throughput_percent),
            Self::WallTime => limits.wall_time_percent,
            Self::Cpu => Some(limits.cpu_points),
            Self::P95 => Some(limits.p95_percent),
            Self::P99 => Some(limits.p99_percent),
            // Judged only in the wall clock's place, when the machine is contended: with its limit.
            Self::CpuThroughput => Some(limits.throughput_percent),
            Self::CpuPerOperation | Self::P50 => None,
        }
    }

    /// Whether the verdict of the workload asks for it.
    #[must_use]
    pub fn is_judged(self, plan: &Plan) -> bool {
        self != Self::CpuThroughput && self.limit(plan).is_some()
    }

    /// From a difference of blocks to what people read: percent, or points for CPU.
    #[must_use]
    pub fn overhead(self, d: f64) -> f64 {
        match self {
            Self::Cpu => d,
            Self::Throughput | Self::CpuThroughput => -100.0 * (-d).exp_m1(),
            _ => 100.0 * d.exp_m1(),
        }
    }

    /// The inverse of [`Metric::overhead`]: where a limit lies among the differences (D of the method).
    #[must_use]
    pub fn difference(self, overhead: f64) -> f64 {
        match self {
            Self::Cpu => overhead,
            Self::Throughput | Self::CpuThroughput => -(-overhead / 100.0).ln_1p(),
            _ => (overhead / 100.0).ln_1p(),
        }
    }

    /// What people read for one arm: operations a second, seconds, percent of the machine, or nanoseconds.
    #[must_use]
    pub fn level(self, calibration: &Calibration, blocks: &[&BlockRecord]) -> Option<f64> {
        if let Some(q) = self.quantile() {
            let all = Latency::merged(
                blocks
                    .iter()
                    .filter_map(|block| block.steady().latency.as_ref()),
            );
            return all.quantile(q).map(|ns| ns as f64);
        }
        let values: Option<Vec<f64>> = blocks
            .iter()
            .map(|block| self.value(calibration, block))
            .collect();
        let values = values?;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let level = match self {
            Self::Cpu => mean,
            Self::Throughput | Self::CpuThroughput => (-mean).exp(),
            _ => mean.exp(),
        };
        level.is_finite().then_some(level)
    }

    fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            _ => None,
        }
    }

    /// y of one block: a logarithm, or percentage points for CPU. `None` if the block does not have it.
    #[must_use]
    pub fn value(self, calibration: &Calibration, block: &BlockRecord) -> Option<f64> {
        let (steady, closed) = (block.steady(), &block.closed);
        let seconds = |ns: f64| ns / 1e9;
        let y = match self {
            Self::Throughput => -(closed.operations as f64 / seconds(closed.wall_ns as f64)).ln(),
            Self::WallTime => seconds(closed.wall_ns as f64).ln(),
            Self::CpuThroughput if closed.cpu_ns > 0 => {
                -(closed.operations as f64 / seconds(closed.cpu())).ln()
            }
            Self::CpuPerOperation if steady.cpu_ns > 0 => {
                (seconds(steady.cpu()) / steady.operations as f64).ln()
            }
            Self::Cpu if steady.cpu_ns > 0 => {
                let wall = match calibration.kind {
                    Kind::Service | Kind::Timed => steady.wall_ns as f64,
                    Kind::Batch => calibration.unit_wall.as_nanos() as f64,
                };
                100.0 * steady.cpu() / wall / f64::from(calibration.cpus)
            }
            Self::CpuThroughput | Self::CpuPerOperation | Self::Cpu => return None,
            Self::P50 | Self::P95 | Self::P99 => {
                (steady.latency.as_ref()?.quantile(self.quantile()?)? as f64).ln()
            }
        };
        y.is_finite().then_some(y)
    }

    /// How the calibration says that this metric is taken.
    #[must_use]
    pub fn usage(self, calibration: &Calibration) -> QuantileUse {
        let quantile = match self {
            Self::P95 => Quantile::P95,
            Self::P99 => Quantile::P99,
            _ => return QuantileUse::Blocks,
        };
        calibration
            .quantiles
            .get(&quantile)
            .copied()
            .unwrap_or(QuantileUse::NotJudgeable(u32::MAX))
    }

    /// The differences `d_q`: mean over the guarded blocks minus mean over the bare ones; of each quad, or of each
    /// merged unit of neighbouring quads.
    #[must_use]
    pub fn differences(self, calibration: &Calibration, quads: &[&[&BlockRecord]]) -> Vec<f64> {
        match (self.usage(calibration), self.quantile()) {
            (QuantileUse::Merged(group), Some(q)) => quads
                .chunks_exact(group as usize)
                .filter_map(|unit| {
                    let merged = |arm| {
                        let blocks = unit
                            .iter()
                            .flat_map(|quad| quad.iter())
                            .filter(|block| block.arm == arm);
                        let latency = Latency::merged(
                            blocks.filter_map(|block| block.steady().latency.as_ref()),
                        );
                        latency.quantile(q).map(|ns| (ns as f64).ln())
                    };
                    Some(merged(Arm::Guarded)? - merged(Arm::Bare)?)
                })
                .filter(|d| d.is_finite())
                .collect(),
            _ => quads
                .iter()
                .filter_map(|quad| self.quad_difference(calibration, quad))
                .collect(),
        }
    }

    fn quad_difference(self, calibration: &Calibration, quad: &[&BlockRecord]) -> Option<f64> {
        let mean = |arm| {
            let blocks = quad.iter().filter(|block| block.arm == arm);
            let values: Option<Vec<f64>> =
                blocks.map(|block| self.value(calibration, block)).collect();
            let values = values.filter(|values| !values.is_empty())?;
            Some(values.iter().sum::<f64>() / values.len() as f64)
        };
        Some(mean(Arm::Guarded)? - mean(Arm::Bare)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_overheads_are_inverse() {
        for metric in [
            Metric::Throughput,
            Metric::P99,
            Metric::Cpu,
            Metric::WallTime,
        ] {
            for percent in [-20.0, 0.0, 2.0, 5.0, 50.0] {
                let back = metric.overhead(metric.difference(percent));
                assert!((back - percent).abs() < 1e-9, "{metric} {percent} {back}");
            }
        }
        assert!((Metric::Throughput.difference(5.0) - -(0.95_f64.ln())).abs() < 1e-12);
        assert!((Metric::P95.difference(5.0) - 1.05_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn quantiles_need_their_exceedances() {
        assert_eq!(Quantile::P95.usage(2_000, 6), QuantileUse::Blocks);
        assert_eq!(Quantile::P95.usage(1_999, 6), QuantileUse::Merged(1));
        assert_eq!(Quantile::P95.usage(500, 12), QuantileUse::Merged(2));
        assert_eq!(Quantile::P95.usage(500, 11), QuantileUse::NotJudgeable(12));
        assert_eq!(Quantile::P99.usage(2_000, 20), QuantileUse::Merged(3));
        assert_eq!(
            Quantile::P99.usage(0, 20),
            QuantileUse::NotJudgeable(u32::MAX)
        );
    }
}
