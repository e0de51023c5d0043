//! JUnit XML: what build servers show. INCONCLUSIVE is *skipped* with its reason, never passed; where only a PASS by wall
//! clock counts, it is a failure.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus};

pub use quick_junit::TestSuite;

use super::words;
use crate::{
    metric::Metric,
    record::Record,
    verdict::{MetricResult, Strength, Verdict},
};

/// A suite for each workload, with the workload's verdict and a case for each judged metric.
///
/// # Panics
/// Never: the text holds no character that XML forbids, they are removed.
#[must_use]
pub fn report(suites: impl IntoIterator<Item = TestSuite>) -> String {
    let mut report = Report::new("aegisbpf");
    report.add_test_suites(suites);
    // The schema by which Jenkins' xUnit plugin takes or refuses a file knows this count in suites, but not here.
    let sum = format!(" skipped=\"{}\"", report.skipped);
    report
        .to_string()
        .expect("writing XML to a string does not fail")
        .replacen(&sum, "", 1)
}

/// The suite of one run. `strict`: what is not a PASS by wall clock is a failure, as it is for the exit code.
#[must_use]
pub fn suite(record: &Record, strict: bool) -> TestSuite {
    let (plan, judgement) = (&record.plan, &record.judgement);
    let counted = |verdict, strength, message: &str| {
        if strict {
            strict_status(verdict, strength, message)
        } else {
            status(verdict, message)
        }
    };
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
        counted(judgement.verdict, judgement.strength, &judgement.sentence()),
    );
    let time = Duration::from_secs(
        record
            .observed
            .blocks
            .last()
            .map_or(0, |block| block.begin_ns / 1_000_000_000),
    );
    whole.set_time(time);
    suite.set_time(time);
    suite.add_test_case(whole);
    for result in &judgement.metrics {
        if let Some(verdict) = result.verdict.filter(|_| result.metric.is_judged(plan)) {
            suite.add_test_case(case(
                result.metric.to_string(),
                &plan.workload,
                counted(verdict, result.strength, &sentence(result)),
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
    if let Some(comparison) = &record.baseline {
        // Another machine's baseline is no fault of this run: nothing was compared.
        let verdict = match comparison.verdict {
            Verdict::Invalid => Verdict::Inconclusive,
            verdict => verdict,
        };
        suite.add_test_case(case(
            "baseline",
            &plan.workload,
            status(verdict, &comparison.sentence),
        ));
    }
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
    let status = match verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Invalid => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Inconclusive => TestCaseStatus::skipped(),
    };
    explained(status, verdict, message)
}

fn explained(mut status: TestCaseStatus, verdict: Verdict, message: &str) -> TestCaseStatus {
    status.set_type(verdict.to_string());
    status.set_message(message);
    // Some show the attribute, some the element's text.
    status.set_description(message);
    status
}

/// The same where only a PASS by wall clock counts: a weaker one is INCONCLUSIVE, and what is INCONCLUSIVE has failed.
fn strict_status(verdict: Verdict, strength: Option<Strength>, message: &str) -> TestCaseStatus {
    match (verdict, strength) {
        (Verdict::Pass, Some(Strength::WallClock)) | (Verdict::Fail | Verdict::Invalid, _) => {
            return status(verdict, message);
        }
        (Verdict::Pass | Verdict::Inconclusive, _) => {}
    }
    let message = format!("{message} (strict: only a PASS by wall clock counts)");
    let status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    explained(status, Verdict::Inconclusive, &message)
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

    /// What the schema of Jenkins' xUnit plugin (junit-10.xsd) knows of the elements that we write; a file with anything
    /// else is refused there.
    const KNOWN: [(&str, &[&str]); 8] = [
        (
            "testsuites",
            &["name", "time", "tests", "failures", "errors"],
        ),
        (
            "testsuite",
            &["name", "tests", "failures", "errors", "skipped", "time"],
        ),
        ("properties", &[]),
        ("property", &["name", "value"]),
        ("testcase", &["name", "classname", "time"]),
        ("failure", &["message", "type"]),
        ("error", &["message", "type"]),
        ("skipped", &["message", "type"]),
    ];

    #[track_caller]
    fn assert_is_known(xml: &str) {
        let tags = xml.split('<').skip(1).map(|rest| {
            let (tag, _) = rest.split_once('>').expect("a tag ends");
            tag.trim_end_matches('/')
        });
        for tag in tags.filter(|tag| !tag.starts_with(['/', '?'])) {
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            let (_, known) = KNOWN
                .iter()
                .find(|(known, _)| *known == name)
                .unwrap_or_else(|| panic!("<{name}> in {xml}"));
            // name="value" name="value": every second piece between quotes is a name.
            for attribute in attributes.split('"').step_by(2) {
                let attribute = attribute.trim().trim_end_matches('=');
                assert!(
                    attribute.is_empty() || known.contains(&attribute),
                    "{attribute} of <{name}> in {xml}"
                );
            }
        }
    }

    fn judged(truth: Truth, quads: u32) -> Record {
        let mut plan = fake::plan("web::fake");
        plan.max_quads = quads;
        plan.min_quads = 2;
        Fake::new(truth).run(&plan).unwrap()
    }

    fn counts(record: &Record) -> (usize, usize, usize) {
        let suite = suite(record, false);
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
        let xml = report([suite(&record, false)]);
        assert!(
            xml.contains("<skipped") && xml.contains("throughput"),
            "{xml}"
        );
        let (_, failures, errors) = counts(&record);
        assert_eq!((failures, errors), (0, 0), "{xml}");
        assert!(xml.matches("<skipped").count() >= 2, "{xml}");
        assert_is_known(&xml);
    }

    #[test]
    fn strict_agrees_with_the_exit_code() {
        let mut record = judged(Truth::default(), 12);
        assert_eq!(record.judgement.strict(), Verdict::Pass);
        let failures = |record: &Record, strict| {
            let xml = report([suite(record, strict)]);
            assert_is_known(&xml);
            let suite = suite(record, strict);
            (suite.failures, suite.skipped, suite.errors)
        };
        assert_eq!(failures(&record, true), (0, 0, 0));

        // One metric's weaker PASS is the whole's.
        record.judgement.strength = Some(Strength::Attributed);
        record.judgement.metrics[0].strength = Some(Strength::Attributed);
        assert_eq!(record.judgement.strict(), Verdict::Inconclusive);
        assert_eq!(failures(&record, false), (0, 0, 0));
        assert_eq!(failures(&record, true), (2, 0, 0));
        let xml = report([suite(&record, true)]);
        assert!(
            xml.contains("<failure message=\"PASS (attributed") && xml.contains("strict"),
            "{xml}"
        );

        let noisy = Truth {
            noise: 0.3,
            cpu_noise: 0.3,
            ..Truth::default()
        };
        let record = judged(noisy, 3);
        assert_eq!(record.judgement.strict(), Verdict::Inconclusive);
        let (failed, skipped, _) = failures(&record, true);
        assert!(failed >= 2 && skipped == 0, "{failed} {skipped}");
    }

    #[test]
    fn markup_in_a_message_is_text() {
        let xml = report([unmeasured("web::a<b", true, "\"<x>\" & \u{1b}[1m\u{0}")]);
        assert_is_known(&xml);
        assert!(
            xml.contains(">&quot;&lt;x&gt;&quot; &amp; </error>"),
            "{xml}"
        );
    }

    #[test]
    fn a_regression_is_a_failure_and_a_foreign_baseline_is_skipped() {
        let mut record = judged(Truth::default(), 12);
        for (verdict, failures, skipped) in [
            (Verdict::Pass, 0, 0),
            (Verdict::Fail, 1, 0),
            (Verdict::Inconclusive, 0, 1),
            (Verdict::Invalid, 0, 1),
        ] {
            record.baseline = Some(fake::compared(verdict, "beside the baseline"));
            let suite = suite(&record, false);
            assert_eq!((suite.failures, suite.skipped), (failures, skipped));
            assert_eq!(suite.errors, 0);
        }
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
        assert_is_known(&report([suite(&record, false)]));
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
