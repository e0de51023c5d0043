//! What can be asked of a loaded enforcer: apply a policy, change the mode, read the counters.

use std::collections::BTreeSet;

use aegisbpf_bpf::abi;

use crate::{
    backend::{Backend, Mode},
    error::Result,
    events::Labels,
    kernel::{Loaded, Maps, StatsSwitch, capability, support},
    policy::{Policy, Problem, Problems, RuleId},
    resolve::{Reason, resolve},
    stats::{CgroupStats, HookRuns, RuleStats, Stats},
    table::{State, Table},
};

/// A loaded enforcer's verbs. Reached through [`Enforcer`](crate::Enforcer).
pub struct Control {
    backend: Backend,
    loaded: Loaded,
    maps: Maps,
    table: Table,
    labels: Labels,
    counting: Option<StatsSwitch>,
    attached: bool,
}

/// What [`Control::apply`] made of a policy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Applied {
    /// Rules in force.
    pub rules: usize,
    /// Rules that match nothing because what they name is not there: the rule's id, label and the reason.
    pub unresolved: Vec<(RuleId, String, Reason)>,
    /// What the policy's text and this host gave to think about.
    pub warnings: Vec<Problem>,
}

impl Control {
    pub(crate) fn new(
        backend: Backend,
        mut loaded: Loaded,
        mut maps: Maps,
        mode: Mode,
        sample_every: u32,
    ) -> Result<Self> {
        let self_tgid = loaded.own_tgid()?;
        maps.set(|control| {
            control.mode = mode_number(mode);
            control.sample_every = sample_every;
            control.self_tgid = self_tgid;
        })?;
        Ok(Self {
            backend,
            loaded,
            maps,
            table: Table::default(),
            labels: Labels::default(),
            counting: None,
            attached: false,
        })
    }

    pub(crate) fn labels(&self) -> Labels {
        self.labels.clone()
    }

    /// The way into the kernel.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What becomes of a denied access.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.maps.settings().mode == abi::MODE_ENFORCE {
            Mode::Enforce
        } else {
            Mode::Audit
        }
    }

    /// Hooks that are attached now, sorted.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        self.loaded.links()
    }

    /// Replaces the whole policy, at once: any access is decided by the old one or by the new one. Rules that
    /// both have keep their counters. Hooks that only the new policy needs are attached, those that none needs
    /// are detached.
    ///
    /// # Errors
    /// [`Error::Policy`](crate::Error::Policy) if a rule cannot hold on this host, or if the kernel refuses; then the old
    /// policy stands, whole. Only an error that names the old policy's remains comes after the change: then the new
    /// policy stands, whole, and some memory is held until the next one.
    pub fn apply(&mut self, policy: &Policy) -> Result<Applied> {
        capability::require(self.backend, self.mode(), policy)?;
        let resolution = resolve(policy)?;
        let next = self.table.succeed(policy, &resolution);
        // Before the switch: a hook without rules decides nothing, so attaching early is harmless, and a
        // refusal here changes nothing.
        let had = self.table.needs();
        let needs = next.needs();
        if self.attached {
            self.loaded.attach(&needs)?;
        }
        self.labels.replace(&self.table, &next);
        if let Err(e) = self.maps.switch(&self.table, &next) {
            self.loaded.detach_except(&had)?;
            return Err(e);
        }
        let previous = std::mem::replace(&mut self.table, next);
        let retired = self.maps.retire(&previous, &self.table);
        self.loaded.detach_except(&needs)?;
        retired?;
        Ok(self.applied(policy, resolution.warnings()))
    }

    fn applied(&self, policy: &Policy, warnings: &Problems) -> Applied {
        let unresolved = self
            .table
            .rows
            .iter()
            .filter_map(|(id, row)| match &row.state {
                State::Unresolved(reason) => Some((*id, row.rule.label(), reason.clone())),
                _ => None,
            });
        Applied {
            rules: self.table.rows.len(),
            unresolved: unresolved.collect(),
            warnings: policy
                .warnings()
                .iter()
                .chain(warnings.iter())
                .cloned()
                .collect(),
        }
    }

    /// Attaches the hooks that the policy needs. A policy without a deny rule needs none.
    ///
    /// # Errors
    /// If the kernel refuses one; then none is attached.
    pub fn attach(&mut self) -> Result<()> {
        self.loaded.attach(&self.table.needs())?;
        self.attached = true;
        Ok(())
    }

    /// Detaches all hooks. Policy and counters stay; [`Control::attach`] takes up again. Doing it twice is fine.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn detach(&mut self) -> Result<()> {
        self.attached = false;
        self.loaded.detach_except(&BTreeSet::new())
    }

    /// Changes between audit and enforce, for all hooks at once.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for [`Mode::Enforce`] on a backend that can only audit.
    pub fn set_mode(&mut self, mode: Mode) -> Result<()> {
        if mode == Mode::Enforce && self.backend == Backend::Tracepoint {
            return Err(support::audit_only());
        }
        self.maps.set(|control| control.mode = mode_number(mode))
    }

    /// All counters now.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn stats(&self) -> Result<Stats> {
        let totals = self.maps.totals()?;
        let rules = self.table.rows.iter().map(|(id, row)| {
            let counts = totals.get(&id.number()).copied().unwrap_or_default();
            RuleStats {
                rule: *id,
                label: row.rule.label(),
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
        let mut cgroups: Vec<_> = self
            .maps
            .by_cgroup()?
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
        Ok(Stats {
            backend: self.backend,
            mode: self.mode(),
            links: self.links(),
            generation: self.maps.settings().generation,
            rules,
            cgroups,
            health: self.maps.health()?,
            kernel_memory: self.kernel_memory()?,
        })
    }

    /// Bytes that maps and programs hold in the kernel. Exact since Linux 6.4; before that an upper bound.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn kernel_memory(&self) -> Result<u64> {
        Ok(self.maps.memory()? + self.loaded.memory()?)
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

    /// Runs and time of each hook while [`Control::count_runs`] was on.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn hook_runs(&self) -> Result<Vec<HookRuns>> {
        self.loaded.runs()
    }
}

fn mode_number(mode: Mode) -> u32 {
    match mode {
        Mode::Audit => abi::MODE_AUDIT,
        Mode::Enforce => abi::MODE_ENFORCE,
    }
}
