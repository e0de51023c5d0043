//! What is told, for people and for machines.

use std::time::Duration;

use aegisbpf_core::{
    Backend, Control, EmergencyStatus, Mode, State,
    cgroup::CgroupTree,
    stats::{
        CgroupSummary, Counts, DeadMan, FileSummary, Health, HookRuns, OperationSummary, RuleStats,
    },
};
use serde::Serialize;

use crate::{args::StatsArgs, exit::Failure, memory::resident};

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) backend: Backend,
    pub(super) network_backend: Backend,
    pub(super) mode: Mode,
    /// Whether everything passes, and who did it.
    pub(super) emergency: EmergencyStatus,
    pub(super) dead_man: Option<DeadMan>,
    /// The process that reads the events; none if the enforcer is only pinned.
    pub(super) pid: Option<u32>,
    /// How often a policy was applied.
    pub(super) generation: u32,
    pub(super) rules: usize,
    pub(super) unresolved: usize,
    #[serde(flatten)]
    pub(super) counts: Counts,
    pub(super) blocks: u64,
    pub(super) events: Health,
    pub(super) memory: Memory,
    #[serde(flatten)]
    pub(super) detail: Option<Detail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) runs: Option<Vec<Runs>>,
}

/// Bytes.
#[derive(Serialize)]
pub(super) struct Memory {
    /// Of maps and programs.
    pub(super) kernel: u64,
    /// Resident, of the process that runs the enforcer.
    pub(super) process: Option<u64>,
}

/// What `--detailed` adds.
#[derive(Serialize)]
pub(super) struct Detail {
    pub(super) links: Vec<String>,
    /// What each map and program holds in the kernel.
    pub(super) memory_of: Vec<aegisbpf_core::stats::Memory>,
    pub(super) by_rule: Vec<RuleStats>,
    pub(super) by_file: Vec<FileSummary>,
    pub(super) by_cgroup: Vec<CgroupSummary>,
    pub(super) by_operation: Vec<OperationSummary>,
}

/// What a hook cost while it was counted.
#[derive(Serialize)]
pub(super) struct Runs {
    pub(super) hook: String,
    pub(super) runs: u64,
    pub(super) nanos: u64,
    /// For one run; none if it did not run.
    pub(super) nanos_each: Option<u64>,
    pub(super) seconds: f64,
}

impl Report {
    pub(super) fn new(
        control: &Control,
        tree: Option<&CgroupTree>,
        args: &StatsArgs,
        runs: Option<Vec<Runs>>,
    ) -> Result<Self, Failure> {
        let stats = control.stats()?;
        let pid = control.daemon();
        let unresolved = stats
            .rules
            .iter()
            .filter(|rule| matches!(rule.state, State::Unresolved(_)))
            .count();
        let detail = args.detailed.then(|| Detail {
            links: stats.links.clone(),
            memory_of: stats.memory.clone(),
            by_file: top(stats.by_file(), args.top),
            by_cgroup: top(stats.by_cgroup(tree), args.top),
            by_operation: stats.by_operation(),
            by_rule: stats.rules.clone(),
        });
        let counts = stats.counts();
        Ok(Self {
            backend: stats.backend,
            network_backend: stats.network_backend,
            mode: stats.mode,
            emergency: stats.emergency,
            dead_man: stats.dead_man,
            pid,
            generation: stats.generation,
            rules: stats.rules.len(),
            unresolved,
            counts,
            blocks: counts.blocks(),
            events: stats.health,
            memory: Memory {
                kernel: stats.kernel_memory,
                process: pid.and_then(resident),
            },
            detail,
            runs,
        })
    }
}

fn top<T>(mut rows: Vec<T>, most: usize) -> Vec<T> {
    if most > 0 {
        rows.truncate(most);
    }
    rows
}

/// What happened between two looks.
pub(super) fn runs(before: &[HookRuns], after: Vec<HookRuns>, time: Duration) -> Vec<Runs> {
    after
        .into_iter()
        .map(|hook| {
            let earlier = before.iter().find(|earlier| earlier.hook == hook.hook);
            let runs = hook.runs - earlier.map_or(0, |earlier| earlier.runs.min(hook.runs));
            let nanos = hook.nanos - earlier.map_or(0, |earlier| earlier.nanos.min(hook.nanos));
            Runs {
                hook: hook.hook,
                runs,
                nanos,
                nanos_each: nanos.checked_div(runs),
                seconds: time.as_secs_f64(),
            }
        })
        .collect()
}
