//! `aegisbpf block|allow|network deny|cgroup deny`: single rules of a running enforcer.

use clap::{Args, Subcommand};

use super::{JsonArgs, PinArgs};

#[derive(Subcommand)]
pub(crate) enum BlockVerb {
    /// Deny a file
    Add(FileArgs),
    /// Deny it no longer
    Del(FileArgs),
    /// Tell the denied files
    List(ListArgs),
    /// Deny no file any more
    Clear(ClearArgs),
}

#[derive(Args)]
pub(crate) struct FileArgs {
    /// Deny the file that is there now, by device and inode number, and not what may bear its name later
    #[arg(long, conflicts_with = "dir")]
    pub(crate) inode: bool,

    /// Deny everything below this directory
    #[arg(long)]
    pub(crate) dir: bool,

    /// An absolute path; with --inode also `dev:ino` as `aegisbpf block list` prints it
    #[arg(value_name = "PATH")]
    pub(crate) path: String,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Subcommand)]
pub(crate) enum AllowVerb {
    /// Exempt a cgroup and everything below it
    Add(AllowArgs),
    /// Exempt it no longer
    Del(AllowArgs),
    /// Tell the exempt cgroups
    List(ListArgs),
    /// Exempt no cgroup any more
    Clear(ClearArgs),
}

#[derive(Args)]
pub(crate) struct AllowArgs {
    /// Its path, as `/system.slice/ssh.service`, or `cgid:N`
    #[arg(value_name = "CGROUP")]
    pub(crate) cgroup: String,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Subcommand)]
pub(crate) enum NetworkVerb {
    /// Deny addresses and ports
    Deny {
        #[command(subcommand)]
        verb: NetworkDenyVerb,
    },
}

#[derive(Subcommand)]
pub(crate) enum NetworkDenyVerb {
    /// Deny an address, a prefix, a port or an endpoint
    Add(PeerArgs),
    /// Deny it no longer
    Del(PeerArgs),
    /// Tell what is denied
    List(ListArgs),
    /// Deny nothing in the network any more
    Clear(ClearArgs),
}

#[derive(Args)]
pub(crate) struct PeerArgs {
    /// `192.0.2.1`, `2001:db8::/32`, `22:tcp`, `53:udp:bind`, `192.0.2.1:443` or `[2001:db8::1]:443:tcp`
    #[arg(value_name = "WHAT")]
    pub(crate) what: String,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Subcommand)]
pub(crate) enum CgroupVerb {
    /// Deny something to one cgroup and everything below it
    Deny {
        #[command(subcommand)]
        verb: CgroupDenyVerb,
    },
}

#[derive(Subcommand)]
pub(crate) enum CgroupDenyVerb {
    /// Deny a file, an address or a port to a cgroup
    Add(CgroupDenyArgs),
    /// Deny it no longer
    Del(CgroupDenyArgs),
    /// Tell what is denied to which cgroup
    List(ListArgs),
    /// Deny nothing to single cgroups any more
    Clear(ClearArgs),
}

#[derive(Args)]
pub(crate) struct CgroupDenyArgs {
    /// The cgroup's path, as `/system.slice/web.service`, or `cgid:N`
    #[arg(value_name = "CGROUP")]
    pub(crate) cgroup: String,

    /// A file as `dev:ino`, an address as `192.0.2.1`, or a port as `25:tcp`
    #[arg(value_name = "WHAT")]
    pub(crate) what: String,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) json: JsonArgs,

    #[command(flatten)]
    pub(crate) pins: PinArgs,
}

#[derive(Args)]
pub(crate) struct ClearArgs {
    #[command(flatten)]
    pub(crate) pins: PinArgs,
}
