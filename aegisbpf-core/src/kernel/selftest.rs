//! The kernel's decision on its own, for tests and benchmarks of this project. No part of the stable API.

use std::{path::Path, time::Duration};

use aegisbpf_bpf::{abi, names};
use aya::{
    Btf, Ebpf, EbpfLoader,
    programs::{FExit, Lsm, RawTracePoint, RawTracePointRunOptions, TestRun},
};

use super::{
    Maps, Run, Source, capability,
    maps::sieve_rows,
    modify_return::{self, Modifier},
};
use crate::{
    FileId,
    backend::{Backend, Mode},
    error::{Error, Result},
    policy::{Policy, RuleId},
    resolve::{Resolution, resolve},
    stats::Health,
    table::Table,
};

/// The most rules that a self-test can have.
const ROOM: u32 = 1 << 17;

/// `decide()` behind `BPF_PROG_TEST_RUN`: the verifier and the JIT are part of the test, no hook is.
pub struct Selftest {
    ebpf: Ebpf,
    maps: Maps,
    table: Table,
}

impl Selftest {
    /// # Errors
    /// If this kernel does not load it.
    pub fn load() -> Result<Self> {
        let failed = |e: aya::EbpfError| Error::kernel("loading the self-test object", e);
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(names::TOTALS, ROOM * 2)
            .map_max_entries(names::SIEVE, sieve_rows(ROOM))
            .load(aegisbpf_bpf::SELFTEST)
            .map_err(failed)?;
        let maps = Maps::take(&mut Source::Object(&mut ebpf), 1 << 18)?;
        for name in [names::TEST_DECIDE, names::PATCH_FILTER] {
            let program: &mut RawTracePoint = program(&mut ebpf, name)?;
            program
                .load()
                .map_err(|e| Error::kernel("loading a self-test program", e))?;
        }
        Ok(Self {
            ebpf,
            maps,
            table: Table::default(),
        })
    }

    /// Makes `policy` the current one.
    ///
    /// # Errors
    /// As [`Control::apply`](crate::Control::apply).
    pub fn apply(&mut self, policy: &Policy) -> Result<()> {
        capability::require(Backend::Lsm, Mode::Enforce, policy)?;
        let next = self.table.succeed(policy, &resolve(policy)?);
        let mut run = Servant(&mut self.ebpf);
        self.maps.switch(&mut run, &self.table, &next)?;
        let previous = std::mem::replace(&mut self.table, next);
        self.maps.retire(&mut run, &previous, &self.table)?;
        Ok(())
    }

    /// Sets what the programs read of the mode, and whether this process is the one that is never denied.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set(&mut self, enforce: bool, is_self: bool) -> Result<()> {
        if is_self {
            let failed = |e| Error::kernel("running the self-test program", e);
            let program: &mut RawTracePoint = program(&mut self.ebpf, names::WHOAMI)?;
            program.load().map_err(failed)?;
            program
                .test_run(RawTracePointRunOptions::new())
                .map_err(failed)?;
            program.unload().map_err(failed)?;
        }
        self.maps.set(|control| {
            control.mode = if enforce {
                abi::MODE_ENFORCE
            } else {
                abi::MODE_AUDIT
            };
            if !is_self {
                control.self_tgid = 0;
            }
        })
    }

    /// Makes the process that is never denied one that started at another time: its number is used again.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn age(&mut self) -> Result<()> {
        self.maps.set(|control| control.self_start += 1)
    }

    /// Calls an emergency, or ends it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn emergency(&mut self, on: bool) -> Result<()> {
        let mut emergency = self.maps.brakes.emergency()?;
        emergency.on = u32::from(on);
        self.maps.brakes.set_emergency(emergency)
    }

    /// Sets the dead-man timer.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn dead_man(&mut self, patience: Option<Duration>) -> Result<()> {
        self.maps.brakes.set_dead_man(patience)
    }

    /// What was reported and what went wrong.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn health(&self) -> Result<Health> {
        self.maps.health()
    }

    /// What the kernel decides about an access of this process to `file`: the `DECISION_…` number of the ABI, and the rule.
    ///
    /// # Errors
    /// If the kernel does not run it.
    pub fn decide(&mut self, file: FileId) -> Result<(u8, Option<RuleId>)> {
        let program: &mut RawTracePoint = program(&mut self.ebpf, names::TEST_DECIDE)?;
        let mut options = RawTracePointRunOptions::new();
        options.args[0] = file.ino;
        options.args[1] = u64::from(file.dev);
        let answer = program
            .test_run(options)
            .map_err(|e| Error::kernel("running the self-test program", e))?
            .return_value;
        Ok(((answer & 0xff) as u8, RuleId::new(answer >> 8)))
    }
}

