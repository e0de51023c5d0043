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
pub fn supports(backend: Backend, _mode: Mode, class: Class) -> Result<(), Unsupported> {
    match class {
        Class::AllowCgroup | Class::Network | Class::CgroupNetwork => Ok(()),
        _ if backend == Backend::Sock => Err(Unsupported::new(
            "the sock backend sees the network alone",
            "audit files with the tracepoint backend, or enforce with the lsm or modify_return backend",
        )),
        Class::File | Class::Directory | Class::CgroupFile | Class::Executable => Ok(()),
        Class::Comm | Class::Ptrace | Class::ModuleLoad | Class::Bpf => match backend {
            Backend::Tracepoint => Err(Unsupported::new(
                "a tracepoint sees the system call, not the decision that the rule is about",
                "boot with `bpf` in the kernel's lsm= list, where the lsm backend enforces it, or remove the section",
            )),
            _ => Ok(()),
        },
        Class::Hash => Err(Unsupported::new(
            "this build takes no sums of what is executed: nothing would be denied, or everything",
            "deny the file under [deny_path], which holds for whatever file bears that name, or its name under [deny_comm]",
        )),
        Class::Verified => Err(Unsupported::new(
            "this build does not verify executables (fs-verity), so it cannot tell whom to let through",
            "deny the object under [deny_path] or [deny_port], and except who needs it with [allow_cgroup] or [allow_exec]",
        )),
        Class::Ima => Err(Unsupported::new(
            "this build does not ask IMA for the measurement of what is executed",
            "let IMA appraise by itself (ima_policy= on the kernel's command line), and remove the section",
        )),
    }
}

/// Is the policy about the network, and about nothing else?
pub(crate) fn is_network(policy: &Policy) -> bool {
    let classes = policy.classes();
    let is_network = |class: &Class| matches!(class, Class::Network | Class::CgroupNetwork);
    classes.iter().any(is_network)
        && classes
            .iter()
            .all(|class| is_network(class) || *class == Class::AllowCgroup)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A refusal teaches: it says why, and what to do instead.
    #[test]
    fn what_is_refused_has_a_reason_and_a_remedy() {
        for backend in [Backend::Lsm, Backend::Tracepoint] {
            for class in [Class::Hash, Class::Verified, Class::Ima] {
                let refused = supports(backend, Mode::Audit, class).unwrap_err();
                assert!(!refused.reason.is_empty() && !refused.remedy.is_empty());
            }
        }
        assert!(supports(Backend::Tracepoint, Mode::Audit, Class::Directory).is_ok());
        assert!(supports(Backend::Sock, Mode::Audit, Class::Directory).is_err());
        assert!(supports(Backend::Tracepoint, Mode::Audit, Class::Ptrace).is_err());
        assert!(supports(Backend::Lsm, Mode::Enforce, Class::Ptrace).is_ok());
        assert!(supports(Backend::Sock, Mode::Enforce, Class::Network).is_ok());
        assert!(supports(Backend::Sock, Mode::Enforce, Class::File).is_err());
    }

    #[test]
    fn a_policy_about_the_network_has_nothing_else() {
        let is = |sections: &str| is_network(&format!("version=7\n{sections}").parse().unwrap());
        assert!(is("[deny_ip]\n10.0.0.1\n[allow_cgroup]\n/a\n"));
        assert!(!is("[deny_ip]\n10.0.0.1\n[deny_path]\n/etc/shadow\n"));
        assert!(!is("[allow_cgroup]\n/a\n"));
        assert!(!is(""));
    }
}
