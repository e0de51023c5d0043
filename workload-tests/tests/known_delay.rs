//! Spike-ins of every embedded workload, for real: a delay of a known size, with an enforcer that does nothing, is found
//! at its size or lost in the noise of the machine, and never missed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod idle;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aegisbpf_measure::{
    Plan, Record, Silent,
    guard::Guard,
    run,
    self_check::{Kind, Status},
};
use workload_tests::{
    budget::Budget,
    scratch::Scratch,
    workload::{Workload, missing},
    workloads,
};

use idle::Idle;

/// Quads with the delay: one before the first ordinary quad and one between all others.
const SPIKES: u32 = 6;

fn measured(workload: &dyn Workload) -> Record {
    let mut plan = Plan::new(workload.name(), Idle::default().identity());
    (plan.min_quads, plan.max_quads) = (SPIKES, SPIKES);
    // Beyond the time that it takes: the quads alone end it.
    plan.budget = Duration::from_secs(3_600);
    plan.looks = vec![SPIKES];
    plan.warmup_blocks = 4;
    (plan.placebo_every, plan.spike_every) = (0, 1);
    // What others do is what the check must stand.
    plan.exclude_steal_percent = 100.0;
    let scratch = Scratch::new().unwrap();
    let mut prepared = workload.prepare(scratch.path()).unwrap();
    let session = prepared.session.as_mut();
    run(&plan, session, &mut Idle::default(), &mut Silent).unwrap()
}

#[track_caller]
fn is_not_missed(name: &str) {
    // One at a time: two would measure each other.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let all = workloads::all(Budget::Quick);
    let workload = all.iter().find(|workload| workload.name() == name).unwrap();
    let missing = missing(workload.requires());
    if !missing.is_empty() {
        eprintln!("{name}: ignored: {missing:?}");
        return;
    }
    let record = measured(workload.as_ref());
    let check = record.judgement.self_check(Kind::SpikeIn).unwrap();
    println!("{name}: {} pairs: {}", check.units, check.sentence);
    assert!(
        matches!(check.status, Status::Passed | Status::Noted),
        "{check:?}"
    );
}

#[test]
#[ignore = "takes a minute or two"]
fn a_known_delay_of_the_web_server_is_not_missed() {
    is_not_missed("web::embedded");
}

#[test]
#[ignore = "takes a minute or two"]
fn a_known_delay_of_the_database_is_not_missed() {
    is_not_missed("db::embedded");
}

#[test]
#[ignore = "takes a minute or two"]
fn a_known_delay_of_the_build_is_not_missed() {
    is_not_missed("build::embedded");
}

#[test]
#[ignore = "takes a minute or two"]
fn a_known_delay_of_the_container_is_not_missed() {
    is_not_missed("container::embedded");
}
