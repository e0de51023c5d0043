//! What this host can do, found by looking and by trying.

use std::{collections::BTreeSet, fs, path::Path};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use serde::Serialize;

use super::{
    capability,
    object::{Loaded, Sizes},
    private_mount, probe,
    types::{self, Types},
};
use crate::{
    backend::{Backend, Mode},
    cgroup::CgroupTree,
    error::{Error, Result},
    policy::Policy,
    table::{self, Need},
};

const LSM_LIST: &str = "/sys/kernel/security/lsm";
const PREEMPT: &str = "/sys/kernel/debug/sched/preempt";
const BPFFS: &str = "/sys/fs/bpf";
/// For probes: small.
const PROBE_SIZES: Sizes = Sizes {
    ring_buffer_bytes: 1 << 16,
    rules: 1,
};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is there.
    Ok,
    /// Something works less well, or not at all, without it.
    Warn,
    /// Nothing works without it.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about it; empty where nothing needs doing.
    pub remedy: String,
}

/// Looks at everything the enforcer depends on. Loads programs to see whether the kernel takes them; attaches
/// none and leaves nothing.
#[must_use]
pub fn checks() -> Vec<Check> {
    let types = Types::default();
    let programs = [
        (Backend::Lsm, "programs-lsm"),
        (Backend::ModifyReturn, "programs-modify-return"),
        (Backend::Tracepoint, "programs-tracepoint"),
        (Backend::Sock, "programs-sock"),
    ]
    .map(|(backend, name)| programs(backend, &types, name));
    let [security, modify, trace, sock] = programs.each_ref().map(|c| c.status == Status::Ok);
    let lsm = lsm();
    let security = security && lsm.status == Status::Ok;
    let uses = [
        auditing(security, modify, trace),
        enforcing(security, modify, sock),
    ];
    let host = [
        privilege(),
        kernel(),
        btf(),
        bpffs(),
        cgroup2(),
        lsm,
        preemption(),
    ];
    host.into_iter().chain(programs).chain(uses).collect()
}

/// Which backend would audit, and why that one: the order of [`choose`].
fn auditing(security: bool, modify: bool, trace: bool) -> Check {
    let found = match (security, modify, trace) {
        (true, ..) => "lsm: the kernel takes its programs, and runs them",
        (_, true, _) => "modify_return: LSM programs would not load, or never run",
        (.., true) => {
            "tracepoint, with sock for the network: the kernel takes nothing that could refuse"
        }
        _ => return none("would-audit", "none: the kernel takes no programs"),
    };
    ok("would-audit", found)
}

/// Which backend would enforce, and why that one: the order of [`choose`].
fn enforcing(security: bool, modify: bool, sock: bool) -> Check {
    match (security, modify && never_skipped().is_ok(), sock) {
        (true, ..) => ok(
            "would-enforce",
            "lsm: the kernel takes its programs, and runs them",
        ),
        (_, true, _) => ok(
            "would-enforce",
            "modify_return: LSM programs would not load, or never run",
        ),
        (.., true) => none(
            "would-enforce",
            "sock, for a policy about the network alone; nothing for files",
        ),
        _ => none("would-enforce", "none"),
    }
}

fn none(name: &'static str, found: &str) -> Check {
    Check {
        name,
        status: Status::Warn,
        found: found.into(),
        remedy: "the checks above say what is missing".into(),
    }
}

/// The backend to use for `mode`: the wanted one, or the first that takes what `policy` calls for. Rules about the network
/// alone can be enforced where others cannot.
pub(crate) fn choose(
    mode: Mode,
    wanted: Option<Backend>,
    sizes: Sizes,
    policy: Option<&Policy>,
) -> Result<(Backend, Loaded)> {
    let (types, needs) = (&Types::default(), &table::expected(policy));
    match (wanted, mode) {
        (Some(Backend::Tracepoint), Mode::Enforce) => Err(audit_only()),
        (Some(Backend::Lsm), _) => load_lsm(types, sizes, needs),
        (Some(backend), _) => load(backend, types, sizes, needs),
        // What the first had to say is what helps: it is the one that a reboot would give.
        (None, Mode::Enforce) => load_lsm(types, sizes, needs)
            .or_else(|lsm| {
                let found = load(Backend::ModifyReturn, types, sizes, needs).map_err(|_| lsm)?;
                never_skipped()?;
                Ok(found)
            })
            .or_else(|refusal| match policy.is_some_and(capability::is_network) {
                true => load(Backend::Sock, types, sizes, needs).map_err(|_| refusal),
                false => Err(refusal),
            }),
        (None, Mode::Audit) => load_lsm(types, sizes, needs)
            .or_else(|_| load(Backend::ModifyReturn, types, sizes, needs))
            .or_else(|_| load(Backend::Tracepoint, types, sizes, needs)),
    }
}

