//! The instrument's checks of itself, each against a fake machine that has the fault, and one that has it not.

use std::time::Duration;

use aegisbpf_measure::{
    Judgement, Plan, Record, Verdict,
    fake::{self, Fake, Truth},
    metric::Metric,
    record::Purpose,
    schedule::Arm,
    self_check::{Kind as Check, SelfCheck, Status},
    verdict::Strength,
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

#[test]
fn a_settle_time_that_is_too_short_fails_the_carry_over() {
    assert_fails(
        Truth {
            carry_over: 0.06,
            ..batch()
        },
        Check::CarryOver,
    );
}

#[test]
fn carry_over_is_also_found_without_halves() {
    let mut record = run(Truth {
        effect: 0.01,
        ..batch()
    });
    for block in &mut record.observed.blocks {
        block.closed.halves = None;
        // The block just after a switch to the guarded arm is slower than the next.
        let middle = block.position == 1 && block.arm == Arm::Guarded;
        if middle && block.purpose == Purpose::Quad {
            block.closed.wall_ns += block.closed.wall_ns / 12;
        }
    }
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    let check = found(&judgement, Check::CarryOver);
    assert_eq!(check.status, Status::Failed, "{check:?}");
    assert!(check.sentence.contains("just after a switch"), "{check:?}");
}

#[test]
fn an_effect_that_depends_on_the_order_fails() {
    let mut record = run(batch());
    let abba: Vec<u32> = quads(&record, Arm::Bare);
    for block in &mut record.observed.blocks {
        if block.purpose == Purpose::Quad && block.arm == Arm::Guarded && abba.contains(&block.quad)
        {
            block.closed.wall_ns += block.closed.wall_ns / 20;
        }
    }
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    let check = found(&judgement, Check::OrderEffect);
    assert_eq!(check.status, Status::Failed, "{check:?}");
    assert_eq!(judgement.verdict, Verdict::Invalid);
}

/// Numbers of the quads that begin with this arm.
fn quads(record: &Record, first: Arm) -> Vec<u32> {
    let blocks = record.observed.blocks.iter();
    blocks
        .filter(|block| block.purpose == Purpose::Quad && block.position == 0 && block.arm == first)
        .map(|block| block.quad)
        .collect()
}

#[test]
fn an_effect_that_wanders_merges_neighbouring_quads_and_widens_the_interval() {
    let mut record = run(Truth {
        noise: 0.005,
        cpu_noise: 0.005,
        ..batch()
    });
    let independent = width(&record.judgement);
    for block in &mut record.observed.blocks {
        // The effect itself goes up and down with a period of 16 quads.
        if block.purpose == Purpose::Quad && block.arm == Arm::Guarded {
            let wave = 0.03 * (f64::from(block.quad) * std::f64::consts::TAU / 16.0).sin();
            block.closed.wall_ns = (block.closed.wall_ns as f64 * (1.0 + wave)) as u64;
        }
    }
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    let check = found(&judgement, Check::Autocorrelation);
    assert!(check.estimate.expect("it is there") > 0.5, "{check:?}");
    assert_eq!(check.status, Status::Noted);
    let throughput = judgement.metric(Metric::Throughput).expect("it is there");
    assert_eq!(throughput.estimate.expect("it is there").units, 16);
    assert_eq!(throughput.differences.len(), 32, "figures show every quad");
    assert!(
        throughput
            .remark
            .as_ref()
            .expect("it is there")
            .contains("merged two by two")
    );
    assert!(width(&judgement) > 2.0 * independent);
}

fn width(judgement: &Judgement) -> f64 {
    let estimate = judgement
        .metric(Metric::Throughput)
        .expect("it is there")
        .estimate
        .expect("it is there");
    let (lower, upper) = estimate.interval95.expect("it is there");
    upper - lower
}

#[test]
fn a_drift_and_a_jump_of_the_bare_arm_are_noted_and_cancelled() {
    let mut record = run(Truth {
        effect: 0.02,
        noise: 0.005,
        cpu_noise: 0.005,
        ..batch()
    });
    let plain = record.observed.clone();
    for block in &mut record.observed.blocks {
        let seconds = block.begin_ns / 1_000_000_000;
        block.closed.wall_ns += block.closed.wall_ns * seconds / 1_000;
    }
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    let drift = found(&judgement, Check::Drift);
    assert_eq!(drift.status, Status::Noted, "{drift:?}");
    assert!(drift.estimate.expect("it is there") > 10.0, "{drift:?}");
    assert_ne!(
        judgement.verdict,
        Verdict::Invalid,
        "{}",
        judgement.sentence()
    );

    record.observed = plain;
    let at = record
        .observed
        .blocks
        .iter()
        .find(|b| b.purpose == Purpose::Quad && b.quad == 20)
        .expect("it is there")
        .begin_ns;
    for block in &mut record.observed.blocks {
        if block.begin_ns >= at {
            block.closed.wall_ns += block.closed.wall_ns / 5;
        }
    }
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    let jump = found(&judgement, Check::ChangePoint);
    assert_eq!(jump.status, Status::Noted, "{jump:?}");
    assert!(
        (jump.at_seconds.expect("it is there") - at as f64 / 1e9).abs() < 10.0,
        "{jump:?}"
    );
    let overhead = judgement
        .metric(Metric::Throughput)
        .expect("it is there")
        .estimate
        .expect("it is there")
        .overhead;
    assert!(
        (overhead - 1.96).abs() < 0.5,
        "a jump between quads moves no difference: {overhead}"
    );
}

#[test]
fn quads_are_excluded_by_what_others_did_and_never_by_their_result() {
    let mut record = run(batch());
    record.plan.exclude_foreign_points = 30.0;
    let block = record
        .observed
        .blocks
        .iter_mut()
        .find(|b| b.purpose == Purpose::Quad && b.quad == 3)
        .expect("it is there");
    block.contention.busy_ppm = block.contention.busy_ppm.map(|busy| busy + 400_000);
    let block = record
        .observed
        .blocks
        .iter_mut()
        .find(|b| b.purpose == Purpose::Quad && b.quad == 5)
        .expect("it is there");
    block.contention.suspended_ms = Some(60_000);
    // A wild result alone excludes nothing.
    let block = record
        .observed
        .blocks
        .iter_mut()
        .find(|b| b.purpose == Purpose::Quad && b.quad == 7)
        .expect("it is there");
    block.closed.wall_ns *= 2;
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    let excluded: Vec<u32> = judgement.excluded.iter().map(|(quad, _)| *quad).collect();
    assert_eq!(excluded, [3, 5], "{:?}", judgement.excluded);
    assert!(judgement.excluded[0].1.contains("CPU time of others"));
    assert!(judgement.excluded[1].1.contains("suspended for 60 s"));
}

#[test]
fn a_pass_per_cpu_second_is_refused_if_the_workload_waits_more() {
    let truth = Truth {
        effect: 0.02,
        noise: 0.2,
        cpu_noise: 0.005,
        wait: 0.5,
        ..batch()
    };
    let judged = |switches| {
        run(Truth {
            switches,
            ..truth.clone()
        })
        .judgement
    };
    let untold = judged(None);
    assert_eq!(
        (untold.verdict, untold.strength),
        (Verdict::Pass, Some(Strength::PerCpu))
    );
    assert!(
        untold
            .notes
            .iter()
            .any(|note| note.contains("does not tell how often it waits"))
    );
    assert_eq!(judged(Some(1.0)).strength, Some(Strength::PerCpu));
    let waits = judged(Some(1.5));
    assert_eq!(waits.verdict, Verdict::Inconclusive, "{}", waits.sentence());
    assert_eq!(
        untold.strict(),
        Verdict::Inconclusive,
        "the weaker strengths do not count when strict"
    );
}
