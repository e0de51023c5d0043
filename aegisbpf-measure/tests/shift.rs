//! How the whole latency distribution moved.

use std::time::Duration;

use aegisbpf_measure::{
    Plan, Record,
    fake::{self, Fake, Truth},
    shift::{QUANTILES, ShiftPoint},
};

fn record(truth: Truth) -> Record {
    let plan = Plan {
        budget: Duration::from_secs(10_000),
        looks: vec![16],
        max_quads: 16,
        ..fake::plan("web::fake")
    };
    Fake::new(truth)
        .run(&plan)
        .expect("a fake machine does not break")
}

fn point(record: &Record, quantile: f64) -> ShiftPoint {
    let found = record
        .judgement
        .shift
        .iter()
        .find(|point| point.quantile == quantile);
    *found.expect("every quantile is on the curve")
}

#[test]
fn every_quantile_finds_the_true_rise() {
    let record = record(Truth {
        effect: 0.10,
        noise: 0.004,
        ..Truth::default()
    });
    let quantiles: Vec<f64> = record
        .judgement
        .shift
        .iter()
        .map(|point| point.quantile)
        .collect();
    assert_eq!(quantiles, QUANTILES);
    for point in &record.judgement.shift {
        assert!((point.percent - 10.0).abs() < 0.8, "{point:?}");
        assert!(point.bare_ns < point.guarded_ns, "{point:?}");
    }
    // 10,000 samples a block carry p99 alone; p99.9 needs 100,000 in each arm: five quads, and 16 hold three of those.
    let (lower, upper) = point(&record, 0.99).interval.expect("16 units");
    assert!(lower < 10.0 && 10.0 < upper, "{lower} {upper}");
    assert_eq!(point(&record, 0.999).interval, None);
}

#[test]
fn the_tail_needs_more_samples_than_the_middle() {
    // 333 samples a block, 667 in each arm of a quad.
    let record = record(Truth {
        capacity: 1_000.0,
        noise: 0.004,
        ..Truth::default()
    });
    let has_interval = |quantile| point(&record, quantile).interval.is_some();
    assert!(has_interval(0.5), "one quad has 100 samples on either side");
    assert!(
        !has_interval(0.05) && !has_interval(0.95),
        "three quads a unit leave five of them"
    );
}

#[test]
fn a_job_without_latencies_has_no_curve() {
    let record = record(Truth {
        kind: aegisbpf_measure::workload::Kind::Batch,
        ..Truth::default()
    });
    assert!(record.judgement.shift.is_empty());
}
