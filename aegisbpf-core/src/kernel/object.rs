//! Loading a backend's object, and attaching and detaching its programs.

use std::{collections::BTreeSet, thread};

use aegisbpf_bpf::names;
use aya::{
    Btf, Ebpf, EbpfLoader,
    programs::{
        Program, ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun, lsm::LsmLinkId,
        raw_trace_point::RawTracePointLinkId, trace_point::TracePointLinkId,
    },
};

use super::{
    hooks::{self, Hook, Place},
    private_mount, runtime,
};
use crate::{
    backend::Backend,
    error::{Error, Result},
    stats::HookRuns,
    table::Need,
};

/// A backend's programs, verified and in the kernel; attached or not.
pub(crate) struct Loaded {
    ebpf: Ebpf,
    hooks: Vec<Hook>,
    links: Vec<(Hook, Link)>,
}

/// How large the maps are made that cannot grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// A power of two and whole pages.
    pub(crate) ring_buffer_bytes: u32,
    /// Rules that can have counters at once. The kernel takes 16 bytes for each, used or not.
    pub(crate) rules: u32,
}

/// Holds a program to its hook.
enum Link {
    Lsm(LsmLinkId),
    Syscall(TracePointLinkId),
    Raw(RawTracePointLinkId),
}

impl Loaded {
    /// Loads the object of `backend` and has the kernel verify its programs. Attaches nothing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this kernel refuses, with what it said.
    pub(crate) fn load(backend: Backend, sizes: Sizes) -> Result<Self> {
        let btf = Btf::from_sys_fs().map_err(|source| Error::Unsupported {
            what: format!("loading the {backend} backend"),
            reason: "the kernel's type information cannot be read at /sys/kernel/btf/vmlinux"
                .into(),
            remedy:
                "run a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are"
                    .into(),
            source: Some(source.into()),
        })?;
        let bytes = match backend {
            Backend::Lsm => aegisbpf_bpf::AEGIS,
            Backend::Tracepoint => aegisbpf_bpf::OBSERVE,
        };
        let refused = |source: crate::error::Source, what: &str| refusal(backend, what, source);
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .map_max_entries(names::EVENTS, sizes.ring_buffer_bytes)
            .map_max_entries(names::TOTALS, sizes.rules)
            .load(bytes)
            .map_err(|e| refused(e.into(), "the object"))?;
        let hooks = hooks::of(backend).to_vec();
        for hook in &hooks {
            let program = program(&mut ebpf, hook.program)?;
            let verified = match (program, hook.place) {
                (Program::Lsm(lsm), Place::Lsm(name)) => lsm.load(name, &btf),
                (Program::TracePoint(point), _) => point.load(),
                (Program::RawTracePoint(point), _) => point.load(),
                _ => Err(ProgramError::UnexpectedProgramType),
            };
            verified.map_err(|e| refused(e.into(), &hook.name()))?;
        }
        Ok(Self {
            ebpf,
            hooks,
            links: Vec::new(),
        })
    }

    /// The object, for the maps in it.
    pub(crate) fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Our process id as the programs see it: the one of the initial pid name space.
    ///
    /// # Errors
    /// If the kernel does not run the program that tells.
    pub(crate) fn own_tgid(&mut self) -> Result<u32> {
        let failed = |e: ProgramError| Error::kernel("asking the kernel for our own process id", e);
        let program: &mut RawTracePoint = program(&mut self.ebpf, names::WHOAMI)?
            .try_into()
            .map_err(failed)?;
        program.load().map_err(failed)?;
        let answer = program
            .test_run(RawTracePointRunOptions::new())
            .map_err(failed)?;
        program.unload().map_err(failed)?;
        Ok(answer.return_value)
    }

