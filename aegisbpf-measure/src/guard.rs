//! What the engine sees of an enforcer: something that can be switched on and off, and proves which it is.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::workload::BoxError;

/// Who the enforcer is. Goes into the plan and the fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Name of the product, as the reports print it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How it hooks into the kernel (`tracepoint`, `lsm`, …).
    pub backend: String,
    /// `audit` or `enforce`.
    pub mode: String,
    /// Where the policy came from.
    pub policy: String,
    /// SHA-256 of the policy text, hexadecimal.
    pub policy_sha256: String,
    /// The links that `protect` attaches, sorted. The treatment check compares them with what it finds.
    pub hooks: Vec<String>,
}

/// What the enforcer has done so far. All counts are totals that only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Links attached now, sorted.
    pub links: Vec<String>,
    /// Decisions on a matching rule: audited, denied and exempted.
    pub hits: u64,
    /// The part of `hits` that was audited or denied ("blocks" in the reports).
    pub blocks: u64,
    /// Events handed to the consumer.
    pub events: u64,
    /// Events lost because the ring buffer was full.
    pub drops: u64,
    /// Runs of each hook, and their time, while [`Guard::count_runs`] was on.
    pub runs: BTreeMap<String, Runs>,
    /// CPU time of the enforcer's own process.
    #[serde(with = "crate::guard::nanos")]
    pub cpu: Duration,
}

/// How often a program ran, and how long in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// `run_cnt`.
    pub count: u64,
    /// `run_time_ns`. Zero where the enforcer does not tell.
    pub nanos: u64,
}

impl Runs {
    /// What was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            count: self.count.saturating_sub(earlier.count),
            nanos: self.nanos.saturating_sub(earlier.nanos),
        }
    }
}

/// An empty program of the enforcer's kind: what the kernel's statistics say it costs, and what it really costs.
///
/// The statistics contain their own clock reads and miss the way into the program and out of it. The difference is
/// the same for every program, so each call is corrected by it. Picoseconds, so that a record replays bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptyProgram {
    /// τ₀: `run_time_ns / run_cnt` of the empty program, with statistics on.
    pub reported_ps: u64,
    /// δ₀: what attaching it adds to one event, without statistics: median of paired differences.
    pub true_ps: u64,
    /// Half width of the 95 % interval of δ₀.
    pub margin_ps: u64,
}

/// Memory held by the enforcer, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Proportional set size of its process. The ring buffer's pages are counted here or in `kernel`, once.
    pub process: u64,
    /// Its maps and programs in the kernel.
    pub kernel: u64,
}

impl Memory {
    /// Both together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.process + self.kernel
    }
}

/// What of the policy was met: where overhead and false positives come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matches {
    /// Rules with a hit, most hits first.
    pub rules: Vec<Matched>,
    /// Control groups whose processes met a rule, most hits first. Empty where the enforcer does not tell.
    pub cgroups: Vec<Matched>,
}

/// A rule or a control group, and how often it was met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    /// The rule's label, or the control group's path.
    pub what: String,
    /// Audited or denied.
    pub blocks: u64,
    /// Allowed by an exception.
    pub exempted: u64,
}

/// An enforcer that can be switched on and off: ours, another product, or a fake.
///
/// The bare arm is "loaded, nothing attached": `release` must not unload, so that both arms differ in
/// the hooks alone.
pub trait Guard {
    /// Who it is.
    fn identity(&self) -> Identity;

    /// Attaches. Returns when the hooks are in force.
    ///
    /// # Errors
    /// If any planned hook could not be attached.
    fn protect(&mut self) -> Result<(), BoxError>;

    /// Detaches. Returns when no hook runs any more. Doing it twice is fine.
    ///
    /// # Errors
    /// If a hook could not be detached.
    fn release(&mut self) -> Result<(), BoxError>;

    /// What it has done so far.
    ///
    /// # Errors
    /// If the counters cannot be read.
    fn evidence(&mut self) -> Result<Evidence, BoxError>;

    /// Makes exactly one access that the policy denies, from a process that is not the enforcer's, and waits
    /// until it is counted. The treatment check: one hit when protected, none when released.
    ///
    /// # Errors
    /// If the access could not be made at all. (Being refused is not an error.)
    fn touch_denied(&mut self) -> Result<(), BoxError>;

    /// Switches the counting of hook runs. It costs tens of nanoseconds a run, so it is off in every timed block.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn count_runs(&mut self, on: bool) -> Result<(), BoxError>;

    /// Memory held now. `None`: nobody knows which memory is its own, and none is judged.
    ///
    /// # Errors
    /// If it cannot be read.
    fn memory(&mut self) -> Result<Option<Memory>, BoxError>;

    /// Measures an empty program where its own would run; called once, released, before the first quad. `None` (the
    /// default): it has no such program, and attribution takes the kernel's statistics as they are.
    ///
    /// # Errors
    /// If it should be able to, but is not.
    fn calibrate(&mut self) -> Result<Option<EmptyProgram>, BoxError> {
        Ok(None)
    }

    /// What of the policy was met so far, without the touches of the treatment check. By default nothing is known.
    ///
    /// # Errors
    /// If it cannot be read.
    fn matches(&mut self) -> Result<Matches, BoxError> {
        Ok(Matches::default())
    }
}

pub(crate) mod nanos {
    //! Durations as whole nanoseconds, so that a record replays bit for bit.
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_nanos)
    }
}

pub(crate) mod nanos_or_none {
    //! The same for what may be missing.
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        d.map(crate::record::nanos).serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(d)?.map(Duration::from_nanos))
    }
}
