//! The enforcer under test, in a process of its own.
//!
//! It runs as a user's daemon would: its CPU time and memory are its own, and the harness is not exempt from the
//! policy as the enforcer's own process is. The harness' side is [`remote`], the enforcer's side is [`child`], and
//! [`protocol`] is what they say to each other: one JSON line each way.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aegisbpf_core::{Backend, Mode};
use aegisbpf_measure::workload::BoxError;

pub mod canary;
pub mod child;
pub mod command;
pub mod empty;
pub mod enforcer;
pub mod policy;
pub mod protocol;
pub mod remote;

pub use canary::Canary;
pub use command::{CommandGuard, Commands};
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
    start_with_hits(scratch, policy, &[], mode, backend)
}

/// As [`start`], with a rule for each of these files of the workload, so that the policy hits.
///
/// Their paths differ from run to run, so the policy's hash only says that they are there.
///
/// # Errors
/// As [`start`].
pub fn start_with_hits(
    scratch: &Path,
    policy: &PolicyText,
    sensitive: &[PathBuf],
    mode: Mode,
    backend: Option<Backend>,
) -> Result<RemoteGuard, BoxError> {
    let directory = scratch.join("enforcer");
    fs::create_dir(&directory)?;
    let canary = Canary::new(&directory)?;
    let policy_file = directory.join("policy.conf");
    let mut text = canary.deny_in(&policy.text);
    for path in sensitive {
        // A rule is for the file's own path; a link on the way would only earn a warning.
        text.push_str(&format!("{}\n", path.canonicalize()?.display()));
    }
    fs::write(&policy_file, text)?;
    let (policy_name, policy_sha256) = match sensitive.len() {
        0 => (policy.name.clone(), policy.sha256()),
        files => (
            format!("{}, and {files} of the workload's files", policy.name),
            sha256(&format!(
                "{}\n# and {files} of the workload's files",
                policy.text
            )),
        ),
    };
    let settings = enforcer::Settings {
        policy_file,
        policy_name,
        policy_sha256,
        mode,
        backend,
        events: directory.join("events.jsonl"),
    };
    Ok(RemoteGuard::start(&mut settings.command()?, canary)?)
}
