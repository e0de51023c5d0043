//! Doses of 0, 1, 4, 16 and 64 hash look-ups for each open, and what the method finds of them (as root):
//! `cargo run --release -p aegisbpf-rig --example dose_response [QUADS]`.

use std::env;

use aegisbpf_measure::workload::BoxError;
use aegisbpf_rig::dose::{line, respond};

fn main() -> Result<(), BoxError> {
    let quads = env::args().nth(1).map_or(Ok(24), |quads| quads.parse())?;
    let scratch = tempfile::tempdir()?;
    let responses = respond(&[0, 1, 4, 16, 64], quads, 20_000, scratch.path())?;
    println!(
        "| look-ups | an open, bare | paired (95 % interval) | by run times | z |\n|---|---|---|---|---|"
    );
    for found in &responses {
        let (lower, upper) = found.interval;
        println!(
            "| {} | {:.0} ns | {:+.0} ns ({lower:+.0} … {upper:+.0}) | {:+.0} ns | {:+.1} |",
            found.lookups, found.bare, found.paired, found.direct, found.z
        );
    }
    let (base, each) = line(&responses, |found| found.paired);
    println!("\nPaired: {base:.0} ns + {each:.1} ns a look-up.");
    let (base, each) = line(&responses, |found| found.direct);
    println!("By run times: {base:.0} ns + {each:.1} ns a look-up.");
    Ok(())
}
