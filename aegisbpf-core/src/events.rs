//! The stream of events: a blocking iterator over the ring buffer, and a handle to end it.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    time::{ClockId, clock_gettime},
};

use crate::{
    error::{Error, Result},
    event::{Event, Label, Record},
    kept::Kept,
    kernel::{Ring, blob, lock::Lock, pins::Pins},
    policy::{Rule, RuleId},
    table::Table,
};

/// The programs wake nobody for a single event, so that an access never pays for a wake-up: the reader comes by
/// itself this often, or is woken when a quarter of the ring buffer is full.
const READ_EVERY_MS: u8 = 50;

/// Events of an [`Enforcer`](crate::Enforcer), in the order in which the kernel made them.
///
/// As an iterator it blocks until the next event and ends after [`Stopper::stop`], once what was already
/// there has been read. In an event loop of your own, wait on [`AsFd`] *with a time-out of about 50 ms* (there is
/// no wake-up for a single event) and call [`Events::try_next`] until it gives nothing.
pub struct Events {
    ring: Ring,
    labels: Labels,
    boot: SystemTime,
    stopped: Arc<AtomicBool>,
    /// The right to read, where other processes could ask for it.
    _reader: Option<Lock>,
}

/// Ends the iteration over [`Events`], from any thread or signal handler's thread.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// The iterator ends once it has handed out what is in the ring buffer now.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Events {
    pub(crate) fn new(ring: Ring, labels: Labels) -> Result<Self> {
        Ok(Self {
            ring,
            labels,
            boot: boot_time()?,
            stopped: Arc::default(),
            _reader: None,
        })
    }

    pub(crate) fn holding(mut self, reader: Lock) -> Self {
        self._reader = Some(reader);
        self
    }

    /// A handle that ends the iteration.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stopped))
    }

    /// The next event if there is one, without waiting.
    ///
    /// # Errors
    /// If a record cannot be read; the one after it can.
    pub fn try_next(&mut self) -> Result<Option<Event>> {
        Ok(self.try_next_record()?.map(|record| record.event()))
    }

    /// The same, as it came: for whoever writes so many that making an [`Event`] of each is too dear.
    ///
    /// # Errors
    /// If a record cannot be read; the one after it can.
    pub fn try_next_record(&mut self) -> Result<Option<Record>> {
        let Some(bytes) = self.ring.next() else {
            return Ok(None);
        };
        Record::read(&bytes, self.boot, |id| self.labels.of(id))
            .map(Some)
            .map_err(|e| Error::kernel("reading an event", e))
    }

    /// Waits until there is an event, at most 50 ms. Gives whether there may be one.
    ///
    /// # Errors
    /// If the ring buffer cannot be waited for. An interruption by a signal is no error.
    pub fn wait(&self) -> Result<bool> {
        let mut fds = [PollFd::new(self.ring.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(READ_EVERY_MS)) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(e) => Err(Error::kernel("waiting for events", e)),
        }
    }
}

impl Iterator for Events {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // Asked before reading: what came before the stop is still handed out.
            let stopped = self.stopped.load(Ordering::Acquire);
            match self.try_next() {
                Ok(Some(event)) => return Some(Ok(event)),
                Ok(None) if stopped => return None,
                Ok(None) => {}
                Err(e) => return Some(Err(e)),
            }
            if let Err(e) = self.wait() {
                return Some(Err(e));
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

/// The rules of the current policy and of the one before it, for events that were on their way.
#[derive(Clone, Default)]
pub(crate) struct Labels(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    rules: BTreeMap<RuleId, Arc<Rule>>,
    /// Those of them that were met.
    labels: BTreeMap<RuleId, Label>,
    /// Where policies are kept that other processes apply.
    pins: Option<Pins>,
    /// Up to here every id that was not found was looked for there.
    looked_for: u32,
}

impl Labels {
    pub(crate) fn replace(&self, previous: &Table, current: &Table) {
        let rules = previous.rows.iter().chain(&current.rows);
        let rules = rules
            .map(|(id, row)| (*id, Arc::clone(&row.rule)))
            .collect();
        // A poisoned lock only says that another thread panicked between two whole values.
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.rules = rules;
        known.labels.clear();
    }

    /// From now on, a rule that is not known is looked for among the policies that are pinned there.
    pub(crate) fn watch(&self, pins: Pins) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.pins = Some(pins);
    }

    fn of(&self, id: RuleId) -> Option<Label> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(label) = known.labels.get(&id) {
            return Some(label.clone());
        }
        // Ids only grow: one that is older than the newest that was looked for belongs to a policy that is gone.
        let is_known = known.rules.contains_key(&id);
        if !is_known && (known.pins.is_none() || id.number() <= known.looked_for) {
            return None;
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !known.rules.contains_key(&id) && known.look() {
            known.looked_for = known.looked_for.max(id.number());
        }
        let label = Label::of(known.rules.get(&id)?);
        known.labels.insert(id, label.clone());
        Some(label)
    }
}

impl Known {
    /// Reads all policies that are kept. False if one was just being replaced: then the next event tries again.
    fn look(&mut self) -> bool {
        let Some(pins) = &self.pins else { return true };
        let mut rules = BTreeMap::new();
        for generation in pins.policies() {
            let kept = blob::read(&pins.policy(generation)).and_then(|b| Kept::from_bytes(&b));
            let Ok(kept) = kept else { return false };
            rules.extend(kept.table.rows.into_iter().map(|(id, row)| (id, row.rule)));
        }
        self.rules = rules;
        self.labels.clear();
        true
    }
}

/// The wall-clock time at which `CLOCK_BOOTTIME` was zero, as the two clocks stand now.
fn boot_time() -> Result<SystemTime> {
    let up = clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_err(|e| Error::kernel("reading CLOCK_BOOTTIME", e))?;
    let up = Duration::from(up);
    Ok(SystemTime::now()
        .checked_sub(up)
        .unwrap_or(SystemTime::UNIX_EPOCH))
}
