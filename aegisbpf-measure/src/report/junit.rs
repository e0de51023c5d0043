//! JUnit XML: what build servers show. INCONCLUSIVE is *skipped* with its reason, never passed.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus};

pub use quick_junit::TestSuite;

use super::words;
use crate::{
    metric::Metric,
    record::Record,
    verdict::{MetricResult, Verdict},
};

/// A suite for each workload, with the workload's verdict and a case for each judged metric.
///
/// # Panics
/// Never: the text holds no character that XML forbids, they are removed.
#[must_use]
pub fn report(suites: impl IntoIterator<Item = TestSuite>) -> String {
    let mut report = Report::new("aegisbpf");
    report.add_test_suites(suites);
    report
        .to_string()
        .expect("writing XML to a string does not fail")
}

/// The suite of one run.
#[must_use]
pub fn suite(record: &Record) -> TestSuite {
    let (plan, judgement) = (&record.plan, &record.judgement);
    let mut suite = TestSuite::new(plan.workload.as_str());
    for (name, value) in [
        ("plan_sha256", record.plan_sha256.as_str()),
        ("guard", &plan.guard.name),
        ("guard_version", &plan.guard.version),
        ("mode", &plan.guard.mode),
        ("backend", &plan.guard.backend),
    ] {
        suite.add_property((name, value));
    }
    let mut whole = case(
        "verdict",
        &plan.workload,
        status(judgement.verdict, &judgement.sentence()),
    );
    whole.set_time(std::time::Duration::from_secs(
        record
            .observed
            .blocks
            .last()
            .map_or(0, |block| block.begin_ns / 1_000_000_000),
    ));
    suite.add_test_case(whole);
    for result in &judgement.metrics {
        if let Some(verdict) = result.verdict.filter(|_| result.metric.is_judged(plan)) {
            suite.add_test_case(case(
                result.metric.to_string(),
                &plan.workload,
                status(verdict, &sentence(result)),
            ));
        }
    }
    if let Some(memory) = &judgement.memory {
        let text = format!(
            "{}, allowed less than {}",
            words::megabytes(memory.most),
            words::megabytes(memory.limit)
        );
        suite.add_test_case(case(
            "memory",
            &plan.workload,
            status(memory.verdict, &text),
        ));
    }
    let failing: Vec<String> = judgement
        .errors
        .iter()
        .filter(|class| class.fails)
        .map(|class| {
            format!(
                "{}: {} bare, {} guarded",
                class.class, class.bare, class.guarded
            )
        })
        .collect();
    let verdict = if failing.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    suite.add_test_case(case(
        "errors",
        &plan.workload,
        status(verdict, &failing.join("; ")),
    ));
    suite
}

/// The suite of a workload that could not be run on this machine, or that broke.
#[must_use]
pub fn unmeasured(workload: &str, is_broken: bool, reason: &str) -> TestSuite {
    let verdict = if is_broken {
        Verdict::Invalid
    } else {
        Verdict::Inconclusive
    };
    let mut status = status(verdict, reason);
    status.set_type(if is_broken { "error" } else { "missing" });
    let mut suite = TestSuite::new(workload);
    suite.add_test_case(case("verdict", workload, status));
    suite
}

fn case(name: impl Into<String>, workload: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name.into(), status);
    case.set_classname(workload);
    case
}

fn status(verdict: Verdict, message: &str) -> TestCaseStatus {
    let mut status = match verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Invalid => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Inconclusive => TestCaseStatus::skipped(),
    };
    status.set_type(verdict.to_string());
    status.set_message(message);
    status
}

fn sentence(result: &MetricResult) -> String {
    let estimate = result.estimate.map_or_else(String::new, |estimate| {
        let interval = estimate.interval.or(estimate.interval95);
        format!(
            "{}{}",
            words::overhead(result.metric, estimate.overhead),
            interval.map_or_else(String::new, |interval| format!(
                " ({})",
                words::range(interval)
            ))
        )
    });
    let limit = result
        .limit
        .map_or_else(String::new, |limit| words::limit(result.metric, limit));
    let level = |value: Option<f64>| {
        value.map_or_else(
            || "?".to_owned(),
            |value| words::level(result.metric, value),
        )
    };
    format!(
        "{}: {estimate}, allowed less than {limit}; {} → {}",
        Metric::to_string(&result.metric),
        level(result.bare),
        level(result.guarded)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake, Truth};

    fn judged(truth: Truth, quads: u32) -> Record {
        let mut plan = fake::plan("web::fake");
        plan.max_quads = quads;
        plan.min_quads = 2;
        Fake::new(truth).run(&plan).unwrap()
    }

    fn counts(record: &Record) -> (usize, usize, usize) {
        let suite = suite(record);
        (suite.tests, suite.failures, suite.errors)
    }

    #[test]
    fn inconclusive_is_skipped_with_its_reason() {
        let noisy = Truth {
            noise: 0.3,
            cpu_noise: 0.3,
            ..Truth::default()
        };
        let record = judged(noisy, 3);
        assert_eq!(record.judgement.verdict, Verdict::Inconclusive);
        let xml = report([suite(&record)]);
        assert!(
            xml.contains("<skipped") && xml.contains("throughput"),
            "{xml}"
        );
        let (_, failures, errors) = counts(&record);
        assert_eq!((failures, errors), (0, 0), "{xml}");
        assert!(xml.matches("<skipped").count() >= 2, "{xml}");
    }

    #[test]
    fn a_failure_is_a_failure_and_an_invalid_run_an_error() {
        let record = judged(
            Truth {
                effect: 0.3,
                ..Truth::default()
            },
            12,
        );
        assert_eq!(record.judgement.verdict, Verdict::Fail);
        let (tests, failures, errors) = counts(&record);
        assert!(tests > failures && failures >= 1 && errors == 0);
        let record = judged(
            Truth {
                attaches: false,
                ..Truth::default()
            },
            12,
        );
        assert_eq!(record.judgement.verdict, Verdict::Invalid);
        assert_eq!(counts(&record).2, 1);
    }
}
