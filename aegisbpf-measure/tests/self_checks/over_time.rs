//! What changes from quad to quad: an effect that wanders, a machine that drifts or jumps.

use aegisbpf_measure::{
    Judgement, Verdict,
    fake::Truth,
    metric::Metric,
    record::Purpose,
    schedule::Arm,
    self_check::{Kind as Check, Status},
};

use super::{batch, found, run};

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
