//! `aegisbpf policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ApplyArgs, ExportArgs, RollbackArgs, ShowArgs};

#[derive(Subcommand)]
pub(crate) enum PolicyVerb {
    /// Find every mistake in a policy file, and what it means on this host; needs no root
    Check(CheckArgs),
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
