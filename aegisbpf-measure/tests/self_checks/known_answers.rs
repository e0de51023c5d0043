//! What is true is known: nothing at all in a placebo, a delay of our own in a spike-in.

use aegisbpf_measure::{
    Verdict,
    fake::Truth,
    record::Purpose,
    self_check::{Kind as Check, Status},
    workload::Kind,
};

use super::{assert_fails, batch, found, run};

#[test]
fn a_switch_that_leaves_traces_fails_the_placebo() {
    assert_fails(
        Truth {
            switch_effect: 0.08,
            ..batch()
        },
        Check::Placebo,
    );
}

#[test]
fn the_placebo_attaches_and_detaches_but_measures_bare() {
    let record = run(batch());
    let placebo: Vec<_> = record
        .observed
        .blocks
        .iter()
        .filter(|block| block.purpose == Purpose::Placebo)
        .collect();
    assert_eq!(placebo.len(), 4 * 3, "after 8, 16 and 24 of 32 quads");
    assert!(placebo.iter().all(|block| block.activity.links.is_empty()));
}

#[test]
fn a_clock_that_misses_a_delay_fails_the_spike_in() {
    for kind in [Kind::Batch, Kind::Service] {
        assert_fails(
            Truth {
                kind,
                held_up: Some(0.3),
                ..batch()
            },
            Check::SpikeIn,
        );
    }
}

#[test]
fn a_spike_in_is_found_at_its_size() {
    for kind in [Kind::Batch, Kind::Service] {
        let judgement = run(Truth { kind, ..batch() }).judgement;
        let check = found(&judgement, Check::SpikeIn);
        // 10 % of the window: a loss of 10 % of what a service does in it, of 9.1 % of a job's rate.
        let truth = if kind == Kind::Service { 10.0 } else { 9.09 };
        assert!((check.expected - truth).abs() < 0.3, "{check:?}");
        assert!(
            (check.estimate.expect("it is there") - truth).abs() < 1.5,
            "{check:?}"
        );
    }
}

#[test]
fn a_delay_lost_in_the_noise_is_said_and_not_invalid() {
    let judgement = run(Truth {
        noise: 0.3,
        cpu_noise: 0.3,
        ..batch()
    })
    .judgement;
    let check = found(&judgement, Check::SpikeIn);
    assert_eq!(check.status, Status::Noted, "{check:?}");
    assert!(
        judgement
            .notes
            .iter()
            .any(|note| note.contains("lost in the noise"))
    );
}

#[test]
fn a_workload_that_cannot_be_held_up_has_no_spike_in_and_says_so() {
    let record = run(Truth {
        held_up: None,
        ..batch()
    });
    assert!(
        record
            .observed
            .blocks
            .iter()
            .all(|block| block.purpose != Purpose::Spike)
    );
    let check = found(&record.judgement, Check::SpikeIn);
    assert_eq!(check.status, Status::NotJudged);
    assert!(check.sentence.contains("cannot be held up"), "{check:?}");
    assert_eq!(record.judgement.verdict, Verdict::Pass);
}
