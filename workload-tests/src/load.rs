//! Load, open loop and closed, with every answer verified.
//!
//! [`schedule`] says what is due when. For HTTP [`connection`] carries one request at a time (no pipelining), and
//! [`generator`] brings both together in one `poll` loop. [`clients`] are threads with a blocking connection each,
//! for databases. Both count in a `tally`.

pub mod clients;
pub mod connection;
pub mod generator;
pub mod http;
pub mod schedule;
mod tally;

pub use clients::{Client, Clients, Worker};
pub use generator::{Generator, LoadError};
pub use http::{Page, Target};
