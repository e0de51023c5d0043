//! What can be asked of a loaded enforcer: apply a policy, change the mode, read the counters.

mod carried;
mod counters;
mod edit;
mod follow;
mod shared;
mod succession;

use std::{collections::BTreeSet, time::Duration};

use aegisbpf_bpf::abi;

pub use self::shared::PIN_DIR;
use self::{carried::Carried, shared::Shared};
pub(crate) use self::{
    shared::{About, find},
    succession::{needs_policy, replace_versions, succeed},
};
use crate::{
    backend::{Backend, Mode},
    error::{Error, Result},
    events::{Events, Labels},
    kept::Kept,
    kernel::{Loaded, Maps, Ring, Source, StatsSwitch, capability, lock, support},
    policy::{Policy, Problem, Problems, RuleId},
    resolve::Reason,
    stats::DeadMan,
    table::{State, Table},
};

/// A loaded enforcer's verbs: in the process that loaded it through [`Enforcer`](crate::Enforcer), in any other through
/// [`Control::open`] if it is pinned. Each verb that changes something waits for its turn, and begins with what others
/// have changed.
pub struct Control {
    backend: Backend,
    loaded: Loaded,
    maps: Maps,
    /// The policy of `generation`.
    kept: Kept,
    generation: u32,
    /// The policy before it, where it is kept in no other place.
    previous: Option<Policy>,
    labels: Labels,
    /// The ring buffer, until somebody takes it; if it is not pinned.
    ring: Option<Ring>,
    counting: Option<StatsSwitch>,
    /// What programs counted that these succeeded.
    carried: Carried,
    attached: bool,
    /// Where others find it too.
    shared: Option<Shared>,
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
    /// An enforcer that ends with this process.
    pub(crate) fn new(
        backend: Backend,
        mut loaded: Loaded,
        ring_buffer_bytes: u32,
    ) -> Result<Self> {
        let mut source = loaded.maps()?;
        let maps = Maps::take(&mut source, ring_buffer_bytes)?;
        let ring = Maps::ring(&mut source)?;
        Ok(Self {
            backend,
            loaded,
            maps,
            kept: Kept::nothing(),
            generation: 0,
            previous: None,
            labels: Labels::default(),
            ring: Some(ring),
            counting: None,
            carried: Carried::default(),
            attached: false,
            shared: None,
        })
    }

    /// Tells the programs who we are, and the settings that were asked for; the others stay.
    pub(crate) fn settle_in(
        &mut self,
        mode: Option<Mode>,
        sample_every: Option<u32>,
    ) -> Result<()> {
        let _turn = self.begin("starting the enforcer")?;
        self.settle_in_turn(mode, sample_every)
    }

    /// [`Control::settle_in`], for whoever has the turn: the program that tells who we are writes the settings too.
    pub(crate) fn settle_in_turn(
        &mut self,
        mode: Option<Mode>,
        sample_every: Option<u32>,
    ) -> Result<()> {
        self.loaded.become_self()?;
        self.maps.set(|control| {
            if let Some(mode) = mode {
                control.mode = mode_number(mode);
            }
            if let Some(sample_every) = sample_every {
                control.sample_every = sample_every;
            }
        })
    }

