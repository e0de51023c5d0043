//! Tasks of the developers: `cargo xtask setup`, `cargo xtask bpf`, `cargo xtask vm`.
#![forbid(unsafe_code)]

mod bpf;
mod setup;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// Tasks of the developers.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Install all that the tests and workloads use, on Debian and Ubuntu.
    Setup(setup::Args),
    /// Rebuild the BPF objects.
    Bpf {
        /// Build elsewhere, and fail if the committed objects differ
        #[arg(long)]
        check: bool,
    },
    /// Run a program inside a virtual machine with a stock Debian kernel.
    Vm(Box<vm::Args>),
}

fn main() -> ExitCode {
    match Task::parse() {
        Task::Bpf { check } => match bpf::run(check) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("bpf: {error}");
                ExitCode::FAILURE
            }
        },
        Task::Setup(args) => match setup::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("setup: {error}");
                ExitCode::FAILURE
            }
        },
        Task::Vm(args) => vm::run(&args),
    }
}
