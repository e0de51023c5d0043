//! What machine this is, so that only numbers that can be compared are compared.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plan::Plan;

/// What could not be read.
pub const UNKNOWN: &str = "unknown";

/// The machine and the enforcer. Values are text; what is missing is [`UNKNOWN`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Two records may only be compared if all of these are equal.
    pub hard: BTreeMap<String, String>,
    /// Shown beside a record.
    pub soft: BTreeMap<String, String>,
}

impl Fingerprint {
    /// A hard key's value; [`UNKNOWN`] if there is none.
    #[must_use]
    pub fn hard(&self, key: &str) -> &str {
        self.hard.get(key).map_or(UNKNOWN, String::as_str)
    }

    /// A soft key's value; [`UNKNOWN`] if there is none.
    #[must_use]
    pub fn soft(&self, key: &str) -> &str {
        self.soft.get(key).map_or(UNKNOWN, String::as_str)
    }

    /// Reads `/proc` and `/sys`. Never fails.
    #[must_use]
    pub fn read(plan: &Plan) -> Self {
        let cpuinfo = text("/proc/cpuinfo").unwrap_or_default();
        let hard = [
            ("kernel", text("/proc/sys/kernel/osrelease")),
            ("kernel build", text("/proc/sys/kernel/version")),
            (
                "cpu",
                cpu_field(&cpuinfo, &["model name", "Hardware", "CPU part"]),
            ),
            ("cpus", Some(cpus().to_string())),
            ("mitigations", mitigations()),
            ("lsm", text("/sys/kernel/security/lsm")),
            ("jit", text("/proc/sys/net/core/bpf_jit_enable")),
            ("virtualised", Some(virtualised(&cpuinfo))),
            (
                "enforcer",
                Some(format!("{} {}", plan.guard.name, plan.guard.version)),
            ),
            // The embedded workloads are built with us: unoptimised ones are other workloads.
            ("build", Some(build().to_owned())),
            ("backend", Some(plan.guard.backend.clone())),
            ("mode", Some(plan.guard.mode.clone())),
            ("policy", Some(plan.guard.policy_sha256.clone())),
            (
                "workload",
                Some(format!("{} {}", plan.workload, plan.workload_sha256)),
            ),
        ];
        let soft = [
            (
                "governor",
                text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            ),
            ("load average", text("/proc/loadavg")),
            ("memory", memory()),
            ("cgroup cpu quota", quota()),
            ("preemption", preemption()),
            ("tick", tick()),
            (
                "huge pages",
                text("/sys/kernel/mm/transparent_hugepage/enabled"),
            ),
        ];
        let known = |pairs: &[(&str, Option<String>)]| {
            let value =
                |value: &Option<String>| value.clone().unwrap_or_else(|| UNKNOWN.to_owned());
            pairs
                .iter()
                .map(|(key, found)| ((*key).to_owned(), value(found).trim().to_owned()))
                .collect()
        };
        Self {
            hard: known(&hard),
            soft: known(&soft),
        }
    }

    /// The hard keys in which two fingerprints differ.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let keys = self.hard.keys().chain(other.hard.keys());
        let differing = keys
            .filter(|key| self.hard.get(*key) != other.hard.get(*key))
            .cloned();
        let sorted: std::collections::BTreeSet<String> = differing.collect();
        sorted.into_iter().collect()
    }
}

/// CPUs that this machine runs on, at least one.
#[must_use]
pub fn cpus() -> u32 {
    let all = text("/proc/stat").unwrap_or_default();
    let count = all
        .lines()
        .filter(|line| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .count();
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

fn build() -> &'static str {
    if cfg!(debug_assertions) {
        "with debug assertions"
    } else {
        "release"
    }
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

fn cpu_field(cpuinfo: &str, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        line.split_once(':')
            .map(|(_, value)| value.trim().to_owned())
    })
}

fn virtualised(cpuinfo: &str) -> String {
    let flags = cpu_field(cpuinfo, &["flags"]).unwrap_or_default();
    if flags.split(' ').any(|flag| flag == "hypervisor") {
        "yes".to_owned()
    } else {
        "not seen".to_owned()
    }
}

/// One hash over all vulnerability files, and how many there are.
fn mitigations() -> Option<String> {
    let mut files: Vec<_> = fs::read_dir("/sys/devices/system/cpu/vulnerabilities")
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in &files {
        hash.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update(text(file).unwrap_or_default());
    }
    let hex: String = hash
        .finalize()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Some(format!("{} files, {hex}", files.len()))
}

fn memory() -> Option<String> {
    let all = text("/proc/meminfo")?;
    let line = all.lines().find(|line| line.starts_with("MemTotal"))?;
    line.split_once(':')
        .map(|(_, value)| value.trim().to_owned())
}

/// The quota of the nearest cgroup (version 2) above us that has one.
fn quota() -> Option<String> {
    let own = text("/proc/self/cgroup")?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    let quotas = below
        .ancestors()
        .filter_map(|dir| text(dir.join("cpu.max")));
    Some(
        quotas
            .into_iter()
            .find(|quota| !quota.starts_with("max"))
            .unwrap_or_else(|| "none".to_owned()),
    )
}

fn preemption() -> Option<String> {
    text("/sys/kernel/debug/sched/preempt").or_else(|| {
        let version = text("/proc/sys/kernel/version")?;
        version
            .split(' ')
            .find(|word| word.starts_with("PREEMPT"))
            .map(str::to_owned)
    })
}

/// `CONFIG_HZ`, where the kernel's configuration lies in plain text beside it.
fn tick() -> Option<String> {
    let release = text("/proc/sys/kernel/osrelease")?;
    let config = text(format!("/boot/config-{release}"))?;
    config
        .lines()
        .find_map(|line| line.strip_prefix("CONFIG_HZ=").map(|hz| format!("{hz} Hz")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_keys_that_differ_are_named() {
        let print = |kernel: &str| Fingerprint {
            hard: BTreeMap::from([("kernel".into(), kernel.into()), ("cpu".into(), "x".into())]),
            soft: BTreeMap::from([("load average".into(), kernel.into())]),
        };
        assert_eq!(
            print("6.1").differences(&print("6.1")),
            Vec::<String>::new()
        );
        assert_eq!(print("6.1").differences(&print("6.12")), ["kernel"]);
    }

    #[test]
    fn a_model_name_is_found_in_cpuinfo() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu hypervisor\n";
        assert_eq!(
            cpu_field(cpuinfo, &["model name"]).as_deref(),
            Some("Some CPU @ 2 GHz")
        );
        assert_eq!(virtualised(cpuinfo), "yes");
    }
}
