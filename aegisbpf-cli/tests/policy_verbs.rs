//! `aegisbpf policy explain|diff|normalize|suggest`, and what `check` says of includes and of what is not enforced.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::{ffi::OsStr, fs, os::unix::fs::symlink, path::Path};

use common::{Done, aegisbpf, finish, policy};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

#[track_caller]
fn run<const N: usize>(args: [&dyn AsRef<OsStr>; N]) -> Done {
    finish(aegisbpf(args.map(AsRef::as_ref)))
}

/// Standard output of a run that went well.
#[track_caller]
fn said<const N: usize>(args: [&dyn AsRef<OsStr>; N]) -> String {
    let done = run(args);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    done.out
}

/// A directory with a secret, a link to it, a second name of it, and a policy that denies it.
fn folder() -> (TempDir, std::path::PathBuf) {
    let folder = tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    fs::write(dir.join("secret"), "").unwrap();
    fs::hard_link(dir.join("secret"), dir.join("second")).unwrap();
    symlink("secret", dir.join("link")).unwrap();
    let text = format!(
        "version=7\n[deny_path]\n{0}/secret # the secret\n{0}/later\n[allow_exec]\n/usr/bin/backup {0}/secret\n\
         [allow_cgroup]\n/ok.slice\n[deny_cidr]\n192.0.2.0/24\n[deny_ptrace]\n",
        dir.display()
    );
    let file = policy(&dir, text);
    (folder, file)
}

#[test]
fn explain_finds_a_file_under_each_of_its_names() {
    let (folder, file) = folder();
    let dir = folder.path().canonicalize().unwrap();
    for name in ["secret", "second", "link"] {
        let out = said([&"policy", &"explain", &file, &dir.join(name)]);
        assert!(out.starts_with("denied by "), "{name}: {out}");
        assert!(out.contains("/secret # the secret\n"), "{name}: {out}");
    }
    assert!(said([&"policy", &"explain", &file, &dir.join("later")]).starts_with("denied by "));
    assert!(
        said([&"policy", &"explain", &file, &dir.join("other")])
            .starts_with("allowed\n  why: no rule denies it\n")
    );
}

#[test]
fn explain_knows_who_it_is() {
    let (folder, file) = folder();
    let secret = folder.path().join("secret");
    let by = |args: [&dyn AsRef<OsStr>; 2]| {
        said([&"policy", &"explain", &file, &secret, args[0], args[1]])
    };
    assert!(by([&"--cgroup", &"/ok.slice/x"]).starts_with("allowed by "));
    assert!(by([&"--cgroup", &"/sys/fs/cgroup/ok.slice"]).starts_with("allowed by "));
    assert!(by([&"--cgroup", &"/other.slice"]).starts_with("denied by "));
    assert!(by([&"--exec", &"/usr/bin/backup"]).starts_with("allowed by "));
    let done = run([&"policy", &"explain", &file, &secret, &"--cgroup", &"ok"]);
    assert_eq!(done.code, Some(2));
    assert!(
        done.err.contains("write its path from the cgroup root"),
        "{done:?}"
    );
}

#[test]
fn explain_knows_an_executable_by_each_of_its_names() {
    let folder = tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    fs::write(dir.join("tool"), "").unwrap();
    symlink("tool", dir.join("alias")).unwrap();
    let text = format!(
        "version=7\n[deny_path]\n/srv/none\n[allow_exec]\n{}/alias /srv/none\n",
        dir.display()
    );
    let file = policy(&dir, text);
    for name in ["tool", "alias"] {
        let name = dir.join(name);
        let out = said([&"policy", &"explain", &file, &"/srv/none", &"--exec", &name]);
        assert!(out.starts_with("allowed by "), "{out}");
    }
}

#[test]
fn explain_is_about_peers_and_whole_operations_too() {
    let (_folder, file) = folder();
    assert!(
        said([&"policy", &"explain", &file, &"--connect", &"192.0.2.7:443"])
            .starts_with("denied by ")
    );
    assert!(
        said([&"policy", &"explain", &file, &"--connect", &"[::1]:443/udp"])
            .starts_with("allowed\n")
    );
    assert!(said([&"policy", &"explain", &file, &"--bind", &"8080/tcp"]).starts_with("allowed\n"));
    assert!(
        said([&"policy", &"explain", &file, &"--operation", &"ptrace"]).starts_with("denied by ")
    );
    assert_eq!(
        run([&"policy", &"explain", &file, &"--connect", &"192.0.2.7"]).code,
        Some(2)
    );
    assert_eq!(run([&"policy", &"explain", &file]).code, Some(2));
}

