//! Trends and jumps of a series: Sen's slope and Pettitt's change point, both by ranks alone.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::{estimate::median, interval::Interval};

/// Slope of y over time by P. K. Sen (1968): the median of all slopes between two points, with an interval from Kendall's
/// statistic. `None` below four points.
#[must_use]
pub fn slope(points: &[(f64, f64)], confidence: f64) -> Option<Interval> {
    let n = points.len();
    if n < 4 {
        return None;
    }
    let mut slopes: Vec<f64> = points
        .iter()
        .enumerate()
        .flat_map(|(i, (t, y))| points[i + 1..].iter().map(move |(u, z)| (z - y) / (u - t)))
        .filter(|slope| slope.is_finite())
        .collect();
    slopes.sort_by(f64::total_cmp);
    let estimate = median(&slopes)?;
    let n = n as f64;
    let z = Normal::standard().inverse_cdf(0.5 + confidence / 2.0);
    let width = z * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let place = |rank: f64| slopes[at(rank, slopes.len() - 1)];
    let count = slopes.len() as f64;
    Some(Interval {
        estimate,
        lower: place((count - width) / 2.0),
        upper: place((count + width) / 2.0),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0 ..= last"
)]
fn at(rank: f64, last: usize) -> usize {
    rank.floor().clamp(0.0, last as f64) as usize
}

/// A jump in a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// The first value after it.
    pub index: usize,
    /// Median after minus median before.
    pub jump: f64,
    /// Two-sided p-value of "no change".
    pub p: f64,
}

/// The likeliest change point by A. N. Pettitt (1979). `None` below eight values.
#[must_use]
pub fn change_point(values: &[f64]) -> Option<ChangePoint> {
    let n = values.len();
    if n < 8 {
        return None;
    }
    let total = n as f64;
    let mut sum = 0.0;
    let mut most = (0, 0.0_f64);
    for (i, rank) in ranks(values).into_iter().enumerate().take(n - 1) {
        sum += rank;
        let u: f64 = 2.0 * sum - (i + 1) as f64 * (total + 1.0);
        if u.abs() > most.1 {
            most = (i + 1, u.abs());
        }
    }
    let (index, k) = most;
    let jump = median(&values[index..])? - median(&values[..index])?;
    let p = (2.0 * (-6.0 * k * k / (total.powi(3) + total.powi(2))).exp()).min(1.0);
    Some(ChangePoint { index, jump, p })
}

/// Ranks from 1; equal values share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    values
        .iter()
        .map(|value| {
            let below = sorted.partition_point(|other| other < value);
            let equal = sorted[below..].partition_point(|other| other <= value);
            below as f64 + (equal as f64 + 1.0) / 2.0
        })
        .collect()
}

/// Correlation of neighbouring values. `None` below three values or without any variance.
#[must_use]
pub fn autocorrelation(values: &[f64]) -> Option<f64> {
    if values.len() < 3 {
        return None;
    }
    let mean = crate::interval::mean(values);
    let variance: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    let neighbours: f64 = values
        .windows(2)
        .map(|w| (w[0] - mean) * (w[1] - mean))
        .sum();
    (variance > 0.0).then_some(neighbours / variance)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn sens_slope_of_a_worked_example() {
        // One wild point does not move it: nine of the ten slopes are 2 but for the four with the third point.
        let points = [(0.0, 0.0), (1.0, 2.0), (2.0, 90.0), (3.0, 6.0), (4.0, 8.0)];
        let found = slope(&points, 0.95).unwrap();
        assert_eq!(found.estimate, 2.0);
        assert!(found.lower < 0.0 && found.upper > 10.0, "{found:?}");
    }

    #[test]
    fn the_interval_of_the_slope_covers_the_truth() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let covered = (0..1_000)
            .filter(|_| {
                let points: Vec<(f64, f64)> = (0..20)
                    .map(|i| (f64::from(i), 0.3 * f64::from(i) + 5.0 * rng.random::<f64>()))
                    .collect();
                slope(&points, 0.95).unwrap().contains(0.3)
            })
            .count();
        assert!((925..=975).contains(&covered), "{covered}");
    }

    #[test]
    fn a_jump_is_found_where_it_is_and_noise_has_none() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut noise = |n: usize, level: f64| -> Vec<f64> {
            (0..n).map(|_| level + rng.random::<f64>()).collect()
        };
        let jumped = [noise(12, 0.0), noise(18, 3.0)].concat();
        let found = change_point(&jumped).unwrap();
        assert_eq!(found.index, 12);
        assert!(
            (found.jump - 3.0).abs() < 0.4 && found.p < 1e-3,
            "{found:?}"
        );
        let false_alarms = (0..500)
            .filter(|_| change_point(&noise(30, 0.0)).unwrap().p < 0.01)
            .count();
        assert!(false_alarms <= 10, "{false_alarms}");
    }

    #[test]
    fn neighbours_correlate_as_they_were_made_to() {
        assert_eq!(autocorrelation(&[1.0, 1.0, 1.0, 1.0]), None);
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut last = 0.0;
        let values: Vec<f64> = (0..4_000)
            .map(|_| {
                last = 0.6 * last + rng.random::<f64>() - 0.5;
                last
            })
            .collect();
        assert!((autocorrelation(&values).unwrap() - 0.6).abs() < 0.05);
    }
}
