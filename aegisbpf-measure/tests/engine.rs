//! The engine against fake machines of which the truth is known.

use std::{
    collections::BTreeMap,
    io::BufReader,
    time::{Duration, Instant},
};

use aegisbpf_measure::{
    Judgement, Plan, Record, Verdict,
    engine::Error,
    fake::{self, Fake, Truth},
    journal,
    metric::Metric,
    record::{BlockRecord, Ended, Purpose, QuantileUse},
    schedule::Arm,
    verdict::Strength,
    workload::{Block, BoxError, Kind, Sample, Session},
};

fn plan() -> Plan {
    Plan {
        budget: Duration::from_secs(120),
        ..fake::plan("web::fake")
    }
}

#[track_caller]
fn record(truth: Truth, plan: &Plan) -> Record {
    let mut fake = Fake::new(truth);
    let record = fake.run(plan).expect("a fake machine does not break");
    assert_eq!(fake.is_switched_on(), (false, false), "left switched on");
    record
}

#[track_caller]
fn judged(truth: Truth) -> Record {
    record(truth, &plan())
}

fn errors(class: &str, count: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(class.to_owned(), count)])
}

#[test]
fn no_effect_passes_by_wall_clock() {
    for kind in [Kind::Service, Kind::Batch, Kind::Timed] {
        let record = judged(Truth {
            kind,
            ..Truth::default()
        });
        let judgement = &record.judgement;
        assert_eq!(judgement.verdict, Verdict::Pass, "{}", judgement.sentence());
        assert_eq!(judgement.strength, Some(Strength::WallClock));
        assert!(
            judgement
                .sentence()
                .starts_with("PASS by wall clock: every judged metric"),
            "{}",
            judgement.sentence()
        );
        assert_eq!(record.observed.ended, Ended::Decided);
        assert_eq!(record.observed.checks.len(), judgement.quads as usize);
    }
}

#[test]
fn fifteen_percent_fails_and_is_estimated_as_such() {
    for kind in [Kind::Service, Kind::Batch, Kind::Timed] {
        let record = judged(Truth {
            kind,
            effect: 0.15,
            ..Truth::default()
        });
        let judgement = &record.judgement;
        assert_eq!(judgement.verdict, Verdict::Fail, "{}", judgement.sentence());
        let throughput = judgement
            .metric(Metric::Throughput)
            .unwrap()
            .estimate
            .unwrap();
        // 15 % more time per operation is 13 % less throughput.
        assert!(
            (throughput.overhead - 100.0 * (1.0 - 1.0 / 1.15)).abs() < 1.5,
            "{throughput:?}"
        );
        assert_eq!(
            judgement.metric(Metric::Throughput).unwrap().verdict,
            Some(Verdict::Fail)
        );
    }
}

#[test]
fn every_metric_finds_the_true_effect() {
    let record = judged(Truth {
        effect: 0.10,
        noise: 0.003,
        cpu_noise: 0.003,
        ..Truth::default()
    });
    let overhead = |metric| {
        record
            .judgement
            .metric(metric)
            .unwrap()
            .estimate
            .unwrap()
            .overhead
    };
    for metric in [
        Metric::P50,
        Metric::P95,
        Metric::P99,
        Metric::CpuPerOperation,
    ] {
        assert!(
            (overhead(metric) - 10.0).abs() < 0.7,
            "{metric} {}",
            overhead(metric)
        );
    }
    for metric in [Metric::Throughput, Metric::CpuThroughput] {
        assert!(
            (overhead(metric) - 9.09).abs() < 0.7,
            "{metric} {}",
            overhead(metric)
        );
    }
    // Half of the capacity of one CPU's worth of work on a machine of two: 25 %, and a tenth of that more.
    assert!(
        (overhead(Metric::Cpu) - 2.5).abs() < 0.2,
        "{}",
        overhead(Metric::Cpu)
    );
    let cpu = record.judgement.metric(Metric::Cpu).unwrap();
    assert!((cpu.bare.unwrap() - 25.0).abs() < 0.5, "{cpu:?}");
}

