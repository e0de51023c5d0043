//! Errors of the workload, class by class: a new class fails at once, more of an old one if it is significant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::{record::BlockRecord, schedule::Arm};

/// More errors of a known class fail below this p-value.
pub const ERROR_ALPHA: f64 = 0.01;

/// One class of errors in both arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorClass {
    /// Its name (`EPERM`, `http 500`).
    pub class: String,
    /// How often in the bare arm.
    pub bare: u64,
    /// How often in the guarded arm.
    pub guarded: u64,
    /// One-sided p-value of "not more often in the guarded arm".
    pub p: f64,
    /// Whether it fails the workload.
    pub fails: bool,
}

/// Counts and judges all errors of all windows.
#[must_use]
pub fn judge(blocks: &[&BlockRecord]) -> Vec<ErrorClass> {
    let mut classes = BTreeMap::<&str, [u64; 2]>::new();
    let mut attempts = [0_u64; 2];
    for block in blocks {
        let arm = usize::from(block.arm == Arm::Guarded);
        for window in block.open.iter().chain([&block.closed]) {
            attempts[arm] += window.attempts();
            for (class, count) in &window.errors {
                classes.entry(class).or_default()[arm] += count;
            }
        }
    }
    let share = attempts[1] as f64 / (attempts[0] + attempts[1]).max(1) as f64;
    classes
        .into_iter()
        .map(|(class, [bare, guarded])| {
            let p = tail(bare + guarded, guarded, share);
            let fails = guarded > 0 && (bare == 0 || p < ERROR_ALPHA);
            ErrorClass {
                class: class.to_owned(),
                bare,
                guarded,
                p,
                fails,
            }
        })
        .collect()
}

/// So many errors are counted one by one; of more the normal law is as good, in no time.
const EXACT: u64 = 1_000_000;

/// P(X ≥ k) for X binomial(n, share): given all errors, how many fall into the guarded arm by chance (exact,
/// conditional on the total, after Przyborowski and Wilenski 1940).
fn tail(n: u64, k: u64, share: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if share <= 0.0 || share >= 1.0 {
        return if share >= 1.0 { 1.0 } else { 0.0 };
    }
    if n > EXACT {
        let (n, k) = (n as f64, k as f64);
        let z = (k - 0.5 - n * share) / (n * share * (1.0 - share)).sqrt();
        return Normal::standard().sf(z);
    }
    let odds = (share / (1.0 - share)).ln();
    let mut log_mass = n as f64 * (1.0 - share).ln();
    let mut sum = 0.0;
    for i in 0..=n {
        if i >= k {
            sum += log_mass.exp();
        }
        log_mass += ((n - i) as f64).ln() - ((i + 1) as f64).ln() + odds;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use statrs::distribution::{Binomial, DiscreteCDF};

    use super::*;

    #[test]
    fn the_tail_is_the_binomials() {
        for (n, k, share) in [(10, 8, 0.5), (1, 1, 0.5), (40, 30, 0.47), (500, 260, 0.5)] {
            let expected = Binomial::new(share, n).unwrap().sf(k - 1);
            assert!(
                (tail(n, k, share) - expected).abs() < 1e-9,
                "{n} {k} {share}"
            );
        }
    }

    #[test]
    fn millions_of_errors_are_judged_as_hundreds_of_thousands_are() {
        // One standard deviation above the mean, just below the border and just above it.
        for n in [EXACT, EXACT + 2] {
            let k = n / 2 + n.isqrt() / 2;
            let p = tail(n, k, 0.5);
            assert!((p - 0.1587).abs() < 1e-3, "{n}: {p}");
        }
        assert!(tail(1 << 53, 1 << 52, 0.5) > 0.4);
        assert!(tail(1 << 53, 1 << 53, 0.5) < 1e-9);
    }

    #[test]
    fn no_errors_in_the_guarded_arm_are_never_a_failure() {
        assert_eq!(tail(5, 0, 0.5), 1.0);
    }
}