    /// The way into the kernel.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What becomes of a denied access.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.maps.settings().map_or(Mode::Audit, mode_of)
    }

    /// One event in this many is reported, on each CPU; 0: none.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn event_sample_rate(&self) -> Result<u32> {
        Ok(self.maps.settings()?.sample_every)
    }

    /// Changes how many events are reported; see
    /// [`EnforcerBuilder::event_sample_rate`](crate::EnforcerBuilder::event_sample_rate).
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_event_sample_rate(&mut self, one_in: u32) -> Result<()> {
        let _turn = self.begin("changing the sample rate")?;
        self.maps.set(|control| control.sample_every = one_in)
    }

    /// The stream of events, which has one reader at a time, in whatever process.
    ///
    /// # Errors
    /// [`Error::EventsTaken`] if this process reads them already, [`Error::EventsRead`] if another does.
    pub fn events(&mut self) -> Result<Events> {
        let Some(Shared { pins, .. }) = &self.shared else {
            let ring = self.ring.take().ok_or(Error::EventsTaken)?;
            return Events::new(ring, self.labels.clone());
        };
        let Some(reader) = lock::Lock::try_take(&pins.reader())? else {
            let pid = lock::holder(&pins.reader());
            return Err(match pid {
                Some(pid) if pid == std::process::id() => Error::EventsTaken,
                pid => Error::EventsRead { pid },
            });
        };
        let ring = Maps::ring(&mut Source::Pins(pins))?;
        self.labels.watch(pins.clone());
        Ok(Events::new(ring, self.labels.clone())?.holding(reader))
    }

    /// The process that runs this enforcer, if it is pinned and one does.
    #[must_use]
    pub fn daemon(&self) -> Option<u32> {
        lock::holder(&self.shared.as_ref()?.pins.owner())
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
    /// [`Error::Policy`] if a rule cannot hold on this host, or if the kernel refuses; then the old
    /// policy stands, whole. Only an error that names the old policy's remains comes after the change: then the new
    /// policy stands, whole, and some memory is held until the next one.
    pub fn apply(&mut self, policy: &Policy) -> Result<Applied> {
        let _turn = self.begin("applying a policy")?;
        self.replace(policy)
    }

    /// As [`Control::apply`], but every rule begins anew: also those that the old policy had count from zero.
    ///
    /// # Errors
    /// As [`Control::apply`].
    pub fn apply_anew(&mut self, policy: &Policy) -> Result<Applied> {
        let _turn = self.begin("applying a policy")?;
        self.replace_as(policy, Ids::Fresh)
    }

    /// [`Control::apply`], for whoever has the turn.
    pub(crate) fn replace(&mut self, policy: &Policy) -> Result<Applied> {
        self.replace_as(policy, Ids::Kept)
    }

    fn replace_as(&mut self, policy: &Policy, ids: Ids<'_>) -> Result<Applied> {
        capability::require(self.backend, self.mode(), policy)?;
        let resolution = self.resolve(policy)?;
        let next = Kept {
            table: match ids {
                Ids::Kept => self.kept.table.succeed(policy, &resolution),
                Ids::After(table) => table.succeed(policy, &resolution),
                Ids::Fresh => self.kept.table.emptied().succeed(policy, &resolution),
            },
            policy: policy.clone(),
        };
        let (had, needs) = (self.kept.table.needs(), next.table.needs());
        self.labels.replace(&self.kept.table, &next.table);
        let switched = self.begin_switch(&next).and_then(|()| {
            // Before the switch: a hook without rules decides nothing, so attaching early is harmless, and a
            // refusal here changes nothing.
            if self.is_attached() {
                self.loaded.attach(&needs)?;
            }
            self.maps
                .switch(&mut self.loaded, &self.kept.table, &next.table)
        });
        if let Err(e) = switched {
            self.loaded.detach_except(&had)?;
            self.end_switch()?;
            return Err(e);
        }
        let previous = std::mem::replace(&mut self.kept, next);
        self.generation = self.generation.wrapping_add(1);
        let retired = self
            .maps
            .retire(&mut self.loaded, &previous.table, &self.kept.table);
        self.previous = Some(previous.policy);
        self.loaded.detach_except(&needs)?;
        retired?;
        self.end_switch()?;
        self.catch_up(policy, &resolution)?;
        self.settle_mounts()?;
        Ok(self.applied(policy, resolution.warnings()))
    }

    fn applied(&self, policy: &Policy, warnings: &Problems) -> Applied {
        let rows = &self.kept.table.rows;
        let unresolved = rows.iter().filter_map(|(id, row)| match &row.state {
            State::Unresolved(reason) => Some((*id, row.rule.label(), reason.clone())),
            _ => None,
        });
        Applied {
            rules: rows.len(),
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
        let _turn = self.begin("attaching the hooks")?;
        self.attach_all()
    }

    /// [`Control::attach`], for whoever has the turn.
    pub(crate) fn attach_all(&mut self) -> Result<()> {
        self.loaded.attach(&self.kept.table.needs())?;
        match &self.shared {
            Some(Shared { pins, .. }) => pins.detached().clear()?,
            None => self.attached = true,
        }
        self.settle_mounts()
    }

    /// Detaches all hooks. Policy and counters stay; [`Control::attach`] takes up again. Doing it twice is fine.
    /// Pinned hooks leave within milliseconds, the others before this returns.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn detach(&mut self) -> Result<()> {
        let _turn = self.begin("detaching the hooks")?;
        match &self.shared {
            Some(Shared { pins, .. }) => pins.detached().set()?,
            None => self.attached = false,
        }
        self.loaded.detach_except(&BTreeSet::new())
    }

    /// Shall the hooks that a policy needs be attached?
    fn is_attached(&self) -> bool {
        match &self.shared {
            Some(Shared { pins, .. }) => !pins.detached().is_set(),
            None => self.attached,
        }
    }

    /// Changes between audit and enforce, for all hooks at once.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for [`Mode::Enforce`] on a backend that can only audit.
    pub fn set_mode(&mut self, mode: Mode) -> Result<()> {
        if mode == Mode::Enforce && self.backend == Backend::Tracepoint {
            return Err(support::audit_only());
        }
        let _turn = self.begin("changing the mode")?;
        self.maps.set(|control| control.mode = mode_number(mode))
    }

    /// Has every refusal turned into an audit unless [`Control::heartbeat`] is called again within `patience`, each time; `None`
    /// takes the timer away. It counts while the machine is awake, and outlives this process.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_dead_man(&mut self, patience: Option<Duration>) -> Result<()> {
        self.maps.brakes.set_dead_man(patience)
    }

    /// The daemon is alive. Without a dead-man timer this does nothing.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn heartbeat(&mut self) -> Result<()> {
        match self.maps.brakes.dead_man()? {
            Some((patience, _)) => self.maps.brakes.set_dead_man(Some(patience)),
            None => Ok(()),
        }
    }

    /// The dead-man timer, if there is one.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn dead_man(&self) -> Result<Option<DeadMan>> {
        let timer = self.maps.brakes.dead_man()?;
        Ok(timer.map(|(patience, expired)| DeadMan { patience, expired }))
    }
}

/// The ids, and with them the counters, of rules that the old policy had too.
#[derive(Clone, Copy)]
enum Ids<'a> {
    Kept,
    Fresh,
    /// And those of another set's policy.
    After(&'a Table),
}

fn mode_of(settings: abi::Control) -> Mode {
    if settings.mode == abi::MODE_ENFORCE {
        Mode::Enforce
    } else {
        Mode::Audit
    }
}

fn mode_number(mode: Mode) -> u32 {
    match mode {
        Mode::Audit => abi::MODE_AUDIT,
        Mode::Enforce => abi::MODE_ENFORCE,
    }
}
