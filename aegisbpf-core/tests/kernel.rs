//! The enforcer on a real kernel: the same facts for each backend that this host can load, and the ones that
//! only one of them can show. A backend that cannot be loaded here is ignored with the reason.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod backends;
mod common;

use std::sync::LazyLock;

use aegisbpf_core::{Backend, Mode};
use libtest_mimic::{Arguments, Completion, Trial};

/// The backends that can refuse. The same programs, so the same facts.
const REFUSING: [Backend; 2] = [Backend::Lsm, Backend::ModifyReturn];

/// A fact to be shown on one backend.
type Fact = fn(Backend);

fn main() {
    if backends::is_a_part_of_a_fact() {
        return;
    }
    backends::audit::give_up_inherited_descriptors();
    let mut arguments = Arguments::from_args();
    // One at a time: some count what the whole process holds.
    arguments.test_threads = Some(1);
    let mut trials = Vec::new();
    for (name, fact) in backends::BOTH {
        trials.push(trial(
            "tracepoint",
            name,
            Backend::Tracepoint,
            Mode::Audit,
            *fact,
        ));
        for backend in REFUSING {
            trials.push(trial(
                backend_name(backend),
                name,
                backend,
                Mode::Audit,
                *fact,
            ));
        }
    }
    for (name, fact) in backends::TRACEPOINT {
        trials.push(trial(
            "tracepoint",
            name,
            Backend::Tracepoint,
            Mode::Audit,
            *fact,
        ));
    }
    trials.push(single(
        "tracepoint::every_open_system_call_is_seen",
        || missing(Backend::Tracepoint, Mode::Audit).or_else(backends::no_system_calls_by_number),
        || backends::every_open_system_call_is_seen(Backend::Tracepoint),
    ));
    trials.push(single(
        "decision::decides_by_identity_alone",
        || missing(Backend::Tracepoint, Mode::Audit),
        backends::decides_by_identity_alone,
    ));
    trials.push(single(
        "decision::every_rule_of_a_large_policy_is_found",
        || missing(Backend::Tracepoint, Mode::Audit),
        backends::every_rule_of_a_large_policy_is_found,
    ));
    trials.push(single(
        "decision::emergency_and_silence_turn_refusals_into_audits",
        || missing(Backend::Tracepoint, Mode::Audit),
        backends::emergency_and_silence_turn_refusals_into_audits,
    ));
    for (name, fact) in backends::LSM {
        for backend in REFUSING {
            trials.push(trial(
                backend_name(backend),
                name,
                backend,
                Mode::Enforce,
                *fact,
            ));
        }
    }
    for (group, facts) in backends::PROBED {
        for (name, fact) in *facts {
            for backend in REFUSING {
                let name = format!("{}::{group}::{name}", backend_name(backend));
                trials.push(lone(name, backend, *fact, move || {
                    missing(backend, Mode::Enforce).or_else(backends::probe::missing)
                }));
            }
        }
    }
    for (name, fact) in backends::sock::FACTS {
        trials.push(lone(format!("sock::{name}"), Backend::Sock, *fact, || {
            missing(Backend::Sock, Mode::Enforce).or_else(backends::probe::missing)
        }));
    }
    trials.push(single(
        "modify_return::is_refused_where_programs_are_skipped",
        || missing(Backend::ModifyReturn, Mode::Enforce),
        backends::modify_return_is_refused_where_programs_are_skipped,
    ));
    trials.push(single(
        "lsm::is_refused_where_it_would_never_run",
        || None,
        backends::lsm_is_refused_where_it_would_never_run,
    ));
    assert!(!trials.is_empty(), "an empty list of tests proves nothing");
    libtest_mimic::run(&arguments, trials).exit();
}

fn backend_name(backend: Backend) -> &'static str {
    match backend {
        Backend::Lsm => "lsm",
        Backend::ModifyReturn => "modify_return",
        _ => "tracepoint",
    }
}

/// A test of its own, ignored with what it lacks.
fn single(name: &str, lacking: fn() -> Option<String>, fact: fn()) -> Trial {
    Trial::ignorable_test(name, move || match lacking() {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => {
            fact();
            Ok(Completion::Completed)
        }
    })
}

fn trial(group: &str, name: &str, backend: Backend, mode: Mode, fact: Fact) -> Trial {
    lone(format!("{group}::{name}"), backend, fact, move || {
        missing(backend, mode)
    })
}

/// A fact that leaves nothing behind, ignored with what it lacks.
fn lone(
    name: String,
    backend: Backend,
    fact: Fact,
    lacking: impl FnOnce() -> Option<String> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match lacking() {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => {
            let outcome = std::panic::catch_unwind(|| fact(backend));
            assert_eq!(
                common::held_bpf_descriptors(),
                0,
                "the enforcer is gone, its descriptors are not"
            );
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
            Ok(Completion::Completed)
        }
    })
}

/// Why a backend cannot be used here; asked once.
fn missing(backend: Backend, mode: Mode) -> Option<String> {
    static LSM: LazyLock<Option<String>> =
        LazyLock::new(|| common::missing(Backend::Lsm, Mode::Enforce));
    static TRACEPOINT: LazyLock<Option<String>> =
        LazyLock::new(|| common::missing(Backend::Tracepoint, Mode::Audit));
    static MODIFY_RETURN: LazyLock<Option<String>> =
        LazyLock::new(|| common::missing(Backend::ModifyReturn, Mode::Enforce));
    static SOCK: LazyLock<Option<String>> =
        LazyLock::new(|| common::missing(Backend::Sock, Mode::Enforce));
    match (backend, mode) {
        (Backend::Sock, _) => SOCK.clone(),
        (Backend::Lsm, _) => LSM.clone(),
        (Backend::ModifyReturn, _) => MODIFY_RETURN.clone(),
        _ => TRACEPOINT.clone(),
    }
}
