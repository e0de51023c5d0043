//! A against A: every embedded workload, with an enforcer that does nothing, must not be called a FAIL, however noisy the
//! machine is.
//!
//! Each is run once, for real. Since both arms are the same, every way in which the coins could have fallen is as good
//! as the one that was: fifty others are decided from the same blocks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod idle;

use std::time::Duration;

use aegisbpf_measure::{
    Plan, Record, Silent, Verdict, decide,
    guard::{Guard, Memory},
    metric::Metric,
    record::Purpose,
    run,
    schedule::{Arm, Coin, Order},
};
use workload_tests::{
    budget::Budget,
    scratch::Scratch,
    workload::{Workload, missing},
    workloads,
};

use idle::{HOOK, Idle};

fn measured(workload: &dyn Workload) -> Record {
    let mut plan = Plan::new(workload.name(), Idle::default().identity());
    plan.budget = Duration::from_secs(60);
    (plan.min_quads, plan.max_quads) = (6, 6);
    plan.warmup_blocks = 4;
    plan.placebo_every = 0;
    // Others' load on the machine is what A against A must stand.
    plan.exclude_steal_percent = 100.0;
    // A generator that lags makes a run INVALID, which would hide what is asked for here.
    plan.lag_floor = Duration::from_secs(1);
    let scratch = Scratch::new().unwrap();
    let mut prepared = workload.prepare(scratch.path()).unwrap();
    run(
        &plan,
        prepared.session.as_mut(),
        &mut Idle::default(),
        &mut Silent,
    )
    .unwrap()
}

/// The same blocks, as if the coins had fallen as this seed's do.
fn tossed(record: &Record, seed: u64) -> Verdict {
    let mut observed = record.observed.clone();
    let orders: Vec<Order> = Coin::new(seed, 7).take(6).map(|quad| quad.order).collect();
    for block in observed
        .blocks
        .iter_mut()
        .filter(|block| block.purpose == Purpose::Quad)
    {
        let order = orders[block.quad as usize];
        block.arm = order.arms()[usize::from(block.position)];
        let guarded = block.arm == Arm::Guarded;
        block.activity.links = guarded.then(|| HOOK.to_owned()).into_iter().collect();
        block.memory = guarded.then(Memory::default);
    }
    decide(&record.plan, &observed).verdict
}

#[track_caller]
fn never_fails(workload: &dyn Workload) {
    let missing = missing(workload.requires());
    if !missing.is_empty() {
        eprintln!("{}: ignored: {missing:?}", workload.name());
        return;
    }
    let record = measured(workload);
    let verdicts: Vec<Verdict> = (0..50).map(|seed| tossed(&record, seed)).collect();
    let count = |of| verdicts.iter().filter(|verdict| **verdict == of).count();
    let estimate = record
        .judgement
        .metrics
        .iter()
        .find(|result| result.metric == Metric::Throughput);
    println!(
        "| {} | {} | {} | {} | {} | {:+.2} % |",
        workload.name(),
        count(Verdict::Pass),
        count(Verdict::Inconclusive),
        count(Verdict::Invalid),
        count(Verdict::Fail),
        estimate
            .and_then(|result| result.estimate)
            .map_or(f64::NAN, |estimate| estimate.overhead),
    );
    assert_eq!(
        count(Verdict::Fail),
        0,
        "{}: {:?}",
        workload.name(),
        record.judgement
    );
}

#[test]
#[ignore = "takes three minutes: run it as root with `--ignored`"]
fn many_small_files_against_themselves_never_fail() {
    never_fails(&workloads::files_many_small::ManySmall);
}

#[test]
#[ignore = "takes three minutes: every embedded workload"]
fn every_embedded_workload_against_itself_never_fails() {
    let embedded = |name: &str| name.ends_with("::embedded") || name == "files::many_small";
    let all = workloads::all(Budget::Quick);
    let all: Vec<_> = all
        .iter()
        .filter(|workload| embedded(workload.name()))
        .collect();
    assert!(all.len() >= 4, "{}", all.len());
    println!(
        "| workload | PASS | INCONCLUSIVE | INVALID | FAIL | as it was |\n|---|---|---|---|---|---|"
    );
    for workload in all {
        never_fails(workload.as_ref());
    }
}
