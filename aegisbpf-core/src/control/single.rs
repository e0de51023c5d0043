//! Single rules: a rule more, some less.

use super::{Applied, Control};
use crate::{
    error::Result,
    policy::{Policy, Problems, Rule},
};

impl Control {
    /// Adds the rules of `more` to the policy in force, and gives how many it did not have yet. If it had them all
    /// nothing changes.
    ///
    /// # Errors
    /// As [`Control::apply`].
    pub fn add(&mut self, more: &Policy) -> Result<(usize, Applied)> {
        let _turn = self.begin("adding a rule")?;
        let (policy, added) = self.kept.policy.with(more)?;
        Ok((added, self.change(added, &policy)?))
    }

    /// Takes away the rules that `gone` names, and gives how many those were. If there were none nothing changes.
    ///
    /// # Errors
    /// As [`Control::apply`].
    pub fn remove(&mut self, gone: impl Fn(&Rule) -> bool) -> Result<(usize, Applied)> {
        let _turn = self.begin("removing rules")?;
        let (policy, removed) = self.kept.policy.without(gone);
        Ok((removed, self.change(removed, &policy)?))
    }

    /// For whoever has the turn.
    fn change(&mut self, changes: usize, policy: &Policy) -> Result<Applied> {
        if changes == 0 {
            return Ok(self.applied(policy, &Problems::default()));
        }
        self.replace(policy)
    }
}
