//! The maps, typed, and the order of writes that makes a change of policy atomic.

mod classes;
mod slotted;

use std::collections::{BTreeMap, BTreeSet};

use aegisbpf_bpf::{
    abi::{self, CountKey, Counts, health},
    names,
};
use aya::{
    Ebpf,
    maps::{
        Array, IterableMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues,
        RingBuf,
    },
};

use self::slotted::Slots;
use super::{object::Sizes, runtime};
use crate::{
    error::{Error, Result},
    stats::Health,
    table::Table,
};

/// The ring buffer, as its one reader holds it.
pub(crate) type Ring = RingBuf<MapData>;

type Words = [u64; 3];

const SLOTS: u32 = 2;

/// The maps of a loaded object.
pub(crate) struct Maps {
    filter: Array<MapData, [u8; abi::FILTER_SLOTS]>,
    control: Array<MapData, [u8; size_of::<abi::Control>()]>,
    totals: PerCpuHashMap<MapData, u32, Words>,
    by_cgroup: PerCpuHashMap<MapData, [u8; size_of::<CountKey>()], Words>,
    health: PerCpuArray<MapData, u64>,
    /// The maps that each generation has of its own, one for each class of entries.
    classes: Vec<Box<dyn Slots>>,
    settings: abi::Control,
    /// Does nobody read the spare slot any more? False between a switch and the barrier after it.
    settled: bool,
    sizes: Sizes,
}

impl Maps {
    /// Takes the maps out of a loaded object.
    ///
    /// # Errors
    /// If one is missing or of another type: the object is not the one this library was built with.
    pub(crate) fn take(ebpf: &mut Ebpf, sizes: Sizes) -> Result<(Self, Ring)> {
        let maps = Self {
            filter: take(ebpf, names::FILTER)?,
            control: take(ebpf, names::CONTROL)?,
            totals: take(ebpf, names::TOTALS)?,
            by_cgroup: take(ebpf, names::BY_CGROUP)?,
            health: take(ebpf, names::HEALTH)?,
            classes: classes::all(ebpf)?,
            settings: abi::Control::default(),
            settled: true,
            sizes,
        };
        Ok((maps, take(ebpf, names::EVENTS)?))
    }

    /// What the programs read of mode, sampling and generation.
    pub(crate) fn settings(&self) -> abi::Control {
        self.settings
    }

    /// Changes mode, sampling or our own process id, in one write.
    ///
    /// # Errors
    /// If the kernel refuses; then nothing has changed.
    pub(crate) fn set(&mut self, change: impl FnOnce(&mut abi::Control)) -> Result<()> {
        let mut settings = self.settings;
        change(&mut settings);
        self.control
            .set(
                0,
                bytemuck::cast::<_, [u8; size_of::<abi::Control>()]>(settings),
                0,
            )
            .map_err(failed("writing the enforcer's settings"))?;
        self.settings = settings;
        Ok(())
    }

