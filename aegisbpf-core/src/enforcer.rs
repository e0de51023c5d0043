//! Building an enforcer, and holding it: the programs stay attached while it lives or, if it is pinned, until it is
//! removed.

use std::{
    ops::{Deref, DerefMut},
    path::PathBuf,
    time::Duration,
};

use crate::{
    backend::{Backend, Mode},
    control::{self, About, Applied, Control},
    error::{Error, Result},
    kernel::{
        Loaded, Sizes, build, heap,
        lock::{self, Lock},
        pins::Pins,
        support,
    },
    policy::Policy,
};

/// Default of [`EnforcerBuilder::ring_buffer_bytes`].
pub const RING_BUFFER_BYTES: u32 = 1 << 18;

/// Default of [`EnforcerBuilder::rule_capacity`].
pub const RULE_CAPACITY: u32 = 1 << 13;

/// A loaded enforcer. Its verbs are those of [`Control`], to which it dereferences. Dropping it detaches and unloads
/// everything; so does the end of the process, however it ends. One that is pinned ([`EnforcerBuilder::pin`]) stays as
/// it is instead, until the next start takes it up or [`Enforcer::unpin`] ends it.
///
/// ```no_run
/// use aegisbpf_core::{Enforcer, Policy};
///
/// let policy = Policy::from_path("policies/production.conf")?;
/// let mut aegis = Enforcer::builder().policy(policy).attach()?;
/// for event in aegis.events()? {
///     println!("{}", event?);
/// }
/// # Ok::<(), aegisbpf_core::Error>(())
/// ```
pub struct Enforcer {
    control: Control,
    applied: Option<Applied>,
    /// Says to other processes that this one runs the enforcer.
    owner: Option<Lock>,
}

impl Enforcer {
    /// Starts with the defaults: audit mode, the best backend of this host, no policy, every event reported.
    pub fn builder() -> EnforcerBuilder {
        EnforcerBuilder::default()
    }

    /// What became of the policy that the builder was given; none if it was given none.
    #[must_use]
    pub fn applied(&self) -> Option<&Applied> {
        self.applied.as_ref()
    }

    /// Ends it: detaches every hook and removes every pin. For one that is not pinned this is what dropping does.
    ///
    /// # Errors
    /// If the kernel refuses; what could be removed is removed.
    pub fn unpin(self) -> Result<()> {
        let Self { control, owner, .. } = self;
        let removed = control.remove_pins();
        drop(owner);
        removed
    }
}

impl Deref for Enforcer {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl DerefMut for Enforcer {
    fn deref_mut(&mut self) -> &mut Control {
        &mut self.control
    }
}

/// How to load an [`Enforcer`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct EnforcerBuilder {
    mode: Option<Mode>,
    policy: Option<Policy>,
    event_sample_rate: Option<u32>,
    ring_buffer_bytes: Option<u32>,
    rule_capacity: Option<u32>,
    backend: Option<Backend>,
    pin: Option<PathBuf>,
    dead_man: Option<Duration>,
    /// What became of the policy, where it was applied on the way.
    applied: Option<Applied>,
    network_scope: Option<PathBuf>,
}

impl EnforcerBuilder {
    /// Default: [`Mode::Audit`]. Asking for [`Mode::Enforce`] where only audit is possible is an error.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Default: none; [`Control::apply`] can set one later.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Report one event in this many, on each CPU. Default: 1, every one; 0 reports none. Counters stay exact. Raise
    /// it where a legitimate program meets a rule thousands of times a second.
    pub fn event_sample_rate(mut self, one_in: u32) -> Self {
        self.event_sample_rate = Some(one_in);
        self
    }

    /// Size of the ring buffer, rounded up to a power of two. Default: 256 KiB, about 650 events; at most 1 GiB.
    /// Raise it if events are dropped.
    pub fn ring_buffer_bytes(mut self, bytes: u32) -> Self {
        self.ring_buffer_bytes = Some(bytes);
        self
    }

    /// How many rules can be applied at once, for policies that come later. Default: 8,192, or what the builder's own
    /// policy needs if that is more. The kernel takes 32 bytes for each, used or not.
    pub fn rule_capacity(mut self, rules: u32) -> Self {
        self.rule_capacity = Some(rules);
        self
    }

