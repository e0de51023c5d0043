//! Real workloads, each run without and with the enforcer in turn.
//!
//! `cargo test --release -p workload-tests -- --ignored` runs them all; `docs/WORKLOADS.md` says what each one
//! does and how its verdict is read.
#![forbid(unsafe_code)]

pub mod budget;
pub mod case;
pub mod corpus;
pub mod harness;
pub mod leftovers;
pub mod load;
pub mod options;
pub mod scratch;
pub mod summary;
pub mod thresholds;
pub mod workload;
pub mod workloads;

pub use aegisbpf_rig::{alone, cpu, guard, service};
