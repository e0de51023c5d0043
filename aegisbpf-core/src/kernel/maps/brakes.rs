//! The two maps that turn refusals into audits: each is written by itself, in one write, without waiting for a turn.

use std::time::Duration;

use aegisbpf_bpf::{
    abi::{DeadMan, Emergency},
    names,
};
use aya::maps::{Array, IterableMap, MapData};
use bytemuck::Zeroable;
use nix::time::{ClockId, clock_gettime};

use super::{Source, failed};
use crate::error::{Error, Result};

/// Emergency and dead-man timer.
pub(crate) struct Brakes {
    emergency: Array<MapData, [u8; size_of::<Emergency>()]>,
    dead_man: Array<MapData, [u8; size_of::<DeadMan>()]>,
}

impl Brakes {
    /// # Errors
    /// As [`Maps::take`](super::Maps::take).
    pub(crate) fn take(source: &mut Source<'_>) -> Result<Self> {
        Ok(Self {
            emergency: source.take(names::EMERGENCY)?,
            dead_man: source.take(names::DEAD_MAN)?,
        })
    }

    /// Makes both as they are in `other`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn copy(&mut self, other: &Self) -> Result<()> {
        self.set_emergency(other.emergency()?)?;
        let timer = other
            .dead_man
            .get(&0, 0)
            .map_err(failed("reading the dead-man timer"))?;
        self.dead_man
            .set(0, timer, 0)
            .map_err(failed("setting the dead-man timer"))
    }

    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn emergency(&self) -> Result<Emergency> {
        self.emergency
            .get(&0, 0)
            .map(bytemuck::cast)
            .map_err(failed("asking whether there is an emergency"))
    }

    /// # Errors
    /// If the kernel refuses; then nothing has changed.
    pub(crate) fn set_emergency(&mut self, emergency: Emergency) -> Result<()> {
        let bytes: [u8; size_of::<Emergency>()] = bytemuck::cast(emergency);
        self.emergency
            .set(0, bytes, 0)
            .map_err(failed("calling or ending an emergency"))
    }

    /// The patience of the timer, and whether it has run out; none if there is no timer.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn dead_man(&self) -> Result<Option<(Duration, bool)>> {
        let timer: DeadMan = self
            .dead_man
            .get(&0, 0)
            .map(bytemuck::cast)
            .map_err(failed("reading the dead-man timer"))?;
        if timer.deadline_ns == 0 {
            return Ok(None);
        }
        let expired = monotonic()? > timer.deadline_ns;
        Ok(Some((Duration::from_nanos(timer.patience_ns), expired)))
    }

    /// Sets the deadline `patience` from now, or takes the timer away.
    ///
    /// # Errors
    /// If the kernel refuses; then nothing has changed.
    pub(crate) fn set_dead_man(&mut self, patience: Option<Duration>) -> Result<()> {
        let timer = match patience {
            None => DeadMan::zeroed(),
            Some(patience) => {
                let patience_ns = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
                DeadMan {
                    deadline_ns: monotonic()?.saturating_add(patience_ns),
                    patience_ns,
                }
            }
        };
        let bytes: [u8; size_of::<DeadMan>()] = bytemuck::cast(timer);
        self.dead_man
            .set(0, bytes, 0)
            .map_err(failed("setting the dead-man timer"))
    }

    pub(super) fn maps(&self) -> [(&'static str, &MapData); 2] {
        [
            (names::EMERGENCY, IterableMap::map(&self.emergency)),
            (names::DEAD_MAN, IterableMap::map(&self.dead_man)),
        ]
    }
}

/// The clock that the programs compare with: it stands still while the machine sleeps, as daemons do.
fn monotonic() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_err(|e| Error::kernel("reading CLOCK_MONOTONIC", e))?;
    Ok(u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX))
}
