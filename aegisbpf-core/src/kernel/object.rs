//! Loading a backend's object, and attaching and detaching its programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use aegisbpf_bpf::names;
use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun},
};
use aya_obj::btf::BtfKind;
use sha2::{Digest, Sha256};

use super::{
    hooks::{self, Hook, Place},
    links::{Link, Links},
    maps::{self, Run, Source},
    modify_return::{self, Modifier},
    pins::Pins,
    private_mount,
    programs::Programs,
    runtime,
    types::Types,
};
use crate::{
    backend::Backend,
    error::{Error, Result},
    stats::HookRuns,
    table::Need,
};

/// A backend's programs, verified and in the kernel; attached or not.
pub(crate) struct Loaded {
    programs: Programs,
    /// What loads those that the loader library does not know; only where this process loaded the object.
    modifier: Option<Modifier>,
    hooks: Vec<Hook>,
    links: Links,
    /// The directory of the cgroup that programs on sockets are attached to, unless it is the root.
    scope: Option<PathBuf>,
    backend: Backend,
}

/// How large the maps are made that cannot grow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// A power of two and whole pages.
    pub(crate) ring_buffer_bytes: u32,
    /// Rules that can have counters at once. The kernel takes 16 bytes for each, used or not.
    pub(crate) rules: u32,
}

impl Loaded {
    /// Loads the object of `backend` and has the kernel verify the programs that `needs` call for; what others call for
    /// follows when it is to be attached. A backend that has nothing for them shows all that it has. Attaches nothing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this kernel refuses, with what it said.
    pub(super) fn load(
        backend: Backend,
        types: &Types,
        sizes: Sizes,
        needs: &BTreeSet<Need>,
    ) -> Result<Self> {
        Types::require(backend)?;
        let bytes = object(backend);
        let refused = |source: crate::error::Source, what: &str| refusal(backend, what, source);
        // (The loader has read the kernel's types for itself.)
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(names::EVENTS, sizes.ring_buffer_bytes)
            .map_max_entries(names::TOTALS, sizes.rules)
            // Of the old and the new rules that have counters there, a policy has half.
            .map_max_entries(names::SIEVE, maps::sieve_rows(sizes.rules / 2))
            .load(bytes)
            .map_err(|e| refused(e.into(), "the object"))?;
        let mut hooks = Vec::new();
        for hook in hooks::of(backend) {
            if !(hook.optional && is_missing(hook, backend, types)?) {
                hooks.push(*hook);
            }
        }
        for name in names::SERVANTS {
            let servant = in_object(&mut ebpf, name)?;
            <&mut RawTracePoint>::try_from(servant)
                .and_then(RawTracePoint::load)
                .map_err(|e| refused(e.into(), name))?;
        }
        let modifier = match backend {
            Backend::ModifyReturn => Some(Modifier::over(bytes, types.get(backend)?, &ebpf)?),
            _ => None,
        };
        let mut loaded = Self {
            programs: Programs::Object(ebpf, BTreeMap::new()),
            modifier,
            hooks,
            links: Links::Held(Vec::new()),
            scope: None,
            backend,
        };
        let can_some = loaded.hooks.iter().any(|hook| hook.is_for(needs));
        loaded.verify_missing(|hook| !can_some || hook.is_for(needs), types)?;
        Ok(loaded)
    }

    /// Has the kernel verify every program that this backend may ever need.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this kernel refuses one, with what it said.
    pub(super) fn verify_all(&mut self, types: &Types) -> Result<()> {
        self.verify_missing(|_| true, types)
    }

    /// Has the kernel verify the programs of `hooks`, out of the object that this process loaded.
    fn verify(&mut self, hooks: &[Hook], types: &Types) -> Result<()> {
        let (modify, others): (Vec<Hook>, Vec<Hook>) = hooks
            .iter()
            .partition(|hook| matches!(hook.place, Place::Modify(_)));
        if let (false, Some(modifier), Programs::Object(_, beside)) =
            (modify.is_empty(), &self.modifier, &mut self.programs)
        {
            let types = types.get(self.backend)?;
            beside.extend(modify_return::load_all(modifier, types, &modify)?);
        }
        for hook in &others {
            let program = self.programs.get_mut(hook.program)?;
            if program.fd().is_ok() {
                continue; // it stands at another place, too
            }
            let verified = match (program, hook.place) {
                (Program::Lsm(lsm), Place::Lsm(name)) => lsm.load(name, types.get(self.backend)?),
                (Program::TracePoint(point), _) => point.load(),
                (Program::RawTracePoint(point), _) => point.load(),
                (Program::CgroupSockAddr(sock), _) => sock.load(),
                _ => Err(ProgramError::UnexpectedProgramType),
            };
            verified.map_err(|e| refusal(self.backend, &hook.name(), e.into()))?;
        }
        Ok(())
    }

