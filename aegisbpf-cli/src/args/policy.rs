//! `aegisbpf policy`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{ApplyArgs, ExportArgs, JsonArgs, PinArgs, RollbackArgs, ShowArgs};

#[derive(Subcommand)]
pub(crate) enum PolicyVerb {
    /// Find every mistake in a policy file, and what it means on this host; needs no root
    Check(CheckArgs),
    /// Say which rule of a policy file decides about an access, and why
    Explain(ExplainArgs),
    /// Tell two policy files apart in rules, not in lines
    Diff(DiffArgs),
    /// Write a policy file, and all that it includes, as one text in one spelling
    Normalize(NormalizeArgs),
    /// After a trial run in audit mode: suggest the lines that would exempt those who met the rules
    Suggest(SuggestArgs),
    /// Replace the policy of the running enforcer, whole and at once
    Apply(ApplyArgs),
    /// Tell the policy of the running enforcer
    Show(ShowArgs),
    /// Write the policy of the running enforcer as a policy file
    Export(ExportArgs),
    /// Go back to the policy before the last one
    Rollback(RollbackArgs),
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
#[command(group = ArgGroup::new("what").required(true).args(["path", "connect", "bind", "operation"]))]
pub(crate) struct ExplainArgs {
    /// The policy file
    pub(crate) file: PathBuf,

    /// The file that is accessed
    pub(crate) path: Option<PathBuf>,

    /// The file is executed
    #[arg(long, requires = "path")]
    pub(crate) execute: bool,

    /// A peer is connected to instead: `192.0.2.1:443`, `[2001:db8::1]:53/udp`
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) connect: Option<String>,

    /// A port is bound instead: `8080`, `53/udp`
    #[arg(long, value_name = "PORT")]
    pub(crate) bind: Option<String>,

    /// One of the operations that have no object instead
    #[arg(long, value_name = "NAME")]
    pub(crate) operation: Option<WholeOperation>,

    /// The cgroup that does it: its path from the cgroup root, or `cgid:N`
    #[arg(long)]
    pub(crate) cgroup: Option<String>,

    /// The executable that does it
    #[arg(long, value_name = "PATH")]
    pub(crate) exec: Option<PathBuf>,

    /// The executable's identity is verified
    #[arg(long)]
    pub(crate) verified: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// An operation that is denied as a whole or not at all.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WholeOperation {
    /// Tracing another process
    Ptrace,
    /// Loading a kernel module
    ModuleLoad,
    /// Calling bpf(2)
    Bpf,
}

#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The policy file that was
    pub(crate) old: PathBuf,

    /// The policy file that is to be
    pub(crate) new: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct NormalizeArgs {
    /// The policy file
    pub(crate) file: PathBuf,
}

#[derive(Args)]
pub(crate) struct SuggestArgs {
    #[command(flatten)]
    pub(crate) json: JsonArgs,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}
