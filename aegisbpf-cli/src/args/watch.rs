//! `aegisbpf stats|events|metrics|emergency`: what a running enforcer does.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{Format, JsonArgs, PinArgs};

#[derive(Args)]
pub(crate) struct StatsArgs {
    /// Tell also each rule, file, cgroup and operation, what went wrong, and memory
    #[arg(long)]
    pub(crate) detailed: bool,

    /// Rows of the tables of files and cgroups; 0 for all
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) top: usize,

    /// Count the runs of each hook for this time, as `1s`, and tell their number and nanoseconds
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) runs: Option<Duration>,

    #[command(flatten)]
    pub(crate) json: JsonArgs,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Args)]
pub(crate) struct EventsArgs {
    /// Go on with the events to come, until interrupted
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// How they are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Print one JSON object a line, as --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Args)]
pub(crate) struct MetricsArgs {
    /// Write them to this file, at once and whole, for the textfile collector of node_exporter
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    pub(crate) file: Option<PathBuf>,

    /// Write the file again and again, this often, until interrupted
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, requires = "file")]
    pub(crate) every: Option<Duration>,

    /// Serve them at this loopback address under /metrics until interrupted
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Subcommand)]
pub(crate) enum EmergencyVerb {
    /// Let everything pass from now on, though still count and report it
    Disable(DisableArgs),
    /// Enforce again
    Enable(EnableArgs),
    /// Say whether everything passes, who did it last, and why
    Status(StatusArgs),
}

#[derive(Args)]
pub(crate) struct DisableArgs {
    /// Why, for those who ask later
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,

    #[command(flatten)]
    pub(crate) switch: SwitchArgs,
}

#[derive(Args)]
pub(crate) struct EnableArgs {
    /// Why, for those who ask later
    #[arg(long, value_name = "TEXT", default_value = "the emergency is over")]
    pub(crate) reason: String,

    #[command(flatten)]
    pub(crate) switch: SwitchArgs,
}

/// What turning the switch either way has.
#[derive(Args)]
pub(crate) struct SwitchArgs {
    /// Where it is recorded, one line more
    #[arg(long, value_name = "FILE", default_value = aegisbpf_core::EMERGENCY_LOG)]
    pub(crate) log: PathBuf,

    #[command(flatten)]
    pub(crate) json: JsonArgs,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) json: JsonArgs,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}
