//! What can be typed. Definitions only, one file for each group of verbs.

mod measure;
mod online;
mod policy;
mod rules;
mod run;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::{measure::*, online::*, policy::*, rules::*, run::*, watch::*};

/// Deny or audit access to sensitive files in the kernel, and know what it costs.
#[derive(Parser)]
#[command(name = "aegisbpf", version, after_help = EXIT_CODES, max_term_width = 100)]
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
  4  this host cannot do it
  5  no enforcer is running
  6  a measurement's verdict is FAIL
  7  a measurement's verdict is INCONCLUSIVE or INVALID";

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Enforce or audit a policy until interrupted, and tell each event
    Run(RunArgs),
    /// Read, apply and undo policies
    Policy {
        #[command(subcommand)]
        verb: PolicyVerb,
    },
    /// Deny files in the running enforcer
    Block {
        #[command(subcommand)]
        verb: BlockVerb,
    },
    /// Exempt cgroups in the running enforcer
    Allow {
        #[command(subcommand)]
        verb: AllowVerb,
    },
    /// Deny addresses and ports in the running enforcer
    Network {
        #[command(subcommand)]
        verb: NetworkVerb,
    },
    /// Deny something to one cgroup in the running enforcer
    Cgroup {
        #[command(subcommand)]
        verb: CgroupVerb,
    },
    /// Tell what the running enforcer has counted
    Stats(StatsArgs),
    /// Tell the events of the running enforcer
    Events(EventsArgs),
    /// Give the counters to Prometheus
    Metrics(MetricsArgs),
    /// Let everything pass at once, and take up again
    Emergency {
        #[command(subcommand)]
        verb: EmergencyVerb,
    },
    /// Measure what an enforcer costs on your own command or service
    Measure(Box<MeasureArgs>),
    /// Say what this host can do, one check a line
    Doctor(DoctorArgs),
    /// Write the man pages or a shell's completions
    Generate {
        #[command(subcommand)]
        verb: GenerateVerb,
    },
}

/// Which enforcer is meant.
#[derive(Args)]
pub(crate) struct PinArgs {
    /// Where the enforcer is pinned
    #[arg(
        long,
        value_name = "DIR",
        env = "AEGISBPF_PIN_DIR",
        hide_env_values = true
    )]
    #[arg(default_value = aegisbpf_core::PIN_DIR)]
    pub(crate) pin_dir: PathBuf,
}

/// How rows and events are written.
#[derive(Args)]
pub(crate) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How events are written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line
    Json,
    /// One line for people
    Text,
}

#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Print one JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum GenerateVerb {
    /// The man page on standard output, or the pages of all verbs in a directory
    Man {
        /// Write one page for each verb into this directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Completions for bash
    Bash,
    /// Completions for zsh
    Zsh,
    /// Completions for fish
    Fish,
}