#[test]
fn explain_is_json_too() {
    let (folder, file) = folder();
    let out = said([
        &"policy",
        &"explain",
        &file,
        &folder.path().join("secret"),
        &"--json",
    ]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&report["effect"], &report["rule"]),
        (&"deny".into(), &1.into())
    );
    assert!(
        report["label"]
            .as_str()
            .unwrap()
            .ends_with("/secret # the secret"),
        "{report}"
    );
}

#[test]
fn diff_is_in_rules() {
    let (old, new) = (tempdir().unwrap(), tempdir().unwrap());
    let old = policy(
        old.path(),
        "version=7\n[deny_path]\n/a\n/b # one\n[deny_ip]\n::1\n",
    );
    let new = policy(
        new.path(),
        "# changed\nversion=7\n[deny_ip]\n0::1\n192.0.2.1\n[deny_path]\n/b # two\n",
    );
    let out = said([&"policy", &"diff", &old, &new]);
    let lines: Vec<_> = out.lines().collect();
    let name = old.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        lines,
        [
            format!("- deny [deny_path] {name}:3 /a"),
            format!("+ deny [deny_ip] {name}:5 192.0.2.1"),
            format!("~ deny [deny_path] {name}:7 /b # two, was deny [deny_path] {name}:4 /b # one"),
        ]
    );
    assert_eq!(
        said([&"policy", &"diff", &old, &old]),
        "the two policies have the same rules\n"
    );
    let report: Value =
        serde_json::from_str(&said([&"policy", &"diff", &old, &new, &"--json"])).unwrap();
    assert_eq!(
        (&report["equal"], report["added"].as_array().unwrap().len()),
        (&false.into(), 1)
    );
}

#[test]
fn normalize_writes_all_that_is_included_as_one_text() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let part = policy(&folder.path().join("sub"), "version=1\n[deny_path]\n/a\n");
    let name = part.strip_prefix(folder.path()).unwrap();
    let file = policy(
        folder.path(),
        format!(
            "version=7\n[deny_path]\n//b/\n[include]\n{}\n",
            name.display()
        ),
    );
    let out = said([&"policy", &"normalize", &file]);
    assert_eq!(out, "version=7\n\n[deny_path]\n/a\n/b\n");
}

#[test]
fn check_draws_problems_in_the_file_that_has_them() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let part = policy(
        &folder.path().join("sub"),
        "version=1\n[deny_path]\nrelative\n",
    );
    let file = policy(
        folder.path(),
        format!("version=7\n[include]\n{}\n", part.display()),
    );
    let done = run([&"policy", &"check", &file]);
    assert_eq!(done.code, Some(3));
    let expected = format!(
        "error: `relative` is not an absolute path\n --> {}:3:1\n  |\n3 | relative\n  | ^^^^^^^^\n  |\n  = help: write the whole path, from `/`\n",
        part.display()
    );
    assert!(done.err.contains(&expected), "{}", done.err);
}

#[test]
fn check_notes_what_no_backend_enforces() {
    let folder = tempdir().unwrap();
    let file = policy(
        folder.path(),
        "version=5\n[require_ima_appraisal]\n[deny_path]\n/none/such\n",
    );
    let out = said([&"policy", &"check", &file]);
    assert!(
        out.contains("note: [require_ima_appraisal] is not enforced here: "),
        "{out}"
    );
    assert!(
        out.contains("`policy apply` would refuse 1 of its sections"),
        "{out}"
    );
    let report: Value =
        serde_json::from_str(&said([&"policy", &"check", &file, &"--json"])).unwrap();
    assert_eq!(report["problems"][0]["severity"], "note");
}

#[test]
fn suggest_needs_an_enforcer() {
    let folder = tempdir().unwrap();
    let none: &Path = &folder.path().join("none");
    let done = run([&"policy", &"suggest", &"--pin-dir", &none]);
    assert!(matches!(done.code, Some(4 | 5)), "{done:?}");
    assert_eq!(done.out, "");
}