#[test]
fn additional_cpu_of_a_batch_job_refers_to_the_bare_units_time() {
    let record = judged(Truth {
        kind: Kind::Batch,
        effect: 0.10,
        noise: 0.003,
        cpu_noise: 0.003,
        ..Truth::default()
    });
    let overhead = record
        .judgement
        .metric(Metric::Cpu)
        .unwrap()
        .estimate
        .unwrap()
        .overhead;
    // One CPU busy of two: 50 points, and a tenth of that more although the share of busy time is the same.
    assert!((overhead - 5.0).abs() < 0.3, "{overhead}");
}

#[test]
fn noise_and_a_small_budget_are_inconclusive_and_say_what_is_missing() {
    let plan = Plan {
        budget: Duration::from_secs(40),
        ..plan()
    };
    let record = record(
        Truth {
            effect: 0.04,
            noise: 0.10,
            cpu_noise: 0.10,
            seed: 2,
            ..Truth::default()
        },
        &plan,
    );
    let judgement = &record.judgement;
    assert_eq!(
        judgement.verdict,
        Verdict::Inconclusive,
        "{}",
        judgement.sentence()
    );
    let throughput = judgement.metric(Metric::Throughput).unwrap();
    assert!(
        throughput.estimate.unwrap().resolvable.unwrap() > 3.0,
        "{throughput:?}"
    );
    assert!(
        throughput.quads_needed.unwrap() > judgement.quads,
        "{throughput:?}"
    );
    assert!(judgement.time_needed_ns.unwrap() > 0);
    assert_eq!(record.observed.ended, Ended::Budget);
}

#[test]
fn a_guard_that_attaches_nothing_is_invalid_however_good_its_numbers() {
    let record = judged(Truth {
        attaches: false,
        ..Truth::default()
    });
    let judgement = &record.judgement;
    assert_eq!(judgement.verdict, Verdict::Invalid);
    assert!(
        judgement
            .sentence()
            .starts_with("INVALID: treatment not applied"),
        "{}",
        judgement.sentence()
    );
    assert!(
        judgement
            .metrics
            .iter()
            .any(|metric| metric.verdict == Some(Verdict::Pass)),
        "the numbers alone would pass"
    );
}

#[test]
fn a_guard_that_counts_no_hit_is_invalid() {
    let judgement = judged(Truth {
        counts_hits: false,
        ..Truth::default()
    })
    .judgement;
    assert_eq!(judgement.verdict, Verdict::Invalid);
    assert!(
        judgement.reasons[0].contains("gave 0 hits, not 1"),
        "{}",
        judgement.sentence()
    );
}

#[test]
fn work_missing_in_one_arm_makes_the_pair_void_and_not_slow() {
    for kind in [Kind::Service, Kind::Batch] {
        let judgement = judged(Truth {
            kind,
            lost: 0.02,
            ..Truth::default()
        })
        .judgement;
        assert_eq!(
            judgement.verdict,
            Verdict::Invalid,
            "{}",
            judgement.sentence()
        );
        assert_eq!(judgement.excluded.len(), judgement.quads as usize);
        assert!(
            judgement.excluded[0].1.contains("different work"),
            "{:?}",
            judgement.excluded[0]
        );
    }
}

#[test]
fn a_new_class_of_errors_fails() {
    let judgement = judged(Truth {
        errors: errors("EPERM", 1),
        ..Truth::default()
    })
    .judgement;
    assert_eq!(judgement.verdict, Verdict::Fail);
    assert!(
        judgement.reasons[0].contains("`EPERM`"),
        "{}",
        judgement.sentence()
    );
}

#[test]
fn a_workload_that_only_fails_is_no_work_to_compare() {
    for kind in [Kind::Service, Kind::Batch, Kind::Timed] {
        let mut fake = Fake::new(Truth {
            kind,
            errors_everywhere: errors("http 404", 50_000),
            ..Truth::default()
        });
        let error = fake.run(&plan()).unwrap_err();
        assert!(matches!(error, Error::Fails { .. }), "{error}");
        assert!(error.to_string().contains("50000 × http 404"), "{error}");
        assert_eq!(fake.is_switched_on(), (false, false), "left switched on");
    }
}

