//! Building an enforcer, and holding it: the programs stay attached while it lives.

use std::ops::{Deref, DerefMut};

use crate::{
    backend::{Backend, Mode},
    control::{Applied, Control},
    error::{Error, Result},
    events::Events,
    kernel::{Maps, Ring, Sizes, heap, support},
    policy::Policy,
};

/// Default of [`EnforcerBuilder::ring_buffer_bytes`].
pub const RING_BUFFER_BYTES: u32 = 1 << 18;

/// Default of [`EnforcerBuilder::rule_capacity`].
pub const RULE_CAPACITY: u32 = 1 << 13;

/// A loaded enforcer. Its verbs are those of [`Control`], to which it dereferences. Dropping it detaches and unloads
/// everything; so does the end of the process, however it ends.
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
    ring: Option<Ring>,
    applied: Option<Applied>,
}

impl Enforcer {
    /// Starts with the defaults: audit mode, the best backend of this host, no policy, every event reported.
    pub fn builder() -> EnforcerBuilder {
        EnforcerBuilder::default()
    }

    /// The stream of events. Once: the ring buffer has one reader.
    ///
    /// # Errors
    /// [`Error::EventsTaken`] the second time.
    pub fn events(&mut self) -> Result<Events> {
        let ring = self.ring.take().ok_or(Error::EventsTaken)?;
        Events::new(ring, self.control.labels())
    }

    /// What became of the policy that the builder was given; none if it was given none.
    #[must_use]
    pub fn applied(&self) -> Option<&Applied> {
        self.applied.as_ref()
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
#[derive(Debug, Clone)]
#[must_use]
pub struct EnforcerBuilder {
    mode: Mode,
    policy: Option<Policy>,
    event_sample_rate: u32,
    ring_buffer_bytes: u32,
    rule_capacity: u32,
    backend: Option<Backend>,
}

impl Default for EnforcerBuilder {
    fn default() -> Self {
        Self {
            mode: Mode::Audit,
            policy: None,
            event_sample_rate: 1,
            ring_buffer_bytes: RING_BUFFER_BYTES,
            rule_capacity: RULE_CAPACITY,
            backend: None,
        }
    }
}

impl EnforcerBuilder {
    /// Default: [`Mode::Audit`]. Asking for [`Mode::Enforce`] where only audit is possible is an error.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
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
        self.event_sample_rate = one_in;
        self
    }

    /// Size of the ring buffer, rounded up to a power of two. Default: 256 KiB, about 650 events; at most 1 GiB.
    /// Raise it if events are dropped.
    pub fn ring_buffer_bytes(mut self, bytes: u32) -> Self {
        self.ring_buffer_bytes = bytes;
        self
    }

    /// How many rules can be applied at once, for policies that come later. Default: 8,192, or what the builder's own
    /// policy needs if that is more. The kernel takes 32 bytes for each, used or not.
    pub fn rule_capacity(mut self, rules: u32) -> Self {
        self.rule_capacity = rules;
        self
    }

    /// Default: the first that works, [`Backend::Lsm`] before [`Backend::Tracepoint`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
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

    /// Loads the programs and fills the maps, and attaches nothing: [`Control::attach`] does.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this host cannot do it, with the remedy; [`Error::Policy`] if the policy cannot
    /// hold here; [`Error::Kernel`] if the kernel refuses a step that should have worked.
    pub fn load(self) -> Result<Enforcer> {
        let own = self
            .policy
            .as_ref()
            .map_or(0, |policy| policy.rules().len());
        let sizes = Sizes {
            ring_buffer_bytes: ring_size(self.ring_buffer_bytes)?,
            // Old and new rules have counters side by side while a policy is replaced.
            rules: self
                .rule_capacity
                .max(u32::try_from(own).unwrap_or(u32::MAX))
                .saturating_mul(2)
                .max(2),
        };
        let (backend, mut loaded) = support::choose(self.mode, self.backend, sizes)?;
        heap::give_back();
        let (maps, ring) = Maps::take(loaded.ebpf(), sizes)?;
        let mut control = Control::new(backend, loaded, maps, self.mode, self.event_sample_rate)?;
        let applied = self
            .policy
            .map(|policy| control.apply(&policy))
            .transpose()?;
        Ok(Enforcer {
            control,
            ring: Some(ring),
            applied,
        })
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
