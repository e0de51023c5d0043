//! Which programs each backend attaches, and where.

use std::sync::LazyLock;

use crate::{backend::Backend, table::Need};

/// How one program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `lsm/…`: a security hook of this name.
    Lsm(&'static str),
    /// `modify_return/security_…`: the function behind the security hook of this name.
    Modify(&'static str),
    /// `tracepoint/syscalls/…`.
    Syscall(&'static str),
    /// A raw tracepoint.
    Raw(&'static str),
    /// `cgroup/…`: where the sockets of a cgroup name an address.
    SockAddr(SockAddr),
}

/// Where a socket names an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SockAddr {
    Bind4,
    Bind6,
    Connect4,
    Connect6,
    SendMsg4,
    SendMsg6,
}

impl SockAddr {
    fn name(self) -> &'static str {
        match self {
            Self::Bind4 => "bind4",
            Self::Bind6 => "bind6",
            Self::Connect4 => "connect4",
            Self::Connect6 => "connect6",
            Self::SendMsg4 => "sendmsg4",
            Self::SendMsg6 => "sendmsg6",
        }
    }
}

/// One program of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hook {
    /// Its name in the object.
    pub(super) program: &'static str,
    /// Where it goes.
    pub(super) place: Place,
    /// What a policy must have for it to be attached.
    pub(super) need: Need,
    /// May the kernel lack it? (Some architectures have no open(2) or creat(2).)
    pub(super) optional: bool,
}

impl Hook {
    /// As outputs name it.
    pub(super) fn name(&self) -> String {
        match self.place {
            Place::Lsm(hook) => format!("lsm/{hook}"),
            Place::Modify(hook) => format!("modify_return/security_{hook}"),
            Place::Syscall(point) => format!("tracepoint/syscalls/{point}"),
            Place::Raw(point) => format!("raw_tp/{point}"),
            Place::SockAddr(point) => format!("cgroup/{}", point.name()),
        }
    }
}

const fn hook(program: &'static str, place: Place, need: Need) -> Hook {
    Hook {
        program,
        place,
        need,
        optional: false,
    }
}

const fn optional(program: &'static str, place: Place, need: Need) -> Hook {
    Hook {
        program,
        place,
        need,
        optional: true,
    }
}

/// Every hook of a backend, with what needs it.
pub(super) fn of(backend: Backend) -> &'static [Hook] {
    match backend {
        Backend::Lsm => LSM,
        Backend::ModifyReturn => &MODIFY_RETURN,
        Backend::Tracepoint => &BESIDE_TRACEPOINTS,
        Backend::Sock => SOCK,
    }
}

const fn lsm(program: &'static str, point: &'static str, need: Need) -> Hook {
    hook(program, Place::Lsm(point), need)
}

