//! How `aegisbpf measure` ends when it does not end well: strict, errors, signals, a closed pipe, and what would have no
//! effect. Nothing here needs root.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::{
    fs::{self, File},
    io::pipe,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use aegisbpf_measure::{
    Record, Verdict,
    fake::{self, Fake, Truth},
    journal,
    verdict::Strength,
};
use common::{Running, aegisbpf, finish, measure, policy, wait};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// The blocks of a run on a fake machine.
fn blocks(directory: &Path, truth: Truth) -> (String, Record) {
    let mut plan = fake::plan("web::fake");
    plan.budget = std::time::Duration::from_secs(120);
    let record = Fake::new(truth).run(&plan).unwrap();
    let path = directory.join("blocks.jsonl");
    journal::write(&record, &mut File::create(&path).unwrap()).unwrap();
    (path.to_str().unwrap().to_owned(), record)
}

/// A guard that is a file.
struct Flag {
    scratch: TempDir,
    path: PathBuf,
}

impl Flag {
    fn new() -> Self {
        let scratch = tempdir().unwrap();
        let path = scratch.path().join("flag");
        Self { scratch, path }
    }

    /// Measures `command` under it, reports beside it, in a process group of its own.
    fn measure<'a>(&self, more: impl IntoIterator<Item = &'a str>) -> Command {
        let flag = self.path.display();
        let mut command = aegisbpf(["measure"]);
        command
            .args(["--guard-on", &format!("touch {flag}")])
            .args(["--guard-off", &format!("rm -f {flag}")])
            .args(["--guard-ready", &format!("test -e {flag}")])
            .args(["--report", self.reports().to_str().unwrap()])
            .args(more);
        command
    }

    fn reports(&self) -> PathBuf {
        self.scratch.path().join("reports")
    }
}

fn piped(mut command: Command) -> Running {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::start(command)
}

#[test]
fn strict_has_one_answer_on_paper_in_junit_and_in_the_exit_code() {
    let scratch = tempdir().unwrap();
    let contended = Truth::contended();
    let (path, record) = blocks(scratch.path(), contended);
    assert_eq!(record.judgement.verdict, Verdict::Pass);
    assert_eq!(record.judgement.strength, Some(Strength::PerCpu));
    let reports = scratch.path().join("reports");
    let args = ["--replay", &path, "--report", reports.to_str().unwrap()];
    for (strict, code) in [(false, 0), (true, 7)] {
        let mut command = aegisbpf(["measure"]);
        command.args(args).args(strict.then_some("--strict"));
        let done = finish(command);
        assert_eq!(done.code, Some(code), "{done:?}");
        assert_eq!(
            done.out
                .contains("--strict: only a PASS by wall clock counts"),
            strict,
            "{done:?}"
        );
        let junit = fs::read_to_string(reports.join("junit.xml")).unwrap();
        assert_eq!(junit.contains("<failure"), strict, "{junit}");
    }
}

#[test]
fn github_is_told_of_a_measurement_that_ends_with_an_error() {
    let flag = Flag::new();
    let broken = policy(flag.scratch.path(), "version=1\n[no_such_section]\nx\n");
    let fails = ["--", "sh", "-c", "echo no such target; exit 2"];
    let unproven = ["--guard-ready", "false", "--", "true"];
    let flagged = |more: &[&str]| flag.measure(more.iter().copied());
    let with_policy = || {
        let mut command = aegisbpf(["measure"]);
        command.args(["--policy", broken.to_str().unwrap(), "--", "true"]);
        command
    };
    let replayed = || aegisbpf(["measure", "--replay", "/no/such/blocks.jsonl"]);
    let unproven = || {
        let mut command = aegisbpf(["measure", "--guard-on", "true", "--guard-off", "true"]);
        command.args(unproven);
        command
    };
    let cases: [(&str, &dyn Fn() -> Command, i32, &str); 5] = [
        (
            "the command fails by itself",
            &|| flagged(&fails),
            1,
            "::error title=command%3A%3Ash broke::",
        ),
        (
            "the proof does not follow",
            &unproven,
            1,
            "::error title=command%3A%3Atrue broke::",
        ),
        (
            "the policy is wrong",
            &with_policy,
            3,
            "::error title=command%3A%3Atrue broke::",
        ),
        (
            "there are no blocks",
            &replayed,
            1,
            "::error title=/no/such/blocks.jsonl broke::",
        ),
        (
            "it has no effect",
            &|| flagged(&["--limit", "p95=5%", "--", "true"]),
            2,
            "::error title=command%3A%3Atrue broke::",
        ),
    ];
    for (name, command, code, told) in cases {
        for under_github in [true, false] {
            let mut command = command();
            if under_github {
                command.env("GITHUB_ACTIONS", "true");
            } else {
                command.env_remove("GITHUB_ACTIONS");
            }
            let done = finish(command);
            assert_eq!(done.code, Some(code), "{name}: {done:?}");
            let found = done.err.lines().filter(|line| line.starts_with(told));
            assert_eq!(found.count(), usize::from(under_github), "{name}: {done:?}");
            let any = done.err.lines().filter(|line| line.starts_with("::"));
            assert_eq!(any.count(), usize::from(under_github), "{name}: {done:?}");
        }
    }
    assert!(!flag.path.exists());
}

