//! The second, independent estimate: what the hooks and the enforcer's process were seen to cost.

use std::time::Duration;

use aegisbpf_measure::{
    Judgement, Plan, Verdict,
    attribution::Attribution,
    fake::{self, Fake, Truth},
    metric::Metric,
    verdict::Strength,
    workload::Kind,
};

fn judged(truth: Truth) -> Judgement {
    let plan = Plan {
        budget: Duration::from_secs(10_000),
        looks: vec![20],
        max_quads: 20,
        ..fake::plan("files::fake")
    };
    Fake::new(truth)
        .run(&plan)
        .expect("a fake machine does not break")
        .judgement
}

fn quiet() -> Truth {
    Truth {
        kind: Kind::Batch,
        noise: 0.004,
        cpu_noise: 0.004,
        capacity: 10_000.0,
        ..Truth::default()
    }
}

#[track_caller]
fn attribution(judgement: &Judgement) -> &Attribution {
    judgement
        .attribution
        .as_ref()
        .expect("the fake guard tells times")
}

#[test]
fn hooks_and_process_add_up_to_the_paired_estimate() {
    for kind in [Kind::Batch, Kind::Service] {
        let judgement = judged(Truth {
            kind,
            effect: 0.04,
            process: 0.01,
            ..quiet()
        });
        let found = attribution(&judgement);
        // An operation takes 100 µs and runs the hook twice: 2 µs each are 4 %.
        assert!((found.bare_ns - 100_000.0).abs() < 1_000.0, "{found:?}");
        assert_eq!(found.hooks[0].hook, "file_open");
        assert!(
            (found.hooks[0].runs_per_operation - 2.0).abs() < 1e-9,
            "{found:?}"
        );
        assert!(
            (found.hooks[0].ns_per_run - 2_000.0).abs() < 5.0,
            "{found:?}"
        );
        assert!((found.hooks[0].percent - 4.0).abs() < 0.05, "{found:?}");
        assert!((found.process_percent - 1.0).abs() < 0.05, "{found:?}");
        assert!((found.direct_percent - 5.0).abs() < 0.1, "{found:?}");
        assert!(
            (found.paired_percent.unwrap() - 5.0).abs() < 0.5,
            "{found:?}"
        );
        assert!(found.z.unwrap().abs() < 2.58, "{found:?}");
        assert!(found.notes.is_empty(), "{found:?}");
    }
}

#[test]
fn without_the_empty_program_the_kernels_clock_reads_would_be_booked_as_cost() {
    let mut record = {
        let plan = Plan {
            budget: Duration::from_secs(10_000),
            looks: vec![20],
            max_quads: 20,
            ..fake::plan("files::fake")
        };
        Fake::new(Truth {
            effect: 0.04,
            ..quiet()
        })
        .run(&plan)
        .unwrap()
    };
    record.observed.calibration.empty = None;
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    let found = attribution(&judgement);
    assert!(
        (found.hooks[0].ns_per_run - 2_031.0).abs() < 5.0,
        "{found:?}"
    );
    assert!(found.notes[0].contains("no empty program"), "{found:?}");
}

#[test]
fn a_cost_that_the_hooks_do_not_show_is_unexplained_and_the_estimates_disagree() {
    let judgement = judged(Truth {
        effect: 0.04,
        seen: Some(0.25),
        ..quiet()
    });
    let found = attribution(&judgement);
    assert!((found.direct_percent - 1.0).abs() < 0.1, "{found:?}");
    assert!(
        (found.unexplained_percent.unwrap() - 3.0).abs() < 0.5,
        "{found:?}"
    );
    assert!(found.z.unwrap() > 2.58, "{found:?}");
    assert!(found.notes[0].contains("disagree"), "{found:?}");
}

#[test]
fn cpu_time_seen_under_a_load_tool_without_a_rate_fails_nothing_by_itself() {
    let of = |kind| {
        let mut plan = Plan {
            budget: Duration::from_secs(10_000),
            max_quads: 20,
            ..fake::plan("files::fake")
        };
        let limits = &mut plan.limits;
        limits.throughput_percent = 20.0;
        (limits.p95_percent, limits.p99_percent) = (30.0, 30.0);
        let truth = Truth {
            kind,
            effect: 0.10,
            ..quiet()
        };
        Fake::new(truth).run(&plan).unwrap().judgement
    };
    // Five points of the machine, limit two: where they are judged, and where they are not.
    let judged = of(Kind::Batch);
    assert_eq!(judged.verdict, Verdict::Fail, "{}", judged.sentence());
    assert!(judged.reasons[0].contains("alone were seen to use"));
    let timed = of(Kind::Timed);
    assert!(attribution(&timed).direct_points.unwrap() > 4.0);
    assert_eq!(timed.verdict, Verdict::Pass, "{}", timed.sentence());
}

/// So noisy that nothing can be said by pairs.
fn noisy(effect: f64) -> Truth {
    Truth {
        effect,
        noise: 0.15,
        cpu_noise: 0.15,
        ..quiet()
    }
}

#[test]
fn a_noisy_machine_is_rescued_by_attribution_if_hooks_cost_next_to_nothing() {
    let judgement = judged(noisy(0.004));
    assert_eq!(judgement.verdict, Verdict::Pass, "{}", judgement.sentence());
    assert_eq!(judgement.strength, Some(Strength::Attributed));
    assert_eq!(judgement.strict(), Verdict::Inconclusive);
    let throughput = judgement.metric(Metric::Throughput).unwrap();
    assert_eq!(throughput.strength, Some(Strength::Attributed));
    assert!(
        judgement.sentence().starts_with("PASS (attributed:"),
        "{}",
        judgement.sentence()
    );
}

#[test]
fn twice_the_direct_estimate_must_stay_below_half_the_limit() {
    // 2 % twice is 4 %, and half of the limit of 5 % is 2.5 %.
    let judgement = judged(noisy(0.02));
    assert_eq!(
        judgement.verdict,
        Verdict::Inconclusive,
        "{}",
        judgement.sentence()
    );
}

#[test]
fn attribution_never_rescues_what_disagrees_with_it() {
    let judgement = judged(Truth {
        effect: 0.06,
        seen: Some(0.05),
        noise: 0.03,
        cpu_noise: 0.005,
        ..quiet()
    });
    assert_ne!(judgement.verdict, Verdict::Pass, "{}", judgement.sentence());
}

#[test]
fn hooks_that_use_more_than_the_cpu_limit_fail_by_themselves() {
    // Half of two CPUs is busy: 10 % of it are 5 points, the limit is 2.
    let judgement = judged(noisy(0.10));
    assert_eq!(judgement.verdict, Verdict::Fail, "{}", judgement.sentence());
    assert!(
        judgement.reasons[0].contains("hooks and enforcer alone"),
        "{}",
        judgement.sentence()
    );
}
