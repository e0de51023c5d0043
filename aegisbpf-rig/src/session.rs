//! Anybody's workload as a session: a batch command, or a service under a load command.

pub mod batch;
pub mod served;

pub use batch::Batch;
pub use served::{Served, Serving};
