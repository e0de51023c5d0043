//! The test rig: what is measured, held as processes.
//!
//! The measuring engine sees a [`Guard`](aegisbpf_measure::guard::Guard) and a
//! [`Session`](aegisbpf_measure::workload::Session). This crate makes them of programs: our enforcer in a process of
//! its own or any other that commands can switch ([`guard`]), servers that never outlive us ([`service`]), anybody's
//! command or service as a workload ([`session`], [`load_tool`]), with exact CPU clocks ([`cpu`]). The workload harness
//! and the command `aegisbpf measure` both stand on it.
#![forbid(unsafe_code)]

pub mod alone;
pub mod cgroup;
pub mod cpu;
pub mod dose;
pub mod errors;
pub mod guard;
pub mod interrupt;
pub mod load_tool;
pub mod service;
pub mod session;
pub mod shell;
pub mod terminal;
