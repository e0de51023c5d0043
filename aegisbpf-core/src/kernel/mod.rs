//! The running kernel: the only place that names aya. What leaves here are our own types and opaque errors.

pub mod capability;
pub(crate) mod heap;
mod hooks;
mod maps;
mod modify_return;
mod object;
mod private_mount;
mod runtime;
#[doc(hidden)]
pub mod selftest;
pub mod support;
mod syscall;

pub(crate) use self::maps::Ring;
pub(crate) use self::{
    maps::Maps,
    object::{Loaded, Sizes},
    runtime::StatsSwitch,
};
