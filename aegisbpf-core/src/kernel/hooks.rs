//! Which programs each backend attaches, and where.

use std::{borrow::Cow, collections::BTreeSet, sync::LazyLock};

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
    /// What a policy must not have: then another program stands in its place.
    pub(super) unless: Option<Need>,
    /// May the kernel lack it? (Some architectures have no open(2) or creat(2).)
    pub(super) optional: bool,
}

impl Hook {
    /// Does a policy with these needs call for it?
    pub(super) fn is_for(&self, needs: &BTreeSet<Need>) -> bool {
        needs.contains(&self.need) && !self.unless.is_some_and(|need| needs.contains(&need))
    }

    /// Its name among the links. One program may stand at many system calls, and has a link for each.
    pub(super) fn link(&self) -> Cow<'static, str> {
        match self.place {
            Place::Syscall(point) => format!("{}-{point}", self.program).into(),
            _ => self.program.into(),
        }
    }

    /// What is told of its program, which is told once wherever it stands.
    pub(super) fn programs_name(&self) -> String {
        match self.place {
            Place::Syscall(_) => "tracepoint/syscalls/sys_exit_…".into(),
            _ => self.name(),
        }
    }

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
        unless: None,
        optional: false,
    }
}

/// A hook that the kernel may lack.
const fn optional(hook: Hook) -> Hook {
    Hook {
        optional: true,
        ..hook
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

/// A hook on files, whose program does not ask where a file lies; where a rule makes that matter, [`below`] takes its place.
const fn flat(hook: Hook) -> Hook {
    Hook {
        unless: Some(Need::Directories),
        ..hook
    }
}

const fn below(program: &'static str, point: &'static str) -> Hook {
    lsm(program, point, Need::Directories)
}

const LSM: &[Hook] = &[
    flat(lsm("file_open", "file_open", Need::Files)),
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
    flat(lsm("mmap_file", "mmap_file", Need::Files)),
    flat(lsm("path_truncate", "path_truncate", Need::Files)),
    // Since Linux 6.2; before, path_truncate is asked for open files too.
    flat(optional(lsm("file_truncate", "file_truncate", Need::Files))),
    flat(lsm("path_chmod", "path_chmod", Need::Files)),
    flat(lsm("path_chown", "path_chown", Need::Files)),
    flat(lsm("inode_setxattr", "inode_setxattr", Need::Files)),
    flat(lsm("inode_removexattr", "inode_removexattr", Need::Files)),
    // Since Linux 6.2; before, access lists are extended attributes like others.
    flat(optional(lsm("inode_set_acl", "inode_set_acl", Need::Files))),
    flat(optional(lsm(
        "inode_remove_acl",
        "inode_remove_acl",
        Need::Files,
    ))),
    flat(lsm("inode_link", "inode_link", Need::Files)),
    flat(lsm("inode_unlink", "inode_unlink", Need::Files)),
    flat(lsm("inode_rename", "inode_rename", Need::Files)),
    flat(lsm("sb_mount", "sb_mount", Need::Files)),
    flat(lsm("move_mount", "move_mount", Need::Files)),
    lsm("d_instantiate", "d_instantiate", Need::Names),
    flat(lsm(
        "inode_free_security",
        "inode_free_security",
        Need::Names,
    )),
    flat(lsm("inode_create", "inode_create", Need::Names)),
    flat(lsm("inode_symlink", "inode_symlink", Need::Names)),
    flat(lsm("inode_mkdir", "inode_mkdir", Need::Names)),
    flat(lsm("inode_mknod", "inode_mknod", Need::Names)),
    flat(lsm("inode_rmdir", "inode_rmdir", Need::Names)),
    below("file_open_below", "file_open"),
    below("mmap_file_below", "mmap_file"),
    below("path_truncate_below", "path_truncate"),
    optional(below("file_truncate_below", "file_truncate")),
    below("path_chmod_below", "path_chmod"),
    below("path_chown_below", "path_chown"),
    below("inode_setxattr_below", "inode_setxattr"),
    below("inode_removexattr_below", "inode_removexattr"),
    optional(below("inode_set_acl_below", "inode_set_acl")),
    optional(below("inode_remove_acl_below", "inode_remove_acl")),
    below("inode_link_below", "inode_link"),
    below("inode_unlink_below", "inode_unlink"),
    below("inode_rmdir_below", "inode_rmdir"),
    below("inode_rename_below", "inode_rename"),
    below("inode_create_below", "inode_create"),
    below("inode_symlink_below", "inode_symlink"),
    below("inode_mkdir_below", "inode_mkdir"),
    below("inode_mknod_below", "inode_mknod"),
    below("inode_free_security_below", "inode_free_security"),
    below("sb_mount_below", "sb_mount"),
    below("move_mount_below", "move_mount"),
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
            program: match hook.need {
                Need::Directories => "modify_rename_below",
                _ => "modify_rename",
            },
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

/// Where a system call that opens a file returns.
const fn opens(point: &'static str) -> Hook {
    flat(hook("exit_open", Place::Syscall(point), Need::Files))
}

const fn opens_below(point: &'static str) -> Hook {
    hook("exit_open_below", Place::Syscall(point), Need::Directories)
}

const TRACEPOINT: &[Hook] = &[
    optional(opens("sys_exit_open")),
    opens("sys_exit_openat"),
    opens("sys_exit_openat2"),
    optional(opens("sys_exit_creat")),
    opens("sys_exit_open_by_handle_at"),
    flat(hook(
        "process_exec",
        Place::Raw("sched_process_exec"),
        Need::Files,
    )),
    optional(opens_below("sys_exit_open")),
    opens_below("sys_exit_openat"),
    opens_below("sys_exit_openat2"),
    optional(opens_below("sys_exit_creat")),
    opens_below("sys_exit_open_by_handle_at"),
    hook(
        "process_exec_below",
        Place::Raw("sched_process_exec"),
        Need::Directories,
    ),
];