#[test]
fn a_guard_that_breaks_all_of_the_work_fails_and_is_not_merely_invalid() {
    for kind in [Kind::Service, Kind::Batch] {
        let judgement = judged(Truth {
            kind,
            errors: errors("exit 1", 50_000),
            ..Truth::default()
        })
        .judgement;
        assert_eq!(judgement.verdict, Verdict::Fail, "{}", judgement.sentence());
        assert!(
            judgement.reasons[0].contains("`exit 1`"),
            "{}",
            judgement.sentence()
        );
        assert_eq!(judgement.excluded.len(), judgement.quads as usize);
    }
    // With no proof that it was the guard, it is nobody's fault.
    let judgement = judged(Truth {
        errors: errors("exit 1", 50_000),
        counts_hits: false,
        ..Truth::default()
    })
    .judgement;
    assert_eq!(judgement.verdict, Verdict::Invalid);
}

#[test]
fn a_budget_that_is_too_short_is_told_before_the_pilot() {
    let mut plan = plan();
    plan.budget = Duration::from_secs(2);
    let record = record(
        Truth {
            kind: Kind::Batch,
            ..Truth::default()
        },
        &plan,
    );
    assert!(
        record.notes[0].contains("is not enough"),
        "{:?}",
        record.notes
    );
    let enough = judged(Truth::default());
    assert!(
        !enough.notes.iter().any(|note| note.contains("not enough")),
        "{:?}",
        enough.notes
    );
}

#[test]
fn errors_that_both_arms_have_alike_do_not_fail() {
    let judgement = judged(Truth {
        errors_everywhere: errors("timeout", 2),
        ..Truth::default()
    })
    .judgement;
    assert_eq!(judgement.verdict, Verdict::Pass, "{}", judgement.sentence());
    assert!(!judgement.errors[0].fails, "{:?}", judgement.errors);
}

#[test]
fn many_more_errors_of_a_known_class_fail() {
    let truth = Truth {
        errors_everywhere: errors("timeout", 2),
        errors: errors("timeout", 6),
        ..Truth::default()
    };
    let judgement = judged(truth).judgement;
    assert_eq!(judgement.verdict, Verdict::Fail, "{}", judgement.sentence());
    assert!(judgement.errors[0].p < 0.01, "{:?}", judgement.errors);
}

#[test]
fn a_negative_overhead_passes_but_is_flagged() {
    let judgement = judged(Truth {
        effect: -0.05,
        ..Truth::default()
    })
    .judgement;
    assert_eq!(judgement.verdict, Verdict::Pass);
    assert!(
        judgement
            .notes
            .iter()
            .any(|note| note.contains("implausible")),
        "{:?}",
        judgement.notes
    );
}

#[test]
fn an_estimate_near_the_limit_is_called_marginal() {
    let judgement = judged(Truth {
        effect: 0.035,
        noise: 0.003,
        cpu_noise: 0.003,
        ..Truth::default()
    })
    .judgement;
    assert_eq!(judgement.verdict, Verdict::Pass, "{}", judgement.sentence());
    assert!(
        judgement.notes.iter().any(|note| note.contains("marginal")),
        "{:?}",
        judgement.notes
    );
}

#[test]
fn memory_above_the_limit_fails() {
    let judgement = judged(Truth {
        memory: 60_000_000,
        ..Truth::default()
    })
    .judgement;
    assert_eq!(judgement.verdict, Verdict::Fail);
    assert!(
        judgement.reasons[0].contains("60.0 MB"),
        "{}",
        judgement.sentence()
    );
}

#[test]
fn a_batch_jobs_wall_time_is_judged_by_its_own_limit() {
    let mut plan = plan();
    plan.limits.wall_time_percent = Some(15.0);
    plan.limits.cpu_points = 10.0;
    let record = record(
        Truth {
            kind: Kind::Batch,
            effect: 0.10,
            ..Truth::default()
        },
        &plan,
    );
    let judgement = &record.judgement;
    assert_eq!(judgement.verdict, Verdict::Pass, "{}", judgement.sentence());
    assert_eq!(judgement.metric(Metric::Throughput), None);
    assert_eq!(
        judgement.metric(Metric::WallTime).unwrap().limit,
        Some(15.0)
    );
}

