//! Watches the files of a policy and prints every access as a JSON line, until interrupted.
//!
//! `cargo run --release -p aegisbpf-core --example audit -- policies/production.conf` (as root)

use std::process::ExitCode;

use aegisbpf_core::{Enforcer, Error, Policy};

fn main() -> ExitCode {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "policies/production.conf".into());
    match watch(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn watch(path: &str) -> Result<(), Error> {
    let policy = Policy::from_path(path)?;
    let mut aegis = Enforcer::builder().policy(policy).attach()?;
    eprintln!(
        "auditing by {}: {}",
        aegis.backend(),
        aegis.links().join(", ")
    );
    for event in aegis.events()? {
        let event = event?;
        match serde_json::to_string(&event) {
            Ok(line) => println!("{line}"),
            Err(_) => println!("{event}"),
        }
    }
    Ok(())
}