    /// Default: the first that works, [`Backend::Lsm`] before [`Backend::Tracepoint`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Default: the root cgroup, which has every socket of the machine. The directory of the cgroup whose sockets the rules
    /// about the network hold for, where they are attached to a cgroup ([`Backend::Sock`], also beside
    /// [`Backend::Tracepoint`]). Security hooks have no such thing: there it is an error.
    pub fn network_scope(mut self, cgroup: impl Into<PathBuf>) -> Self {
        self.network_scope = Some(cgroup.into());
        self
    }

    /// Default: not pinned. Pins everything in `base` ([`PIN_DIR`](crate::PIN_DIR), or another directory in a bpf file
    /// system), so that it outlives this process however that ends, and other processes reach it by [`Control::open`].
    /// If such an enforcer is pinned there already, it is taken up as it is, without a moment in between in which it
    /// does not decide: its counters, its policy unless this builder has one, and those settings that this builder was
    /// not told.
    pub fn pin(mut self, base: impl Into<PathBuf>) -> Self {
        self.pin = Some(base.into());
        self
    }

    /// Default: none. If [`Control::heartbeat`] is not called for so long, every refusal becomes an audit until it is
    /// called again; see [`Control::set_dead_man`].
    pub fn dead_man(mut self, patience: Duration) -> Self {
        self.dead_man = Some(patience);
        self
    }

    /// Loads the programs, fills the maps, and only then attaches.
    ///
    /// # Errors
    /// As [`EnforcerBuilder::load`], or if the kernel refuses a hook. Nothing stays attached.
    pub fn attach(self) -> Result<Enforcer> {
        let mut enforcer = self.load()?;
        enforcer.control.attach()?;
        Ok(enforcer)
    }

    /// Loads the programs that the policy needs and fills the maps, and attaches nothing: [`Control::attach`] does. (Hooks of
    /// a pinned enforcer that is taken up stay attached.) What another policy needs besides is loaded with that.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this host cannot do it, with the remedy; [`Error::Policy`] if the policy cannot
    /// hold here; [`Error::Kernel`] if the kernel refuses a step that should have worked; [`Error::Running`] if
    /// another process runs an enforcer that is pinned there.
    pub fn load(mut self) -> Result<Enforcer> {
        let Some(base) = self.pin.clone() else {
            let (backend, loaded, sizes) = self.load_object()?;
            let control = Control::new(backend, loaded, sizes.ring_buffer_bytes)?;
            self.event_sample_rate.get_or_insert(1);
            return self.fill(control, None);
        };
        let pins = Pins::new(base);
        pins.prepare()?;
        let owner = Lock::try_take(&pins.owner())?.ok_or_else(|| Error::Running {
            dir: pins.base().to_owned(),
            pid: lock::holder(&pins.owner()),
        })?;
        let turn = Lock::wait(pins.base(), "starting the enforcer")?;
        let control = if !pins.exists() {
            self.begin_set(&pins)?
        } else if self.fits(&pins)? {
            Control::from_pins(pins)?
        } else {
            self.succeed_set(&pins)?
        };
        drop(turn);
        self.fill(control, Some(owner))
    }

    /// The first set here.
    fn begin_set(&mut self, pins: &Pins) -> Result<Control> {
        if self.policy.is_none() {
            control::needs_policy(pins)?;
        }
        self.event_sample_rate.get_or_insert(1);
        self.make_set(pins)?;
        pins.publish()?;
        let mut control = Control::from_pins(pins.clone())?;
        if !pins.other_versions().is_empty() {
            // Before they go, this one has to decide.
            let policy = self.policy.take();
            control.settle_in_turn(self.mode, self.event_sample_rate)?;
            if let Some(policy) = policy {
                self.applied = Some(control.replace(&policy)?);
            }
            control.attach_all()?;
            control::replace_versions(pins)?;
        }
        Ok(control)
    }

    /// A set in the place of one that does not do.
    fn succeed_set(&mut self, pins: &Pins) -> Result<Control> {
        if self.mode.is_none() {
            self.mode = Some(Control::pinned_mode(pins)?);
        }
        let about = About::read(pins)?;
        if self.network_scope.is_none() {
            self.network_scope = about.network_scope;
        }
        self.ring_buffer_bytes
            .get_or_insert(about.ring_buffer_bytes);
        self.rule_capacity.get_or_insert(about.rules / 2);
        self.make_set(pins)?;
        let policy = self.policy.take();
        let (control, applied) = control::succeed(pins, policy.as_ref()).inspect_err(|_| {
            let _ = pins.staging().remove_set();
        })?;
        self.applied = applied;
        Ok(control)
    }