/// Whether no task can be preempted inside a program, which is when the kernel skips the program for others.
///
/// # Errors
/// [`Error::Unsupported`] if it can, or if that is not known.
fn never_skipped() -> Result<()> {
    match preemption_mode() {
        Ok(mode) if mode == "none" || mode == "voluntary" => Ok(()),
        found => Err(Error::Unsupported {
            what: "enforcing with the modify_return backend".into(),
            reason: match found {
                Ok(mode) => format!(
                    "this kernel preempts kernel code (preempt={mode}), and then skips such programs now and then: \
                     some accesses would slip through"
                ),
                Err(e) => format!("whether this kernel skips such programs is not known: {e}"),
            },
            remedy: format!(
                "{}; or boot with `preempt=voluntary`; or accept it by asking for the backend by name: \
                 EnforcerBuilder::backend(Backend::ModifyReturn), --backend modify_return",
                lsm_remedy()
            ),
            source: None,
        }),
    }
}

/// How the kernel preempts itself: `none`, `voluntary`, `full`, `lazy`.
fn preemption_mode() -> Result<String, String> {
    let dynamic = private_mount::with_debugfs(|| fs::read_to_string(PREEMPT))
        .map_err(|e| e.desc().to_owned())?;
    if let Ok(modes) = dynamic {
        // "none (voluntary) full"
        return modes
            .split_whitespace()
            .find_map(|mode| mode.strip_prefix('(')?.strip_suffix(')'))
            .map(str::to_owned)
            .ok_or_else(|| format!("{PREEMPT} says {}", modes.trim()));
    }
    // A kernel whose mode was chosen when it was built says so in its version.
    let name = nix::sys::utsname::uname().map_err(|e| e.desc().to_owned())?;
    let version = name.version().to_string_lossy().into_owned();
    let has = |word: &str| version.split_whitespace().any(|w| w == word);
    if has("PREEMPT_DYNAMIC") {
        Err(format!("{PREEMPT} cannot be read"))
    } else if has("PREEMPT") || has("PREEMPT_RT") {
        Ok("full".into())
    } else {
        Ok("voluntary".into())
    }
}

fn preemption() -> Check {
    match preemption_mode() {
        Ok(mode) if mode == "none" || mode == "voluntary" => ok("preemption", mode),
        found => Check {
            name: "preemption",
            status: Status::Warn,
            found: found.unwrap_or_else(|why| why),
            remedy: "only the modify_return backend minds: it would miss accesses here; `preempt=voluntary` on the \
                     kernel's command line mends that"
                .into(),
        },
    }
}

/// Why tracepoints cannot enforce.
pub(crate) fn audit_only() -> Error {
    Error::Unsupported {
        what: "enforcing with the tracepoint backend".into(),
        reason: "a tracepoint runs after the file was opened and can refuse nothing".into(),
        remedy:
            "use Mode::Audit (--audit) here, or the lsm backend on a kernel whose LSM list has bpf"
                .into(),
        source: None,
    }
}

fn load_lsm(types: &Types, sizes: Sizes, needs: &BTreeSet<Need>) -> Result<(Backend, Loaded)> {
    let unsupported = |reason: String| Error::Unsupported {
        what: "using the lsm backend".into(),
        reason,
        remedy: lsm_remedy(),
        source: None,
    };
    let list = lsm_list().map_err(unsupported)?;
    if !has_bpf(&list) {
        return Err(unsupported(format!(
            "the active LSM list ({list}) lacks bpf, so LSM programs would attach and never run"
        )));
    }
    load(Backend::Lsm, types, sizes, needs)
}

fn load(
    backend: Backend,
    types: &Types,
    sizes: Sizes,
    needs: &BTreeSet<Need>,
) -> Result<(Backend, Loaded)> {
    probe::takes(backend, types)?;
    Loaded::load(backend, types, sizes, needs).map(|loaded| (backend, loaded))
}

