//! The instrument's checks of itself, each against a fake machine that has the fault, and one that has it not.

mod known_answers;
mod over_time;
mod what_counts;
mod within_a_quad;

use std::time::Duration;

use aegisbpf_measure::{
    Judgement, Plan, Record, Verdict,
    fake::{self, Fake, Truth},
    self_check::{Kind as Check, SelfCheck, Status},
    workload::Kind,
};

/// Enough quads that every check has what it needs.
fn plan() -> Plan {
    Plan {
        budget: Duration::from_secs(10_000),
        looks: vec![32],
        max_quads: 32,
        ..fake::plan("files::fake")
    }
}

fn batch() -> Truth {
    Truth {
        kind: Kind::Batch,
        capacity: 1_000.0,
        ..Truth::default()
    }
}

#[track_caller]
fn run(truth: Truth) -> Record {
    Fake::new(truth)
        .run(&plan())
        .expect("a fake machine does not break")
}

#[track_caller]
fn found(judgement: &Judgement, check: Check) -> &SelfCheck {
    judgement
        .self_check(check)
        .expect("every check is in every judgement")
}

#[track_caller]
fn assert_fails(truth: Truth, check: Check) {
    let judgement = run(truth).judgement;
    let found = found(&judgement, check);
    assert_eq!(found.status, Status::Failed, "{found:?}");
    assert_eq!(
        judgement.verdict,
        Verdict::Invalid,
        "{}",
        judgement.sentence()
    );
    assert!(
        judgement.sentence().contains(&format!("{check}: ")),
        "the verdict does not say which check failed: {}",
        judgement.sentence()
    );
}

#[test]
fn a_sound_machine_passes_every_check() {
    for kind in [Kind::Batch, Kind::Service] {
        let judgement = run(Truth {
            kind,
            effect: 0.02,
            ..batch()
        })
        .judgement;
        for check in &judgement.self_checks {
            assert_eq!(check.status, Status::Passed, "{kind:?} {check:?}");
            assert!(check.units >= 8, "{check:?}");
        }
        assert_eq!(judgement.self_checks.len(), 7);
    }
}

#[test]
fn sound_machines_are_seldom_called_invalid() {
    let invalid = (0..100)
        .filter(|seed| {
            run(Truth {
                seed: *seed,
                ..batch()
            })
            .judgement
            .verdict
                == Verdict::Invalid
        })
        .count();
    assert!(invalid <= 6, "{invalid} of 100");
}
