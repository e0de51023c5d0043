//! One set of pins after another, with no moment in between in which nobody decides: programs that were built anew, larger
//! maps, another backend. (The same programs are taken up as they are.)
//!
//! The new set is made aside, with settings, policy and ids of the old one, and attached; only then are the names
//! exchanged, and only then does the old one go. In between both decide: what the old one refuses the new one does not
//! see; what both let pass, both count.

use std::{thread, time::Duration};

use super::{Applied, Control, Ids, carried::Carried, mode_of, shared::read_kept};
use crate::{
    backend::Mode,
    error::{Error, Result},
    kept::Kept,
    kernel::{Remains, Source, blob, pins::Pins},
    policy::Policy,
};

/// How long the counters of detached programs are waited for: the kernel lets go of pinned links a moment after their
/// names have gone.
const LAST_COUNTS: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What of an old set its successor needs, whatever its programs and its other maps are.
struct Predecessor {
    remains: Remains,
    generation: u32,
    kept: Kept,
    carried: Carried,
}

impl Predecessor {
    fn open(pins: &Pins) -> Result<Self> {
        let remains = Remains::take(&mut Source::Pins(pins))?;
        let generation = remains.settings()?.generation;
        Ok(Self {
            kept: read_kept(pins, generation)?,
            carried: Carried::read(pins)?,
            remains,
            generation,
        })
    }

    /// All that was counted, once the programs have ended.
    fn last_counts(&self) -> Result<Carried> {
        let mut waited = Duration::ZERO;
        let mut counts = self.carried.over(&self.remains)?;
        loop {
            thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
            let now = self.carried.over(&self.remains)?;
            if now == counts || waited >= LAST_COUNTS {
                return Ok(now);
            }
            counts = now;
        }
    }
}

/// Puts the staged set of `pins`, which has neither policy nor hooks, in the place of the published one: the policy is
/// `policy` or the old one. The caller holds the lock.
///
/// # Errors
/// If a step fails; before the exchange of names the old set stands as it was.
pub(crate) fn succeed(pins: &Pins, policy: Option<&Policy>) -> Result<(Control, Option<Applied>)> {
    let staged = pins.staging();
    let old = Predecessor::open(pins)?;
    let mut new = Control::from_pins(staged.clone())?;
    let applied = new.inherit(&staged, pins, &old, policy)?;
    // The enforcer's hooks were taken off on purpose: then they stay off.
    if !pins.detached().is_set() {
        new.attach_all()?;
    }
    pins.publish()?;
    // The names have changed places: what is staged now is the old set.
    staged.remove_set()?;
    old.last_counts()?.write(pins)?;
    drop(new);
    Ok((Control::from_pins(pins.clone())?, applied))
}

impl Control {
    /// The mode of the set that is published.
    pub(crate) fn pinned_mode(pins: &Pins) -> Result<Mode> {
        let remains = Remains::take(&mut Source::Pins(pins))?;
        remains.settings().map(mode_of)
    }

    fn inherit(
        &mut self,
        staged: &Pins,
        pins: &Pins,
        old: &Predecessor,
        policy: Option<&Policy>,
    ) -> Result<Option<Applied>> {
        let settings = old.remains.settings()?;
        self.maps.set(|control| {
            control.mode = settings.mode;
            control.sample_every = settings.sample_every;
        })?;
        self.maps.brakes.copy(old.remains.brakes())?;
        if old.generation == 0 && policy.is_none() {
            return Ok(None);
        }
        // What a rollback brings back: the policy that is replaced now, or the one that it had replaced.
        let before = match policy {
            Some(_) => old.generation,
            None => old.generation.wrapping_sub(1),
        };
        if pins.policies().contains(&before) {
            blob::write(
                &staged.policy(self.generation),
                &blob::read(&pins.policy(before))?,
            )?;
        }
        let policy = policy.unwrap_or(&old.kept.policy);
        self.replace_as(policy, Ids::After(&old.kept.table))
            .map(Some)
    }
}

/// Removes what other versions of this library have pinned beside `pins`, now that this one decides.
///
/// # Errors
/// If the file system refuses.
pub(crate) fn replace_versions(pins: &Pins) -> Result<()> {
    pins.other_versions()
        .into_iter()
        .try_for_each(|version| pins.of_version(version).remove_set())
}

/// Refuses to begin without a policy where one of another version, which cannot be read, is in force.
///
/// # Errors
/// [`Error::AbiMismatch`].
pub(crate) fn needs_policy(pins: &Pins) -> Result<()> {
    match pins.other_versions() {
        found if found.is_empty() => Ok(()),
        found => Err(Error::AbiMismatch {
            dir: pins.base().to_owned(),
            found,
            ours: aegisbpf_bpf::abi::ABI_VERSION,
        }),
    }
}
