//! The running kernel: the only place that names aya. What leaves here are our own types and opaque errors.

pub(crate) mod blob;
pub mod capability;
#[doc(hidden)]
pub mod dose;
pub(crate) mod heap;
mod hooks;
mod links;
pub(crate) mod lock;
mod maps;
mod modify_return;
mod object;
pub(crate) mod pins;
mod private_mount;
mod probe;
mod programs;
mod runtime;
#[doc(hidden)]
pub mod selftest;
pub mod support;
mod syscall;
mod types;

pub(crate) use self::maps::Ring;
pub(crate) use self::{
    maps::{Brakes, Maps, Remains, Run, Source},
    object::{Loaded, Sizes, build},
    runtime::StatsSwitch,
};
