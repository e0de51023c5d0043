//! Reading what was counted.

use super::{Control, shared::Shared};
use crate::{
    emergency,
    error::Result,
    kernel::{StatsSwitch, blob},
    policy::RuleId,
    stats::{CgroupStats, HookRuns, Memory, RuleStats, Stats},
};

impl Control {
    /// All counters now.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn stats(&self) -> Result<Stats> {
        let settings = self.maps.settings()?;
        let kept = self.current()?;
        let mut totals = self.maps.totals()?;
        self.carried.add_to_rules(&mut totals);
        let rules = kept.table.rows.iter().map(|(id, row)| {
            let counts = totals.get(&id.number()).copied().unwrap_or_default();
            RuleStats {
                rule: *id,
                label: row.rule.label(),
                section: row.rule.section(),
                entry: row.rule.entry(),
                origin: row.rule.origin.clone(),
                effect: row.rule.effect,
                operation: row.rule.operation,
                state: row.state.clone(),
                audited: counts.audited,
                denied: counts.denied,
                exempted: counts.exempted,
            }
        });
        let rules: Vec<_> = rules.collect();
        let mut by_cgroup = self.maps.by_cgroup()?;
        self.carried.add_to_cgroups(&mut by_cgroup);
        let mut cgroups: Vec<_> = by_cgroup
            .into_iter()
            .filter_map(|(key, counts)| {
                Some(CgroupStats {
                    rule: RuleId::new(key.rule)?,
                    cgroup: key.cgroup,
                    audited: counts.audited,
                    denied: counts.denied,
                    exempted: counts.exempted,
                })
            })
            .collect();
        cgroups.sort_by_key(|c| {
            (
                std::cmp::Reverse(c.audited + c.denied + c.exempted),
                c.rule,
                c.cgroup,
            )
        });
        let memory = self.memory()?;
        let mut health = self.maps.health()?;
        health += self.carried.health();
        Ok(Stats {
            backend: self.backend,
            network_backend: self.backend.of_network(),
            mode: self.mode(),
            emergency: emergency::status(&self.maps.brakes.emergency()?),
            dead_man: self.dead_man()?,
            links: self.links(),
            generation: settings.generation,
            rules,
            cgroups,
            health,
            kernel_memory: memory.iter().map(|part| part.bytes).sum(),
            memory,
            missed_runs: self.loaded.missed_runs()?,
        })
    }

    /// Bytes that maps and programs hold in the kernel. Exact since Linux 6.4; before that an upper bound.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn kernel_memory(&self) -> Result<u64> {
        Ok(self.memory()?.iter().map(|part| part.bytes).sum())
    }

    fn memory(&self) -> Result<Vec<Memory>> {
        let maps = self.maps.memory()?;
        let maps = maps.into_iter().map(|(name, bytes)| (name.into(), bytes));
        let mut memory: Vec<_> = maps.chain(self.loaded.memory()?).collect();
        if let Some(Shared { pins, .. }) = &self.shared {
            for generation in pins.policies() {
                // One that was just replaced is no more.
                if let Ok(bytes) = blob::memory(&pins.policy(generation)) {
                    memory.push((format!("policy {generation}"), bytes));
                }
            }
        }
        let memory = memory
            .into_iter()
            .map(|(of, bytes)| Memory { of, bytes })
            .collect();
        Ok(memory)
    }

    /// Switches the counting of hook runs (`BPF_ENABLE_STATS`), which costs every BPF program on the machine some tens
    /// of nanoseconds a run. Off by default, and off again when the enforcer is dropped.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn count_runs(&mut self, on: bool) -> Result<()> {
        self.counting = match (on, self.counting.take()) {
            (true, Some(counting)) => Some(counting),
            (true, None) => Some(StatsSwitch::on()?),
            (false, _) => None,
        };
        Ok(())
    }

    /// Runs and time of each hook that is attached or has run, while [`Control::count_runs`] was on.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn hook_runs(&self) -> Result<Vec<HookRuns>> {
        self.loaded.runs()
    }
}