#[test]
fn on_a_contended_machine_the_cpu_second_decides() {
    let truth = Truth::contended();
    let judgement = judged(truth.clone()).judgement;
    assert_eq!(judgement.verdict, Verdict::Pass, "{}", judgement.sentence());
    assert_eq!(judgement.strength, Some(Strength::PerCpu));
    let calm = judged(Truth { wait: 0.1, ..truth }).judgement;
    assert_eq!(calm.verdict, Verdict::Inconclusive, "{}", calm.sentence());
}

#[test]
fn a_generator_that_lags_makes_the_run_invalid() {
    let judgement = judged(Truth {
        lag: Duration::from_millis(2),
        ..Truth::default()
    })
    .judgement;
    assert_eq!(judgement.verdict, Verdict::Invalid);
    assert!(
        judgement.reasons[0].contains("generator-limited"),
        "{}",
        judgement.sentence()
    );
}

#[test]
fn a_generator_that_offers_less_than_it_should_makes_the_run_invalid() {
    // It tells no lag, as the load tools of others do not; its windows last longer for the same work.
    let stretched = |factor: f64| {
        let mut record = judged(Truth::default());
        let blocks = record.observed.blocks.iter_mut();
        for open in blocks.filter_map(|block| block.open.as_mut()) {
            open.lag_p99_ns = None;
            open.wall_ns = (factor * open.wall_ns as f64) as u64;
        }
        aegisbpf_measure::decide(&record.plan, &record.observed)
    };
    let behind = stretched(1.2);
    assert_eq!(behind.verdict, Verdict::Invalid);
    assert!(
        behind.reasons[0].contains("it offered 83 %"),
        "{}",
        behind.sentence()
    );
    let kept = stretched(1.05);
    assert_eq!(kept.verdict, Verdict::Pass, "{}", kept.sentence());
}

#[test]
fn stolen_time_excludes_quads_and_too_many_of_them_the_run() {
    let judgement = judged(Truth {
        steal: 0.3,
        ..Truth::default()
    })
    .judgement;
    assert_eq!(judgement.verdict, Verdict::Invalid);
    assert!(
        judgement.excluded[0].1.contains("steal 30.0 %"),
        "{:?}",
        judgement.excluded[0]
    );
}

#[test]
fn few_samples_merge_histograms_and_too_few_give_no_verdict() {
    // 333 samples a block: p95 from groups of 4 quads; p99 would need 16 × 6 quads.
    let plan = Plan {
        budget: Duration::from_secs(260),
        max_quads: 40,
        ..plan()
    };
    let record = record(
        Truth {
            capacity: 1_000.0,
            noise: 0.02,
            ..Truth::default()
        },
        &plan,
    );
    let judgement = &record.judgement;
    let quantiles: Vec<QuantileUse> = record
        .observed
        .calibration
        .quantiles
        .values()
        .copied()
        .collect();
    assert!(
        matches!(
            quantiles[..],
            [QuantileUse::Merged(_), QuantileUse::NotJudgeable(_)]
        ),
        "{quantiles:?}"
    );
    let p95 = judgement.metric(Metric::P95).unwrap();
    assert_eq!(p95.verdict, Some(Verdict::Pass), "{p95:?}");
    let p99 = judgement.metric(Metric::P99).unwrap();
    assert_eq!(p99.verdict, None);
    assert!(
        p99.remark
            .as_ref()
            .unwrap()
            .contains("not judgeable in this budget")
    );
    assert!(p99.estimate.is_some(), "shown all the same");
    assert!(
        record
            .notes
            .iter()
            .any(|note| note.contains("P99 is not judgeable")),
        "{:?}",
        record.notes
    );
}

