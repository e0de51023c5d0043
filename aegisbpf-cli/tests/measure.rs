//! `aegisbpf measure`: usage, replay, exit codes, and a whole run with a guard that is a flag file. Nothing here needs
//! root.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use aegisbpf_measure::{
    Record, Verdict,
    fake::{self, Fake, Truth},
    journal,
    report::files,
};
use common::{aegisbpf, finish, measure};
use serde_json::Value;
use tempfile::tempdir;

fn blocks(directory: &Path, truth: Truth) -> (PathBuf, Record) {
    let record = Fake::new(truth).run(&fake::plan("web::fake")).unwrap();
    let path = directory.join("blocks.jsonl");
    journal::write(&record, &mut File::create(&path).unwrap()).unwrap();
    (path, record)
}

#[test]
fn a_replay_gives_the_same_judgement_and_the_verdicts_code() {
    let scratch = tempdir().unwrap();
    for (truth, verdict, code) in [
        (Truth::default(), Verdict::Pass, 0),
        (
            Truth {
                effect: 0.2,
                ..Truth::default()
            },
            Verdict::Fail,
            6,
        ),
        (
            Truth {
                noise: 0.4,
                cpu_noise: 0.4,
                ..Truth::default()
            },
            Verdict::Inconclusive,
            7,
        ),
        (
            Truth {
                attaches: false,
                ..Truth::default()
            },
            Verdict::Invalid,
            7,
        ),
    ] {
        let (path, record) = blocks(scratch.path(), truth);
        assert_eq!(record.judgement.verdict, verdict);
        let path = path.to_str().unwrap();
        let done = measure(&["--replay", path]);
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.out.contains(&record.judgement.sentence()), "{done:?}");
        let done = measure(&["--replay", path, "--json"]);
        let again: Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(again, serde_json::to_value(&record.judgement).unwrap());
        assert!(!scratch.path().join("again").exists());
        let again = scratch.path().join("again");
        measure(&["--replay", path, "--report", again.to_str().unwrap()]);
        let rewritten = fs::read_to_string(again.join("report.html")).unwrap();
        assert_eq!(rewritten, aegisbpf_measure::report::html::page(&record));
        fs::remove_dir_all(again).unwrap();
    }
}

#[test]
fn github_is_told_the_verdict_in_a_line_that_it_reads() {
    let scratch = tempdir().unwrap();
    let dear = Truth {
        effect: 0.2,
        ..Truth::default()
    };
    for (truth, told) in [
        (Truth::default(), "::notice title=web%3A%3Afake PASS::PASS"),
        (dear, "::error title=web%3A%3Afake FAIL::FAIL"),
    ] {
        let (path, _) = blocks(scratch.path(), truth);
        for (under_github, lines) in [(true, 1), (false, 0)] {
            let mut command = aegisbpf(["measure"]);
            command.args(["--replay", path.to_str().unwrap()]);
            if under_github {
                command.env("GITHUB_ACTIONS", "true");
            } else {
                command.env_remove("GITHUB_ACTIONS");
            }
            let done = finish(command);
            let found = done.err.lines().filter(|line| line.starts_with(told));
            assert_eq!(found.count(), lines, "{told}: {done:?}");
        }
    }
}

#[test]
fn blocks_that_cannot_be_replayed_are_named_with_their_line() {
    let scratch = tempdir().unwrap();
    let (path, _) = blocks(scratch.path(), Truth::default());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"alpha\":0.05", "\"alpha\":0.5", 1)).unwrap();
    let done = measure(&["--replay", path.to_str().unwrap()]);
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""));
    assert!(done.err.contains("the plan was changed"), "{done:?}");
    fs::write(&path, "{}\n").unwrap();
    let done = measure(&["--replay", path.to_str().unwrap()]);
    assert!(done.err.contains("line 1"), "{done:?}");
}

#[test]
fn wrong_usage_is_2_and_says_what_is_wrong() {
    for (args, says) in [
        (&[][..], "COMMAND"),
        (
            &["--limit", "speed=5%", "--", "true"],
            "there is no metric `speed`",
        ),
        (&["--budget", "soon", "--", "true"], "soon"),
        (&["--guard-on", "true", "--", "true"], "--guard-off"),
        (
            &["--serve", "x", "--running", "--", "true"],
            "cannot be used with",
        ),
    ] {
        let done = measure(args);
        assert_eq!(
            (done.code, done.out.as_str()),
            (Some(2), ""),
            "{args:?}: {done:?}"
        );
        assert!(done.err.contains(says), "{args:?}: {done:?}");
    }
}

fn flag_guard(lines: &[String; 3]) -> Vec<&str> {
    vec![
        "--guard-on",
        &lines[0],
        "--guard-off",
        &lines[1],
        "--guard-ready",
        &lines[2],
    ]
}

#[test]
fn a_command_that_fails_by_itself_is_not_measured() {
    let scratch = tempdir().unwrap();
    let flag = scratch.path().join("flag").display().to_string();
    let lines = [
        format!("touch {flag}"),
        format!("rm -f {flag}"),
        format!("test -e {flag}"),
    ];
    let mut args = flag_guard(&lines);
    args.extend(["--", "sh", "-c", "echo no such target; exit 2"]);
    let done = measure(&args);
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    assert!(done.err.contains("no such target"), "{done:?}");
    assert!(!Path::new(&flag).exists(), "the guard is switched off");
}

#[test]
fn a_whole_run_with_a_guard_of_commands_writes_every_report() {
    let scratch = tempdir().unwrap();
    let flag = scratch.path().join("flag").display().to_string();
    let reports = scratch.path().join("reports");
    let lines = [
        format!("touch {flag}"),
        format!("rm -f {flag}"),
        format!("test -e {flag}"),
    ];
    let mut args = flag_guard(&lines);
    args.extend([
        "--guard-name",
        "flag",
        "--budget",
        "5s",
        "--report",
        reports.to_str().unwrap(),
        "--",
        "sleep",
        "0.3",
    ]);
    let done = measure(&args);
    // What a busy machine shows is its own business; that the guard cannot be found to be off is ours.
    assert!(matches!(done.code, Some(0 | 6 | 7)), "{done:?}");
    assert!(!done.out.contains("treatment"), "{done:?}");
    for name in files::NAMES {
        assert!(reports.join(name).exists(), "{name}");
    }
    let record: Value =
        serde_json::from_slice(&fs::read(reports.join("report.json")).unwrap()).unwrap();
    assert_eq!(record["plan"]["guard"]["name"], "flag");
    assert_eq!(record["plan"]["workload"], "command::sleep");
    let invocation = record["invocation"].as_str().unwrap();
    assert!(
        invocation.starts_with("aegisbpf measure --budget {budget} --guard-on "),
        "{invocation}"
    );
    assert!(
        invocation.ends_with(" -- sleep 0.3") && !invocation.contains("5s"),
        "{invocation}"
    );
    assert!(!Path::new(&flag).exists(), "the guard is switched off");
}
