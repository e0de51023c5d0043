//! Enforcers that outlive their process, and what other processes can do with them. Each test has a bpf file system of
//! its own in a mount name space of this program's, so whatever happens to it nothing stays pinned.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
mod pinned;

use std::path::Path;

use libtest_mimic::{Arguments, Completion, Trial};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

fn main() {
    if let Some(errand) = std::env::args().nth(1).filter(|a| a == pinned::ERRAND) {
        pinned::run_errand(std::env::args().skip_while(|a| *a != errand).skip(1));
        return;
    }
    let mut arguments = Arguments::from_args();
    // One at a time: some count what the whole process holds.
    arguments.test_threads = Some(1);
    let lacking = own_mounts().err();
    let trials: Vec<_> = pinned::FACTS
        .iter()
        .map(|(name, backend, mode, fact)| {
            let lacking = lacking.clone();
            let group = backend.to_string();
            Trial::ignorable_test(format!("{group}::{name}"), move || {
                match lacking.or_else(|| common::missing(*backend, *mode)) {
                    Some(reason) => Ok(Completion::ignored_with(reason)),
                    None => {
                        fact(*backend);
                        assert_eq!(
                            common::held_bpf_descriptors(),
                            0,
                            "the enforcer is gone, its descriptors are not"
                        );
                        Ok(Completion::Completed)
                    }
                }
            })
        })
        .collect();
    assert!(!trials.is_empty(), "an empty list of tests proves nothing");
    libtest_mimic::run(&arguments, trials).exit();
}

/// Leaves the mounts of everybody else alone.
fn own_mounts() -> Result<(), String> {
    let nothing = None::<&Path>;
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| {
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(nothing, "/", nothing, private, nothing)
        })
        .map_err(|e| format!("no mount name space of our own: {}; run as root", e.desc()))
}
