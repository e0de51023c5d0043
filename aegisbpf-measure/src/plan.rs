//! The plan: everything that a verdict depends on, fixed and hashed before the first block runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::guard::Identity;

/// How much overhead is accepted, metric by metric. The defaults are the project's success criteria.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Loss of throughput (operations a wall second), in percent. Default 5.
    pub throughput_percent: f64,
    /// Rise of the 95th percentile of latency, in percent. Default 5.
    pub p95_percent: f64,
    /// Rise of the 99th percentile of latency, in percent. Default 10.
    pub p99_percent: f64,
    /// Additional CPU time, in percentage points of the whole machine. Default 2.
    pub cpu_points: f64,
    /// Memory of the enforcer, in bytes. Default 50,000,000.
    pub memory_bytes: u64,
    /// For batch jobs: rise of wall time, in percent, judged instead of `throughput_percent`. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_time_percent: Option<f64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            throughput_percent: 5.0,
            p95_percent: 5.0,
            p99_percent: 10.0,
            cpu_points: 2.0,
            memory_bytes: 50_000_000,
            wall_time_percent: None,
        }
    }
}

/// Everything that is decided before the first block. Nothing in it changes after it was hashed.
///
/// Make one with [`Plan::new`] and set fields before handing it to [`run`](crate::engine::run).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Name of the workload (`web::nginx_static`).
    pub workload: String,
    /// SHA-256 of the workload's configuration, if it has one. Default empty.
    pub workload_sha256: String,
    /// Who is measured. Must equal what the guard says of itself.
    pub guard: Identity,
    /// What is accepted.
    pub limits: Limits,
    /// One-sided error level of each verdict, over all looks together. Default 0.05.
    pub alpha: f64,
    /// Counted time of a service's block: two thirds open loop, one third closed loop. Default 1 s.
    /// A batch job's block is one unit of work, whatever it takes.
    #[serde(with = "crate::guard::nanos")]
    pub window: Duration,
    /// Uncounted time before each window. Default 50 ms; the engine raises it to twice the slowest switch, and
    /// to 50 ms at least.
    #[serde(with = "crate::guard::nanos")]
    pub settle: Duration,
    /// Time for everything, from the first switch to the last block. Default 60 s.
    #[serde(with = "crate::guard::nanos")]
    pub budget: Duration,
    /// Numbers of quads after which the data are looked at, ascending. Default 6, 9, 13, 18, 25, 34, 46, 62, 83, 111.
    /// The last quad that the budget allows is always a look.
    pub looks: Vec<u32>,
    /// Quads that are run even if the budget is too small for them (fewer cannot decide anything). Default 6.
    pub min_quads: u32,
    /// Quads that are never exceeded, however large the budget. Default 111.
    pub max_quads: u32,
    /// Quads of bare blocks with made-up labels before the first quad, that show what this machine resolves. Default 1.
    pub pilot_quads: u32,
    /// After so many quads comes one more placebo: bare, labels made up. 0: none. Default 8.
    pub placebo_every: u32,
    /// One spike-in before the first quad and one after so many: bare, a known delay in the guarded labels. 0: none. Default 8.
    pub spike_every: u32,
    /// That delay, in percent of the window's time. Default 10.
    pub spike_percent: f64,
    /// Blocks after which the warm-up ends in any case. Default 12.
    pub warmup_blocks: u32,
    /// Window of the untimed block in which the runs of the hooks are counted (services). Default 150 ms.
    #[serde(with = "crate::guard::nanos")]
    pub probe: Duration,
    /// A quad is excluded if the hypervisor stole more than this share of CPU time in one of its blocks, in percent. Default 10.
    pub exclude_steal_percent: f64,
    /// A quad is excluded if the CPU time of others differs by more than this between two of its blocks, in percentage points
    /// of the machine. Default 100: never.
    pub exclude_foreign_points: f64,
    /// The generator's lag is excused up to here, however short the latency. Default 100 µs: what a wake-up costs.
    #[serde(with = "crate::guard::nanos")]
    pub lag_floor: Duration,
    /// Seeds the coin of each quad, and the schedules of the blocks. Default 1.
    pub seed: u64,
}

/// Times are added and multiplied; no clock of ours has more.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);

/// A plan that cannot be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the plan's `{field}` is {found}; it must be {wanted}")]
pub struct PlanError {
    field: &'static str,
    found: String,
    wanted: &'static str,
}