    /// Attaches the hooks for `needs` that are not attached: all of them or, if one fails, none.
    ///
    /// # Errors
    /// If the kernel refuses one that it must have.
    pub(crate) fn attach(&mut self, needs: &BTreeSet<Need>) -> Result<()> {
        let before = self.links.len();
        let missing: Vec<Hook> = self
            .hooks
            .iter()
            .filter(|h| needs.contains(&h.need))
            .filter(|h| self.links.iter().all(|(l, _)| l != *h))
            .copied()
            .collect();
        let needs_tracefs = missing.iter().any(|h| matches!(h.place, Place::Syscall(_)));
        let (ebpf, links) = (&mut self.ebpf, &mut self.links);
        let attach_all = || {
            for hook in missing {
                match attach(ebpf, &hook) {
                    Ok(link) => links.push((hook, link)),
                    Err(_) if hook.optional => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(())
        };
        let outcome = if needs_tracefs {
            private_mount::with_tracefs(attach_all).map_err(|source| Error::Unsupported {
                what: "attaching to the open system calls".into(),
                reason:
                    "tracefs, which numbers the tracepoints, is not mounted and cannot be mounted"
                        .into(),
                remedy:
                    "run as root (CAP_SYS_ADMIN), or: mount -t tracefs tracefs /sys/kernel/tracing"
                        .into(),
                source: Some(source.into()),
            })?
        } else {
            attach_all()
        };
        if outcome.is_err() {
            let added = self.links.split_off(before);
            self.close(added)?;
        }
        outcome
    }

    /// Detaches every hook that is not for `needs`. Doing it twice is fine.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn detach_except(&mut self, needs: &BTreeSet<Need>) -> Result<()> {
        let links = std::mem::take(&mut self.links);
        let (keep, close) = links
            .into_iter()
            .partition(|(hook, _)| needs.contains(&hook.need));
        self.links = keep;
        self.close(close)
    }

    /// Closing a link waits until no program run is left that began before. The waits pass side by side.
    fn close(&mut self, links: Vec<(Hook, Link)>) -> Result<()> {
        let mut closing: Vec<Box<dyn Send>> = Vec::new();
        for (hook, link) in links {
            let failed = |e: ProgramError| Error::kernel(format!("detaching {}", hook.name()), e);
            closing.push(match (program(&mut self.ebpf, hook.program)?, link) {
                (Program::Lsm(p), Link::Lsm(id)) => Box::new(p.take_link(id).map_err(failed)?),
                (Program::TracePoint(p), Link::Syscall(id)) => {
                    Box::new(p.take_link(id).map_err(failed)?)
                }
                (Program::RawTracePoint(p), Link::Raw(id)) => {
                    Box::new(p.take_link(id).map_err(failed)?)
                }
                _ => return Err(failed(ProgramError::UnexpectedProgramType)),
            });
        }
        thread::scope(|scope| {
            for link in closing {
                scope.spawn(move || drop(link));
            }
        });
        Ok(())
    }

    /// Names of what is attached now, sorted.
    pub(crate) fn links(&self) -> Vec<String> {
        let mut names: Vec<_> = self.links.iter().map(|(hook, _)| hook.name()).collect();
        names.sort();
        names
    }

    /// Runs and time of each program, as counted while the kernel's statistics were on.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn runs(&self) -> Result<Vec<HookRuns>> {
        self.hooks
            .iter()
            .filter_map(|hook| self.ebpf.program(hook.program).map(|p| (hook, p)))
            .map(|(hook, program)| {
                let fd = program.fd().map_err(|e| Error::kernel(hook.name(), e))?;
                let info = runtime::ProgramFdInfo::read(fd)?;
                Ok(HookRuns {
                    hook: hook.name(),
                    runs: info.runs,
                    nanos: info.nanos,
                })
            })
            .collect()
    }

    /// Bytes that the programs hold in the kernel.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.hooks
            .iter()
            .filter_map(|hook| self.ebpf.program(hook.program))
            .map(|program| {
                let fd = program
                    .fd()
                    .map_err(|e| Error::kernel("reading a program's memory", e))?;
                Ok(runtime::ProgramFdInfo::read(fd)?.memory)
            })
            .sum()
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    ebpf.program_mut(name).ok_or_else(|| {
        Error::kernel(
            format!("finding the program {name}"),
            "it is not in the embedded object",
        )
    })
}

fn attach(ebpf: &mut Ebpf, hook: &Hook) -> Result<Link> {
    let failed = |e: ProgramError| Error::kernel(format!("attaching {}", hook.name()), e);
    match (program(ebpf, hook.program)?, hook.place) {
        (Program::Lsm(p), Place::Lsm(_)) => p.attach().map(Link::Lsm),
        (Program::TracePoint(p), Place::Syscall(point)) => {
            p.attach("syscalls", point).map(Link::Syscall)
        }
        (Program::RawTracePoint(p), Place::Raw(point)) => p.attach(point).map(Link::Raw),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
    .map_err(failed)
}

fn refusal(backend: Backend, what: &str, source: crate::error::Source) -> Error {
    let remedy = if nix::unistd::geteuid().is_root() {
        "`aegisbpf doctor` says what this host has"
    } else {
        "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN"
    };
    Error::Unsupported {
        what: format!("loading the {backend} backend"),
        reason: format!("the kernel refused {what}"),
        remedy: remedy.into(),
        source: Some(source),
    }
}
