//! A fake machine with a known effect: for tests of the engine, and of whatever embeds it. Nothing sleeps.
//!
//! Session, guard and host share one virtual clock. The session's cost model: an operation takes a fixed time, times
//! the effect while the guard is attached, times the noise of the block.

mod guard;
mod host;
mod session;
mod state;
mod truth;

use std::{cell::RefCell, rc::Rc};

use self::state::State;
pub use self::{
    guard::{FakeGuard, identity},
    host::FakeHost,
    session::FakeSession,
    truth::{Bursts, Truth},
};
use crate::plan::Plan;

/// The three parts of a fake machine.
#[derive(Debug)]
pub struct Fake {
    /// Its workload.
    pub session: FakeSession,
    /// Its enforcer.
    pub guard: FakeGuard,
    /// Its clock and counters.
    pub host: FakeHost,
}

impl Fake {
    /// A machine of which this is true.
    #[must_use]
    pub fn new(truth: Truth) -> Self {
        let state = Rc::new(RefCell::new(State::new(truth)));
        Self {
            session: FakeSession(state.clone()),
            guard: FakeGuard(state.clone()),
            host: FakeHost(state),
        }
    }

    /// Runs a plan on it.
    ///
    /// # Errors
    /// As [`run`](crate::engine::run).
    pub fn run(&mut self, plan: &Plan) -> Result<crate::record::Record, crate::engine::Error> {
        crate::engine::run_on(
            &self.host,
            plan,
            &mut self.session,
            &mut self.guard,
            &mut crate::progress::Silent,
        )
    }

    /// Whether its guard is attached, and whether it counts runs.
    #[must_use]
    pub fn is_switched_on(&self) -> (bool, bool) {
        let state = self.host.0.borrow();
        (state.attached, state.counting)
    }
}

/// A plan for the fake guard, with the defaults.
#[must_use]
pub fn plan(workload: &str) -> Plan {
    Plan::new(workload, identity())
}

/// A comparison with a recorded run that ended so.
#[cfg(test)]
pub(crate) fn compared(verdict: crate::Verdict, sentence: &str) -> crate::baseline::Comparison {
    crate::baseline::Comparison {
        baseline: "web-fake.json".to_owned(),
        recorded: 0,
        enforcer: "fake 0".to_owned(),
        refused: Vec::new(),
        metrics: Vec::new(),
        verdict,
        sentence: sentence.to_owned(),
    }
}
