//! The enforcer under test, in a process of its own.
//!
//! It runs as a user's daemon would: its CPU time and memory are its own, and the harness is not exempt from the
//! policy as the enforcer's own process is. The harness' side is [`remote`], the enforcer's side is [`child`], and
//! [`protocol`] is what they say to each other: one JSON line each way.

pub mod canary;
pub mod child;
pub mod enforcer;
pub mod protocol;
pub mod remote;

pub use canary::Canary;
pub use remote::{GuardError, RemoteGuard};
