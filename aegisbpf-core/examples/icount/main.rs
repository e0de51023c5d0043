//! What the enforcer costs, counted: guest instructions of single operations without any program, with one that does
//! nothing, and with ours. Meaningful in a virtual machine that counts one nanosecond for each instruction, where
//! `cargo xtask vm icount` runs it and makes a table of its rows.
//!
//! Each figure is the median of many repetitions; the reading of the clock is in all of them and cancels in the
//! differences. With `all` as an argument the rows that take minutes are there too.

mod calls;
mod clock;
mod hits;
mod network;
mod opens;

use std::error::Error;

use aegisbpf_core::{Backend, Enforcer, EnforcerBuilder, Mode, Policy};
use serde::Serialize;

type Any = Box<dyn Error>;

/// One figure.
#[derive(Serialize)]
struct Row {
    /// The operation, and what stands in its way.
    row: &'static str,
    /// Instructions of the operation where no program is attached.
    base: f64,
    /// Above that, with a program that does nothing, where there is one for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    empty: Option<f64>,
    /// Above that, with ours.
    added: f64,
}

impl Row {
    fn new(row: &'static str, base: f64, empty: Option<f64>, with: f64) -> Self {
        Self {
            row,
            base,
            empty,
            added: with - base,
        }
    }

    fn print(self) -> Result<(), Any> {
        println!("{}", serde_json::to_string(&self)?);
        Ok(())
    }
}

fn main() -> Result<(), Any> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((hits::ELSEWHERE, files)) = arguments.split_first().map(|(w, f)| (w.as_str(), f)) {
        return hits::serve(files);
    }
    let mut aegis = audit().rule_capacity(opens::MANY as u32).attach()?;
    let files = opens::Files::new()?;
    opens::measure(&mut aegis, &files)?;
    network::measure(&mut aegis)?;
    calls::measure(&mut aegis)?;
    drop(aegis);
    hits::measure(&files)?;
    if arguments.iter().any(|word| word == "all") {
        opens::measure_most(&files)?;
    }
    Ok(())
}

fn audit() -> EnforcerBuilder {
    Enforcer::builder().backend(Backend::Lsm).mode(Mode::Audit)
}

fn apply(aegis: &mut Enforcer, sections: &str) -> Result<(), Any> {
    let policy: Policy = format!("version=7\n{sections}").parse()?;
    aegis.apply(&policy)?;
    Ok(())
}
