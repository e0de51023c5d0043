//! The second, independent estimate: what each hook and the enforcer's own process were seen to cost.

use serde::{Deserialize, Serialize};

use crate::guard::EmptyProgram;

/// Where the overhead goes: the rows of the waterfall are the hooks, the enforcer's process, and what is unexplained.
///
/// `direct` = hooks + process. All percentages are of the bare arm's CPU time per operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// CPU time per operation in the bare arm, in nanoseconds.
    pub bare_ns: f64,
    /// Each hook, the dearest first.
    pub hooks: Vec<HookShare>,
    /// CPU time of the enforcer's own process per operation (guarded minus bare), in nanoseconds.
    pub process_ns: f64,
    /// The same in percent.
    pub process_percent: f64,
    /// Hooks and process together, in percent.
    pub direct_percent: f64,
    /// Its 95 % interval over the quads.
    pub direct_interval: Option<(f64, f64)>,
    /// The same in percentage points of the machine at the load that was measured.
    pub direct_points: Option<f64>,
    /// The paired estimate of CPU time per operation, in percent.
    pub paired_percent: Option<f64>,
    /// Its 95 % interval.
    pub paired_interval: Option<(f64, f64)>,
    /// Paired minus direct: caches, the way into the hooks, noise.
    pub unexplained_percent: Option<f64>,
    /// (paired − direct) / standard error of both. Beyond ±2.58 the two estimates disagree.
    pub z: Option<f64>,
    /// The empty program that the calls are corrected by.
    pub empty: Option<EmptyProgram>,
    /// Probes that it rests on.
    pub probes: u32,
    /// What a reader should know about it.
    pub notes: Vec<String>,
}

/// One hook's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HookShare {
    /// Its name.
    pub hook: String,
    /// Runs per operation.
    pub runs_per_operation: f64,
    /// Calibrated cost of a run, in nanoseconds.
    pub ns_per_run: f64,
    /// CPU time per operation, in nanoseconds.
    pub ns_per_operation: f64,
    /// The same in percent of the bare arm's CPU time per operation.
    pub percent: f64,
}
