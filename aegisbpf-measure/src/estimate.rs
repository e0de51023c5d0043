//! The estimator and its interval: Hodges–Lehmann, with exact bounds from Wilcoxon's signed-rank distribution.
//!
//! J. L. Hodges and E. L. Lehmann, "Estimates of location based on rank tests" (1963): the estimate is the median of
//! the Walsh averages. F. Wilcoxon, "Individual comparisons by ranking methods" (1945): the test that the bounds
//! invert. Nothing is assumed of the noise but that each difference is symmetric around the effect, which the
//! coin of the quads provides.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// P(T⁺ ≤ k) for k = 0 … n(n+1)/2 under the null hypothesis, exact, by dynamic programming over the ranks.
#[must_use]
pub fn signed_rank_cdf(n: usize) -> Vec<f64> {
    let mut mass = vec![0.0; n * (n + 1) / 2 + 1];
    mass[0] = 1.0;
    for rank in 1..=n {
        // Rank r goes to the positive side with probability one half. Downward, so that it is used once.
        for sum in (0..=rank * (rank + 1) / 2).rev() {
            let with = if sum >= rank { mass[sum - rank] } else { 0.0 };
            mass[sum] = 0.5 * (mass[sum] + with);
        }
    }
    let mut total = 0.0;
    mass.iter()
        .map(|p| {
            total += p;
            total
        })
        .collect()
}

/// All averages (dᵢ + dⱼ)/2 with i ≤ j, sorted.
#[must_use]
pub fn walsh_averages(d: &[f64]) -> Vec<f64> {
    let mut averages: Vec<f64> = d
        .iter()
        .enumerate()
        .flat_map(|(i, a)| d[i..].iter().map(move |b| f64::midpoint(*a, *b)))
        .collect();
    averages.sort_by(f64::total_cmp);
    averages
}

/// The middle value (mean of the two middle ones). `None` for no values.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(sorted[n / 2]),
        _ => Some(f64::midpoint(sorted[n / 2 - 1], sorted[n / 2])),
    }
}

/// Standard deviation (n − 1). `None` for fewer than two values.
#[must_use]
pub fn deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    Some((square / (n - 1.0)).sqrt())
}

/// Bounds at a one-sided level. `None` where so few values cannot reach that level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// With probability ≥ 1 − level the effect is above.
    pub lower: f64,
    /// With probability ≥ 1 − level the effect is below.
    pub upper: f64,
    /// The one-sided level really used: the largest of the discrete ones that is not above the one asked for.
    pub level: f64,
}

/// Differences of quads, ready to be asked for estimates, bounds and p-values.
#[derive(Debug, Clone)]
pub struct Differences {
    n: usize,
    walsh: Vec<f64>,
    cdf: Vec<f64>,
    mean: f64,
    deviation: Option<f64>,
}

