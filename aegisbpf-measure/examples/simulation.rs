//! Simulates the method and the one it replaces, and writes the table into `docs/METHOD.md`:
//! `cargo run --release -p aegisbpf-measure --example simulation [RUNS]`.

use std::{env, fs, path::Path};

use aegisbpf_measure::simulation::{cells, table};

const BEGIN: &str = "<!-- simulation: begin -->\n";
const END: &str = "<!-- simulation: end -->";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs = env::args().nth(1).map_or(Ok(1_000), |runs| runs.parse())?;
    let table = table(&cells(runs));
    print!("{table}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METHOD.md");
    let text = fs::read_to_string(&path)?;
    let (head, rest) = text
        .split_once(BEGIN)
        .ok_or("no place for the table in docs/METHOD.md")?;
    let (_, tail) = rest
        .split_once(END)
        .ok_or("the table in docs/METHOD.md has no end")?;
    fs::write(&path, format!("{head}{BEGIN}\n{table}\n{END}{tail}"))?;
    Ok(())
}
