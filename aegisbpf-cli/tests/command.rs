//! What holds for the whole command: help, usage, exit codes, closed pipes. Nothing here needs root.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::process::Stdio;

use common::{Done, Running, aegisbpf, finish, policy};
use serde_json::Value;
use tempfile::tempdir;

#[track_caller]
fn run<const N: usize>(args: [&str; N]) -> Done {
    finish(aegisbpf(args))
}

#[test]
fn help_is_what_its_snapshot_says() {
    let mut seen = 0;
    let mut verbs = vec![Vec::new()];
    while let Some(verb) = verbs.pop() {
        let done = finish(aegisbpf(verb.iter().map(String::as_str).chain(["--help"])));
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{verb:?}");
        let name = std::iter::once("aegisbpf").chain(verb.iter().map(String::as_str));
        insta::assert_snapshot!(name.collect::<Vec<_>>().join("_"), done.out);
        verbs.extend(
            common::verbs(&done.out)
                .map(|below| verb.iter().cloned().chain([below.to_owned()]).collect()),
        );
        seen += 1;
    }
    assert!(seen >= 10, "the list of commands was not found: {seen}");
}

#[test]
fn the_version_is_told() {
    let done = run(["--version"]);
    assert_eq!(done.code, Some(0));
    assert_eq!(
        done.out.trim(),
        concat!("aegisbpf ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_usage_is_2_and_says_what_is_wrong() {
    for (args, says) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["run", "--nonsense"], "--nonsense"),
        (&["run", "--audit", "--enforce"], "cannot be used with"),
        (&["run", "--event-sample-rate", "many"], "many"),
        (&["policy", "check"], "<FILE>"),
        (&["nonsense"], "nonsense"),
        (&[], "Usage"),
    ] {
        let done = finish(aegisbpf(args));
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert_eq!(done.out, "");
        assert!(done.err.contains(says), "{args:?}: {done:?}");
    }
}

#[test]
fn enforcing_where_nothing_can_be_pinned_is_refused_with_the_remedy() {
    let done = run(["run", "--enforce"]);
    assert_eq!((done.code, done.out.as_str()), (Some(4), ""));
    assert!(
        done.err.contains("help: mount one, `mount -t bpf"),
        "{done:?}"
    );
}

#[test]
fn where_nothing_runs_it_is_5_and_a_clear_word() {
    let folder = tempdir().unwrap();
    let file = policy(folder.path(), "version=1\n[deny_path]\n/nowhere\n");
    let file = file.to_str().unwrap();
    for args in [
        &["stats"][..],
        &["stats", "--json"],
        &["events"],
        &["metrics"],
        &["metrics", "--listen", "127.0.0.1:0"],
        &["policy", "apply", file],
        &["policy", "show"],
        &["policy", "export"],
        &["policy", "rollback"],
        &["block", "add", "/etc/shadow"],
        &["block", "del", "/etc/shadow"],
        &["block", "list"],
        &["block", "clear"],
        &["allow", "add", "/system.slice"],
        &["allow", "list", "--json"],
        &["network", "deny", "add", "192.0.2.1"],
        &["network", "deny", "list"],
        &["cgroup", "deny", "add", "/system.slice", "25:tcp"],
        &["cgroup", "deny", "list"],
        &["emergency", "disable", "--reason", "test"],
        &["emergency", "enable"],
        &["emergency", "status", "--json"],
    ] {
        let done = finish(aegisbpf(args));
        assert_eq!(
            (done.code, done.out.as_str()),
            (Some(5), ""),
            "{args:?}: {done:?}"
        );
        assert!(
            done.err.contains("no enforcer is running"),
            "{args:?}: {done:?}"
        );
        assert!(done.err.contains("help: start one"), "{args:?}: {done:?}");
    }
}

#[test]
fn an_argument_that_means_nothing_is_2_with_the_remedy() {
    let folder = tempdir().unwrap();
    let file = policy(folder.path(), "version=1\n");
    let file = file.to_str().unwrap();
    for (args, says) in [
        (
            &["metrics", "--listen", "0.0.0.0:9000"][..],
            "help: listen on 127.0.0.1",
        ),
        (
            &["policy", "apply", file, "--sha256", "abc"],
            "`sha256sum FILE`",
        ),
        (
            &["policy", "apply", file, "--sha256-file", file],
            "`sha256sum FILE`",
        ),
    ] {
        let done = finish(aegisbpf(args));
        assert_eq!(
            (done.code, done.out.as_str()),
            (Some(2), ""),
            "{args:?}: {done:?}"
        );
        assert!(done.err.contains(says), "{args:?}: {done:?}");
    }
}

