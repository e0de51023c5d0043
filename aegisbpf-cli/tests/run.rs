//! `aegisbpf run` on a real kernel, and what a user without privileges gets. What cannot run where the
//! tests were started is ignored with the reason.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "run/across.rs"]
mod across;
#[path = "run/audit.rs"]
mod audit;
mod common;
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

use libtest_mimic::{Arguments, Completion, Trial};

/// Why a fact cannot be shown here.
type Missing = fn() -> Option<String>;

fn main() {
    let mut arguments = Arguments::from_args();
    // One at a time: they look at what is left on the machine.
    arguments.test_threads = Some(1);
    let audit = audit::FACTS.iter().map(|fact| ("audit", fact));
    let across = across::FACTS.iter().map(|fact| ("across", fact));
    let prometheus = prometheus::FACTS.iter().map(|fact| ("prometheus", fact));
    let metrics = prometheus::OTHERS.iter().map(|fact| ("metrics", fact));
    let rules = rules::FACTS.iter().map(|fact| ("rules", fact));
    let seed = seed::FACTS.iter().map(|fact| ("seed", fact));
    let service = service::FACTS.iter().map(|fact| ("service", fact));
    let unprivileged = unprivileged::FACTS
        .iter()
        .map(|fact| ("unprivileged", fact));
    let trials: Vec<_> = audit
        .chain(across)
        .chain(rules)
        .chain(seed)
        .chain(metrics)
        .chain(prometheus)
        .chain(service)
        .chain(unprivileged)
        .map(|(group, (name, fact))| {
            let missing: Missing = match group {
                "prometheus" => prometheus::missing,
                "unprivileged" => unprivileged::missing,
                _ => no_kernel,
            };
            trial(format!("{group}::{name}"), missing, *fact)
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

/// Why nothing can be audited here; asked once, and of the library, so that a fault of the command is no excuse.
fn no_kernel() -> Option<String> {
    static MISSING: LazyLock<Option<String>> =
        LazyLock::new(|| match aegisbpf_core::Enforcer::builder().load() {
            Ok(_) => None,
            Err(error @ aegisbpf_core::Error::Unsupported { .. }) => {
                Some(error.chain().replace('\n', "; "))
            }
            Err(error) => panic!("{}", error.chain()),
        });
    MISSING.clone()
}