impl Differences {
    /// From the differences `d_q`, in any order.
    #[must_use]
    pub fn new(d: &[f64]) -> Self {
        Self {
            n: d.len(),
            walsh: walsh_averages(d),
            cdf: signed_rank_cdf(d.len()),
            mean: d.iter().sum::<f64>() / d.len() as f64,
            deviation: deviation(d),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.n
    }

    /// Hodges–Lehmann estimate: the median of the Walsh averages. `None` for no values.
    #[must_use]
    pub fn estimate(&self) -> Option<f64> {
        median(&self.walsh)
    }

    /// Standard deviation of the differences.
    #[must_use]
    pub fn deviation(&self) -> Option<f64> {
        self.deviation
    }

    /// With W the N sorted Walsh averages and k = max{k : P(T⁺ ≤ k) ≤ level}: `W[k]` and `W[N − 1 − k]`.
    #[must_use]
    pub fn bounds(&self, level: f64) -> Option<Bounds> {
        let k = self
            .cdf
            .partition_point(|p| *p <= level)
            .checked_sub(1)
            .filter(|k| 2 * k < self.walsh.len())?;
        Some(Bounds {
            lower: self.walsh[k],
            upper: self.walsh[self.walsh.len() - 1 - k],
            level: self.cdf[k],
        })
    }

    /// p-value of "the effect is at most `limit`": the smallest level at which the lower bound is above it.
    #[must_use]
    pub fn p_above(&self, limit: f64) -> f64 {
        let below = self.walsh.partition_point(|w| *w <= limit);
        self.cdf.get(below).copied().unwrap_or(1.0)
    }

    /// p-value of "the mean effect is at most `effect`" by Student's t: for levels that the signs of few quads cannot
    /// reach (six of them: 1.6 %). One for less than two values.
    #[must_use]
    pub fn t_above(&self, effect: f64) -> f64 {
        self.t(effect).map_or(1.0, |(t, law)| law.sf(t))
    }

    /// The same of "the mean effect is at least `effect`".
    #[must_use]
    pub fn t_below(&self, effect: f64) -> f64 {
        self.t(effect).map_or(1.0, |(t, law)| law.cdf(t))
    }

    fn t(&self, effect: f64) -> Option<(f64, StudentsT)> {
        let n = self.n as f64;
        let law = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
        let t = (self.mean - effect) / (self.deviation? / n.sqrt());
        // Equal values that are the effect itself say nothing.
        (!t.is_nan()).then_some((t, law))
    }

    /// The smallest effect that a run of this length and noise resolves: 2.49·sd/√n (one-sided 5 %, power 80 %).
    #[must_use]
    pub fn resolvable(&self) -> Option<f64> {
        self.deviation.map(|sd| resolvable(sd, self.n as f64))
    }
}

/// Smallest effect that n differences of standard deviation `sd` resolve: (z₀.₉₅ + z₀.₈₀)·sd/√n.
#[must_use]
pub fn resolvable(sd: f64, n: f64) -> f64 {
    2.49 * sd / n.sqrt()
}

/// How many differences of standard deviation `sd` are needed to resolve `effect`.
#[must_use]
pub fn needed(sd: f64, effect: f64) -> f64 {
    (2.49 * sd / effect).powi(2).ceil()
}

/// The same at one-sided 0.1 %: (z₀.₉₉₉ + z₀.₈₀)·sd/√n.
#[must_use]
pub fn needed_surely(sd: f64, effect: f64) -> f64 {
    (3.93 * sd / effect).powi(2).ceil()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rstest::rstest;

    use super::*;

    /// Critical values of T (reject if T ≤ value) as printed in tables of the Wilcoxon signed-rank test,
    /// one-sided 5 %, 2.5 %, 1 % and 0.5 %; −1 where the table has a dash.
    const TABLE: [(usize, [i32; 4]); 21] = [
        (5, [0, -1, -1, -1]),
        (6, [2, 0, -1, -1]),
        (7, [3, 2, 0, -1]),
        (8, [5, 3, 1, 0]),
        (9, [8, 5, 3, 1]),
        (10, [10, 8, 5, 3]),
        (11, [13, 10, 7, 5]),
        (12, [17, 13, 9, 7]),
        (13, [21, 17, 12, 9]),
        (14, [25, 21, 15, 12]),
        (15, [30, 25, 19, 15]),
        (16, [35, 29, 23, 19]),
        (17, [41, 34, 27, 23]),
        (18, [47, 40, 32, 27]),
        (19, [53, 46, 37, 32]),
        (20, [60, 52, 43, 37]),
        (21, [67, 58, 49, 42]),
        (22, [75, 65, 55, 48]),
        (23, [83, 73, 62, 54]),
        (24, [91, 81, 69, 61]),
        (25, [100, 89, 76, 68]),
    ];

    #[test]
    fn the_distribution_agrees_with_the_published_table() {
        for (n, values) in TABLE {
            let cdf = signed_rank_cdf(n);
            for (level, value) in [0.05, 0.025, 0.01, 0.005].into_iter().zip(values) {
                let found = cdf.partition_point(|p| *p <= level) as i32 - 1;
                assert_eq!(found, value, "n = {n}, one-sided {level}");
            }
        }
    }

    #[test]
    fn the_distribution_counts_every_sign_pattern() {
        for n in 1..=10_usize {
            let cdf = signed_rank_cdf(n);
            let mut counts = vec![0_u32; cdf.len()];
            for signs in 0..1_u32 << n {
                counts[(0..n)
                    .filter(|i| signs >> i & 1 == 1)
                    .map(|i| i + 1)
                    .sum::<usize>()] += 1;
            }
            let mut total = 0;
            for (k, count) in counts.into_iter().enumerate() {
                total += count;
                assert_eq!(
                    cdf[k],
                    f64::from(total) / f64::from(1_u32 << n),
                    "n = {n}, k = {k}"
                );
            }
        }
    }

    #[test]
    fn estimate_and_bounds_of_a_worked_example() {
        // Walsh averages of 1, 2, 4, 8, 16: 1 1.5 2 2.5 3 4 4.5 5 6 8 8.5 9 10 12 16; the median is the eighth.
        let d = Differences::new(&[1.0, 2.0, 4.0, 8.0, 16.0]);
        assert_eq!(d.estimate(), Some(5.0));
        let bounds = d.bounds(0.05).unwrap();
        assert_eq!((bounds.lower, bounds.upper), (1.0, 16.0));
        assert_eq!(bounds.level, 1.0 / 32.0);
        assert_eq!(d.bounds(0.03), None);
        let bounds = d.bounds(0.0625).unwrap();
        assert_eq!((bounds.lower, bounds.upper), (1.5, 12.0));
    }

    #[test]
    fn the_p_value_is_the_level_at_which_the_bound_crosses() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for _ in 0..200 {
            let values: Vec<f64> = (0..9).map(|_| rng.random::<f64>()).collect();
            let d = Differences::new(&values);
            let p = d.p_above(0.3);
            if let Some(bounds) = d.bounds(p) {
                assert!(bounds.lower > 0.3);
            }
            if let Some(bounds) = d.bounds(p * 0.999) {
                assert!(bounds.lower <= 0.3);
            }
        }
    }

