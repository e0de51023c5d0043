//! What the enforcer has counted: one struct behind every output.

mod summary;

use std::{ops::AddAssign, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    backend::{Backend, Mode},
    emergency::EmergencyStatus,
    policy::{Effect, Operation, Origin, RuleId},
    table::State,
};

pub use self::summary::{CgroupSummary, Counts, FileSummary, OperationSummary};

/// All counters at one moment. They only grow while a rule is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The way into the kernel.
    pub backend: Backend,
    /// The one that holds the rules about the network; another only beside tracepoints.
    pub network_backend: Backend,
    /// What becomes of a denied access.
    pub mode: Mode,
    /// Is there an emergency? Then every refusal is an audit, whatever the mode.
    pub emergency: EmergencyStatus,
    /// The dead-man timer, if there is one.
    pub dead_man: Option<DeadMan>,
    /// Hooks that are attached, sorted.
    pub links: Vec<String>,
    /// How often a policy was applied.
    pub generation: u32,
    /// Each rule of the current policy, in the order of ids.
    pub rules: Vec<RuleStats>,
    /// Each (rule, cgroup) that was met, most hits first.
    pub cgroups: Vec<CgroupStats>,
    /// What was reported, and what went wrong.
    pub health: Health,
    /// Bytes that maps and programs hold in the kernel. Exact since Linux 6.4; before that an upper bound.
    pub kernel_memory: u64,
    /// Runs of our programs that the kernel skipped. Each may be an access that passed unseen, so above zero it is an
    /// alarm. Only [`Backend::ModifyReturn`] can have any, on fully preemptible kernels. 0 before Linux 5.12, which do not tell.
    pub missed_runs: u64,
    /// The same, for each map, program and kept policy.
    pub memory: Vec<Memory>,
}

/// What one thing holds in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Memory {
    /// A map as the object names it, a hook for its program, or `policy N` for the words of generation N.
    pub of: String,
    /// How much.
    pub bytes: u64,
}

/// The timer that turns refusals into audits when the daemon is not heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeadMan {
    /// How long the daemon may be silent.
    pub patience: Duration,
    /// Has it been silent for longer?
    pub expired: bool,
}

impl Stats {
    /// Accesses that met a rule: audited, denied and exempted.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.counts().hits()
    }

    /// Accesses that were refused, or would be in enforce mode.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.counts().blocks()
    }
}

/// The counters of one rule. Exact, whatever happens to events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RuleStats {
    /// The rule's id.
    pub rule: RuleId,
    /// `production.conf:14 /etc/shadow`.
    pub label: String,
    /// The section that it stands in: `deny_path`.
    pub section: &'static str,
    /// What stands on its line: `/etc/shadow`.
    pub entry: String,
    /// Where it is written.
    pub origin: Origin,
    /// Deny or allow.
    pub effect: Effect,
    /// What it is about.
    pub operation: Operation,
    /// What it became on this host.
    pub state: State,
    /// Accesses that met it and passed because of mode or hook.
    pub audited: u64,
    /// Accesses that it refused.
    pub denied: u64,
    /// Accesses that met it and that an exception allowed.
    pub exempted: u64,
}

/// The counters of one rule in one cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CgroupStats {
    /// The rule's id.
    pub rule: RuleId,
    /// The cgroup's id: the inode number of its directory.
    pub cgroup: u64,
    /// As in [`RuleStats`].
    pub audited: u64,
    /// As in [`RuleStats`].
    pub denied: u64,
    /// As in [`RuleStats`].
    pub exempted: u64,
}

/// What was reported, and what went wrong. Every fault allowed the access.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// Events handed over.
    pub emitted: u64,
    /// Hits that the sampling left out of the events.
    pub sampled_out: u64,
    /// Events lost to a full ring buffer.
    pub dropped: u64,
    /// The current generation had no policy.
    pub fault_no_policy: u64,
    /// A kernel structure could not be read; also a descriptor that another thread closed at once.
    pub fault_read: u64,
    /// A (rule, cgroup) counter could not be made: there are too many.
    pub fault_counts: u64,
    /// A rule had no counter.
    pub fault_totals: u64,
    /// A cgroup lies deeper than 32 levels.
    pub fault_depth: u64,
    /// A file came to bear a denied name and could not be bound to its rule: there are too many.
    pub fault_bound: u64,
    /// A directory on the way to a denied file was replaced or mounted over by one who may, or made where none
    /// was: applying the policy again looks the files up anew. No fault.
    pub names_moved: u64,
    /// Accesses that a rule would have refused, but for an emergency.
    pub passed_by_emergency: u64,
    /// Accesses that a rule would have refused, but the daemon was not heard of.
    pub passed_by_dead_man: u64,
}

impl AddAssign for Health {
    fn add_assign(&mut self, other: Self) {
        self.emitted += other.emitted;
        self.sampled_out += other.sampled_out;
        self.dropped += other.dropped;
        self.fault_no_policy += other.fault_no_policy;
        self.fault_read += other.fault_read;
        self.fault_counts += other.fault_counts;
        self.fault_totals += other.fault_totals;
        self.fault_depth += other.fault_depth;
        self.fault_bound += other.fault_bound;
        self.names_moved += other.names_moved;
        self.passed_by_emergency += other.passed_by_emergency;
        self.passed_by_dead_man += other.passed_by_dead_man;
    }
}

impl Health {
    /// All faults together.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.causes().iter().map(|(_, count)| count).sum()
    }

    /// The faults by their causes.
    #[must_use]
    pub fn causes(&self) -> [(&'static str, u64); 6] {
        [
            ("no_policy", self.fault_no_policy),
            ("read", self.fault_read),
            ("counts", self.fault_counts),
            ("totals", self.fault_totals),
            ("depth", self.fault_depth),
            ("bound", self.fault_bound),
        ]
    }
}

/// Runs of one hook while [`Control::count_runs`](crate::Control::count_runs) was on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HookRuns {
    /// The hook.
    pub hook: String,
    /// How often it ran.
    pub runs: u64,
    /// How long, in nanoseconds.
    pub nanos: u64,
}
