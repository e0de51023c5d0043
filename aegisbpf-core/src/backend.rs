//! The ways into the kernel, and the two modes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What becomes of an access that a rule denies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is counted and reported, and passes. The default.
    #[default]
    Audit,
    /// It is counted, reported and refused with EPERM.
    Enforce,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Audit => "audit",
            Self::Enforce => "enforce",
        })
    }
}

/// How the enforcer hooks into the kernel. Every output names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Backend {
    /// BPF programs on security hooks: audit and enforce. Needs Linux 5.7, BTF, and `bpf` in the active LSM
    /// list; where the list lacks it such programs attach and *never run*, so it is refused there.
    Lsm,
    /// BPF programs on tracepoints: audit only, since they run after the fact. Needs Linux 5.11 and BTF.
    ///
    /// It sees the files that open, openat, openat2, creat and open_by_handle_at opened, and the files that were
    /// executed. It does not see opens through io_uring, by 32-bit system calls, or by the kernel itself (the
    /// dynamic loader that an executed file names), nor opens that failed. The programs read the descriptor after the call,
    /// so a thread that closes or replaces it within those microseconds escapes (counted as a fault if it was closed).
    Tracepoint,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lsm => "lsm",
            Self::Tracepoint => "tracepoint",
        })
    }
}
