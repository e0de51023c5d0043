//! `aegisbpf policy check`: each file of the repository, each way in which a file can be wrong, and both forms of
//! the answer.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use common::{Done, aegisbpf, finish, fixtures, policy};
use serde_json::Value;
use tempfile::tempdir;

#[track_caller]
fn check(file: &Path) -> Done {
    finish(aegisbpf(["policy".as_ref(), "check".as_ref(), file]))
}

#[track_caller]
fn check_json(file: &Path) -> (Option<i32>, Value) {
    let done = finish(aegisbpf([
        "policy".as_ref(),
        "check".as_ref(),
        "--json".as_ref(),
        file,
    ]));
    assert_eq!(done.err, "");
    let report = serde_json::from_str(&done.out).expect("one JSON object");
    (done.code, report)
}

/// Refused, and why, in words that nobody has to look for on standard output.
#[track_caller]
fn assert_refused(done: &Done, code: i32, says: &str) {
    assert_eq!(done.code, Some(code), "{done:?}");
    assert_eq!(done.out, "");
    assert!(done.err.contains(says), "{done:?}");
}

#[test]
fn a_valid_file_is_accepted() {
    for file in fixtures("valid") {
        let folder = tempdir().unwrap();
        let copy = policy(folder.path(), fs::read(&file).unwrap());
        let done = check(&copy);
        assert_eq!(
            (done.code, done.err.as_str()),
            (Some(0), ""),
            "{}: {done:?}",
            file.display()
        );
        assert!(done.out.contains("valid, "), "{done:?}");
        let (code, report) = check_json(&copy);
        assert_eq!((code, &report["valid"]), (Some(0), &Value::Bool(true)));
    }
}

#[test]
fn an_invalid_file_is_refused_with_every_error_on_standard_error() {
    for file in fixtures("invalid") {
        let folder = tempdir().unwrap();
        let copy = policy(folder.path(), fs::read(&file).unwrap());
        assert_refused(&check(&copy), 3, "error: ");

        let (code, report) = check_json(&copy);
        assert_eq!((code, &report["valid"]), (Some(3), &Value::Bool(false)));
        let problems = report["problems"].as_array().unwrap();
        let errors = problems.iter().filter(|p| p["severity"] == "error").count();
        let told = check(&copy).err;
        let told = told
            .lines()
            .filter(|line| line.starts_with("error: "))
            .count();
        assert_eq!(errors, told, "{}: both forms tell the same", file.display());
    }
}

#[test]
fn a_missing_file_is_a_failed_operation() {
    let folder = tempdir().unwrap();
    let done = check(&folder.path().join("nowhere.conf"));
    assert_refused(&done, 1, "check its name");
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    let folder = tempdir().unwrap();
    let file = policy(folder.path(), b"version=1\n[deny_path]\n/\xff\n");
    assert_refused(&check(&file), 3, "UTF-8");
}

#[test]
fn a_directory_is_refused() {
    let folder = tempdir().unwrap();
    assert_refused(&check(folder.path()), 3, "is a directory");
}

#[test]
fn a_device_is_refused_unread() {
    assert_refused(&check(Path::new("/dev/zero")), 3, "not a regular file");
}

#[test]
fn a_file_that_others_may_write_is_refused_with_the_command_that_mends_it() {
    let folder = tempdir().unwrap();
    let file = policy(folder.path(), "version=1\n");
    for mode in [0o666, 0o664, 0o602] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        assert_refused(&check(&file), 3, "chmod go-w");
    }
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(check(&file).code, Some(0));
}

#[test]
fn a_rule_for_a_directory_is_refused_on_this_host() {
    let folder = tempdir().unwrap();
    let text = format!("version=1\n[deny_path]\n{}\n", folder.path().display());
    let file = policy(folder.path(), text);
    assert_refused(
        &check(&file),
        3,
        "is a directory, [deny_path] is about files",
    );
}

#[test]
fn what_is_not_there_is_unresolved_and_no_error() {
    let folder = tempdir().unwrap();
    let gone = folder.path().join("gone");
    let file = policy(
        folder.path(),
        format!("version=1\n[deny_path]\n{}\n", gone.display()),
    );
    let done = check(&file);
    assert_eq!(done.code, Some(0));
    assert!(done.out.contains("unresolved here: "), "{done:?}");
    assert!(
        done.out.contains("1 rule, 1 of them unresolved"),
        "{done:?}"
    );
    let (_, report) = check_json(&file);
    assert_eq!(report["unresolved"][0]["reason"], "no such file");
}
