//! `cargo xtask vm icount`: the price of the enforcer in instructions, on each kernel, as one table.
//!
//! rows (what is measured, and its bar) ← measure (boot, read) → record (what it was before) → table (for people, for docs).

mod measure;
mod record;
mod rows;
mod table;

use std::process::ExitCode;

use record::Record;

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A Debian series; may be repeated [default: 6.12 and 6.1]
    #[arg(long = "kernel", value_name = "SERIES")]
    kernels: Vec<String>,
    /// Also the rows that take minutes and gigabytes
    #[arg(long)]
    all: bool,
    /// JSON instead of the table
    #[arg(long)]
    json: bool,
    /// Fail if a row takes over 2 % more than was recorded
    #[arg(long, conflicts_with = "record")]
    check: bool,
    /// Keep the figures in fixtures/icount.json, and write the tables of docs/PERFORMANCE.md anew
    #[arg(long)]
    record: bool,
    /// End a boot after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800)]
    timeout: u64,
}

/// Why there is no table, or why the check failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Build(#[from] super::error::Error),
    #[error("{path}: {source}")]
    File {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not what `cargo xtask vm icount --record` writes: {source}")]
    Record {
        path: std::path::PathBuf,
        source: serde_json::Error,
    },
    #[error("{path} has no place for the table between {begin} and {end}")]
    NoPlace {
        path: std::path::PathBuf,
        begin: String,
        end: String,
    },
    #[error("{0}: the measuring ended with {1}")]
    Guest(String, std::process::ExitStatus),
    #[error("{0}: the guest wrote what is no row: {1}")]
    NoRow(String, String),
    #[error("dearer than recorded by more than 2 %:\n{}", .0.join("\n"))]
    Regressed(Vec<String>),
}

/// Measures, prints, and does what was asked for with the figures.
pub(crate) fn run(args: &Args) -> ExitCode {
    match attempt(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("icount: {error}");
            let is_verdict = matches!(error, Error::Regressed(_));
            ExitCode::from(if is_verdict { 1 } else { super::INFRASTRUCTURE })
        }
    }
}

fn attempt(args: &Args) -> Result<(), Error> {
    let kernels: Vec<&str> = match args.kernels.as_slice() {
        [] => vec!["6.12", "6.1"],
        named => named.iter().map(String::as_str).collect(),
    };
    let programs = measure::Programs::build()?;
    let mut now = Record::default();
    for kernel in kernels {
        now.set(kernel, programs.run(kernel, args.all, args.timeout)?);
    }
    let lines = table::lines(&now);
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&lines).unwrap_or_default()
        );
    } else {
        print!("{}", table::text(&lines));
    }
    if args.record {
        let mut kept = Record::read()?;
        kept.take(&now);
        kept.write()?;
        table::write_into_docs(&kept)?;
    }
    if args.check {
        let recorded = Record::read()?;
        let (others, dearer) = (recorded.of_others(&now), recorded.dearer(&now));
        if !others.is_empty() {
            eprintln!(
                "icount: not compared, since it is another kernel's or C library's (`--record` keeps the figures of this one):\n{}",
                others.join("\n")
            );
        }
        if !dearer.is_empty() {
            return Err(Error::Regressed(dearer));
        }
        eprintln!("icount: no row takes over 2 % more than was recorded");
    }
    Ok(())
}