#[test]
fn a_file_with_another_checksum_is_refused_before_anything_else() {
    let folder = tempdir().unwrap();
    let file = policy(folder.path(), "version=1\n");
    let zeros = "0".repeat(64);
    let args = [
        "policy",
        "apply",
        file.to_str().unwrap(),
        "--sha256",
        &zeros,
    ];
    let done = finish(aegisbpf(args));
    assert_eq!((done.code, done.out.as_str()), (Some(3), ""), "{done:?}");
    // As sha256sum says of "version=1\n".
    let found = "2815beccc71f868badea754664ff3c46f4fb78c1e0ac396e73a965d0f56054a1";
    assert!(
        done.err
            .contains(&format!("has the checksum sha256:{found}, not")),
        "{done:?}"
    );
    // The right one goes on to the next obstacle.
    let args = ["policy", "apply", file.to_str().unwrap(), "--sha256", found];
    assert_eq!(finish(aegisbpf(args)).code, Some(5));
    let sums = folder.path().join("sums");
    std::fs::write(&sums, format!("{found}  test.conf\n")).unwrap();
    let (file, sums) = (file.to_str().unwrap(), sums.to_str().unwrap());
    let args = ["policy", "apply", file, "--sha256-file", sums];
    assert_eq!(finish(aegisbpf(args)).code, Some(5));
}

#[test]
fn a_dry_run_needs_no_enforcer() {
    let folder = tempdir().unwrap();
    let good = policy(
        folder.path(),
        "version=1\n[deny_path]\n/etc/passwd\n/nowhere\n",
    );
    let good = good.to_str().unwrap();
    let done = run(["policy", "apply", "--dry-run", good]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    assert!(
        done.out
            .contains("denied: test.conf:3 /etc/passwd (deny_path): file ")
    );
    assert!(
        done.out
            .contains("unresolved: test.conf:4 /nowhere (deny_path): no such file")
    );
    assert!(done.out.contains("none is running"), "{done:?}");
    let done = run(["policy", "apply", "--dry-run", "--json", good]);
    let report: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(report["valid"], true);
    assert_eq!(report["denied"][0]["rule"], "test.conf:3 /etc/passwd");
    assert_eq!(report["unresolved"][0]["here"], "no such file");
    assert_eq!(report["exempt"], Value::Array(Vec::new()));
}

#[test]
fn a_ring_buffer_that_no_kernel_has_is_refused_with_the_remedy() {
    let done = run(["run", "--ringbuf-bytes", "4294967295"]);
    assert_eq!((done.code, done.out.as_str()), (Some(4), ""));
    assert!(done.err.contains("help: choose a smaller one"), "{done:?}");
}

#[test]
fn run_reads_its_policy_before_it_touches_the_kernel() {
    let folder = tempdir().unwrap();
    let missing = folder.path().join("missing.conf");
    let invalid = policy(folder.path(), "version=1\n[deny_path]\nrelative\n");
    for (file, code) in [(&missing, 1), (&invalid, 3)] {
        let done = finish(aegisbpf([
            "run".as_ref(),
            "--policy".as_ref(),
            file.as_path(),
        ]));
        assert_eq!((done.code, done.out.as_str()), (Some(code), ""), "{done:?}");
        assert!(done.err.contains("conf"), "{done:?}");
    }
}

#[test]
fn doctor_tells_one_check_a_line_and_the_same_as_json() {
    let (lines, json) = (run(["doctor"]), run(["doctor", "--json"]));
    // 4 where this host cannot even audit, which doctor is there to say.
    assert!(matches!(lines.code, Some(0 | 4)), "{lines:?}");
    assert_eq!((lines.code, lines.err.as_str()), (json.code, ""));
    let checks: Vec<Value> = serde_json::from_str(&json.out).unwrap();
    assert_eq!(lines.out.lines().count(), checks.len());
    for (line, check) in lines.out.lines().zip(&checks) {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), check["name"].as_str());
        let status = words.next().unwrap().to_lowercase();
        assert_eq!(status, check["status"].as_str().unwrap());
        assert!(line.contains(check["found"].as_str().unwrap()), "{line}");
        assert!(line.contains(check["remedy"].as_str().unwrap()), "{line}");
    }
    let fails = checks.iter().any(|check| check["status"] == "fail");
    assert_eq!(lines.code == Some(4), fails);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = tempdir().unwrap();
    let file = policy(folder.path(), "version=1\n[deny_path]\n/nowhere/at/all\n");
    let file = file.to_str().unwrap();
    for args in [
        &["policy", "check", file][..],
        &["policy", "check", "--json", file],
    ] {
        let done = with_closed_output(args);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{args:?}");
    }
}

/// `aegisbpf policy check bad.conf 2>&1 | head -1`
#[test]
fn closed_standard_error_changes_no_exit_code() {
    let folder = tempdir().unwrap();
    let invalid = policy(folder.path(), "version=1\n[deny_path]\nrelative\n");
    let invalid = invalid.to_str().unwrap();
    for (args, code) in [
        (&["policy", "check", invalid][..], 3),
        (&["policy", "check", "/nowhere/at/all"], 1),
        (&["run", "--enforce"], 4),
    ] {
        let mut command = aegisbpf(args);
        command.stdout(Stdio::null()).stderr(closed_pipe());
        assert_eq!(
            Running::start(command).finish().code,
            Some(code),
            "{args:?}"
        );
    }
}

#[track_caller]
fn with_closed_output(args: &[&str]) -> Done {
    let mut command = aegisbpf(args);
    command.stdout(closed_pipe()).stderr(Stdio::piped());
    Running::start(command).finish()
}

/// The writing end of a pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}
