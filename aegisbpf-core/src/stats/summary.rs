//! The same counters from other sides: by file, by cgroup, by operation.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    iter::Sum,
    ops::AddAssign,
    path::PathBuf,
};

use serde::Serialize;

use super::{CgroupStats, RuleStats, Stats};
use crate::{
    FileId,
    cgroup::CgroupTree,
    policy::{Effect, Operation, RuleId},
    table::State,
};

/// How often something was met, by what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// It passed because of mode or hook.
    pub audited: u64,
    /// It was refused.
    pub denied: u64,
    /// An exception allowed it.
    pub exempted: u64,
}

impl Counts {
    /// Refused, or would be in enforce mode.
    #[must_use]
    pub fn blocks(self) -> u64 {
        self.audited + self.denied
    }

    /// Met at all.
    #[must_use]
    pub fn hits(self) -> u64 {
        self.blocks() + self.exempted
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.audited += other.audited;
        self.denied += other.denied;
        self.exempted += other.exempted;
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}

/// One file that a rule names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileSummary {
    /// The rule.
    pub rule: RuleId,
    /// What stands on the rule's line: a path or an identity.
    pub object: String,
    /// The file that it was when the policy was applied; none if it was not there.
    pub file: Option<FileId>,
    /// How often it was met.
    #[serde(flatten)]
    pub counts: Counts,
}

/// One cgroup, over all rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CgroupSummary {
    /// Its id: the inode number of its directory.
    pub cgroup: u64,
    /// Its path from the root of the cgroup tree; none if it exists no longer.
    pub path: Option<PathBuf>,
    /// How often something in it met a rule.
    #[serde(flatten)]
    pub counts: Counts,
}

/// All rules that deny one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OperationSummary {
    /// The operation.
    pub operation: Operation,
    /// How many rules are about it.
    pub rules: usize,
    /// How often they were met.
    #[serde(flatten)]
    pub counts: Counts,
}

impl RuleStats {
    /// The three counters together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            audited: self.audited,
            denied: self.denied,
            exempted: self.exempted,
        }
    }
}

impl CgroupStats {
    /// The three counters together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            audited: self.audited,
            denied: self.denied,
            exempted: self.exempted,
        }
    }
}

impl Stats {
    /// All rules together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.rules.iter().map(RuleStats::counts).sum()
    }

    /// The files that rules name and that were met, most blocks first.
    #[must_use]
    pub fn by_file(&self) -> Vec<FileSummary> {
        let mut files: Vec<_> = self
            .rules
            .iter()
            .filter(|rule| rule.effect == Effect::Deny && rule.operation == Operation::Open)
            .filter(|rule| rule.counts().hits() > 0)
            .map(|rule| FileSummary {
                rule: rule.rule,
                object: rule.entry.clone(),
                file: match rule.state {
                    State::File(file) => Some(file),
                    _ => None,
                },
                counts: rule.counts(),
            })
            .collect();
        files.sort_by_key(|file| (most(file.counts), file.rule));
        files
    }

    /// The cgroups in which rules were met, most blocks first. `tree` gives them names; without one they have none.
    #[must_use]
    pub fn by_cgroup(&self, tree: Option<&CgroupTree>) -> Vec<CgroupSummary> {
        let mut counts: BTreeMap<u64, Counts> = BTreeMap::new();
        for row in &self.cgroups {
            *counts.entry(row.cgroup).or_default() += row.counts();
        }
        let ids: BTreeSet<_> = counts.keys().copied().collect();
        let mut paths = tree.map_or_else(BTreeMap::new, |tree| tree.paths(&ids));
        let mut cgroups: Vec<_> = counts
            .into_iter()
            .map(|(cgroup, counts)| CgroupSummary {
                cgroup,
                path: paths.remove(&cgroup),
                counts,
            })
            .collect();
        cgroups.sort_by_key(|row| (most(row.counts), row.cgroup));
        cgroups
    }

    /// The operations that rules deny, in the order of the language.
    #[must_use]
    pub fn by_operation(&self) -> Vec<OperationSummary> {
        let mut operations: BTreeMap<Operation, (usize, Counts)> = BTreeMap::new();
        for rule in self.rules.iter().filter(|rule| rule.effect == Effect::Deny) {
            let (rules, counts) = operations.entry(rule.operation).or_default();
            *rules += 1;
            *counts += rule.counts();
        }
        operations
            .into_iter()
            .map(|(operation, (rules, counts))| OperationSummary {
                operation,
                rules,
                counts,
            })
            .collect()
    }
}

fn most(counts: Counts) -> Reverse<(u64, u64)> {
    Reverse((counts.blocks(), counts.hits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emergency::EmergencyStatus;
    use crate::{
        backend::{Backend, Mode},
        policy::Policy,
        stats::Health,
    };

    fn stats() -> Stats {
        let text = "version=1\n[deny_path]\n/a\n/b\n/c\n[allow_cgroup]\n/x\n";
        let policy = Policy::parse(text, "test.conf").unwrap();
        let rules = policy.iter().map(|(id, rule)| RuleStats {
            rule: id,
            label: rule.label(),
            section: rule.section(),
            entry: rule.entry(),
            origin: rule.origin.clone(),
            effect: rule.effect,
            operation: rule.operation,
            state: State::File(FileId::from_parts(8, 1, id.number().into())),
            audited: [0, 7, 0, 0][id.number() as usize - 1],
            denied: [2, 0, 0, 0][id.number() as usize - 1],
            exempted: [1, 0, 0, 0][id.number() as usize - 1],
        });
        let cgroup = |rule, cgroup, audited, exempted| CgroupStats {
            rule: RuleId::new(rule).unwrap(),
            cgroup,
            audited,
            denied: 0,
            exempted,
        };
        Stats {
            backend: Backend::Tracepoint,
            network_backend: Backend::Sock,
            mode: Mode::Audit,
            emergency: EmergencyStatus {
                active: false,
                last: None,
            },
            dead_man: None,
            links: Vec::new(),
            generation: 1,
            rules: rules.collect(),
            cgroups: vec![
                cgroup(1, 30, 1, 9),
                cgroup(2, 30, 1, 0),
                cgroup(2, 20, 3, 0),
            ],
            health: Health::default(),
            kernel_memory: 0,
            missed_runs: 0,
            memory: Vec::new(),
        }
    }

    #[test]
    fn files_come_with_most_blocks_first_and_without_the_unmet() {
        let files = stats().by_file();
        let rows: Vec<_> = files
            .iter()
            .map(|file| (file.object.as_str(), file.counts.blocks()))
            .collect();
        assert_eq!(rows, [("/b", 7), ("/a", 2)]);
        assert_eq!(files[1].file, Some(FileId::from_parts(8, 1, 1)));
    }

    #[test]
    fn a_cgroup_is_summed_over_rules() {
        let cgroups = stats().by_cgroup(None);
        let rows: Vec<_> = cgroups
            .iter()
            .map(|row| (row.cgroup, row.counts.blocks(), row.counts.exempted))
            .collect();
        assert_eq!(rows, [(20, 3, 0), (30, 2, 9)]);
    }

    #[test]
    fn operations_and_totals_add_up() {
        let stats = stats();
        let operations = stats.by_operation();
        let open = operations
            .iter()
            .find(|row| row.operation == Operation::Open)
            .unwrap();
        assert_eq!((open.rules, open.counts.blocks()), (3, 9));
        let all: Counts = operations.iter().map(|row| row.counts).sum();
        assert_eq!(all, stats.counts());
        assert_eq!(
            (stats.counts().blocks(), stats.counts().hits()),
            (stats.blocks(), stats.hits())
        );
    }
}