    /// Makes `next` the current policy, in place of `previous`. Any program run sees one or the other, whole.
    /// [`Maps::retire`] follows.
    ///
    /// # Errors
    /// If the kernel refuses; then the previous policy stands, whole.
    pub(crate) fn switch(&mut self, previous: &Table, next: &Table) -> Result<()> {
        let most = self.sizes.rules as usize / 2;
        if next.rows.len() > most {
            return Err(Error::unsupported(
                format!("applying a policy of {} rules", next.rows.len()),
                format!("this enforcer was loaded with room for {most}"),
                "load it with this policy, or with a greater EnforcerBuilder::rule_capacity",
            ));
        }
        let new_ids: Vec<u32> = ids(next).filter(|id| !has(previous, *id)).collect();
        // 1 to 3, then 4, the commit: one write, bit 0 of which chooses the slot for every hook at once.
        let committed = self.prepare(previous, next, &new_ids).and_then(|()| {
            self.set(|control| control.generation = control.generation.wrapping_add(1))
        });
        if let Err(e) = committed {
            // Undo what could be done of it; a counter too many is a few bytes, never a wrong decision.
            for id in &new_ids {
                let _ = self.totals.remove(id);
            }
            let _ = self.write_filter(&previous.filter());
            for class in &mut self.classes {
                class.discard();
            }
            return Err(e);
        }
        for class in &mut self.classes {
            class.commit();
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
    pub(crate) fn retire(&mut self, previous: &Table, next: &Table) -> Result<()> {
        self.settle()?;
        let spare = 1 - self.slot();
        for class in &mut self.classes {
            class.empty(spare)?;
        }
        self.write_filter(&next.filter())?;
        self.forget(&ids(previous).filter(|id| !has(next, *id)).collect())
    }

    /// The barrier, if one is due.
    fn settle(&mut self) -> Result<()> {
        let slot = self.slot();
        if let (false, Some(class)) = (self.settled, self.classes.first_mut()) {
            class.repeat(slot)?;
        }
        self.settled = true;
        Ok(())
    }

    /// Steps 1 to 3: everything that must be there before the commit.
    fn prepare(&mut self, previous: &Table, next: &Table, new_ids: &[u32]) -> Result<()> {
        // 1. Build aside. Nothing of this is seen by any program.
        for class in &mut self.classes {
            class.build(next)?;
        }
        let cpus = aya::util::nr_cpus().map_err(|(what, e)| {
            Error::kernel(format!("counting this machine's CPUs in {what}"), e)
        })?;
        for id in new_ids {
            let zero = PerCpuValues::try_from(vec![[0; 3]; cpus])
                .map_err(|e| Error::kernel("making counters for each CPU", e))?;
            self.totals
                .insert(id, zero, 0)
                .map_err(failed("making a rule's counters"))?;
        }
        // 2. The filter says "perhaps" for both policies.
        let mut both = previous.filter();
        for (byte, new) in both.iter_mut().zip(next.filter()) {
            *byte |= new;
        }
        self.write_filter(&both)?;
        // 3. The spare slot, which no program reads: the last switch waited until none did, or this does.
        self.settle()?;
        let spare = 1 - self.slot();
        self.classes
            .iter_mut()
            .try_for_each(|class| class.place(spare))
    }

    fn slot(&self) -> u32 {
        self.settings.generation % SLOTS
    }

    fn write_filter(&mut self, filter: &[u8]) -> Result<()> {
        let mut whole = [0; abi::FILTER_SLOTS];
        whole.copy_from_slice(filter);
        self.filter
            .set(0, whole, 0)
            .map_err(failed("writing the filter"))
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
        self.totals
            .iter()
            .map(|entry| entry.map(|(id, values)| (id, sum(&values))))
            .collect::<Result<_, _>>()
            .map_err(failed("reading the rules' counters"))
    }

    /// Exact counters of each (rule, cgroup) that was met.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn by_cgroup(&self) -> Result<Vec<(CountKey, Counts)>> {
        self.by_cgroup
            .iter()
            .map(|entry| entry.map(|(key, values)| (bytemuck::cast(key), sum(&values))))
            .collect::<Result<_, _>>()
            .map_err(failed("reading the cgroups' counters"))
    }

    /// What was reported, and what went wrong.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn health(&self) -> Result<Health> {
        let read = |index: u32| -> Result<u64> {
            let values = self
                .health
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
        })
    }

    /// Bytes that the maps hold in the kernel, the ring buffer at its size.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn memory(&self) -> Result<u64> {
        let maps = [
            IterableMap::map(&self.filter),
            IterableMap::map(&self.control),
            IterableMap::map(&self.totals),
            IterableMap::map(&self.by_cgroup),
            IterableMap::map(&self.health),
        ];
        let mut total = u64::from(self.sizes.ring_buffer_bytes);
        for map in maps {
            total += runtime::map_memory(map.fd())?;
        }
        for class in &self.classes {
            total += class.memory()?;
        }
        Ok(total)
    }
}

fn take<T>(ebpf: &mut Ebpf, name: &str) -> Result<T>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| {
        Error::kernel(
            format!("finding the map {name}"),
            "it is not in the embedded object",
        )
    })?;
    T::try_from(map).map_err(|e| Error::kernel(format!("opening the map {name}"), e))
}

fn ids(table: &Table) -> impl Iterator<Item = u32> {
    table.rows.keys().map(|id| id.number())
}

fn has(table: &Table, id: u32) -> bool {
    crate::policy::RuleId::new(id).is_some_and(|id| table.rows.contains_key(&id))
}

fn sum(values: &PerCpuValues<Words>) -> Counts {
    values
        .iter()
        .fold(Counts::default(), |sum, &[audited, denied, exempted]| {
            Counts {
                audited: sum.audited + audited,
                denied: sum.denied + denied,
                exempted: sum.exempted + exempted,
            }
        })
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
