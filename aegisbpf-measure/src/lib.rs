//! Measures what an enforcer costs on a workload, and decides: paired, randomised, exact.
//!
//! ```text
//! Plan ──► engine::run(plan, session, guard, progress) ──► Record ──► report::{markdown, json}, journal
//!              │  switching cost, warm-up, capacity, pilot        ▲
//!              └► quads of blocks ──► BlockRecord ──► decide ──► Judgement
//! ```
//!
//! The engine knows no enforcer and no workload: it sees a [`Guard`](guard::Guard) that can be switched on and off and
//! proves which it is, and a [`Session`](workload::Session) that runs blocks and proves its work. Whatever was measured
//! becomes [`BlockRecord`](record::BlockRecord)s, and [`decide`](decide::decide) is a pure function of plan and
//! records: the same file gives the same verdict, bit for bit.
//!
//! The method itself is in `docs/METHOD.md`.
#![forbid(unsafe_code)]
#![expect(
    clippy::cast_precision_loss,
    reason = "counts and nanoseconds become floats for statistics; none comes near 2^53"
)]

pub mod attribution;
pub mod baseline;
pub mod contention;
pub mod decide;
pub mod engine;
pub mod errors;
pub mod estimate;
pub mod fake;
pub mod fingerprint;
pub mod guard;
pub mod host;
pub mod interval;
pub mod journal;
pub mod metric;
pub mod plan;
pub mod progress;
pub mod record;
pub mod report;
pub mod schedule;
pub mod self_check;
pub mod series;
pub mod shift;
pub mod simulation;
pub mod treatment;
pub mod trend;
pub mod verdict;
pub mod workload;

pub use crate::{
    decide::decide,
    engine::{Error, run},
    plan::{Limits, Plan},
    progress::{Progress, Silent},
    record::Record,
    verdict::{Judgement, Verdict},
};
