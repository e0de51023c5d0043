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
    /// BPF programs on security hooks: audit and enforce. Needs Linux 5.17, BTF, and `bpf` in the active LSM
    /// list; where the list lacks it such programs attach and *never run*, so it is refused there.
    Lsm,
    /// BPF programs that take the place of the security hooks' own functions: audit and enforce, also where the active LSM
    /// list lacks `bpf`, without a reboot. Needs Linux 5.17 and BTF.
    ///
    /// The kernel skips such a program on a CPU where another task was preempted inside it. Where kernels do not preempt
    /// kernel code (`preempt=voluntary` or `none`, the default of distributions for servers) that cannot happen. On fully
    /// preemptible ones some accesses would slip through, so enforcing is refused there unless this backend is asked for by
    /// name. [`Stats::missed_runs`](crate::Stats) counts what was skipped: above zero it is an alarm.
    #[serde(rename = "modify_return")]
    ModifyReturn,
    /// BPF programs on tracepoints: audit only, since they run after the fact. Needs Linux 5.17 and BTF.
    ///
    /// It sees the files that open, openat, openat2, creat and open_by_handle_at opened, and the files that were
    /// executed. It does not see opens through io_uring, by 32-bit system calls, or by the kernel itself (the
    /// dynamic loader that an executed file names), nor opens that failed. The programs read the descriptor after the call,
    /// so a thread that closes or replaces it within those microseconds escapes (counted as a fault if it was closed).
    ///
    /// Rules about the network are audited beside it by the programs of [`Backend::Sock`].
    Tracepoint,
    /// BPF programs attached to a cgroup, which see what its sockets connect to, bind and send to: audit and enforce, rules
    /// about the network alone. Needs cgroup2, Linux 5.17 and BTF, and no security hooks.
    ///
    /// It does not see connections that are accepted, what is received, and sockets that were bound or connected before;
    /// nor sockets made outside the cgroup. The default is the root cgroup, which has every socket.
    Sock,
}

impl Backend {
    /// The backend that rules about the network are held by, where this one is used: itself, but for
    /// [`Backend::Tracepoint`], which has [`Backend::Sock`] beside it.
    #[must_use]
    pub fn of_network(self) -> Self {
        match self {
            Self::Tracepoint => Self::Sock,
            other => other,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lsm => "lsm",
            Self::ModifyReturn => "modify_return",
            Self::Tracepoint => "tracepoint",
            Self::Sock => "sock",
        })
    }
}
