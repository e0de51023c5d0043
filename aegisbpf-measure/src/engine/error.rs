//! What ends a run without a record.

use std::time::Duration;

use crate::{plan::PlanError, workload::BoxError};

/// What ends a run without a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plan cannot be carried out.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan was made for another guard.
    #[error(
        "the plan is for {planned}, the guard is {found}; make the plan from this guard's identity"
    )]
    OtherGuard {
        /// Whom the plan names.
        planned: String,
        /// Who it is.
        found: String,
    },
    /// The guard could not do what it was asked.
    #[error("{doing} of {guard}: {source}")]
    Guard {
        /// What it was asked.
        doing: &'static str,
        /// Whom.
        guard: String,
        /// What came of it.
        source: BoxError,
    },
    /// The workload broke.
    #[error("running a block of {workload} ({phase}): {source}")]
    Workload {
        /// Which.
        workload: String,
        /// When.
        phase: String,
        /// What came of it.
        source: BoxError,
    },
    /// The workload does nothing, so there is nothing to compare.
    #[error("{workload} did no operation in {window:?}; give it a longer window")]
    Idle {
        /// Which.
        workload: String,
        /// In what time.
        window: Duration,
    },
    /// Nothing that the workload does succeeds, though nothing is attached.
    #[error(
        "nothing that {workload} did succeeded, before anything was attached ({errors}): there is no work to compare"
    )]
    Fails {
        /// Which.
        workload: String,
        /// Its errors, by class.
        errors: String,
    },
    /// It was stopped before the first quad.
    #[error("stopped before the first quad of {workload} was done; nothing was measured")]
    Stopped {
        /// Which.
        workload: String,
    },
}
