//! What this build enforces, by which way into the kernel.

use crate::{
    backend::{Backend, Mode},
    error::Result,
    policy::{Class, Policy, Unsupported},
};

/// Whether rules of this class are enforced (or, in audit mode, counted and reported) by this backend.
///
/// # Errors
/// If not: what is missing, and what to do about it.
pub fn supports(_backend: Backend, _mode: Mode, class: Class) -> Result<(), Unsupported> {
    match class {
        Class::File | Class::AllowCgroup => Ok(()),
        _ => Err(Unsupported::new(
            "this build does not know how",
            "remove the section; this build enforces [deny_path], [deny_inode] and [allow_cgroup]",
        )),
    }
}

/// Refuses a policy with a rule or setting that would not be enforced.
///
/// # Errors
/// [`Error::Policy`](crate::Error::Policy): every such rule, with its place.
pub(crate) fn require(backend: Backend, mode: Mode, policy: &Policy) -> Result<()> {
    let refusals = policy.refusals(|class| supports(backend, mode, class));
    if refusals.is_empty() {
        Ok(())
    } else {
        Err(refusals.into())
    }
}
