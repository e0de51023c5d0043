//! Intervals where ranks have too few values: Student's t, and Welch's for two samples.
//!
//! The verdicts rest on exact ranks alone ([`estimate`](crate::estimate)). The instrument's checks of itself have
//! fewer values than a 99 % interval by ranks needs (8); below that they take the t interval, which is wider than
//! needed for heavy tails and exact for normal noise.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::estimate::{Differences, deviation};

/// An estimate with a two-sided interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Hodges–Lehmann for one sample, difference of means for two.
    pub estimate: f64,
    /// From …
    pub lower: f64,
    /// … to.
    pub upper: f64,
}

impl Interval {
    /// Whether a value lies inside.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.lower <= value && value <= self.upper
    }
}

/// Interval of the centre of `d`: by exact signed ranks if so many values reach the confidence, else by Student's t.
/// `None` below two values.
#[must_use]
pub fn one_sample(d: &[f64], confidence: f64) -> Option<Interval> {
    let ranks = Differences::new(d);
    let estimate = ranks.estimate()?;
    if let Some(bounds) = ranks.bounds((1.0 - confidence) / 2.0) {
        let (lower, upper) = (bounds.lower, bounds.upper);
        return Some(Interval {
            estimate,
            lower,
            upper,
        });
    }
    let n = d.len() as f64;
    let (mean, half) = (
        mean(d),
        t_quantile(confidence, n - 1.0)? * deviation(d)? / n.sqrt(),
    );
    Some(Interval {
        estimate,
        lower: mean - half,
        upper: mean + half,
    })
}

/// Interval of mean(a) − mean(b) without assuming equal variances (Welch 1947). `None` below two values in either.
#[must_use]
pub fn two_samples(a: &[f64], b: &[f64], confidence: f64) -> Option<Interval> {
    let part = |values: &[f64]| Some(deviation(values)?.powi(2) / values.len() as f64);
    let (va, vb) = (part(a)?, part(b)?);
    let (na, nb) = (a.len() as f64 - 1.0, b.len() as f64 - 1.0);
    let estimate = mean(a) - mean(b);
    let freedom = (va + vb).powi(2) / (va.powi(2) / na + vb.powi(2) / nb);
    let half = if va + vb > 0.0 {
        t_quantile(confidence, freedom)? * (va + vb).sqrt()
    } else {
        0.0
    };
    Some(Interval {
        estimate,
        lower: estimate - half,
        upper: estimate + half,
    })
}

/// Mean; not a number for no values.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn t_quantile(confidence: f64, freedom: f64) -> Option<f64> {
    let t = StudentsT::new(0.0, 1.0, freedom).ok()?;
    Some(t.inverse_cdf(0.5 + confidence / 2.0))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_t_quantiles_are_those_of_the_published_table() {
        for (freedom, p95, p99) in [
            (1.0, 12.706, 63.657),
            (2.0, 4.303, 9.925),
            (3.0, 3.182, 5.841),
            (5.0, 2.571, 4.032),
            (10.0, 2.228, 3.169),
            (30.0, 2.042, 2.750),
        ] {
            assert!((t_quantile(0.95, freedom).unwrap() - p95).abs() < 5e-4);
            assert!((t_quantile(0.99, freedom).unwrap() - p99).abs() < 5e-4);
        }
    }

    #[test]
    fn few_values_take_the_t_interval_and_many_the_ranks() {
        let four = one_sample(&[1.0, 2.0, 3.0, 4.0], 0.99).unwrap();
        // 2.5 ± 5.841 · 1.2910 / 2
        assert!((four.upper - 6.270).abs() < 1e-3, "{four:?}");
        let eight: Vec<f64> = (1..=8).map(f64::from).collect();
        let eight = one_sample(&eight, 0.99).unwrap();
        assert_eq!((eight.lower, eight.upper), (1.0, 8.0));
        assert_eq!(one_sample(&[1.0], 0.99), None);
    }

    #[test]
    fn welchs_interval_is_that_of_a_worked_example() {
        // means 3 and 6, variances 2.5 and 10, n = 5 each: t = −1.897, 5.88 degrees of freedom.
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0, 8.0, 10.0]);
        let found = two_samples(&a, &b, 0.95).unwrap();
        assert_eq!(found.estimate, -3.0);
        assert!((found.upper - 0.888).abs() < 5e-3, "{found:?}");
    }

    #[test]
    fn the_99_percent_interval_of_four_values_misses_one_time_in_a_hundred() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        // Sum of twelve uniform numbers: close to normal.
        let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let missed = (0..4_000)
            .filter(|_| {
                let d: Vec<f64> = (0..4).map(|_| normal()).collect();
                !one_sample(&d, 0.99).unwrap().contains(0.0)
            })
            .count();
        assert!((20..=60).contains(&missed), "{missed}");
    }
}
