//! A stop that is asked for from outside, in every phase: nothing stays switched on, nothing is decided that was not.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{cell::Cell, rc::Rc, time::Duration};

use aegisbpf_measure::{
    Plan, Progress, Record,
    engine::{Error, run_on},
    fake::{self, Fake, FakeSession, Truth},
    record::Ended,
    workload::{Block, BoxError, Kind, Sample, Session},
};

fn plan() -> Plan {
    Plan {
        budget: Duration::from_secs(120),
        ..fake::plan("web::fake")
    }
}

/// Asks to stop once so many windows were run.
struct Impatient {
    ran: Rc<Cell<u32>>,
    after: u32,
}

impl Progress for Impatient {
    fn is_live(&self) -> bool {
        false
    }

    fn stopped(&mut self) -> bool {
        self.ran.get() >= self.after
    }
}

/// Counts windows; the one that the stop meets breaks, as a command does that a terminal interrupts.
struct Counting {
    session: FakeSession,
    ran: Rc<Cell<u32>>,
    breaks_at: Option<u32>,
}

impl Session for Counting {
    fn kind(&self) -> Kind {
        self.session.kind()
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        self.ran.set(self.ran.get() + 1);
        if self.breaks_at == Some(self.ran.get()) {
            return Err("ended by a signal".into());
        }
        self.session.run(block)
    }

    fn opens_per_operation(&self) -> f64 {
        self.session.opens_per_operation()
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.session.hold_up(delay)
    }
}

/// The run's end, and the windows that it took.
fn stopped(kind: Kind, after: u32, breaks: bool) -> (Result<Record, Error>, u32) {
    let mut fake = Fake::new(Truth {
        kind,
        noise: 0.2,
        cpu_noise: 0.2,
        ..Truth::default()
    });
    let ran = Rc::new(Cell::new(0));
    let mut session = Counting {
        session: std::mem::replace(&mut fake.session, Fake::new(Truth::default()).session),
        ran: Rc::clone(&ran),
        breaks_at: breaks.then_some(after),
    };
    let mut progress = Impatient {
        ran: Rc::clone(&ran),
        after,
    };
    let outcome = run_on(
        &fake.host,
        &plan(),
        &mut session,
        &mut fake.guard,
        &mut progress,
    );
    assert_eq!(fake.is_switched_on(), (false, false), "left switched on");
    (outcome, ran.get())
}

#[test]
fn a_stop_ends_every_phase_after_the_window_under_way() {
    for kind in [Kind::Service, Kind::Batch, Kind::Timed] {
        let mut measured = 0;
        for after in 0..80 {
            for breaks in [false, true] {
                let (outcome, ran) = stopped(kind, after, breaks && after > 0);
                // The two windows of one block belong together, and the probe follows its block.
                assert!(
                    ran <= after + 2,
                    "{kind:?}: {ran} windows, asked after {after}"
                );
                match outcome {
                    Err(Error::Stopped { .. }) => {}
                    Err(error) => panic!("{kind:?} after {after}: {error}"),
                    Ok(record) => {
                        measured += 1;
                        assert_eq!(record.observed.ended, Ended::Stopped);
                        let quads = record.judgement.quads as usize;
                        assert_eq!(record.observed.checks.len(), quads);
                        assert!(quads > 0);
                    }
                }
            }
        }
        assert!(measured > 0, "{kind:?}: never got as far as a quad");
    }
}

#[test]
fn a_workload_that_breaks_by_itself_is_no_stop() {
    let mut fake = Fake::new(Truth::default());
    let mut session = Counting {
        session: std::mem::replace(&mut fake.session, Fake::new(Truth::default()).session),
        ran: Rc::default(),
        breaks_at: Some(5),
    };
    let outcome = run_on(
        &fake.host,
        &plan(),
        &mut session,
        &mut fake.guard,
        &mut aegisbpf_measure::Silent,
    );
    assert!(
        matches!(outcome, Err(Error::Workload { .. })),
        "{outcome:?}"
    );
}
