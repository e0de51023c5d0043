//! What can be typed. Definitions only.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Deny or audit access to sensitive files in the kernel, and know what it costs.
#[derive(Parser)]
#[command(name = "aegisbpf", version, after_help = EXIT_CODES)]
pub(crate) struct Aegis {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the operation failed
  2  wrong usage
  3  the policy is invalid
  4  this host cannot do it";

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Watch the files of a policy until interrupted; one JSON line for each event on standard output
    Run(RunArgs),
    /// Read policies
    Policy {
        #[command(subcommand)]
        verb: PolicyVerb,
    },
    /// Say what this host can do, one check a line
    Doctor(DoctorArgs),
}

#[derive(Subcommand)]
pub(crate) enum PolicyVerb {
    /// Find every mistake in a policy file, and what it means on this host; needs no root
    Check(CheckArgs),
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// Count and report accesses, refuse nothing (the default)
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) audit: bool,

    /// Refuse denied accesses; not possible from the command in this version
    #[arg(long)]
    pub(crate) enforce: bool,

    /// The policy file; without one nothing is watched
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Report one event in N on each CPU; 0 reports none. Counters stay exact
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) event_sample_rate: u32,

    /// Size of the ring buffer in bytes, rounded up to a power of two
    #[arg(long, value_name = "N", default_value_t = aegisbpf_core::RING_BUFFER_BYTES)]
    pub(crate) ringbuf_bytes: u32,
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    /// The policy file
    pub(crate) file: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Print one JSON array
    #[arg(long)]
    pub(crate) json: bool,
}
