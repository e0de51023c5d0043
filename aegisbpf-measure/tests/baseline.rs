//! Recorded baselines: kept, compared, and refused.

use std::{fs, time::Duration};

use aegisbpf_measure::{
    Plan, Record, Verdict,
    baseline::{self, Baseline, BaselineError},
    fake::{self, Fake, Truth},
    metric::Metric,
    workload::Kind,
};

fn run(effect: f64, seed: u64) -> Record {
    let plan = Plan {
        budget: Duration::from_secs(10_000),
        looks: vec![20],
        max_quads: 20,
        seed,
        ..fake::plan("files::fake")
    };
    let truth = Truth {
        kind: Kind::Batch,
        effect,
        noise: 0.005,
        cpu_noise: 0.005,
        seed,
        ..Truth::default()
    };
    let mut record = Fake::new(truth)
        .run(&plan)
        .expect("a fake machine does not break");
    let enforcer = ("enforcer".to_owned(), "fake 1".to_owned());
    record.fingerprint.hard.extend([enforcer]);
    record
}

#[test]
fn the_same_enforcer_shows_no_regression() {
    let baseline = Baseline::of(&run(0.02, 1)).unwrap();
    let found = baseline.compare(&run(0.02, 2), "fake.json");
    assert_eq!(found.verdict, Verdict::Pass, "{found:?}");
    assert!(
        found.sentence.contains("no regression"),
        "{}",
        found.sentence
    );
    assert!(
        found.metrics.iter().all(|metric| !metric.moved),
        "{found:?}"
    );
}

#[test]
fn a_version_that_costs_three_points_more_is_a_regression() {
    let baseline = Baseline::of(&run(0.01, 1)).unwrap();
    let mut newer = run(0.04, 2);
    newer
        .fingerprint
        .hard
        .insert("enforcer".to_owned(), "fake 2".to_owned());
    let found = baseline.compare(&newer, "fake.json");
    assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
    let throughput = found
        .metrics
        .iter()
        .find(|m| m.metric == Metric::Throughput)
        .unwrap();
    assert!(
        (throughput.change.unwrap() - 2.93).abs() < 0.6,
        "{throughput:?}"
    );
    assert!(
        found.sentence.contains("throughput became dearer by +"),
        "{}",
        found.sentence
    );
    // Cheaper is no regression.
    let back = Baseline::of(&newer)
        .unwrap()
        .compare(&run(0.01, 1), "fake.json");
    assert_eq!(back.verdict, Verdict::Pass, "{back:?}");
}

#[test]
fn a_regression_within_the_noise_is_inconclusive() {
    let mut wide = Baseline::of(&run(0.01, 1)).unwrap();
    for metric in wide.metrics.values_mut() {
        metric.standard_error = 0.02;
    }
    let found = wide.compare(&run(0.02, 2), "fake.json");
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
}

#[test]
fn false_regressions_are_rare() {
    let failed = (0..60)
        .filter(|seed| {
            let baseline = Baseline::of(&run(0.01, 1_000 + seed));
            baseline.is_ok_and(|baseline| {
                baseline.compare(&run(0.01, *seed), "x").verdict == Verdict::Fail
            })
        })
        .count();
    assert!(failed <= 3, "{failed} of 60");
}

#[test]
fn another_machine_or_policy_is_not_compared_and_the_reason_is_given() {
    let baseline = Baseline::of(&run(0.01, 1)).unwrap();
    let mut other = run(0.30, 2);
    other
        .fingerprint
        .hard
        .insert("kernel".to_owned(), "6.1.0".to_owned());
    let found = baseline.compare(&other, "fake.json");
    assert_eq!(found.verdict, Verdict::Invalid);
    assert!(
        found
            .sentence
            .contains("kernel (recorded 6.12.0, today 6.1.0)"),
        "{}",
        found.sentence
    );
    let throughput = &found.metrics[0];
    assert_eq!(
        (throughput.change, throughput.verdict),
        (None, None),
        "shown side by side only"
    );
    assert!(
        throughput.now > 20.0 && throughput.then < 3.0,
        "{throughput:?}"
    );
    // Another product is not another version.
    let mut other = run(0.01, 2);
    other
        .fingerprint
        .hard
        .insert("enforcer".to_owned(), "auditd 3".to_owned());
    assert_eq!(baseline.compare(&other, "x").verdict, Verdict::Invalid);
}