/// The table of a first policy; gives how many entries about files it has.
#[must_use]
pub fn lay_out(policy: &Policy, resolution: &Resolution) -> usize {
    Table::default().succeed(policy, resolution).files().count()
}

/// The programs of the self-test object.
struct Servant<'a>(&'a mut Ebpf);

impl Run for Servant<'_> {
    fn run(&mut self, name: &'static str, argument: u64) -> Result<u32> {
        let program: &mut RawTracePoint = program(self.0, name)?;
        let mut options = RawTracePointRunOptions::new();
        options.args[0] = argument;
        let answer = program
            .test_run(options)
            .map_err(|e| Error::kernel(format!("running the program {name}"), e))?;
        Ok(answer.return_value)
    }
}

/// A program on `file_open` that does nothing: the floor that the real one is compared with.
pub struct EmptyHook {
    _ebpf: Option<Ebpf>,
    _modifier: Option<FExit>,
}

impl EmptyHook {
    /// As an LSM program.
    ///
    /// # Errors
    /// If this kernel does not load or attach it.
    pub fn attach() -> Result<Self> {
        Self::on("file_open", names::EMPTY)
    }

    /// As an LSM program on `socket_connect`.
    ///
    /// # Errors
    /// If this kernel does not load or attach it.
    pub fn connect() -> Result<Self> {
        Self::on("socket_connect", names::EMPTY_CONNECT)
    }

    fn on(hook: &str, name: &str) -> Result<Self> {
        let btf = types()?;
        let failed = |e: aya::EbpfError| Error::kernel("loading the object", e);
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .load(aegisbpf_bpf::AEGIS)
            .map_err(failed)?;
        let lsm: &mut Lsm = program(&mut ebpf, name)?;
        lsm.load(hook, &btf).map_err(refused)?;
        lsm.attach().map_err(refused)?;
        Ok(Self {
            _ebpf: Some(ebpf),
            _modifier: None,
        })
    }

    /// As a `modify_return` program on the function behind that hook. `pins` is a directory in a bpf file system.
    ///
    /// # Errors
    /// If this kernel does not load or attach it.
    pub fn modify_return(pins: &Path) -> Result<Self> {
        let btf = types()?;
        let failed = |e: aya::EbpfError| Error::kernel("loading the object", e);
        // For the maps alone: the object cannot be relocated without them.
        let ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .load(aegisbpf_bpf::AEGIS)
            .map_err(failed)?;
        let maps = |name: &str| ebpf.map(name).and_then(modify_return::descriptor);
        let mut program = Modifier::new(aegisbpf_bpf::AEGIS, &btf, maps)?.load(
            names::EMPTY,
            "security_file_open",
            &btf,
            &pins.join("empty"),
        )?;
        program.attach().map_err(refused)?;
        Ok(Self {
            _ebpf: None,
            _modifier: Some(program),
        })
    }
}

fn types() -> Result<Btf> {
    Btf::from_sys_fs().map_err(|e| Error::kernel("reading the kernel's types", e))
}

fn refused(e: aya::programs::ProgramError) -> Error {
    Error::kernel("attaching the empty program", e)
}

pub(super) fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| {
            Error::kernel(
                format!("finding the program {name}"),
                "it is not in the embedded object",
            )
        })?
        .try_into()
        .map_err(|e| Error::kernel(format!("finding the program {name}"), e))
}
