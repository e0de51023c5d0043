//! The maps, typed, and the order of writes that makes a change of policy atomic.

mod bound;
mod brakes;
mod classes;
mod filter;
mod net_filter;
mod patience;
mod remains;
mod sieve;
mod slotted;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use aegisbpf_bpf::{
    abi::{self, CountKey, Counts},
    names,
};
use aya::maps::{Array, IterableMap, MapData, MapError, PerCpuValues, RingBuf};

pub(super) use self::sieve::rows as sieve_rows;
use self::{
    bound::BoundInodes, filter::Filter, net_filter::NetFilter, patience::patiently, sieve::Sieve,
    slotted::Slots,
};
pub(crate) use self::{brakes::Brakes, filter::Run, remains::Remains, source::Source};
use super::runtime;
use crate::{
    error::{Error, Result},
    stats::Health,
    table::Table,
};

/// The ring buffer, as its one reader holds it.
pub(crate) type Ring = RingBuf<MapData>;

const SLOTS: u32 = 2;

/// The maps of a loaded object.
pub(crate) struct Maps {
    filter: Filter,
    sieve: Sieve,
    bound: BoundInodes,
    identity: Array<MapData, [u8; size_of::<abi::FileIdentity>()]>,
    net_filter: NetFilter,
    mounts_found: Array<MapData, u32>,
    control: remains::Control,
    totals: remains::Totals,
    by_cgroup: remains::ByCgroup,
    health: remains::HealthCounters,
    pub(crate) brakes: Brakes,
    /// The maps that each generation has of its own, one for each class of entries.
    classes: Vec<Box<dyn Slots>>,
    /// Does nobody read the spare slot any more? False between a switch and the barrier after it.
    settled: bool,
    ring_buffer_bytes: u32,
}

impl Maps {
    /// Takes the maps out of a loaded object or out of pins, all but the ring buffer.
    ///
    /// # Errors
    /// If one is missing or of another type: the object is not the one this library was built with.
    pub(crate) fn take(source: &mut Source<'_>, ring_buffer_bytes: u32) -> Result<Self> {
        Ok(Self {
            filter: Filter::take(source)?,
            sieve: Sieve::take(source)?,
            bound: BoundInodes::take(source)?,
            identity: source.take(names::IDENTITY)?,
            net_filter: NetFilter::take(source)?,
            mounts_found: source.take(names::MOUNTS_FOUND)?,
            control: source.take(names::CONTROL)?,
            totals: source.take(names::TOTALS)?,
            by_cgroup: source.take(names::BY_CGROUP)?,
            health: source.take(names::HEALTH)?,
            brakes: Brakes::take(source)?,
            classes: classes::all(source)?,
            // Another process may have died between a switch and its barrier.
            settled: matches!(source, Source::Object(_)),
            ring_buffer_bytes,
        })
    }

    /// The ring buffer. Out of an object once; out of pins by the one who holds the reader's lock.
    ///
    /// # Errors
    /// As [`Maps::take`].
    pub(crate) fn ring(source: &mut Source<'_>) -> Result<Ring> {
        source.share(names::EVENTS)
    }