#[test]
fn the_journal_replays_the_same_verdict_bit_for_bit() {
    for truth in [
        Truth {
            effect: 0.04,
            noise: 0.03,
            ..Truth::default()
        },
        Truth {
            kind: Kind::Batch,
            noise: 0.1,
            ..Truth::default()
        },
        Truth {
            attaches: false,
            ..Truth::default()
        },
    ] {
        let record = judged(truth);
        let mut lines = Vec::new();
        journal::write(&record, &mut lines).unwrap();
        let again = journal::replay(BufReader::new(&lines[..])).unwrap();
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), json);
        assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
    }
}

#[test]
fn a_journal_begins_with_the_machine_and_one_of_the_version_before_is_replayed_without_it() {
    let mut record = judged(Truth::default());
    record.invocation = Some("aegisbpf measure -- make".to_owned());
    let mut lines = Vec::new();
    journal::write(&record, &mut lines).unwrap();
    let text = String::from_utf8(lines).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let head: serde_json::Value = serde_json::from_str(head).unwrap();
    assert_eq!(head["schema_version"], journal::VERSION);
    assert_eq!(head["fingerprint"]["hard"]["kernel"], "6.12.0");
    assert_eq!(head["invocation"], "aegisbpf measure -- make");

    let old = rest.replacen(
        "\"line\":\"plan\"",
        "\"line\":\"plan\",\"schema_version\":2",
        1,
    );
    let again = journal::replay(old.as_bytes()).unwrap();
    let text = |judgement| serde_json::to_string(judgement).unwrap();
    assert_eq!(text(&again.judgement), text(&record.judgement));
    assert!(again.fingerprint.hard.is_empty() && again.invocation.is_none());

    let headless = journal::replay(rest.as_bytes()).unwrap_err();
    assert!(headless.to_string().contains("no run line"), "{headless}");
    let newer = old.replacen("\"schema_version\":2", "\"schema_version\":4", 1);
    let newer = journal::replay(newer.as_bytes()).unwrap_err();
    assert!(newer.to_string().contains("version 4"), "{newer}");
}

#[test]
fn a_journal_whose_plan_was_changed_is_refused() {
    let record = judged(Truth::default());
    let mut lines = Vec::new();
    journal::write(&record, &mut lines).unwrap();
    let softened = String::from_utf8(lines).unwrap().replacen(
        "\"throughput_percent\":5.0",
        "\"throughput_percent\":9.0",
        1,
    );
    let error = journal::replay(softened.as_bytes()).unwrap_err();
    assert!(
        error.to_string().contains("the plan was changed"),
        "{error}"
    );
}

#[test]
fn the_pilot_is_bare_and_the_pairs_share_their_seed() {
    let record = judged(Truth::default());
    let blocks = &record.observed.blocks;
    let pilot: Vec<_> = blocks
        .iter()
        .filter(|block| block.purpose == Purpose::Pilot)
        .collect();
    assert_eq!(pilot.len(), 4);
    assert!(pilot.iter().all(|block| block.activity.links.is_empty()));
    for pair in blocks.chunks(2) {
        assert_eq!(pair[0].seed, pair[1].seed);
        assert_ne!(pair[0].arm, pair[1].arm);
    }
    assert!(blocks.iter().all(|block| (block.memory.is_some())
        == (block.arm == Arm::Guarded && block.purpose == Purpose::Quad)));
}

#[test]
fn a_plan_for_another_guard_is_refused() {
    let mut other = plan();
    other.guard.policy_sha256 = "11".repeat(32);
    let error = Fake::new(Truth::default()).run(&other).unwrap_err();
    assert!(matches!(error, Error::OtherGuard { .. }), "{error}");
}

