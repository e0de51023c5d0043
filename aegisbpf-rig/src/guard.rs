//! The enforcer under test, in a process of its own.
//!
//! It runs as a user's daemon would: its CPU time and memory are its own, and the harness is not exempt from the
//! policy as the enforcer's own process is. The harness' side is [`remote`], the enforcer's side is [`child`], and
//! [`protocol`] is what they say to each other: one JSON line each way.

use std::{fs, path::Path};

use aegisbpf_core::{Backend, Mode};
use aegisbpf_measure::workload::BoxError;

pub mod canary;
pub mod child;
pub mod empty;
pub mod enforcer;
pub mod policy;
pub mod protocol;
pub mod remote;

pub use canary::Canary;
pub use policy::{PolicyText, sha256};
pub use remote::{GuardError, RemoteGuard};

/// Starts our enforcer with this policy and a rule for a canary, in a directory of its own below `scratch`.
///
/// The program that calls this must call [`enforcer::main_if_asked`] first thing in its `main`: the enforcer is that
/// very program, started again.
///
/// # Errors
/// [`GuardError::Unsupported`] (boxed) where this machine cannot run it; others if it should, but does not.
pub fn start(
    scratch: &Path,
    policy: &PolicyText,
    mode: Mode,
    backend: Option<Backend>,
) -> Result<RemoteGuard, BoxError> {
    let directory = scratch.join("enforcer");
    fs::create_dir(&directory)?;
    let canary = Canary::new(&directory)?;
    let policy_file = directory.join("policy.conf");
    fs::write(&policy_file, canary.deny_in(&policy.text))?;
    let settings = enforcer::Settings {
        policy_file,
        policy_name: policy.name.clone(),
        policy_sha256: policy.sha256(),
        mode,
        backend,
        events: directory.join("events.jsonl"),
    };
    Ok(RemoteGuard::start(&mut settings.command()?, canary)?)
}
