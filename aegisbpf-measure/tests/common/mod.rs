//! A record with something in every corner of the reports.
#![allow(dead_code, reason = "each test binary takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use aegisbpf_measure::{
    Record,
    attribution::{Attribution, HookShare},
    fake::{self, Fake, Truth},
    guard::{Matched, Matches},
    metric::Metric,
    self_check::{Kind, SelfCheck, Status},
    shift::{QUANTILES, ShiftPoint},
};

/// What a truth looks like after a run, with everything that a fake machine cannot show filled in.
pub(crate) fn full(truth: Truth) -> Record {
    let mut plan = fake::plan("web::fake");
    plan.min_quads = 9;
    let mut record = Fake::new(truth).run(&plan).unwrap();
    record.unix_time = 1_770_422_400;
    record.invocation = Some("aegisbpf measure --budget {budget} -- make".to_owned());
    let judgement = &mut record.judgement;
    for (i, result) in (1..).zip(&mut judgement.metrics) {
        if let (true, Some(estimate)) = (result.differences.is_empty(), result.estimate) {
            let around = [-1.0, -0.5, 0.2, 0.4, 1.1];
            result.differences = around
                .map(|d| estimate.overhead + d / f64::from(i))
                .to_vec();
        }
    }
    judgement.shift = QUANTILES
        .map(|quantile| ShiftPoint {
            quantile,
            bare_ns: 1_000_000,
            guarded_ns: 1_020_000,
            percent: 2.0 * quantile,
            interval: (quantile < 0.99).then_some((quantile - 1.0, quantile + 3.0)),
        })
        .to_vec();
    judgement.attribution = Some(attribution());
    judgement.self_checks = [
        (
            Kind::Placebo,
            Status::Passed,
            Some(0.1),
            0.0,
            Some((-0.4, 0.6)),
        ),
        (
            Kind::SpikeIn,
            Status::Passed,
            Some(9.6),
            10.0,
            Some((8.9, 10.4)),
        ),
        (
            Kind::OrderEffect,
            Status::Passed,
            Some(0.2),
            0.0,
            Some((-0.9, 1.4)),
        ),
        (Kind::Autocorrelation, Status::Noted, Some(0.34), 0.0, None),
        (Kind::Drift, Status::Noted, Some(4.1), 0.0, Some((2.0, 6.0))),
        (Kind::ChangePoint, Status::NotJudged, None, 0.0, None),
    ]
    .map(|(check, status, estimate, expected, interval)| SelfCheck {
        check,
        status,
        estimate,
        expected,
        interval,
        confidence: 0.99,
        units: 4,
        at_seconds: None,
        sentence: format!("what the {check} found"),
    })
    .to_vec();
    record.matches = Matches {
        rules: vec![Matched {
            what: "production.conf:11 /etc/shadow".to_owned(),
            blocks: 12,
            exempted: 0,
        }],
        cgroups: vec![Matched {
            what: "/system.slice/cron.service".to_owned(),
            blocks: 12,
            exempted: 0,
        }],
    };
    record
}

fn attribution() -> Attribution {
    let hook = |hook: &str, percent: f64| HookShare {
        hook: hook.to_owned(),
        runs_per_operation: 2.0,
        ns_per_run: 85.0,
        ns_per_operation: 170.0,
        percent,
    };
    Attribution {
        bare_ns: 33_000.0,
        hooks: vec![
            hook("file_open", 0.52),
            hook("tracepoint/syscalls/sys_exit_open_by_handle_at", 0.11),
        ],
        process_ns: 20.0,
        process_percent: 0.06,
        direct_percent: 0.69,
        direct_interval: Some((0.6, 0.8)),
        direct_points: Some(0.17),
        paired_percent: Some(0.9),
        paired_interval: Some((-0.2, 2.0)),
        unexplained_percent: Some(0.21),
        z: Some(0.37),
        empty: None,
        probes: 9,
        notes: vec!["the empty program could not be measured here".to_owned()],
    }
}

/// The number of blocks that a metric's series shows.
pub(crate) fn blocks(record: &Record, metric: Metric) -> usize {
    aegisbpf_measure::series::of(metric, &record.observed).len()
}