#[test]
fn verdicts_are_rarely_wrong_over_many_runs() {
    let verdicts = |effect: f64, runs: u64| -> Vec<Verdict> {
        let verdict = |seed| {
            let noise = 0.05;
            let truth = Truth {
                kind: Kind::Batch,
                effect,
                noise,
                cpu_noise: noise,
                seed,
                ..Truth::default()
            };
            let mut plan = Plan {
                seed,
                max_quads: 25,
                ..plan()
            };
            plan.limits.cpu_points = 100.0;
            record(truth, &plan).judgement.verdict
        };
        (0..runs).map(verdict).collect()
    };
    let count =
        |verdicts: &[Verdict], of| verdicts.iter().filter(|verdict| **verdict == of).count();
    // At the limit exactly (a loss of 5 %) either answer is wrong at most 5 % of the time.
    let at_limit = verdicts(1.0 / 0.95 - 1.0, 40);
    assert!(count(&at_limit, Verdict::Pass) <= 5, "{at_limit:?}");
    assert!(count(&at_limit, Verdict::Fail) <= 5, "{at_limit:?}");
    assert_eq!(count(&verdicts(0.0, 10), Verdict::Fail), 0);
    assert_eq!(count(&verdicts(0.15, 10), Verdict::Pass), 0);
}

/// Real work under the real clock; proves that nothing of the virtual one is needed.
#[derive(Debug)]
struct Spin;

impl Session for Spin {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        let begin = Instant::now();
        std::hint::black_box((0..200_000_u64).fold(block.seed, |a, b| std::hint::black_box(a ^ b)));
        Ok(Sample {
            operations: 1,
            wall: begin.elapsed(),
            cpu: begin.elapsed(),
            ..Sample::default()
        })
    }

    fn opens_per_operation(&self) -> f64 {
        0.0
    }
}

#[test]
fn a_run_on_this_machine_needs_nothing_faked() {
    let mut guard = Fake::new(Truth::default()).guard;
    let plan = Plan {
        budget: Duration::from_secs(1),
        max_quads: 6,
        exclude_steal_percent: 100.0,
        ..plan()
    };
    let record =
        aegisbpf_measure::run(&plan, &mut Spin, &mut guard, &mut aegisbpf_measure::Silent).unwrap();
    assert_eq!(record.judgement.quads, 6);
    assert_ne!(
        record.judgement.verdict,
        Verdict::Invalid,
        "{}",
        record.judgement.sentence()
    );
    assert!(record.fingerprint.hard.contains_key("kernel"));
    assert_eq!(record.plan_sha256, plan.sha256());
}

/// What would have been decided if one block of this arm had been otherwise.
fn altered(arm: Arm, alter: impl FnOnce(&mut BlockRecord)) -> Judgement {
    let mut record = judged(Truth::default());
    let mut blocks = record.observed.blocks.iter_mut();
    let last = blocks
        .rfind(|block| block.arm == arm)
        .expect("every quad has both arms");
    alter(last);
    aegisbpf_measure::decide(&record.plan, &record.observed)
}

#[test]
fn one_missing_link_in_one_guarded_block_is_invalid() {
    let judgement = altered(Arm::Guarded, |block| drop(block.activity.links.pop()));
    assert_eq!(judgement.verdict, Verdict::Invalid);
    assert!(
        judgement.reasons[0].contains("planned were"),
        "{}",
        judgement.sentence()
    );
}

#[test]
fn one_hit_or_one_link_in_one_bare_block_is_invalid() {
    let hit = altered(Arm::Bare, |block| block.activity.hits = 1);
    assert_eq!(hit.verdict, Verdict::Invalid, "{}", hit.sentence());
    let link = altered(Arm::Bare, |block| {
        block.activity.links.push("file_open".to_owned());
    });
    assert_eq!(link.verdict, Verdict::Invalid, "{}", link.sentence());
}

#[test]
fn a_single_error_of_a_new_class_fails_without_any_statistics() {
    let judgement = altered(Arm::Guarded, |block| {
        block.closed.errors = errors("EPERM", 1);
    });
    assert_eq!(judgement.verdict, Verdict::Fail, "{}", judgement.sentence());
    let bare = altered(Arm::Bare, |block| block.closed.errors = errors("EPERM", 1));
    assert_eq!(bare.verdict, Verdict::Pass, "{}", bare.sentence());
}

#[test]
fn a_machine_that_changed_is_invalid() {
    let mut record = judged(Truth::default());
    record.observed.changed = vec!["mitigations".to_owned()];
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    assert_eq!(judgement.verdict, Verdict::Invalid);
}
