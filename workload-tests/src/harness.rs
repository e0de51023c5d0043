//! The workloads as trials of a libtest-like harness: `cargo test -p workload-tests -- --ignored web::`.

use std::{
    env, fs,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use aegisbpf_measure::{
    Verdict,
    report::{
        github,
        junit::{self, TestSuite},
        table,
    },
    workload::BoxError,
};
use aegisbpf_rig::terminal::Terminal;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{
    case::{Outcome, Variant, run_case, word},
    guard::enforcer,
    options::Options,
    summary::{CaseEnd, Summary},
    workload::Workload,
    workloads,
};

/// `main` of the test binary.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = enforcer::main_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // One at a time: two would measure each other. And on the main thread, whose end ends the enforcer.
    arguments.test_threads = Some(1);
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// One trial for each workload, ignored unless asked for. Starts nothing.
///
/// # Errors
/// If an environment variable makes no sense.
///
/// # Panics
/// If there is no workload: a harness without cases would pass.
pub fn trials() -> Result<Vec<Trial>, BoxError> {
    let names: Vec<&str> = workloads::all(crate::budget::Budget::default())
        .iter()
        .map(|workload| workload.name())
        .collect();
    let options = Arc::new(Options::from_env(&names)?);
    Ok(register(workloads::all(options.budget), &options))
}

fn register(workloads: Vec<Box<dyn Workload>>, options: &Arc<Options>) -> Vec<Trial> {
    assert!(
        !workloads.is_empty(),
        "there is no workload to run; an empty list would pass"
    );
    let summary = Arc::new(Mutex::new(Told::default()));
    let trial = |workload: &Arc<dyn Workload>, variant: Variant| {
        let workload = Arc::clone(workload);
        let (options, summary) = (Arc::clone(options), Arc::clone(&summary));
        Trial::ignorable_test(variant.name(workload.as_ref()), move || {
            conclude(workload.as_ref(), variant, &options, &summary)
        })
        .with_ignored_flag(true)
    };
    let both = |workload: Box<dyn Workload>| {
        let workload = Arc::from(workload);
        [Variant::Misses, Variant::Hits].map(|variant| trial(&workload, variant))
    };
    workloads.into_iter().flat_map(both).collect()
}

/// What was told so far: written after each case, so that it is there also if the next one is killed.
#[derive(Default)]
struct Told {
    summary: Summary,
    suites: Vec<TestSuite>,
}

/// Runs a case, tells about it, and maps it to what a test can be.
fn conclude(
    workload: &dyn Workload,
    variant: Variant,
    options: &Options,
    told: &Mutex<Told>,
) -> Result<Completion, Failed> {
    let name = variant.name(workload);
    // The runner has printed the test's name, without a line break.
    println!();
    let outcome = run_case(workload, variant, options, &mut Terminal::new(&name));
    let (end, suite, annotations, completion) = match outcome {
        Err(error) => {
            let reason = aegisbpf_rig::errors::chain(&error);
            (
                end("error", false, &reason),
                junit::unmeasured(&name, true, &reason),
                vec![github::unmeasured(&name, true, &reason)],
                Err(reason.into()),
            )
        }
        Ok(Outcome::Missing(reason)) => (
            end("missing", false, &reason),
            junit::unmeasured(&name, false, &reason),
            vec![github::unmeasured(&name, false, &reason)],
            Ok(Completion::ignored_with(reason)),
        ),
        Ok(Outcome::Measured(measured)) => {
            let (record, verdict) = (&measured.record, measured.record.judgement.verdict);
            let block = table::verdict_block(record);
            println!("{block}  reports: {}", measured.reports.display());
            let counted = record.judgement.counted(options.strict);
            let undecided = match verdict {
                // Counted as undecided, though it is not.
                Verdict::Pass => "only a PASS by wall clock counts".to_owned(),
                _ => table::undecided(record),
            };
            let mut completion = map(counted, &block, &undecided, options.strict);
            if let Some(baseline) = &record.baseline {
                println!("  baseline {}: {}", baseline.baseline, baseline.sentence);
                if baseline.verdict == Verdict::Fail {
                    completion = Err(baseline.sentence.clone().into());
                }
            }
            (
                end(
                    word(verdict),
                    measured.attached(),
                    &record.judgement.sentence(),
                ),
                junit::suite(record, options.strict),
                github::annotations(record, options.strict),
                completion,
            )
        }
    };
    if env::var_os("GITHUB_ACTIONS").is_some() {
        for command in annotations {
            println!("{command}");
        }
    }
    // A panic in another case does not make the summary wrong.
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let Told { summary, suites } = &mut *told;
    let path = summary
        .add(&options.report_dir, &name, end)
        .map_err(|error| format!("writing the summary: {error}"))?;
    suites.push(suite);
    fs::write(
        options.report_dir.join("junit.xml"),
        junit::report(suites.iter().cloned()),
    )
    .map_err(|error| format!("writing junit.xml: {error}"))?;
    println!(
        "  {} of {} cases attached: {}",
        summary.attached,
        summary.cases.len(),
        path.display()
    );
    completion
}

fn map(verdict: Verdict, block: &str, undecided: &str, strict: bool) -> Result<Completion, Failed> {
    match verdict {
        Verdict::Pass => Ok(Completion::Completed),
        Verdict::Inconclusive if !strict => Ok(Completion::ignored_with(format!(
            "INCONCLUSIVE: {undecided}"
        ))),
        Verdict::Inconclusive => Err(format!("{block}  AEGIS_STRICT=1: {undecided}").into()),
        Verdict::Fail | Verdict::Invalid => Err(block.into()),
    }
}

fn end(verdict: &str, attached: bool, reason: &str) -> CaseEnd {
    CaseEnd {
        verdict: verdict.to_owned(),
        attached,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        scratch,
        workload::{Prepared, Requirement},
    };

    #[test]
    fn only_pass_is_a_pass() {
        let completed = |verdict, strict| match map(verdict, "", "", strict) {
            Ok(Completion::Completed) => "ok",
            Ok(_) => "ignored",
            Err(_) => "failed",
        };
        for strict in [false, true] {
            assert_eq!(completed(Verdict::Pass, strict), "ok");
            assert_eq!(completed(Verdict::Fail, strict), "failed");
            assert_eq!(completed(Verdict::Invalid, strict), "failed");
        }
        assert_eq!(completed(Verdict::Inconclusive, false), "ignored");
        assert_eq!(completed(Verdict::Inconclusive, true), "failed");
    }

    #[test]
    fn the_junit_file_says_what_the_trial_says() {
        use aegisbpf_measure::{
            fake::{self, Fake, Truth},
            verdict::Strength,
        };
        let mut record = Fake::new(Truth::default())
            .run(&fake::plan("web::fake"))
            .unwrap();
        for (verdict, strength) in [
            (Verdict::Pass, Some(Strength::WallClock)),
            (Verdict::Pass, Some(Strength::PerCpu)),
            (Verdict::Pass, Some(Strength::Attributed)),
            (Verdict::Inconclusive, None),
            (Verdict::Fail, None),
            (Verdict::Invalid, None),
        ] {
            (record.judgement.verdict, record.judgement.strength) = (verdict, strength);
            for strict in [false, true] {
                let counted = record.judgement.counted(strict);
                let failed = map(counted, "", "", strict).is_err();
                let suite = junit::suite(&record, strict);
                assert_eq!(
                    suite.failures + suite.errors > 0,
                    failed,
                    "{verdict} {strength:?}, strict: {strict}"
                );
            }
        }
    }

    #[test]
    #[should_panic(expected = "there is no workload to run")]
    fn an_empty_list_panics() {
        let options = Options::from_env(&["files::grep_large"]).unwrap();
        let _ = register(Vec::new(), &Arc::new(options));
    }

    #[test]
    fn every_case_is_ignored_unless_asked_for() {
        let trials = trials().unwrap();
        let names: Vec<&str> = trials.iter().map(Trial::name).collect();
        let cases = [
            "web::embedded",
            "web::nginx_static",
            "web::node_api",
            "db::embedded",
            "db::postgres",
            "db::mysql",
            "build::embedded",
            "build::cpp_make",
            "container::embedded",
            "container::engine",
            "files::many_small",
            "files::grep_large",
            "files::awk_sum",
            "files::backup",
        ];
        let both = cases.map(|case| [case.to_owned(), format!("{case}::hits")]);
        assert_eq!(names, both.concat());
        assert!(trials.iter().all(Trial::has_ignored_flag));
    }

    /// Needs a program that nobody has, and must not get further.
    struct Unmet;

    impl Workload for Unmet {
        fn name(&self) -> &'static str {
            "web::unmet"
        }

        fn configuration(&self) -> String {
            String::new()
        }

        fn requires(&self) -> &'static [Requirement] {
            &[Requirement::Program {
                name: "no-such-server",
                package: "no-such-server-light",
            }]
        }

        fn prepare(&self, _: &Path) -> Result<Prepared, BoxError> {
            panic!("prepared without its program")
        }
    }

    fn options(report_dir: &Path) -> Options {
        let names = ["files::grep_large"];
        Options {
            report_dir: report_dir.to_owned(),
            ..Options::from_env(&names).unwrap()
        }
    }

    #[test]
    fn a_missing_tool_is_ignored_with_the_command_that_installs_it() {
        let reports = tempfile::tempdir().unwrap();
        let summary = Mutex::new(Told::default());
        let completion =
            conclude(&Unmet, Variant::Misses, &options(reports.path()), &summary).unwrap();
        let Completion::Ignored {
            reason: Some(reason),
        } = completion
        else {
            panic!("not ignored with a reason")
        };
        assert!(
            reason.contains("no-such-server not found: apt-get install no-such-server-light"),
            "{reason}"
        );
        let summary: Summary =
            serde_json::from_slice(&fs::read(reports.path().join("summary.json")).unwrap())
                .unwrap();
        assert_eq!(summary.attached, 0);
        assert_eq!(summary.cases["web::unmet"].verdict, "missing");
    }

    #[test]
    fn listing_starts_nothing() {
        let reports = tempfile::tempdir().unwrap();
        let trials = register(vec![Box::new(Unmet)], &Arc::new(options(reports.path())));
        let arguments = Arguments::from_iter(["workloads", "--list"]);
        assert!(!libtest_mimic::run(&arguments, trials).has_failed());
        assert_eq!(
            fs::read_dir(reports.path()).unwrap().count(),
            0,
            "a report was written"
        );
        let own = format!("aegis-wl-{}-", std::process::id());
        let scratch = fs::read_dir(scratch::parent()).unwrap().flatten();
        assert!(
            !scratch
                .into_iter()
                .any(|entry| entry.file_name().to_string_lossy().starts_with(&own))
        );
    }
}
