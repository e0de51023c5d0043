//! The rules of a policy in the order of its canonical text, with the places they once came from.

use super::{Origin, Policy, Rule, render};

impl Policy {
    /// The rules as canonical text has them.
    pub(crate) fn canonical_order(&self) -> Vec<&Rule> {
        render::sorted(self)
    }

    /// The policy with its rules written at `origins`, in their order; `None` if there are more or fewer.
    pub(crate) fn with_origins(mut self, origins: Vec<Origin>) -> Option<Self> {
        if self.rules.len() != origins.len() {
            return None;
        }
        for (rule, origin) in self.rules.iter_mut().zip(origins) {
            rule.origin = origin;
        }
        Some(self)
    }
}
