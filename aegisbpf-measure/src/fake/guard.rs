//! The fake enforcer.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::state::State;
use crate::{
    guard::{EmptyProgram, Evidence, Guard, Identity, Memory},
    workload::BoxError,
};

/// An enforcer that enforces nothing.
#[derive(Debug)]
pub struct FakeGuard(pub(super) Rc<RefCell<State>>);

/// What the fake machine says of an empty program.
pub(super) const EMPTY: EmptyProgram = EmptyProgram {
    reported_ps: 52_000,
    true_ps: 21_000,
    margin_ps: 1_000,
};

/// Who the fake guard says it is.
#[must_use]
pub fn identity() -> Identity {
    Identity {
        name: "fake".to_owned(),
        version: "1".to_owned(),
        backend: "fake".to_owned(),
        mode: "audit".to_owned(),
        policy: "none".to_owned(),
        policy_sha256: "00".repeat(32),
        hooks: vec!["file_open".to_owned(), "socket_connect".to_owned()],
    }
}

impl Guard for FakeGuard {
    fn identity(&self) -> Identity {
        identity()
    }

    fn protect(&mut self) -> Result<(), BoxError> {
        let state = &mut *self.0.borrow_mut();
        state.now += Duration::from_millis(10);
        state.attached = state.truth.attaches;
        state.switched = true;
        if state.attached {
            state.evidence.links = identity().hooks;
        }
        Ok(())
    }

    fn release(&mut self) -> Result<(), BoxError> {
        let state = &mut *self.0.borrow_mut();
        state.now += Duration::from_millis(5);
        state.attached = false;
        state.switched = true;
        state.evidence.links.clear();
        Ok(())
    }

    fn evidence(&mut self) -> Result<Evidence, BoxError> {
        Ok(self.0.borrow().evidence.clone())
    }

    fn touch_denied(&mut self) -> Result<(), BoxError> {
        let state = &mut *self.0.borrow_mut();
        if state.attached && state.truth.counts_hits {
            state.evidence.hits += 1;
            state.evidence.blocks += 1;
            state.evidence.events += 1;
        }
        Ok(())
    }

    fn count_runs(&mut self, on: bool) -> Result<(), BoxError> {
        self.0.borrow_mut().counting = on;
        Ok(())
    }

    fn memory(&mut self) -> Result<Option<Memory>, BoxError> {
        let total = self.0.borrow().truth.memory;
        Ok(Some(Memory {
            process: total / 2,
            kernel: total - total / 2,
        }))
    }

    fn calibrate(&mut self) -> Result<Option<EmptyProgram>, BoxError> {
        Ok(Some(EMPTY))
    }
}