#[test]
fn a_bare_level_outside_its_band_is_said_and_changes_no_verdict() {
    let mut baseline = Baseline::of(&run(0.01, 1)).unwrap();
    let throughput = baseline.metrics.get_mut(&Metric::Throughput).unwrap();
    throughput.bare = throughput.bare.map(|level| 1.5 * level);
    let found = baseline.compare(&run(0.01, 2), "fake.json");
    assert!(
        found
            .sentence
            .contains("baseline moved: the bare level of throughput"),
        "{}",
        found.sentence
    );
    assert_eq!(found.verdict, Verdict::Pass);
}

#[test]
fn an_invalid_run_is_not_recorded() {
    let mut record = run(0.01, 1);
    record.judgement.verdict = Verdict::Invalid;
    assert!(matches!(
        Baseline::of(&record),
        Err(BaselineError::Invalid(_))
    ));
}

#[test]
fn a_baseline_is_read_back_as_it_was_written_and_named_by_machine_and_workload() {
    let directory = std::env::temp_dir().join(format!("aegisbpf-baseline-{}", std::process::id()));
    let record = run(0.01, 1);
    let path = baseline::path(&directory, &record.fingerprint, &record.plan.workload);
    assert!(path.ends_with("files-fake.json"));
    let machine = path
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    assert!(machine.starts_with("6.12-2cpu-"), "{machine}");
    assert!(Baseline::read(&path).unwrap().is_none());
    let written = Baseline::of(&record).unwrap();
    written.write(&path).unwrap();
    assert_eq!(Baseline::read(&path).unwrap(), Some(written));
    let mut elsewhere = record.fingerprint.clone();
    elsewhere
        .hard
        .insert("cpu".to_owned(), "another".to_owned());
    for fingerprint in [&record.fingerprint, &elsewhere] {
        let found = baseline::find(&directory, fingerprint, "files::fake").unwrap();
        assert_eq!(found.unwrap().0, format!("{machine}/files-fake.json"));
    }
    assert_eq!(
        baseline::find(&directory, &elsewhere, "files::other").unwrap(),
        None
    );
    fs::write(&path, r#"{"schema_version": 99}"#).unwrap();
    let error = Baseline::read(&path).unwrap_err().to_string();
    assert!(
        error.contains("schema version 99") && error.contains("AEGIS_RECORD=1"),
        "{error}"
    );
    fs::write(&path, "{}").unwrap();
    assert!(
        Baseline::read(&path)
            .unwrap_err()
            .to_string()
            .contains("record it anew")
    );
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_machines_name_depends_on_the_machine_alone() {
    let mut record = run(0.01, 1);
    let name = baseline::machine(&record.fingerprint);
    record
        .fingerprint
        .hard
        .insert("enforcer".to_owned(), "fake 2".to_owned());
    record
        .fingerprint
        .hard
        .insert("workload".to_owned(), "web::other".to_owned());
    record.fingerprint.soft.clear();
    assert_eq!(baseline::machine(&record.fingerprint), name);
    record
        .fingerprint
        .hard
        .insert("cpu".to_owned(), "another".to_owned());
    assert_ne!(baseline::machine(&record.fingerprint), name);
}

#[test]
fn every_committed_baseline_is_readable_and_lies_where_its_machine_would_look() {
    let home = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/baselines");
    let mut found = 0;
    for machine in fs::read_dir(&home)
        .expect("baselines are committed")
        .flatten()
    {
        for file in fs::read_dir(machine.path())
            .expect("a directory for each machine")
            .flatten()
        {
            let read = Baseline::read(&file.path()).expect("a baseline of this version");
            let read = read.expect("it was listed");
            assert_eq!(
                baseline::path(&home, &read.fingerprint, &read.workload),
                file.path()
            );
            assert!(!read.metrics.is_empty());
            found += 1;
        }
    }
    assert!(found > 0);
}