#[test]
fn what_would_have_no_effect_is_refused_before_anything_is_started() {
    let flag = Flag::new();
    let started = flag.scratch.path().join("started");
    let touch = format!("touch {}", started.display());
    let load = ["--", "sh", "-c", &touch];
    let serve = ["--serve", touch.as_str()];
    for (more, says) in [
        (&["--limit", "p99=5%"][..], "only its time is known"),
        (&["--limit", "memory=5"], "--guard-process"),
        (
            &["--limit", "cpu=2", "--limit", "cpu=3"],
            "cpu is given twice",
        ),
        (
            &["--limit", "wall-time=2%", "--limit", "throughput=3%"],
            "in place of throughput",
        ),
        (&["--ready", "true"], "--serve"),
        (&["--window", "3s"], "--serve"),
        (
            &[serve[0], serve[1], "--window", "3s"],
            "takes as long as it takes",
        ),
        (&["--running", "--limit", "cpu=2"], "runs already"),
        (&["--replay", "x"], "cannot be used with"),
        (&["--budget", "0s"], "above 0"),
    ] {
        let done = finish(flag.measure(more.iter().chain(&load).copied()));
        assert_eq!(
            (done.code, done.out.as_str()),
            (Some(2), ""),
            "{more:?}: {done:?}"
        );
        assert!(done.err.contains(says), "{more:?}: {done:?}");
    }
    for limit in ["cpu=2", "wall-time=3%"] {
        let more = ["--running", "--limit", limit, "--", "wrk", "http://x/"];
        let done = finish(flag.measure(more));
        assert_eq!(done.code, Some(2), "{limit}: {done:?}");
        assert!(
            done.err.contains("throughput, p95, p99"),
            "{limit}: {done:?}"
        );
    }
    for more in [
        &["--limit", "cpu=2"][..],
        &["--budget", "9m"],
        &["--seed", "3"],
        &["--name", "x"],
        &["--guard-on", "true"],
    ] {
        let done = measure(&[&["--replay", "x"][..], more].concat());
        assert_eq!(done.code, Some(2), "{more:?}: {done:?}");
        assert!(
            done.err.contains("cannot be used with"),
            "{more:?}: {done:?}"
        );
    }
    assert!(!started.exists() && !flag.path.exists());
}

#[test]
fn reports_that_cannot_be_written_are_told_before_anything_is_started() {
    let flag = Flag::new();
    fs::write(flag.reports(), "").unwrap();
    let started = flag.scratch.path().join("started");
    let done = finish(flag.measure(["--", "touch", started.to_str().unwrap()]));
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.err.contains("no directory"), "{done:?}");
    assert!(!started.exists());
}

#[test]
fn a_reader_who_has_enough_does_not_turn_a_fail_into_a_success() {
    let scratch = tempdir().unwrap();
    let dear = Truth {
        effect: 0.2,
        ..Truth::default()
    };
    let (path, record) = blocks(scratch.path(), dear);
    assert_eq!(record.judgement.verdict, Verdict::Fail);
    for more in [None, Some("--json")] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = aegisbpf(["measure", "--replay", &path]);
        command
            .args(more)
            .stdout(Stdio::from(writer))
            .stderr(Stdio::null());
        let status = wait(&mut command.spawn().unwrap());
        assert_eq!(status.code(), Some(6), "{more:?}");
    }
}

#[test]
fn an_interrupt_before_the_first_quad_ends_it_and_the_command_under_way() {
    let flag = Flag::new();
    let pid = flag.scratch.path().join("pid");
    let line = format!("echo $$ >{}; exec sleep 600", pid.display());
    let running = piped(flag.measure(["--", "sh", "-c", &line]));
    common::until(|| fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
    running.signal(Signal::SIGINT);
    let done = running.finish();
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    assert!(
        done.err
            .contains("stopped by an interrupt before anything was measured"),
        "{done:?}"
    );
    let pid = fs::read_to_string(&pid).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "left {pid}");
    assert!(!flag.path.exists());
    let junit = fs::read_to_string(flag.reports().join("junit.xml")).unwrap();
    assert!(junit.contains("<error message=\"stopped by"), "{junit}");
}

#[test]
fn a_junit_file_of_an_earlier_run_does_not_speak_for_one_that_broke() {
    let scratch = tempdir().unwrap();
    let junit = scratch.path().join("aegis-report/junit.xml");
    let broken = || {
        let mut command = aegisbpf(["measure", "--limit", "p95=5%", "--", "true"]);
        command.current_dir(scratch.path());
        let done = finish(command);
        assert_eq!(done.code, Some(2), "{done:?}");
    };
    broken();
    assert!(!junit.exists(), "nobody asked for reports");
    fs::create_dir(junit.parent().unwrap()).unwrap();
    fs::write(&junit, "<testsuites/>").unwrap();
    broken();
    let text = fs::read_to_string(&junit).unwrap();
    assert!(text.contains("<error message=\"--limit p95"), "{text}");
    assert!(text.contains("errors=\"1\""), "{text}");
    // A replay that fails says nothing of the run there.
    fs::write(&junit, "<testsuites/>").unwrap();
    let mut command = aegisbpf(["measure", "--replay", "/no/such/blocks.jsonl"]);
    command.current_dir(scratch.path());
    assert_eq!(finish(command).code, Some(1));
    assert_eq!(fs::read_to_string(&junit).unwrap(), "<testsuites/>");
}

#[test]
fn an_interrupt_in_a_quad_writes_what_there_is_and_decides_no_more() {
    let flag = Flag::new();
    let mut running = piped(flag.measure(["--budget", "10m", "--", "sleep", "0.3"]));
    running.says("quad 1 of");
    running.signal(Signal::SIGTERM);
    let done = running.finish();
    assert_eq!(done.code, Some(7), "{done:?}");
    assert!(
        done.err.contains("stopped; what was not decided"),
        "{done:?}"
    );
    let report = fs::read(flag.reports().join("report.json")).unwrap();
    let record: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(record["observed"]["ended"], "stopped");
    // Not as an error of the command's, which ended by the signal.
    assert_eq!(record["judgement"]["errors"], Value::Array(Vec::new()));
    assert!(!flag.path.exists());
}
