//! The current policy and small changes of it.

use std::{borrow::Cow, collections::HashSet};

use super::{
    Applied, Control,
    shared::{Shared, read_kept},
};
use crate::{
    error::{Error, Result},
    kept::Kept,
    policy::{Policy, Rule},
};

impl Control {
    /// The policy in force: what it says, and where each rule was written. Before the first one it has no rules.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn policy(&self) -> Result<Policy> {
        Ok(self.current()?.into_owned().policy)
    }

    /// The policy before the one in force, which [`Control::rollback`] would bring back; none if there was none.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn previous(&self) -> Result<Option<Policy>> {
        let Some(Shared { pins, .. }) = &self.shared else {
            return Ok(self.previous.clone().filter(|_| self.generation > 1));
        };
        // Another process may be replacing it at this moment: then look once more.
        let mut outcome = Ok(None);
        for _ in 0..ATTEMPTS {
            let before = self.maps.settings()?.generation.wrapping_sub(1);
            if !pins.policies().contains(&before) {
                return Ok(None);
            }
            outcome = read_kept(pins, before).map(|kept| Some(kept.policy));
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Brings back the policy before the one in force, looked up anew on this host. Doing it twice brings back the
    /// one that it replaced.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is none; otherwise as [`Control::apply`].
    pub fn rollback(&mut self) -> Result<Applied> {
        let _turn = self.begin("rolling back the policy")?;
        let previous = self.previous()?.ok_or_else(|| {
            Error::unsupported(
                "rolling back the policy",
                "no policy was in force before this one",
                "apply the policy that is wanted",
            )
        })?;
        self.replace(&previous)
    }

    /// Adds the rules of `more` that are not in force, as one change: any access is decided without them or with all of them.
    /// Rules that are in force already stay as they are.
    ///
    /// # Errors
    /// [`Error::Policy`] if they do not go together with the policy in force; otherwise as [`Control::apply`].
    pub fn add(&mut self, more: &Policy) -> Result<Applied> {
        let _turn = self.begin("adding rules")?;
        let joined = self.kept.policy.joined(more)?;
        self.replace(&joined)
    }

    /// Takes the rules of `some` out of the policy in force, as one change; what they are about counts, not where
    /// they are written.
    ///
    /// # Errors
    /// [`Error::NoSuchRule`] if one of them is not in force; then nothing has changed. Otherwise as [`Control::apply`].
    pub fn remove(&mut self, some: &Policy) -> Result<Applied> {
        let _turn = self.begin("removing rules")?;
        let ids = self.kept.table.ids();
        let unknown = some.rules().iter();
        let unknown: Vec<String> = unknown
            .filter(|rule| !ids.contains_key(&rule.meaning()))
            .map(|rule| format!("[{}] {}", rule.section(), rule.entry()))
            .collect();
        if !unknown.is_empty() {
            return Err(Error::NoSuchRule { rules: unknown });
        }
        let gone: HashSet<_> = some.rules().iter().map(Rule::meaning).collect();
        let fewer = self
            .kept
            .policy
            .retain(|rule| !gone.contains(&rule.meaning()));
        self.replace(&fewer)
    }

    /// Takes every rule out of the policy in force for which `keep` is false, as one change.
    ///
    /// # Errors
    /// As [`Control::apply`].
    pub fn retain(&mut self, keep: impl Fn(&Rule) -> bool) -> Result<Applied> {
        let _turn = self.begin("removing rules")?;
        let fewer = self.kept.policy.retain(keep);
        self.replace(&fewer)
    }

    /// The policy in force with its table, read anew if another process has changed it.
    pub(super) fn current(&self) -> Result<Cow<'_, Kept>> {
        let Some(Shared { pins, .. }) = &self.shared else {
            return Ok(Cow::Borrowed(&self.kept));
        };
        // A generation that we just read of may be two generations old when we open it: then look once more.
        let mut outcome = Ok(Cow::Borrowed(&self.kept));
        for _ in 0..ATTEMPTS {
            let generation = self.maps.settings()?.generation;
            if generation == self.generation {
                return Ok(Cow::Borrowed(&self.kept));
            }
            outcome = read_kept(pins, generation).map(Cow::Owned);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

const ATTEMPTS: u32 = 5;
