//! `aegisbpf policy apply|show|export|rollback`: the policy of a running enforcer.

use std::path::PathBuf;

use clap::Args;

use super::{JsonArgs, PinArgs};

#[derive(Args)]
pub(crate) struct ApplyArgs {
    /// The policy file
    pub(crate) file: PathBuf,

    /// Begin anew: rules that the old policy had too lose their counters
    #[arg(long)]
    pub(crate) reset: bool,

    /// Refuse the file unless its SHA-256 is this
    #[arg(long, value_name = "HEX", conflicts_with = "sha256_file")]
    pub(crate) sha256: Option<String>,

    /// Refuse the file unless its SHA-256 is the one in this file, as `sha256sum` writes it
    #[arg(long, value_name = "FILE")]
    pub(crate) sha256_file: Option<PathBuf>,

    /// Say what would be denied, exempt and unresolved on this host, and apply nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Leave out, loudly, the rules that cannot be enforced here
    #[arg(long)]
    pub(crate) skip_unsupported: bool,

    #[command(flatten)]
    pub(crate) json: JsonArgs,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) json: JsonArgs,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// The file to write; standard output without one
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Args)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) json: JsonArgs,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}
