//! The words between harness and enforcer: one command, one answer, each a line of JSON.

use std::collections::BTreeMap;

use aegisbpf_measure::guard::{EmptyProgram, Identity, Matches, Runs};
use serde::{Deserialize, Serialize};

/// What the harness asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Attach all hooks that the policy needs.
    Protect,
    /// Detach them.
    Release,
    /// Tell the counters.
    Evidence,
    /// Switch the counting of hook runs.
    CountRuns(bool),
    /// Tell the memory held in the kernel.
    Memory,
    /// Tell what of the policy was met.
    Matches,
    /// Measure an empty program.
    Calibrate,
    /// End.
    Quit,
}

/// What the enforcer answers. The first answer, [`Answer::Ready`], comes unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Objects are loaded and maps filled; nothing is attached.
    Ready(Identity),
    /// It is done.
    Done,
    /// The counters.
    Evidence(Counters),
    /// Bytes of its maps and programs.
    Memory(u64),
    /// What an empty program costs; nothing where the backend has none.
    Empty(Option<EmptyProgram>),
    /// What of the policy was met, the canary's rule included.
    Matches(Matches),
    /// This machine cannot run the enforcer; why, and what to do.
    Unsupported(String),
    /// It could not be done, and why.
    Failed(String),
}

/// What the enforcer counts; its CPU time is read from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Links attached now.
    pub links: Vec<String>,
    /// Decisions on a matching rule.
    pub hits: u64,
    /// The part of them that was audited or denied.
    pub blocks: u64,
    /// Events handed to the consumer.
    pub events: u64,
    /// Events lost.
    pub drops: u64,
    /// Runs of each hook, and their time, while counting was on.
    pub runs: BTreeMap<String, Runs>,
}
