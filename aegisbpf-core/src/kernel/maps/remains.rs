//! The maps that every set has, whatever its programs are: settings and counters. What is left of a set that another one
//! succeeds.

use std::collections::BTreeMap;

use aegisbpf_bpf::{
    abi::{self, CountKey, Counts, health},
    names,
};
use aya::maps::{Array, MapData, PerCpuArray, PerCpuHashMap, PerCpuValues};

use super::{Brakes, Source, failed};
use crate::{error::Result, stats::Health};

type Words = [u64; 3];
pub(super) type Control = Array<MapData, [u8; size_of::<abi::Control>()]>;
pub(super) type Totals = PerCpuHashMap<MapData, u32, Words>;
pub(super) type ByCgroup = PerCpuHashMap<MapData, [u8; size_of::<CountKey>()], Words>;
pub(super) type HealthCounters = PerCpuArray<MapData, u64>;

/// See the module.
pub(crate) struct Remains {
    control: Control,
    totals: Totals,
    by_cgroup: ByCgroup,
    health: HealthCounters,
    brakes: Brakes,
}

impl Remains {
    /// # Errors
    /// As [`Maps::take`](super::Maps::take).
    pub(crate) fn take(source: &mut Source<'_>) -> Result<Self> {
        Ok(Self {
            control: source.take(names::CONTROL)?,
            totals: source.take(names::TOTALS)?,
            by_cgroup: source.take(names::BY_CGROUP)?,
            health: source.take(names::HEALTH)?,
            brakes: Brakes::take(source)?,
        })
    }

    pub(crate) fn settings(&self) -> Result<abi::Control> {
        settings(&self.control)
    }

    pub(crate) fn totals(&self) -> Result<BTreeMap<u32, Counts>> {
        totals(&self.totals, &self.by_cgroup)
    }

    pub(crate) fn by_cgroup(&self) -> Result<Vec<(CountKey, Counts)>> {
        by_cgroup(&self.by_cgroup)
    }

    pub(crate) fn health(&self) -> Result<Health> {
        health(&self.health)
    }

    pub(crate) fn brakes(&self) -> &Brakes {
        &self.brakes
    }
}

pub(super) fn settings(map: &Control) -> Result<abi::Control> {
    map.get(&0, 0)
        .map(bytemuck::cast)
        .map_err(failed("reading the enforcer's settings"))
}

/// All that each rule counted: with a cgroup, and what it has beside.
pub(super) fn totals(totals: &Totals, cgroups: &ByCgroup) -> Result<BTreeMap<u32, Counts>> {
    let mut all: BTreeMap<u32, Counts> = totals
        .iter()
        .map(|entry| entry.map(|(id, values)| (id, sum(&values))))
        .collect::<Result<_, _>>()
        .map_err(failed("reading the rules' counters"))?;
    for (key, counts) in by_cgroup(cgroups)? {
        *all.entry(key.rule).or_default() += counts;
    }
    Ok(all)
}

pub(super) fn by_cgroup(map: &ByCgroup) -> Result<Vec<(CountKey, Counts)>> {
    map.iter()
        .map(|entry| entry.map(|(key, values)| (bytemuck::cast(key), sum(&values))))
        .collect::<Result<_, _>>()
        .map_err(failed("reading the cgroups' counters"))
}

pub(super) fn health(map: &HealthCounters) -> Result<Health> {
    let read = |index: u32| -> Result<u64> {
        let values = map
            .get(&index, 0)
            .map_err(failed("reading the fault counters"))?;
        Ok(values.iter().sum())
    };
    Ok(Health {
        emitted: read(health::EMITTED)?,
        sampled_out: read(health::SAMPLED_OUT)?,
        dropped: read(health::DROPPED)?,
        fault_no_policy: read(health::FAULT_NO_POLICY)?,
        fault_read: read(health::FAULT_READ)?,
        fault_counts: read(health::FAULT_COUNTS)?,
        fault_totals: read(health::FAULT_TOTALS)?,
        fault_depth: read(health::FAULT_DEPTH)?,
        fault_bound: read(health::FAULT_BOUND)?,
        names_moved: read(health::NAMES_MOVED)?,
        passed_by_emergency: read(health::EMERGENCY)?,
        passed_by_dead_man: read(health::DEAD_MAN)?,
    })
}

fn sum(values: &PerCpuValues<Words>) -> Counts {
    values.iter().fold(Counts::default(), |mut sum, words| {
        sum += bytemuck::cast(*words);
        sum
    })
}
