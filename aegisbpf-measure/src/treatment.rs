//! No verdict without proof that the guarded arm was guarded and the bare arm was bare.
//!
//! A comparison of two equal arms always passes; so what is missing here makes the run INVALID, never PASS.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    guard::Runs,
    plan::Plan,
    record::{BlockRecord, Purpose},
    schedule::Arm,
};

/// One quad's proofs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Number of the quad.
    pub quad: u32,
    /// Hits counted when a denied file was touched once in the guarded arm; must be one.
    pub guarded_hits: u64,
    /// The same in the bare arm; must be none.
    pub bare_hits: u64,
    /// Runs of all hooks in an untimed guarded block.
    pub runs: u64,
    /// Operations in that block.
    pub operations: u64,
    /// File opens that one operation makes, at the least.
    pub opens_per_operation: f64,
    /// Runs and time of each hook in that block: what attribution rests on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<String, Runs>,
}

impl Check {
    /// What is wrong with it, if anything.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.guard_faults();
        if self.operations == 0 {
            faults.push(format!(
                "quad {}: the workload did nothing while the hooks' runs were counted",
                self.quad
            ));
        }
        faults
    }

    /// The same, but for what the workload itself did not do.
    pub(crate) fn guard_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let Self {
            quad,
            guarded_hits,
            bare_hits,
            runs,
            operations,
            ..
        } = self;
        if *guarded_hits != 1 {
            faults.push(format!("quad {quad}: touching a denied file in the guarded arm gave {guarded_hits} hits, not 1"));
        }
        if *bare_hits != 0 {
            faults.push(format!(
                "quad {quad}: touching a denied file in the bare arm gave {bare_hits} hits, not 0"
            ));
        }
        let expected = 0.5 * self.opens_per_operation * *operations as f64;
        if (*runs as f64) < expected {
            faults.push(format!(
                "quad {quad}: the hooks ran {runs} times in {operations} operations, at least {expected:.0} were expected"
            ));
        }
        faults
    }
}

/// All proofs of a run, counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proofs {
    /// How many have no fault.
    pub(crate) sound: usize,
    /// Runs of all hooks in the untimed blocks.
    pub(crate) runs: u64,
    /// Operations in them.
    pub(crate) operations: u64,
}

impl Proofs {
    /// Counts them.
    pub(crate) fn of(checks: &[Check]) -> Self {
        let sound = checks.iter().filter(|check| check.faults().is_empty());
        Self {
            sound: sound.count(),
            runs: checks.iter().map(|check| check.runs).sum(),
            operations: checks.iter().map(|check| check.operations).sum(),
        }
    }
}

/// What is wrong with a block's evidence, if anything.
#[must_use]
pub fn block_faults(plan: &Plan, block: &BlockRecord) -> Vec<String> {
    let name = match block.purpose {
        Purpose::Pilot => format!("pilot {}, block {}", block.quad, block.position),
        Purpose::Placebo => format!("placebo {}, block {}", block.quad, block.position),
        Purpose::Spike => format!("spike-in {}, block {}", block.quad, block.position),
        Purpose::Quad => format!("quad {}, block {}", block.quad, block.position),
    };
    let activity = &block.activity;
    let guarded = block.arm == Arm::Guarded && !block.purpose.is_bare();
    let mut faults = Vec::new();
    if guarded {
        let mut planned = plan.guard.hooks.clone();
        planned.sort();
        let mut found = activity.links.clone();
        found.sort();
        if found != planned {
            faults.push(format!(
                "{name}: attached are [{}], planned were [{}]",
                found.join(", "),
                planned.join(", ")
            ));
        }
    } else {
        if !activity.links.is_empty() {
            faults.push(format!(
                "{name}: still attached in the bare arm: [{}]",
                activity.links.join(", ")
            ));
        }
        if activity.hits + activity.blocks + activity.drops > 0 {
            faults.push(format!(
                "{name}: the counters moved in the bare arm ({} hits)",
                activity.hits
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_passes_only_with_one_hit_no_hit_and_running_hooks() {
        let good = Check {
            quad: 0,
            guarded_hits: 1,
            bare_hits: 0,
            runs: 50,
            operations: 50,
            opens_per_operation: 2.0,
            hooks: BTreeMap::new(),
        };
        assert_eq!(good.faults(), Vec::<String>::new());
        assert_eq!(
            Check {
                guarded_hits: 0,
                ..good.clone()
            }
            .faults()
            .len(),
            1
        );
        assert_eq!(
            Check {
                guarded_hits: 2,
                ..good.clone()
            }
            .faults()
            .len(),
            1
        );
        assert_eq!(
            Check {
                bare_hits: 1,
                ..good.clone()
            }
            .faults()
            .len(),
            1
        );
        assert_eq!(
            Check {
                runs: 49,
                ..good.clone()
            }
            .faults()
            .len(),
            1
        );
        assert_eq!(
            Check {
                operations: 0,
                ..good
            }
            .faults()
            .len(),
            1
        );
    }
}