    /// Is what is pinned there what this builder would make?
    fn fits(&self, pins: &Pins) -> Result<bool> {
        let about = About::read(pins)?;
        let backend = self.backend.is_none_or(|backend| backend == about.backend);
        let can_refuse = about.backend != Backend::Tracepoint || self.mode != Some(Mode::Enforce);
        let ring = match self.ring_buffer_bytes {
            Some(bytes) => ring_size(bytes)? == about.ring_buffer_bytes,
            None => true,
        };
        let room = self.rules_told() <= about.rules / 2;
        let scope = self.network_scope.is_none() || self.network_scope == about.network_scope;
        Ok(backend && can_refuse && ring && room && scope && about.build == build(about.backend))
    }

    /// Tells a loaded enforcer what this builder was told.
    fn fill(self, mut control: Control, owner: Option<Lock>) -> Result<Enforcer> {
        control.settle_in(self.mode, self.event_sample_rate)?;
        match self.dead_man {
            Some(patience) => control.set_dead_man(Some(patience))?,
            None => control.heartbeat()?,
        }
        let applied = match self.policy {
            Some(policy) => Some(control.apply(&policy)?),
            None => self.applied,
        };
        Ok(Enforcer {
            control,
            applied,
            owner,
        })
    }

    /// For how many rules there must be room: this policy's, or as many as was said.
    fn rules_told(&self) -> u32 {
        let own = self.policy.as_ref().map_or(0, |p| p.rules().len());
        let own = u32::try_from(own).unwrap_or(u32::MAX);
        own.max(self.rule_capacity.unwrap_or(0))
    }

    fn load_object(&self) -> Result<(Backend, Loaded, Sizes)> {
        let rules = match self.rule_capacity {
            Some(_) => self.rules_told(),
            None => self.rules_told().max(RULE_CAPACITY),
        };
        let sizes = Sizes {
            ring_buffer_bytes: ring_size(self.ring_buffer_bytes.unwrap_or(RING_BUFFER_BYTES))?,
            // Old and new rules have counters side by side while a policy is replaced.
            rules: rules.saturating_mul(2).max(2),
        };
        let mode = self.mode.unwrap_or(Mode::Audit);
        let (backend, loaded) = support::choose(mode, self.backend, sizes, self.policy.as_ref())?;
        heap::give_back();
        let has_cgroups = matches!(backend, Backend::Tracepoint | Backend::Sock);
        if self.network_scope.is_some() && !has_cgroups {
            return Err(Error::unsupported(
                "holding the rules about the network to one cgroup",
                format!("the {backend} backend attaches to no cgroup"),
                "name the cgroup in the rules ([cgroup_deny_ip], [cgroup_deny_port]), or use Backend::Sock",
            ));
        }
        Ok((backend, loaded.within(self.network_scope.clone()), sizes))
    }

    /// Makes a set of pins aside, without policy and without hooks.
    fn make_set(&self, pins: &Pins) -> Result<()> {
        let staged = pins.staging();
        staged.remove_set()?;
        let (backend, mut loaded, sizes) = self.load_object()?;
        let made = staged.make_set().and_then(|()| {
            loaded.pin(&staged)?;
            staged.detached().set()?;
            About {
                backend,
                build: build(backend),
                ring_buffer_bytes: sizes.ring_buffer_bytes,
                rules: sizes.rules,
                network_scope: self.network_scope.clone(),
            }
            .write(&staged)
        });
        if made.is_err() {
            let _ = staged.remove_set();
        }
        made
    }
}

/// A ring buffer's size is a power of two and whole pages.
fn ring_size(bytes: u32) -> Result<u32> {
    const MOST: u32 = 1 << 30;
    if bytes > MOST {
        return Err(Error::Unsupported {
            what: format!("a ring buffer of {bytes} bytes"),
            reason: format!("the kernel takes at most {MOST}"),
            remedy: "choose a smaller one, or raise the sample rate".into(),
            source: None,
        });
    }
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .unwrap_or(4096);
    Ok(bytes
        .max(u32::try_from(page).unwrap_or(4096))
        .next_power_of_two())
}
