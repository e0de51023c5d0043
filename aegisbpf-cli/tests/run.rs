//! `aegisbpf run` on a real kernel, and what a user without privileges gets. What cannot run where the
//! tests were started is ignored with the reason.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "run/across.rs"]
mod across;
#[path = "run/audit.rs"]
mod audit;
mod common;
#[path = "run/enforce.rs"]
mod enforce;
#[path = "run/journey.rs"]
mod journey;
#[path = "run/prometheus.rs"]
mod prometheus;
#[path = "run/rules.rs"]
mod rules;
#[path = "run/seed.rs"]
mod seed;
#[path = "run/service.rs"]
mod service;
#[path = "run/unprivileged.rs"]
mod unprivileged;

use std::sync::LazyLock;

use aegisbpf_core::{Enforcer, Error, Mode};
use libtest_mimic::{Arguments, Completion, Trial};

/// Why a fact cannot be shown here.
type Missing = fn() -> Option<String>;
/// What is shown, by name.
type Facts = &'static [(&'static str, fn())];

fn main() {
    let mut arguments = Arguments::from_args();
    // One at a time: they look at what is left on the machine.
    arguments.test_threads = Some(1);
    let groups: &[(&str, Missing, Facts)] = &[
        ("audit", no_kernel, audit::FACTS),
        ("across", no_kernel, across::FACTS),
        ("rules", no_kernel, rules::FACTS),
        ("seed", no_kernel, seed::FACTS),
        ("journey", no_kernel, journey::AUDIT),
        ("metrics", no_kernel, prometheus::OTHERS),
        ("prometheus", prometheus::missing, prometheus::FACTS),
        ("service", no_kernel, service::FACTS),
        ("unprivileged", unprivileged::missing, unprivileged::FACTS),
        ("gate", enforce::gate_missing, enforce::GATE),
        ("enforce", enforce::missing, enforce::FACTS),
        ("enforce_journey", enforce::missing, journey::ENFORCE),
    ];
    let trials: Vec<_> = groups
        .iter()
        .flat_map(|(group, missing, facts)| {
            let facts = facts.iter();
            facts.map(move |(name, fact)| trial(format!("{group}::{name}"), *missing, *fact))
        })
        .collect();
    assert!(!trials.is_empty(), "an empty list of tests proves nothing");
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: String, missing: Missing, fact: fn()) -> Trial {
    Trial::ignorable_test(name, move || match missing() {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => {
            fact();
            Ok(Completion::Completed)
        }
    })
}

/// Why nothing can be audited here; asked of the library, so that a fault of the command is no excuse.
fn no_kernel() -> Option<String> {
    static MISSING: LazyLock<Option<String>> = LazyLock::new(|| cannot(Mode::Audit));
    MISSING.clone()
}

fn cannot(mode: Mode) -> Option<String> {
    match Enforcer::builder().mode(mode).load() {
        Ok(_) => None,
        Err(error @ Error::Unsupported { .. }) => Some(error.chain().replace('\n', "; ")),
        Err(error) => panic!("{}", error.chain()),
    }
}