const LSM: &[Hook] = &[
    lsm("file_open", "file_open", Need::Files),
    lsm("exec_name", "bprm_check_security", Need::ExecNames),
    lsm("socket_bind", "socket_bind", Need::Inward),
    lsm("socket_connect", "socket_connect", Need::Outward),
    lsm("socket_listen", "socket_listen", Need::Inward),
    lsm("socket_accept", "socket_accept", Need::Inward),
    lsm("socket_sendmsg", "socket_sendmsg", Need::Outward),
    lsm("socket_recvmsg", "socket_recvmsg", Need::Peers),
    lsm("ptrace_access_check", "ptrace_access_check", Need::Ptrace),
    lsm("ptrace_traceme", "ptrace_traceme", Need::Ptrace),
    lsm("kernel_read_file", "kernel_read_file", Need::ModuleLoad),
    lsm("kernel_load_data", "kernel_load_data", Need::ModuleLoad),
    lsm("call_bpf", "bpf", Need::Bpf),
    lsm("mmap_file", "mmap_file", Need::Files),
    lsm("path_truncate", "path_truncate", Need::Files),
    // Since Linux 6.2; before, path_truncate is asked for open files too.
    optional("file_truncate", Place::Lsm("file_truncate"), Need::Files),
    lsm("path_chmod", "path_chmod", Need::Files),
    lsm("path_chown", "path_chown", Need::Files),
    lsm("inode_setxattr", "inode_setxattr", Need::Files),
    lsm("inode_removexattr", "inode_removexattr", Need::Files),
    // Since Linux 6.2; before, access lists are extended attributes like others.
    optional("inode_set_acl", Place::Lsm("inode_set_acl"), Need::Files),
    optional(
        "inode_remove_acl",
        Place::Lsm("inode_remove_acl"),
        Need::Files,
    ),
    lsm("inode_link", "inode_link", Need::Files),
    lsm("inode_unlink", "inode_unlink", Need::Files),
    lsm("inode_rename", "inode_rename", Need::Files),
    lsm("sb_mount", "sb_mount", Need::Files),
    lsm("move_mount", "move_mount", Need::Files),
    lsm("d_instantiate", "d_instantiate", Need::Names),
    lsm("inode_free_security", "inode_free_security", Need::Names),
    lsm("inode_create", "inode_create", Need::Names),
    lsm("inode_symlink", "inode_symlink", Need::Names),
    lsm("inode_mkdir", "inode_mkdir", Need::Names),
    lsm("inode_mknod", "inode_mknod", Need::Names),
    lsm("inode_rmdir", "inode_rmdir", Need::Names),
];

/// The same programs as [`LSM`], at the functions that call the security hooks.
static MODIFY_RETURN: LazyLock<Vec<Hook>> = LazyLock::new(|| {
    let moved = |hook: &Hook| match hook.place {
        Place::Lsm("bprm_check_security") => Hook {
            place: Place::Modify("bprm_check"),
            ..*hook
        },
        // The function is told of an exchange once, and by a flag; the hook twice.
        Place::Lsm("inode_rename") => Hook {
            program: "modify_rename",
            place: Place::Modify("inode_rename"),
            ..*hook
        },
        Place::Lsm("inode_free_security") => Hook {
            place: Place::Modify("inode_free"),
            ..*hook
        },
        Place::Lsm(name) => Hook {
            place: Place::Modify(name),
            ..*hook
        },
        _ => *hook,
    };
    LSM.iter().map(moved).collect()
});

/// Files by tracepoints, the network by programs on the cgroup.
static BESIDE_TRACEPOINTS: LazyLock<Vec<Hook>> =
    LazyLock::new(|| TRACEPOINT.iter().chain(SOCK).copied().collect());

const fn sock(point: SockAddr, program: &'static str, need: Need) -> Hook {
    hook(program, Place::SockAddr(point), need)
}

const SOCK: &[Hook] = &[
    sock(SockAddr::Bind4, "bind4", Need::Inward),
    sock(SockAddr::Bind6, "bind6", Need::Inward),
    sock(SockAddr::Connect4, "connect4", Need::Outward),
    sock(SockAddr::Connect6, "connect6", Need::Outward),
    sock(SockAddr::SendMsg4, "sendmsg4", Need::Outward),
    sock(SockAddr::SendMsg6, "sendmsg6", Need::Outward),
];

const TRACEPOINT: &[Hook] = &[
    optional("exit_open", Place::Syscall("sys_exit_open"), Need::Files),
    hook(
        "exit_openat",
        Place::Syscall("sys_exit_openat"),
        Need::Files,
    ),
    hook(
        "exit_openat2",
        Place::Syscall("sys_exit_openat2"),
        Need::Files,
    ),
    optional("exit_creat", Place::Syscall("sys_exit_creat"), Need::Files),
    hook(
        "exit_open_by_handle_at",
        Place::Syscall("sys_exit_open_by_handle_at"),
        Need::Files,
    ),
    hook(
        "process_exec",
        Place::Raw("sched_process_exec"),
        Need::Files,
    ),
];
