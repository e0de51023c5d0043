//! What is advised fits what was found.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::time::Duration;

use aegisbpf_measure::{
    Plan, Record, Verdict,
    fake::{self, Fake, Truth},
    report::advice::{Advice, advise},
    workload::Kind,
};

fn ran(truth: Truth, budget: Duration) -> Record {
    let mut plan = Plan {
        budget,
        ..fake::plan("build::fake")
    };
    // The remedies are for our own enforcer.
    plan.guard.name = "aegisbpf".to_owned();
    let mut plan_as_faked = plan.clone();
    plan_as_faked.guard = fake::identity();
    let mut record = Fake::new(truth).run(&plan_as_faked).unwrap();
    record.plan = plan;
    record.invocation = Some("aegisbpf measure --budget {budget} -- make".to_owned());
    record
}

#[track_caller]
fn found<'a>(all: &'a [Advice], action: &str) -> &'a Advice {
    let found = all.iter().find(|advice| advice.action.contains(action));
    found.unwrap_or_else(|| panic!("no `{action}` in {all:?}"))
}

#[test]
fn more_time_counts_from_what_the_run_took() {
    let noisy = |seed| Truth {
        kind: Kind::Batch,
        effect: 0.02,
        noise: 0.08,
        cpu_noise: 0.08,
        capacity: 500.0,
        seed,
        ..Truth::default()
    };
    // Far too short for six quads of two seconds a block.
    let record = ran(noisy(2), Duration::from_secs(5));
    assert_eq!(record.judgement.verdict, Verdict::Inconclusive);
    let needed = record.judgement.time_needed_ns.unwrap();
    let took = record.observed.blocks.last().unwrap().begin_ns;
    assert!(took > 40_000_000_000, "it took {took} ns");
    let advice = advise(&record);
    let again = found(&advice, "Run it again for about");
    let command = &again.commands[0];
    let minutes: u64 = command
        .strip_prefix("aegisbpf measure --budget ")
        .and_then(|rest| rest.strip_suffix("m -- make"))
        .unwrap_or_else(|| panic!("{command}"))
        .parse()
        .unwrap();
    let seconds = (took + needed) / 1_000_000_000;
    assert!(
        (seconds..seconds + 61).contains(&(60 * minutes)),
        "{command}, {seconds} s"
    );
}

#[test]
fn work_that_only_fails_while_guarded_is_a_rule_to_find() {
    let truth = Truth {
        kind: Kind::Batch,
        errors: [("exit 1".to_owned(), 50_000)].into(),
        ..Truth::default()
    };
    let record = ran(truth, Duration::from_secs(60));
    let advice = advise(&record);
    let rule = found(&advice, "Find the rule that breaks the workload");
    assert!(rule.why.contains("exit 1 (0 bare,"), "{}", rule.why);
    assert!(!rule.commands.is_empty());
}
