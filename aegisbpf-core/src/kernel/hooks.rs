//! Which programs each backend attaches, and where.

use crate::backend::Backend;

/// How one program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `lsm/…`: a security hook of this name.
    Lsm(&'static str),
    /// `tracepoint/syscalls/…`.
    Syscall(&'static str),
    /// A raw tracepoint.
    Raw(&'static str),
}

/// One program of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hook {
    /// Its name in the object.
    pub(super) program: &'static str,
    /// Where it goes.
    pub(super) place: Place,
    /// May the kernel lack it? (Some architectures have no open(2) or creat(2).)
    pub(super) optional: bool,
}

impl Hook {
    /// As outputs name it.
    pub(super) fn name(&self) -> String {
        match self.place {
            Place::Lsm(hook) => format!("lsm/{hook}"),
            Place::Syscall(point) => format!("tracepoint/syscalls/{point}"),
            Place::Raw(point) => format!("raw_tp/{point}"),
        }
    }
}

const fn hook(program: &'static str, place: Place) -> Hook {
    Hook {
        program,
        place,
        optional: false,
    }
}

const fn optional(program: &'static str, place: Place) -> Hook {
    Hook {
        program,
        place,
        optional: true,
    }
}

/// The hooks that file rules need.
pub(super) fn of_files(backend: Backend) -> &'static [Hook] {
    match backend {
        Backend::Lsm => LSM_FILES,
        Backend::Tracepoint => TRACEPOINT_FILES,
    }
}

const LSM_FILES: &[Hook] = &[hook("file_open", Place::Lsm("file_open"))];

const TRACEPOINT_FILES: &[Hook] = &[
    optional("exit_open", Place::Syscall("sys_exit_open")),
    hook("exit_openat", Place::Syscall("sys_exit_openat")),
    hook("exit_openat2", Place::Syscall("sys_exit_openat2")),
    optional("exit_creat", Place::Syscall("sys_exit_creat")),
    hook(
        "exit_open_by_handle_at",
        Place::Syscall("sys_exit_open_by_handle_at"),
    ),
    hook("process_exec", Place::Raw("sched_process_exec")),
];