impl Plan {
    /// A plan with the default limits, times and looks.
    #[must_use]
    pub fn new(workload: impl Into<String>, guard: Identity) -> Self {
        Self {
            workload: workload.into(),
            workload_sha256: String::new(),
            guard,
            limits: Limits::default(),
            alpha: 0.05,
            window: Duration::from_secs(1),
            settle: Duration::from_millis(50),
            budget: Duration::from_secs(60),
            looks: vec![6, 9, 13, 18, 25, 34, 46, 62, 83, 111],
            min_quads: 6,
            max_quads: 111,
            pilot_quads: 1,
            placebo_every: 8,
            spike_every: 8,
            spike_percent: 10.0,
            warmup_blocks: 12,
            probe: Duration::from_millis(150),
            exclude_steal_percent: 10.0,
            exclude_foreign_points: 100.0,
            lag_floor: Duration::from_micros(100),
            seed: 1,
        }
    }

    /// SHA-256 of the plan's JSON, hexadecimal. Equal plans have equal hashes.
    #[must_use]
    pub fn sha256(&self) -> String {
        let json = serde_json::to_vec(self).expect("a plan has string keys only");
        Sha256::digest(json)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Whether the plan can be carried out.
    ///
    /// # Errors
    /// Names the first field that is out of its range.
    pub fn check(&self) -> Result<(), PlanError> {
        let fault = |field, found: &dyn ToString, wanted| {
            let found = found.to_string();
            Err(PlanError {
                field,
                found,
                wanted,
            })
        };
        if !(self.alpha > 0.0 && self.alpha < 0.5) {
            return fault("alpha", &self.alpha, "between 0 and 0.5");
        }
        let limits = &self.limits;
        if !(limits.throughput_percent > 0.0 && limits.throughput_percent < 100.0) {
            let (field, found) = ("limits.throughput_percent", &limits.throughput_percent);
            return fault(field, found, "between 0 and 100");
        }
        for (field, value) in [
            ("limits.p95_percent", limits.p95_percent),
            ("limits.p99_percent", limits.p99_percent),
            ("limits.cpu_points", limits.cpu_points),
            (
                "limits.wall_time_percent",
                limits.wall_time_percent.unwrap_or(1.0),
            ),
            ("exclude_steal_percent", self.exclude_steal_percent),
            ("exclude_foreign_points", self.exclude_foreign_points),
            ("spike_percent", self.spike_percent),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return fault(field, &value, "above 0");
            }
        }
        if self.window.is_zero() {
            return fault("window", &"0 s", "above 0");
        }
        for (field, time) in [
            ("window", self.window),
            ("settle", self.settle),
            ("budget", self.budget),
            ("probe", self.probe),
        ] {
            if time > LONGEST {
                return fault(field, &format!("{time:?}"), "less than ten years");
            }
        }
        if !self.looks.is_sorted_by(|a, b| a < b) {
            return fault("looks", &format!("{:?}", self.looks), "ascending");
        }
        if self.min_quads == 0 || self.max_quads < self.min_quads {
            let found = format!("{} of {}", self.min_quads, self.max_quads);
            return fault("min_quads", &found, "between 1 and max_quads");
        }
        if self.warmup_blocks < 2 {
            return fault("warmup_blocks", &self.warmup_blocks, "at least 2");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let guard = Identity {
            name: "fake".into(),
            version: "1".into(),
            backend: "fake".into(),
            mode: "audit".into(),
            policy: "none".into(),
            policy_sha256: "00".into(),
            hooks: vec!["file_open".into()],
        };
        Plan::new("files::fake", guard)
    }

    #[test]
    fn the_hash_is_the_same_for_the_same_plan_in_every_build() {
        let hash = plan().sha256();
        assert_eq!(
            hash,
            "ecbe0ec84d6a8a0a4da296dca471cdafc4408ff14112b4f1298bcec1e5ef8dde"
        );
        let json = serde_json::to_string(&plan()).unwrap();
        let again: Plan = serde_json::from_str(&json).unwrap();
        assert_eq!(again.sha256(), hash);
    }

    #[test]
    fn the_hash_changes_with_a_limit() {
        let mut other = plan();
        other.limits.cpu_points = 3.0;
        assert_ne!(other.sha256(), plan().sha256());
    }

    #[test]
    fn an_unknown_limit_is_refused() {
        let error = serde_json::from_str::<Limits>(r#"{"p99_precent": 10}"#).unwrap_err();
        assert!(error.to_string().contains("p99_precent"), "{error}");
    }

    #[test]
    fn a_plan_out_of_range_names_the_field() {
        assert_eq!(plan().check(), Ok(()));
        let mut bad = plan();
        bad.looks = vec![9, 6];
        assert!(bad.check().unwrap_err().to_string().contains("looks"));
        let mut bad = plan();
        bad.budget = Duration::MAX;
        assert!(bad.check().unwrap_err().to_string().contains("budget"));
        let mut bad = plan();
        bad.limits.throughput_percent = 100.0;
        let error = bad.check().unwrap_err();
        assert!(error.to_string().contains("throughput_percent"), "{error}");
    }
}