    /// The same for the programs of `wanted` hooks that are not in the kernel yet.
    fn verify_missing(&mut self, wanted: impl Fn(&Hook) -> bool, types: &Types) -> Result<()> {
        let is_missing = |hook: &&Hook| {
            let program = self.programs.get(hook.program);
            wanted(hook) && program.is_some_and(|program| program.fd().is_err())
        };
        let missing: Vec<Hook> = self.hooks.iter().filter(is_missing).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.verify(&missing, types)
    }

    /// Lets programs on sockets see those of one cgroup alone.
    pub(crate) fn within(mut self, scope: Option<PathBuf>) -> Self {
        self.scope = scope;
        self
    }

    /// Opens what [`Loaded::pin`] left, from any process.
    ///
    /// # Errors
    /// If something of it is not there.
    pub(crate) fn open(backend: Backend, pins: &Pins, scope: Option<PathBuf>) -> Result<Self> {
        let mut hooks = hooks::of(backend).to_vec();
        hooks.retain(|hook| !hook.optional || pins.program(hook.program).exists());
        Ok(Self {
            programs: Programs::open(pins, &hooks)?,
            modifier: None,
            hooks,
            links: Links::Pinned(pins.links()),
            scope,
            backend,
        })
    }

    /// Pins every map and program of a loaded object, so that they outlive this process.
    ///
    /// # Errors
    /// If the file system refuses, or something has that name already.
    pub(crate) fn pin(&mut self, pins: &Pins) -> Result<()> {
        // Whoever takes up the pins has no object to load from.
        self.verify_all(&Types::default())?;
        let Programs::Object(ebpf, _) = &mut self.programs else {
            return Err(Error::kernel("pinning programs", "they are pinned already"));
        };
        for (name, map) in ebpf.maps() {
            map.pin(pins.map(name))
                .map_err(|e| Error::kernel(format!("pinning the map {name}"), e))?;
        }
        let names: BTreeSet<_> = self.hooks.iter().map(|hook| hook.program).collect();
        for name in names.into_iter().chain(names::SERVANTS) {
            self.programs
                .get_mut(name)?
                .pin(pins.program(name))
                .map_err(|e| Error::kernel(format!("pinning the program {name}"), e))?;
        }
        Ok(())
    }

