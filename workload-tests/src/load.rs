//! HTTP load over loopback: one thread, a few keep-alive connections, every reply verified byte by byte.
//!
//! [`schedule`] says what is due when, [`connection`] carries one request at a time (no pipelining), and
//! [`generator`] brings both together in one `poll` loop for the open and the closed kind of load.

pub mod connection;
pub mod generator;
pub mod http;
pub mod schedule;

pub use generator::{Generator, LoadError};
pub use http::{Page, Target};
