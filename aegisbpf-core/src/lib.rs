//! Deny or audit access to files and to the network, and a few operations more, in the Linux kernel, with BPF.
//!
//! The life of an [`Enforcer`]:
//!
//! ```text
//! Policy::from_path ──► Enforcer::builder() ──► .load() ──► .attach() ──► events, stats, apply ──► drop
//!    text → rules        mode, sampling, …      programs     hooks          in any order            all gone
//!                                               and maps
//! ```
//!
//! - A [`Policy`] is text turned into rules. Reading one needs neither root nor BPF.
//! - A rule's path is looked up when the policy is applied, and from then on the kernel compares identities
//!   (device and inode number), never strings.
//! - In [`Mode::Audit`], the default, nothing is refused: accesses are counted and reported. [`Mode::Enforce`]
//!   refuses them with EPERM, where the kernel can ([`Backend`]); elsewhere it is an error, never a silent no-op.
//! - [`Stats`] are exact. [`Events`] are a report: they may be sampled, and lost when nobody reads them.
//! - Missing data, failed helpers and full maps let an access pass and are counted ([`stats::Health`]). Init and this
//!   very process are never denied anything.

mod backend;
pub mod cgroup;
mod control;
mod dedup;
pub mod emergency;
mod enforcer;
mod error;
mod event;
mod events;
pub mod file_id;
mod kept;
mod kernel;
mod locate;
mod mounts;
pub mod policy;
mod policy_file;
pub mod resolve;
pub mod stats;
mod table;

pub use self::{
    backend::{Backend, Mode},
    control::{Applied, Control, PIN_DIR},
    dedup::{Dedup, Repeated},
    emergency::{EMERGENCY_LOG, Emergency, EmergencyStatus},
    enforcer::{Enforcer, EnforcerBuilder, RING_BUFFER_BYTES, RULE_CAPACITY},
    error::{Error, Result, Source},
    event::{Access, Decision, DecodeError, Endpoint, Event, JsonLines, OtherProcess, Record},
    events::{Events, Stopper},
    file_id::FileId,
    kernel::capability,
    kernel::support,
    kernel::{dose, selftest},
    locate::{Identity, WatchedName},
    policy::Policy,
    policy_file::PolicyFileError,
    stats::Stats,
    table::State,
};