    /// The object, for the maps in it.
    ///
    /// # Errors
    /// If there is none, since all is pinned.
    pub(crate) fn maps(&mut self) -> Result<Source<'_>> {
        match &mut self.programs {
            Programs::Object(ebpf, _) => Ok(Source::Object(ebpf)),
            Programs::Pinned(_) => Err(Error::kernel("taking the maps", "they are pinned")),
        }
    }

    /// Makes this process the one that is never denied.
    ///
    /// # Errors
    /// If the kernel does not run the program that does.
    pub(crate) fn become_self(&mut self) -> Result<()> {
        self.run(names::WHOAMI, 0).map(drop)
    }

    /// Attaches the hooks for `needs` that are not attached: all of them or, if one fails, none.
    ///
    /// # Errors
    /// If the kernel refuses one that it must have.
    pub(crate) fn attach(&mut self, needs: &BTreeSet<Need>) -> Result<()> {
        let before = self.links.attached(&self.hooks);
        let missing: Vec<Hook> = self
            .hooks
            .iter()
            .filter(|hook| hook.is_for(needs) && !before.contains(hook))
            .copied()
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.verify_missing(|hook| missing.contains(hook), &Types::default())?;
        let needs_tracefs = missing.iter().any(|h| matches!(h.place, Place::Syscall(_)));
        let (programs, links) = (&mut self.programs, &mut self.links);
        let scope = self.scope.as_deref();
        let attach_all = || {
            for hook in missing {
                match Link::attach(programs.get_mut(hook.program)?, &hook, scope) {
                    Ok(link) => links.hold(hook, link)?,
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
            let mut added = self.links.attached(&self.hooks);
            added.retain(|hook| !before.contains(hook));
            self.links.release(&added)?;
        }
        outcome
    }

    /// Detaches every hook that is not for `needs`. Doing it twice is fine.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn detach_except(&mut self, needs: &BTreeSet<Need>) -> Result<()> {
        let mut close = self.links.attached(&self.hooks);
        close.retain(|hook| !hook.is_for(needs));
        self.links.release(&close)
    }

    /// Names of what is attached now, sorted.
    pub(crate) fn links(&self) -> Vec<String> {
        let attached = self.links.attached(&self.hooks);
        let mut names: Vec<_> = attached.iter().map(Hook::name).collect();
        names.sort();
        names
    }

    /// Runs and time of each program that is attached or has run, as counted while the kernel's statistics were on.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn runs(&self) -> Result<Vec<HookRuns>> {
        let attached = self.links.attached(&self.hooks);
        let tells = |hook: &Hook| attached.iter().any(|other| other.program == hook.program);
        let of = |(hook, program): (&Hook, &Program)| -> Result<Option<HookRuns>> {
            let fd = program.fd().map_err(|e| Error::kernel(hook.name(), e))?;
            let info = runtime::ProgramFdInfo::read(fd)?;
            Ok((info.runs > 0 || tells(hook)).then(|| HookRuns {
                hook: hook.programs_name(),
                runs: info.runs,
                nanos: info.nanos,
            }))
        };
        self.in_kernel()
            .map(of)
            .filter_map(Result::transpose)
            .collect()
    }

    /// Runs that the kernel skipped, since the program was running on that CPU already.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn missed_runs(&self) -> Result<u64> {
        Ok(self.told(|info| info.missed)?.iter().map(|(_, n)| n).sum())
    }

    /// Bytes that each program holds in the kernel.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn memory(&self) -> Result<Vec<(String, u64)>> {
        self.told(|info| info.memory)
    }

    /// The programs that the kernel has already, each once, with the first hook that it is for.
    fn in_kernel(&self) -> impl Iterator<Item = (&Hook, &Program)> {
        let is_first = |(i, hook): &(usize, &Hook)| {
            !self.hooks[..*i]
                .iter()
                .any(|before| before.program == hook.program)
        };
        let hooks = self.hooks.iter().enumerate().filter(is_first);
        hooks.filter_map(|(_, hook)| {
            let program = self.programs.get(hook.program)?;
            program.fd().is_ok().then_some((hook, program))
        })
    }

    /// Something that the kernel tells of each program.
    fn told(&self, part: impl Fn(&runtime::ProgramFdInfo) -> u64) -> Result<Vec<(String, u64)>> {
        self.in_kernel()
            .map(|(hook, program)| {
                let fd = program
                    .fd()
                    .map_err(|e| Error::kernel("asking about a program", e))?;
                let info = runtime::ProgramFdInfo::read(fd)?;
                Ok((hook.programs_name(), part(&info)))
            })
            .collect()
    }
}

impl Run for Loaded {
    fn run(&mut self, program: &'static str, argument: u64) -> Result<u32> {
        let failed = |e: ProgramError| Error::kernel(format!("running the program {program}"), e);
        let raw: &mut RawTracePoint = self.programs.get_mut(program)?.try_into().map_err(failed)?;
        let mut options = RawTracePointRunOptions::new();
        options.args[0] = argument;
        Ok(raw.test_run(options).map_err(failed)?.return_value)
    }
}

/// Has this kernel no such security hook? (A system call's tracepoint is looked for when it is attached.)
fn is_missing(hook: &Hook, backend: Backend, types: &Types) -> Result<bool> {
    let function = match hook.place {
        Place::Lsm(name) => format!("bpf_lsm_{name}"),
        Place::Modify(name) => format!("security_{name}"),
        _ => return Ok(false),
    };
    let found = types
        .get(backend)?
        .id_by_type_name_kind(&function, BtfKind::Func);
    Ok(found.is_err())
}

fn object(backend: Backend) -> &'static [u8] {
    match backend {
        Backend::Lsm => aegisbpf_bpf::AEGIS,
        Backend::ModifyReturn => aegisbpf_bpf::MODIFY,
        Backend::Tracepoint | Backend::Sock => aegisbpf_bpf::OBSERVE,
    }
}

/// A number that tells one build of a backend's programs from another.
pub(crate) fn build(backend: Backend) -> u64 {
    let digest = Sha256::digest(object(backend));
    digest
        .iter()
        .take(size_of::<u64>())
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn in_object<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    ebpf.program_mut(name).ok_or_else(|| {
        Error::kernel(
            format!("finding the program {name}"),
            "it is not in the embedded object",
        )
    })
}

pub(super) fn refusal(backend: Backend, what: &str, source: crate::error::Source) -> Error {
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
