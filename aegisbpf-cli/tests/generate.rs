//! Man pages and completions know every verb, and the shells take them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use common::{aegisbpf, finish, verbs};
use tempfile::tempdir;

/// Each verb with the verbs above it, as `policy check`; the command itself is the first, an empty one.
fn all_verbs() -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut next = 0;
    while next < all.len() {
        let verb = all[next].clone();
        let help = finish(aegisbpf(verb.iter().map(String::as_str).chain(["--help"]))).out;
        all.extend(
            verbs(&help).map(|below| verb.iter().cloned().chain([below.to_owned()]).collect()),
        );
        next += 1;
    }
    assert!(all.len() >= 10, "the list of commands was not found");
    all
}

#[test]
fn there_is_a_man_page_for_each_verb() {
    let folder = tempdir().unwrap();
    let done = finish(aegisbpf([
        "generate".as_ref(),
        "man".as_ref(),
        "--dir".as_ref(),
        folder.path(),
    ]));
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    let pages: BTreeSet<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let verbs = all_verbs();
    for verb in &verbs {
        let name = std::iter::once("aegisbpf").chain(verb.iter().map(String::as_str));
        let page = format!("{}.1", name.collect::<Vec<_>>().join("-"));
        assert!(pages.contains(&page), "{page} is not among {pages:?}");
        let text = fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{verb:?}");
    }
    let first = fs::read_to_string(folder.path().join("aegisbpf.1")).unwrap();
    assert_eq!(finish(aegisbpf(["generate", "man"])).out, first);
    assert!(first.contains("Exit codes"), "{first}");
    rendered(&folder.path().join("aegisbpf.1"));
}

/// Where there is a man(1), it renders the page without a warning.
fn rendered(page: &Path) {
    let man = Command::new("man")
        .args(["--warnings", "-l"])
        .arg(page)
        .env("MANPAGER", "cat")
        .stdin(Stdio::null())
        .output();
    let Ok(man) = man else {
        eprintln!("man(1) is not installed: the page is not rendered");
        return;
    };
    if man.status.success() {
        assert_eq!(String::from_utf8_lossy(&man.stderr), "");
        assert!(String::from_utf8_lossy(&man.stdout).contains("policy"));
    }
}

#[test]
fn completions_know_each_verb_and_bash_takes_them() {
    let verbs = all_verbs();
    for shell in ["bash", "zsh", "fish"] {
        let done = finish(aegisbpf(["generate", shell]));
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{shell}");
        for verb in verbs.iter().filter_map(|verb| verb.last()) {
            assert!(done.out.contains(verb.as_str()), "{shell} lacks {verb}");
        }
    }
    assert_eq!(completed(""), BTreeSet::from_iter(top(&verbs)));
    assert_eq!(completed("po"), BTreeSet::from(["policy".to_owned()]));
}

fn top(verbs: &[Vec<String>]) -> impl Iterator<Item = String> {
    let top = verbs.iter().filter(|verb| verb.len() == 1);
    top.map(|verb| verb[0].clone())
        .chain(["help".to_owned(), "-h".to_owned(), "-V".to_owned()])
        .chain(["--help".to_owned(), "--version".to_owned()])
}

/// What bash offers after `aegisbpf WORD`.
fn completed(word: &str) -> BTreeSet<String> {
    let script = finish(aegisbpf(["generate", "bash"])).out;
    let folder = tempdir().unwrap();
    let file = folder.path().join("aegisbpf.bash");
    fs::write(&file, script).unwrap();
    let bash = Command::new("bash")
        .args(["--norc", "-euc"])
        .arg(
            "source \"$1\"; COMP_WORDS=(aegisbpf \"$2\"); COMP_CWORD=1; \
             _aegisbpf aegisbpf \"$2\" aegisbpf; printf '%s\\n' \"${COMPREPLY[@]}\"",
        )
        .arg("bash")
        .arg(&file)
        .arg(word)
        .output()
        .unwrap();
    assert!(bash.status.success(), "{bash:?}");
    let words = String::from_utf8(bash.stdout).unwrap();
    words.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_closed_pipe_is_no_error() {
    for what in ["man", "bash"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = aegisbpf(["generate", what]);
        command.stdout(writer).stderr(Stdio::piped());
        let done = common::Running::start(command).finish();
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{what}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let done = finish(aegisbpf(["generate", "man", "--dir", "/proc/none"]));
    assert_eq!(done.code, Some(1));
    assert!(done.err.contains("/proc/none"), "{done:?}");
}