/// The LSMs that are active, in their order, or why it is not known.
fn lsm_list() -> Result<String, String> {
    private_mount::with_securityfs(|| fs::read_to_string(LSM_LIST))
        .map_err(|e| {
            format!(
                "the active LSM list is unknown: securityfs cannot be mounted ({})",
                e.desc()
            )
        })?
        .map(|list| list.trim().to_owned())
        .map_err(|e| format!("the active LSM list is unknown: {LSM_LIST}: {e}"))
}

fn has_bpf(list: &str) -> bool {
    list.split(',').any(|name| name.trim() == "bpf")
}

fn lsm_remedy() -> String {
    match lsm_list() {
        Ok(list) if !has_bpf(&list) => format!("boot with `lsm={list},bpf` on the kernel's command line"),
        _ => "run a kernel with CONFIG_BPF_LSM=y and `bpf` in its lsm= list, or audit with the tracepoint backend"
            .into(),
    }
}

fn privilege() -> Check {
    let user = nix::unistd::geteuid();
    if user.is_root() {
        ok("privilege", "root")
    } else {
        Check {
            name: "privilege",
            status: Status::Warn,
            found: format!("user {user}"),
            remedy: "loading programs needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN".into(),
        }
    }
}

fn kernel() -> Check {
    match nix::sys::utsname::uname() {
        Ok(name) => ok("kernel", name.release().to_string_lossy()),
        Err(e) => Check {
            name: "kernel",
            status: Status::Warn,
            found: e.desc().into(),
            remedy: String::new(),
        },
    }
}

fn btf() -> Check {
    match fs::metadata(types::PLACE) {
        Ok(meta) => ok(
            "btf",
            format!("{}, {} KiB", types::PLACE, meta.len() / 1024),
        ),
        Err(e) => Check {
            name: "btf",
            status: Status::Fail,
            found: format!("{}: {e}", types::PLACE),
            remedy: "run a kernel built with CONFIG_DEBUG_INFO_BTF=y".into(),
        },
    }
}

fn bpffs() -> Check {
    match statfs(Path::new(BPFFS)) {
        Ok(fs) if fs.filesystem_type() == BPF_FS_MAGIC => {
            ok("bpffs", format!("mounted at {BPFFS}"))
        }
        _ => Check {
            name: "bpffs",
            status: Status::Warn,
            found: format!("no bpf file system at {BPFFS}"),
            remedy: format!("only pinning needs it: mount -t bpf bpf {BPFFS}"),
        },
    }
}

fn cgroup2() -> Check {
    match CgroupTree::find() {
        Ok(tree) => ok("cgroup2", format!("mounted at {}", tree.root().display())),
        Err(e) => Check {
            name: "cgroup2",
            status: Status::Warn,
            found: e.to_string(),
            remedy: "only [allow_cgroup] rules need it: mount -t cgroup2 none /sys/fs/cgroup"
                .into(),
        },
    }
}

fn lsm() -> Check {
    match lsm_list() {
        Ok(list) if has_bpf(&list) => ok("lsm-list", list),
        found => Check {
            name: "lsm-list",
            status: Status::Warn,
            found: found.map_or_else(
                |why| why,
                |list| format!("{list}: no bpf, LSM programs would never run"),
            ),
            remedy: lsm_remedy(),
        },
    }
}

fn programs(backend: Backend, types: &Types, name: &'static str) -> Check {
    let all = Loaded::load(backend, types, PROBE_SIZES, &BTreeSet::new())
        .and_then(|mut loaded| loaded.verify_all(types));
    match all {
        Ok(()) => ok(name, "the kernel takes them"),
        Err(e) => Check {
            name,
            status: if backend == Backend::Tracepoint {
                Status::Fail
            } else {
                Status::Warn
            },
            found: e.chain().lines().next().unwrap_or_default().to_owned(),
            remedy: match backend {
                Backend::Lsm => {
                    "modify_return programs can enforce instead, if the kernel takes those".into()
                }
                Backend::ModifyReturn => {
                    "without this and without lsm, only audit is possible: the tracepoint backend"
                        .into()
                }
                Backend::Tracepoint => {
                    "run as root on Linux 5.17 or newer with CONFIG_BPF_EVENTS=y".into()
                }
                Backend::Sock => {
                    "without this and without security hooks, rules about the network cannot be had"
                        .into()
                }
            },
        },
    }
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check {
        name,
        status: Status::Ok,
        found: found.into(),
        remedy: String::new(),
    }
}
