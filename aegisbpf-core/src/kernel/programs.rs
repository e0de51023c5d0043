//! The verified programs of a backend, by name: out of a loaded object, or out of pins.

use std::collections::BTreeMap;

use aegisbpf_bpf::names;
use aya::{
    Ebpf,
    programs::{
        CgroupSockAddr, CgroupSockAddrAttachType, FExit, Lsm, Program, ProgramError, RawTracePoint,
        TracePoint,
    },
};

use super::{
    hooks::{Hook, Place, SockAddr},
    pins::Pins,
};
use crate::error::{Error, Result};

/// Where the programs are.
pub(super) enum Programs {
    /// In the object that this process loaded. They end with it. Those that its loader does not know stand beside it.
    Object(Ebpf, BTreeMap<&'static str, Program>),
    /// In a bpf file system; these are our handles.
    Pinned(BTreeMap<&'static str, Program>),
}

impl Programs {
    /// Opens the programs of `hooks`, and the ones that only we run.
    ///
    /// # Errors
    /// If one is not there or is of another kind.
    pub(super) fn open(pins: &Pins, hooks: &[Hook]) -> Result<Self> {
        let mut programs = BTreeMap::new();
        for hook in hooks {
            let path = pins.program(hook.program);
            let opened = match hook.place {
                Place::Lsm(_) => Lsm::from_pin(path).map(Program::Lsm),
                Place::Modify(_) => FExit::from_pin(path).map(Program::FExit),
                Place::Syscall(_) => TracePoint::from_pin(path).map(Program::TracePoint),
                Place::Raw(_) => RawTracePoint::from_pin(path).map(Program::RawTracePoint),
                Place::SockAddr(point) => {
                    CgroupSockAddr::from_pin(path, attach_type(point)).map(Program::CgroupSockAddr)
                }
            };
            programs.insert(hook.program, opened.map_err(|e| missing(hook.program, e))?);
        }
        for name in names::SERVANTS {
            let servant =
                RawTracePoint::from_pin(pins.program(name)).map_err(|e| missing(name, e))?;
            programs.insert(name, Program::RawTracePoint(servant));
        }
        Ok(Self::Pinned(programs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Program> {
        match self {
            Self::Object(ebpf, beside) => beside.get(name).or_else(|| ebpf.program(name)),
            Self::Pinned(programs) => programs.get(name),
        }
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Result<&mut Program> {
        match self {
            Self::Object(ebpf, beside) => match beside.get_mut(name) {
                Some(program) => Some(program),
                None => ebpf.program_mut(name),
            },
            Self::Pinned(programs) => programs.get_mut(name),
        }
        .ok_or_else(|| {
            Error::kernel(
                format!("finding the program {name}"),
                "it is not in the embedded object",
            )
        })
    }
}

fn attach_type(point: SockAddr) -> CgroupSockAddrAttachType {
    match point {
        SockAddr::Bind4 => CgroupSockAddrAttachType::Bind4,
        SockAddr::Bind6 => CgroupSockAddrAttachType::Bind6,
        SockAddr::Connect4 => CgroupSockAddrAttachType::Connect4,
        SockAddr::Connect6 => CgroupSockAddrAttachType::Connect6,
        SockAddr::SendMsg4 => CgroupSockAddrAttachType::UDPSendMsg4,
        SockAddr::SendMsg6 => CgroupSockAddrAttachType::UDPSendMsg6,
    }
}

fn missing(name: &str, e: ProgramError) -> Error {
    Error::kernel(format!("opening the pinned program {name}"), e)
}
