//! Tasks of the developers: `cargo xtask bpf`, `cargo xtask vm`.
#![forbid(unsafe_code)]

mod bpf;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// Tasks of the developers.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
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
        Task::Vm(args) => vm::run(&args),
    }
}
