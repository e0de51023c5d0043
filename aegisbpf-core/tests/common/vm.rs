//! Our own virtual machine, where nothing may be lacking.

use std::fs;

use aegisbpf_core::Backend;

/// Fails where a backend has to work and does not: a test that is ignored looks like one that has passed.
#[track_caller]
pub(crate) fn must_not_lack(backend: Backend, reason: &str) {
    let list = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    // The one thing that is lacking there on purpose, for tests of what happens then.
    let never_runs = backend == Backend::Lsm && !list.trim().split(',').any(|name| name == "bpf");
    assert!(
        never_runs || std::env::var_os("AEGIS_IN_VM").is_none(),
        "{backend} does not work in our own virtual machine: {reason}"
    );
}
