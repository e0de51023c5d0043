//! Programs of a known price, to prove the measuring with: nothing, or so many look-ups. No part of the stable API.

use aegisbpf_bpf::names;
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData},
    programs::{Lsm, ProgramError, TracePoint, lsm::LsmLinkId, trace_point::TracePointLinkId},
};

use super::{
    heap, private_mount,
    runtime::{ProgramFdInfo, StatsSwitch},
    selftest::program,
    types::Types,
};
use crate::{
    backend::Backend,
    error::{Error, Result},
};

/// Most look-ups of a dose.
pub const MOST: u32 = 64;

/// A program that nobody needs, on the way of every open.
pub struct Dose {
    ebpf: Ebpf,
    backend: Backend,
    program: &'static str,
    link: Option<Link>,
    counting: Option<StatsSwitch>,
}

enum Link {
    Lsm(LsmLinkId),
    Point(TracePointLinkId),
}

impl Dose {
    /// So many hash look-ups, at most [`MOST`], where openat(2) returns. Loaded, not attached.
    ///
    /// # Errors
    /// If this kernel does not load it.
    pub fn load(lookups: u32) -> Result<Self> {
        Self::of(Backend::Tracepoint, names::DOSE, lookups.min(MOST))
    }

    /// A program that returns at once, where a backend's own programs would run. `None`: there is none for this backend.
    ///
    /// # Errors
    /// If this kernel does not load it.
    pub fn empty(backend: Backend) -> Result<Option<Self>> {
        match backend {
            Backend::Tracepoint => Self::of(backend, names::NOTHING, 0).map(Some),
            Backend::Lsm => Self::of(backend, names::EMPTY, 0).map(Some),
            _ => Ok(None),
        }
    }

    fn of(backend: Backend, name: &'static str, lookups: u32) -> Result<Self> {
        let failed = |e: aya::EbpfError| Error::kernel("loading the dose object", e);
        Types::require(backend)?;
        let types = Types::default();
        let mut loader = EbpfLoader::new();
        let mut ebpf = if backend == Backend::Lsm {
            loader.load(aegisbpf_bpf::AEGIS).map_err(failed)?
        } else {
            loader.override_global(names::LOOKUPS, &lookups, true);
            loader.load(aegisbpf_bpf::DOSE).map_err(failed)?
        };
        let loaded = if backend == Backend::Lsm {
            program::<Lsm>(&mut ebpf, name)?.load("file_open", types.get(backend)?)
        } else {
            program::<TracePoint>(&mut ebpf, name)?.load()
        };
        loaded.map_err(refused)?;
        // The loader holds the kernel's types, too: what is given back must be free.
        drop((loader, types));
        heap::give_back();
        Ok(Self {
            ebpf,
            backend,
            program: name,
            link: None,
            counting: None,
        })
    }

    /// Attaches it. Doing it twice is fine.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn attach(&mut self) -> Result<()> {
        if self.link.is_some() {
            return Ok(());
        }
        let link = if self.backend == Backend::Lsm {
            let hook: &mut Lsm = program(&mut self.ebpf, self.program)?;
            hook.attach().map(Link::Lsm)
        } else {
            let point: &mut TracePoint = program(&mut self.ebpf, self.program)?;
            let attach = || point.attach("syscalls", "sys_exit_openat").map(Link::Point);
            let mounting = |e| Error::kernel("reaching tracefs", e);
            private_mount::with_tracefs(attach).map_err(mounting)?
        };
        self.link = Some(link.map_err(refused)?);
        Ok(())
    }

    /// Detaches it. Doing it twice is fine.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn detach(&mut self) -> Result<()> {
        match self.link.take() {
            None => Ok(()),
            Some(Link::Lsm(link)) => {
                let hook: &mut Lsm = program(&mut self.ebpf, self.program)?;
                hook.detach(link).map_err(refused)
            }
            Some(Link::Point(link)) => {
                let point: &mut TracePoint = program(&mut self.ebpf, self.program)?;
                point.detach(link).map_err(refused)
            }
        }
    }

    /// Whether it is attached.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    /// Switches the kernel's run statistics.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn count_runs(&mut self, on: bool) -> Result<()> {
        self.counting = on.then(StatsSwitch::on).transpose()?;
        Ok(())
    }

    /// `run_cnt` and `run_time_ns`.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn runs(&mut self) -> Result<(u64, u64)> {
        let fd = if self.backend == Backend::Lsm {
            program::<Lsm>(&mut self.ebpf, self.program)?.fd()
        } else {
            program::<TracePoint>(&mut self.ebpf, self.program)?.fd()
        };
        let info = ProgramFdInfo::read(fd.map_err(refused)?)?;
        Ok((info.runs, info.nanos))
    }

    /// How often an openat(2) failed with ENXIO, as on a socket, while a dose was attached.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn touched(&self) -> Result<u64> {
        let missing = || Error::kernel("finding the dose's counter", "it is not in the object");
        let told = |e| Error::kernel("reading the dose's counter", e);
        let map = self.ebpf.map(names::TOUCHED).ok_or_else(missing)?;
        let counter = Array::<&MapData, u64>::try_from(map).map_err(told)?;
        counter.get(&0, 0).map_err(told)
    }
}

fn refused(e: ProgramError) -> Error {
    Error::kernel("switching a program of known price", e)
}
