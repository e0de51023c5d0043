//! `aegisbpf run`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{Format, PinArgs};

#[derive(Args)]
pub(crate) struct RunArgs {
    /// Count and report accesses, refuse nothing (the default)
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) audit: bool,

    /// Refuse denied accesses
    #[arg(long)]
    pub(crate) enforce: bool,

    /// What to do where this host cannot enforce
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = EnforceGate::FailClosed)]
    #[arg(requires = "enforce")]
    pub(crate) enforce_gate: EnforceGate,

    /// The way into the kernel, instead of the best that this host has
    #[arg(long, value_name = "NAME", value_enum)]
    pub(crate) backend: Option<BackendName>,

    /// The policy file; without one nothing is watched until `aegisbpf policy apply`. SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Leave out, loudly, the rules of the policy that cannot be enforced here
    #[arg(long, requires = "policy")]
    pub(crate) skip_unsupported: bool,

    /// Report one event in N on each CPU; 0 reports none. Counters stay exact. Without it each is reported
    #[arg(long, value_name = "N")]
    pub(crate) event_sample_rate: Option<u32>,

    /// Size of the ring buffer in bytes, rounded up to a power of two; 262144 without it
    #[arg(long, value_name = "N")]
    pub(crate) ringbuf_bytes: Option<u32>,

    /// Where events go
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = Log::Stdout)]
    pub(crate) log: Log,

    /// How events are written to standard output
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,

    /// Tell an event that repeats only once in this time, as `10s` or `1min`, and then how often it came
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) dedup_window: Option<Duration>,

    /// Keep deciding when this process has ended (the default with --enforce)
    #[arg(long, conflicts_with = "no_pin")]
    pub(crate) pin: bool,

    /// Detach when this process ends (the default without --enforce)
    #[arg(long)]
    pub(crate) no_pin: bool,

    /// Let everything pass while nothing was heard of this process for so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) deadman: Option<u32>,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

/// What becomes of `--enforce` where the host can only audit.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnforceGate {
    /// Refuse to start
    FailClosed,
    /// Say so, and audit
    AuditFallback,
}

/// Where events go.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// Standard output
    Stdout,
    /// The system's journal, with a field for each property
    Journald,
    /// Both
    Both,
}

/// A backend by its name in all outputs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum BackendName {
    /// Security hooks: audit and enforce
    Lsm,
    /// The functions behind the security hooks: likewise, where the kernel does not skip them
    ModifyReturn,
    /// Tracepoints: audit only
    Tracepoint,
    /// Programs on a cgroup: rules about the network only
    Sock,
}

impl From<BackendName> for aegisbpf_core::Backend {
    fn from(name: BackendName) -> Self {
        match name {
            BackendName::Lsm => Self::Lsm,
            BackendName::ModifyReturn => Self::ModifyReturn,
            BackendName::Tracepoint => Self::Tracepoint,
            BackendName::Sock => Self::Sock,
        }
    }
}