    #[test]
    fn students_p_values_are_those_of_the_published_table() {
        // One-sided 0.1 % of t with 5 degrees of freedom: 5.893; 0.5 %: 4.032.
        let d = Differences::new(&[-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]);
        let error = deviation(&[-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]).unwrap() / 6.0_f64.sqrt();
        for (t, p) in [(5.893, 0.001), (4.032, 0.005)] {
            assert!((d.t_above(-t * error) - p).abs() < 2e-3 * p, "{t}");
            assert!((d.t_below(t * error) - p).abs() < 2e-3 * p, "{t}");
        }
        assert_eq!(Differences::new(&[1.0]).t_above(0.0), 1.0);
        assert_eq!(Differences::new(&[1.0, 1.0]).t_above(0.0), 0.0);
        assert_eq!(Differences::new(&[0.0, 0.0]).t_above(0.0), 1.0);
    }

    fn normal(rng: &mut ChaCha8Rng) -> f64 {
        let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Noise of one block.
    #[derive(Debug, Clone, Copy)]
    enum Noise {
        Normal,
        /// Heavy tails: one block in ten has five times the deviation.
        Contaminated,
        /// Skewed: only ever slower.
        Exponential,
        /// Each block carries on 70 % of the last one's disturbance, and the machine drifts.
        Wandering,
    }

    /// The difference of one quad of blocks with a true effect, in the order that a coin chose.
    fn quad(rng: &mut ChaCha8Rng, noise: Noise, effect: f64, carried: &mut f64) -> f64 {
        let bare_outside: bool = rng.random();
        (0..4).fold(0.0, |d, position| {
            let e = match noise {
                Noise::Normal => normal(rng),
                Noise::Contaminated => {
                    normal(rng) * if rng.random::<f64>() < 0.1 { 5.0 } else { 1.0 }
                }
                Noise::Exponential => -(1.0 - rng.random::<f64>()).ln(),
                Noise::Wandering => {
                    *carried = 0.7 * *carried + normal(rng) + 0.02;
                    *carried
                }
            };
            let guarded = bare_outside == (position == 1 || position == 2);
            d + 0.5 * if guarded { effect + e } else { -e }
        })
    }

    /// Share of `runs` in which the interval covers the truth. Also used for the table in docs/METHOD.md.
    fn coverage(noise: Noise, n: usize, runs: u32) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(42 + n as u64);
        let covered = (0..runs)
            .filter(|_| {
                let mut carried = 0.0;
                let d: Vec<f64> = (0..n)
                    .map(|_| quad(&mut rng, noise, 0.7, &mut carried))
                    .collect();
                let bounds = Differences::new(&d).bounds(0.025).unwrap();
                bounds.lower <= 0.7 && 0.7 <= bounds.upper
            })
            .count();
        covered as f64 / f64::from(runs)
    }

    #[rstest]
    fn the_95_percent_interval_covers_the_truth_in_93_to_98_percent_of_runs(
        #[values(
            Noise::Normal,
            Noise::Contaminated,
            Noise::Exponential,
            Noise::Wandering
        )]
        noise: Noise,
        // One-sided 2.5 %. The discrete levels nearest below give two-sided 3.1 % (n = 6), 4.9 % (10) and 4.8 % (20).
        #[values(6, 10, 20)] n: usize,
    ) {
        let share = coverage(noise, n, 4_000);
        println!("{noise:?} n={n}: {:.1} %", 100.0 * share);
        assert!((0.93..=0.98).contains(&share), "{share}");
    }
}
