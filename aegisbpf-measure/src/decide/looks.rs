//! When the data may be looked at, and how much of the error level each look may spend.

use crate::{plan::Plan, record::Ended};

/// One look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// After so many quads.
    pub quads: u32,
    /// Error level that this and all earlier looks may spend together: α·t^1.5 with t = quads / quads_max.
    pub cumulative: f64,
}

/// The looks that `done` quads have passed, of `quads_max` that the budget allows.
///
/// The level spent at a look comes off what later ones have, so the chance of a wrong PASS (and of a wrong FAIL) is at
/// most α over all looks, whatever their correlation. A look whose level is too small for its number of quads
/// spends nothing and leaves it to the next. The last quad of the budget spends all that is left.
#[must_use]
pub fn looks(plan: &Plan, quads_max: u32, done: u32, ended: Ended) -> Vec<Look> {
    let spendable = |quads: u32| {
        let t = (f64::from(quads) / f64::from(quads_max.max(1))).min(1.0);
        plan.alpha * t.powf(1.5)
    };
    let mut all: Vec<Look> = plan
        .looks
        .iter()
        .copied()
        .filter(|quads| *quads <= done && *quads < quads_max && *quads >= plan.min_quads)
        .map(|quads| Look {
            quads,
            cumulative: spendable(quads),
        })
        .collect();
    // The budget ends by the clock and not by what was seen, so its last quad may spend everything.
    if done > 0 && (ended == Ended::Budget || done >= quads_max) {
        all.retain(|look| look.quads < done);
        all.push(Look {
            quads: done,
            cumulative: plan.alpha,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    fn counts(done: u32, max: u32, ended: Ended) -> Vec<u32> {
        looks(&fake::plan("x"), max, done, ended)
            .into_iter()
            .map(|look| look.quads)
            .collect()
    }

    #[test]
    fn the_last_quad_of_the_budget_is_a_look() {
        assert_eq!(counts(12, 20, Ended::Decided), [6, 9]);
        assert_eq!(counts(12, 20, Ended::Stopped), [6, 9]);
        assert_eq!(counts(12, 20, Ended::Budget), [6, 9, 12]);
        assert_eq!(counts(20, 20, Ended::Decided), [6, 9, 13, 18, 20]);
        assert_eq!(counts(6, 6, Ended::Budget), [6]);
        assert_eq!(counts(3, 20, Ended::Decided), [0_u32; 0]);
    }

    #[test]
    fn levels_grow_to_alpha_and_no_further() {
        let all = looks(&fake::plan("x"), 34, 34, Ended::Budget);
        assert!(all.is_sorted_by(|a, b| a.cumulative < b.cumulative));
        assert_eq!(all.last().unwrap().cumulative, 0.05);
        assert!((all[0].cumulative - 0.05 * (6.0_f64 / 34.0).powf(1.5)).abs() < 1e-12);
    }
}
