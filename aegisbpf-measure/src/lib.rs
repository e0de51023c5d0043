//! Measures what an enforcer costs on a workload, and decides.
pub mod guard;
pub mod workload;