    /// What the programs read of mode, sampling and generation.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn settings(&self) -> Result<abi::Control> {
        remains::settings(&self.control)
    }

    /// Changes mode, sampling or our own process id, in one write. Where others can write too, the caller holds the lock.
    ///
    /// # Errors
    /// If the kernel refuses; then nothing has changed.
    pub(crate) fn set(&mut self, change: impl FnOnce(&mut abi::Control)) -> Result<()> {
        let mut settings = self.settings()?;
        change(&mut settings);
        self.control
            .set(
                0,
                bytemuck::cast::<_, [u8; size_of::<abi::Control>()]>(settings),
                0,
            )
            .map_err(failed("writing the enforcer's settings"))
    }

    /// Makes `next` the current policy, in place of `previous`. Any program run sees one or the other, whole.
    /// [`Maps::retire`] follows.
    ///
    /// # Errors
    /// If the kernel refuses; then the previous policy stands, whole.
    pub(crate) fn switch(
        &mut self,
        run: &mut dyn Run,
        previous: &Table,
        next: &Table,
    ) -> Result<()> {
        let most = self.rule_capacity()?;
        if next.rows.len() > most {
            return Err(Error::unsupported(
                format!("applying a policy of {} rules", next.rows.len()),
                format!("this enforcer was loaded with room for {most}"),
                "load it with this policy, or with a greater EnforcerBuilder::rule_capacity",
            ));
        }
        let new_ids: Vec<u32> = ids(next).filter(|id| !has(previous, *id)).collect();
        // 1 to 3, then 4, the commit: one write, bit 0 of which chooses the slot for every hook at once.
        let committed = self.prepare(run, previous, next, &new_ids).and_then(|()| {
            self.set(|control| control.generation = control.generation.wrapping_add(1))
        });
        if let Err(e) = committed {
            // Undo what could be done of it; a counter too many is a few bytes, never a wrong decision.
            for id in &new_ids {
                let _ = self.totals.remove(id);
            }
            let _ = self.filter.become_exactly(run, &previous.filter());
            let _ = self.sieve.become_exactly(&self.sieve.bits(previous.inos()));
            let _ = self.net_filter.write(&previous.net_filter());
            for class in &mut self.classes {
                class.discard();
            }
            return Err(e);
        }
        for class in &mut self.classes {
            class.discard();
        }
        self.settled = false;
        Ok(())
    }

    /// Step 5, after a switch: takes away what only `previous` needed. The new policy is in force whatever happens here.
    ///
    /// The kernel ends a write to an array of maps by waiting until no program runs that began before it
    /// (`maybe_wait_bpf_programs`), so writing the same map once more is a barrier: afterwards nobody reads the old
    /// generation.
    ///
    /// # Errors
    /// If the kernel refuses; then some memory of the old policy is held until the next switch.
    pub(crate) fn retire(
        &mut self,
        run: &mut dyn Run,
        previous: &Table,
        next: &Table,
    ) -> Result<()> {
        // No program binds an inode to a name that is gone: the barrier has waited for the last that could.
        self.empty_spare()?;
        self.unbind(run, next)?;
        self.filter.become_exactly(run, &next.filter())?;
        let wanted = self.sieve.bits(next.inos());
        let held = self.sieve.bits(previous.inos()).with(&wanted);
        self.sieve.change(&held, &wanted)?;
        self.net_filter.write(&next.net_filter())?;
        self.forget(&ids(previous).filter(|id| !has(next, *id)).collect())
    }

    /// Takes away whatever a switch that was broken off, before or after its commit, left beside `current`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn repair(&mut self, run: &mut dyn Run, current: &Table) -> Result<()> {
        self.settled = false;
        self.empty_spare()?;
        self.unbind(run, current)?;
        self.filter.become_exactly(run, &current.filter())?;
        self.sieve
            .become_exactly(&self.sieve.bits(current.inos()))?;
        self.net_filter.write(&current.net_filter())?;
        let counted = self
            .totals
            .keys()
            .collect::<Result<Vec<u32>, _>>()
            .map_err(failed("reading the rules' counters"))?;
        self.forget(
            &counted
                .into_iter()
                .filter(|id| !has(current, *id))
                .collect(),
        )
    }

    fn empty_spare(&mut self) -> Result<()> {
        self.settle()?;
        let spare = 1 - self.slot()?;
        self.classes
            .iter_mut()
            .try_for_each(|class| class.empty(spare))
    }

    /// How many rules there is room for: old and new ones have counters side by side while a policy is replaced.
    pub(crate) fn rule_capacity(&self) -> Result<usize> {
        let totals = IterableMap::map(&self.totals)
            .info()
            .map_err(failed("asking for the size of the counters"))?;
        Ok(totals.max_entries() as usize / 2)
    }

    /// The barrier, if one is due.
    fn settle(&mut self) -> Result<()> {
        let slot = self.slot()?;
        if let (false, Some(class)) = (self.settled, self.classes.first_mut()) {
            class.repeat(slot)?;
        }
        self.settled = true;
        Ok(())
    }

    /// Steps 1 to 3: everything that must be there before the commit.
    fn prepare(
        &mut self,
        run: &mut dyn Run,
        previous: &Table,
        next: &Table,
        new_ids: &[u32],
    ) -> Result<()> {
        // 1. Build aside. Nothing of this is seen by any program.
        for class in &mut self.classes {
            class.build(next)?;
        }
        let cpus = aya::util::nr_cpus().map_err(|(what, e)| {
            Error::kernel(format!("counting this machine's CPUs in {what}"), e)
        })?;
        for id in new_ids {
            patiently(|| {
                let zero = PerCpuValues::try_from(vec![[0; 3]; cpus])?;
                self.totals.insert(id, zero, 0)
            })
            .map_err(failed("making a rule's counters"))?;
        }
        // 2. Filter and sieve say "perhaps" for both policies, and walks go on above mounts until it is known that none must.
        if next.asks_where_files_lie() {
            self.set_mounts_found(true)?;
        }
        let held = self.sieve.bits(previous.inos());
        let wanted = self.sieve.bits(next.inos()).with(&held);
        self.sieve.change(&held, &wanted)?;
        self.filter.include(run, &next.filter())?;
        self.net_filter
            .write_both(previous.net_filter(), &next.net_filter())?;
        // 3. The spare slot, which no program reads: the last switch waited until none did, or this does.
        self.settle()?;
        let spare = 1 - self.slot()?;
        self.classes
            .iter_mut()
            .try_for_each(|class| class.place(spare))
    }

    fn slot(&self) -> Result<u32> {
        Ok(self.settings()?.generation % SLOTS)
    }

    /// Ends the binding of inodes to rules that `next` has not. Each entry first, then its place in the filter.
    fn unbind(&mut self, run: &mut dyn Run, next: &Table) -> Result<()> {
        let freed = self.bound.retain(|rule| has(next, rule))?;
        self.filter.count(run, &freed, false)
    }

    /// Binds files to rules (rule, `OBJECT_…` kind, which file) as the programs do when a file comes to bear a watched name: for those that did so after they
    /// were looked up and before their names were watched.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn bind(
        &mut self,
        run: &mut dyn Run,
        files: &[(u32, u32, crate::locate::Identity)],
    ) -> Result<()> {
        for (rule, kind, identity) in files {
            let ino = [identity.file.ino];
            self.filter.count(run, &ino, true)?;
            if !self.bound.insert(*rule, *kind, identity)? {
                self.filter.count(run, &ino, false)?;
            }
        }
        Ok(())
    }

    /// Whether a mount may stand below a directory that the policy has a rule about.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn set_mounts_found(&mut self, found: bool) -> Result<()> {
        self.mounts_found
            .set(0, u32::from(found), 0)
            .map_err(failed("telling whether mounts must be looked at"))
    }

    /// What the program `identify_file` found out when it was last run.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn identity(&self) -> Result<abi::FileIdentity> {
        self.identity
            .get(&0, 0)
            .map(bytemuck::cast)
            .map_err(failed("reading a file's identity"))
    }

    /// Drops the counters of rules that are no more.
    fn forget(&mut self, gone: &BTreeSet<u32>) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        for id in gone {
            ignore_missing(self.totals.remove(id)).map_err(failed("dropping a rule's counters"))?;
        }
        let dead: Vec<_> = self
            .by_cgroup
            .keys()
            .filter_map(Result::ok)
            .filter(|key| gone.contains(&bytemuck::cast::<_, CountKey>(*key).rule))
            .collect();
        for key in &dead {
            ignore_missing(self.by_cgroup.remove(key))
                .map_err(failed("dropping a rule's counters"))?;
        }
        Ok(())
    }

    /// Exact counters of each rule.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn totals(&self) -> Result<BTreeMap<u32, Counts>> {
        remains::totals(&self.totals, &self.by_cgroup)
    }

    /// Exact counters of each (rule, cgroup) that was met.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn by_cgroup(&self) -> Result<Vec<(CountKey, Counts)>> {
        remains::by_cgroup(&self.by_cgroup)
    }

    /// What was reported, and what went wrong.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn health(&self) -> Result<Health> {
        remains::health(&self.health)
    }

    /// Bytes that each map holds in the kernel, the ring buffer at its size.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn memory(&self) -> Result<Vec<(&'static str, u64)>> {
        let maps = [
            (names::FILTER, self.filter.maps()[0]),
            (names::FILTER_PATCHES, self.filter.maps()[1]),
            (names::SIEVE, self.sieve.map()),
            (names::BOUND, self.bound.map()),
            (names::CONTROL, IterableMap::map(&self.control)),
            (names::TOTALS, IterableMap::map(&self.totals)),
            (names::BY_CGROUP, IterableMap::map(&self.by_cgroup)),
            (names::HEALTH, IterableMap::map(&self.health)),
        ];
        let mut memory = vec![(names::EVENTS, u64::from(self.ring_buffer_bytes))];
        memory.push((names::NET_FILTER, self.net_filter.memory()?));
        for (name, map) in maps.into_iter().chain(self.brakes.maps()) {
            memory.push((name, runtime::map_memory(map.fd())?));
        }
        let slot = self.slot()?;
        for class in &self.classes {
            memory.push(class.memory(slot)?);
        }
        Ok(memory)
    }
}

fn ids(table: &Table) -> impl Iterator<Item = u32> {
    table.rows.keys().map(|id| id.number())
}

fn has(table: &Table, id: u32) -> bool {
    crate::policy::RuleId::new(id).is_some_and(|id| table.rows.contains_key(&id))
}

fn ignore_missing(outcome: Result<(), MapError>) -> Result<(), MapError> {
    match outcome {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(e)) if e.io_error.kind() == std::io::ErrorKind::NotFound => {
            Ok(())
        }
        other => other,
    }
}

fn failed(attempt: &'static str) -> impl Fn(MapError) -> Error {
    move |e| Error::kernel(attempt, e)
}
