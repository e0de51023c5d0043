//! An embedder's whole round: load, attach, meet a rule, change the policy, read the counters, leave nothing behind.
//!
//! `cargo run --release -p aegisbpf-core --example embed` (as root)

use std::{fs, process::Command, thread};

use aegisbpf_core::{Decision, Enforcer, Mode, Policy};

type Any = Box<dyn std::error::Error>;

fn main() -> Result<(), Any> {
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("secret");
    fs::write(&secret, "do not read\n")?;
    let policy: Policy = format!("version=1\n[deny_path]\n{}\n", secret.display()).parse()?;

    let mut aegis = Enforcer::builder()
        .mode(Mode::Audit)
        .policy(policy)
        .attach()?;
    println!(
        "attached by {}: {}",
        aegis.backend(),
        aegis.links().join(", ")
    );

    // The events have one reader; here a thread of its own.
    let events = aegis.events()?;
    let stopper = events.stopper();
    let reader = thread::spawn(move || events.collect::<Result<Vec<_>, _>>());

    // Somebody else opens the file. (This process itself is never denied, so it would count as exempt.)
    Command::new("cat").arg(&secret).output()?;

    stopper.stop();
    let seen = reader.join().map_err(|_| "the reader panicked")??;
    for event in &seen {
        println!("{event}");
    }
    let stats = aegis.stats()?;
    for rule in &stats.rules {
        println!(
            "rule {}: {}: audited {}",
            rule.rule, rule.label, rule.audited
        );
    }
    assert_eq!(stats.rules[0].audited, 1, "one open, one count");
    assert!(
        seen.iter()
            .any(|event| event.decision == Decision::Audit && event.comm == "cat")
    );

    // A policy is replaced as a whole. Without deny rules no hook is needed, so none stays attached.
    aegis.apply(&"version=1\n".parse::<Policy>()?)?;
    assert!(aegis.links().is_empty());
    println!(
        "replaced: {} rules, {} hooks",
        aegis.stats()?.rules.len(),
        aegis.links().len()
    );
    Ok(())
}
