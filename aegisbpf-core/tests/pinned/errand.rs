//! What another process does: this program, run again with an errand.

use std::{
    io::Read,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use aegisbpf_core::{Backend, Control, Enforcer, Mode, Policy};

use super::crash;

/// The argument that says so.
pub(crate) const ERRAND: &str = "--errand";

/// Starts this program on an errand. It inherits our mounts.
pub(crate) fn start(words: &[&str], base: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .arg(ERRAND)
        .args(words)
        .arg(base)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs an errand to its end, with `text` on its standard input; gives what it wrote.
#[track_caller]
pub(crate) fn run(words: &[&str], base: &Path, text: &str) -> String {
    use std::io::Write;
    let mut child = start(words, base);
    let mut stdin: ChildStdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "errand {words:?}: {}", out.status);
    String::from_utf8(out.stdout).unwrap()
}

/// The other process.
pub(crate) fn run_errand(mut words: impl Iterator<Item = String>) {
    let verb = words.next().unwrap();
    let rest: Vec<String> = words.collect();
    let (base, words) = rest.split_last().unwrap();
    let input = || {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).unwrap();
        text
    };
    let open = || Control::open(base).unwrap_or_else(|e| panic!("{}", e.chain()));
    match verb.as_str() {
        "apply" => {
            let policy = Policy::parse(&input(), "errand.conf").unwrap();
            open()
                .apply(&policy)
                .unwrap_or_else(|e| panic!("{}", e.chain()));
        }
        "add" => {
            let policy = Policy::parse(&input(), "errand.conf").unwrap();
            open()
                .add(&policy)
                .unwrap_or_else(|e| panic!("{}", e.chain()));
        }
        "remove" => {
            let policy = Policy::parse(&input(), "errand.conf").unwrap();
            open()
                .remove(&policy)
                .unwrap_or_else(|e| panic!("{}", e.chain()));
        }
        "apply-forever" => crash::apply_forever(open(), &input()),
        "policy" => print!("{}", open().policy().unwrap()),
        "rollback" => {
            open().rollback().unwrap();
        }
        "run" => {
            let backend = match words[0].as_str() {
                "lsm" => Backend::Lsm,
                _ => Backend::Tracepoint,
            };
            let mode = if words[1] == "enforce" {
                Mode::Enforce
            } else {
                Mode::Audit
            };
            let _aegis = Enforcer::builder()
                .backend(backend)
                .mode(mode)
                .pin(base)
                .attach()
                .unwrap_or_else(|e| panic!("{}", e.chain()));
            println!("ready");
            input();
        }
        "events" => {
            let error = open().events().err().expect("the events are taken");
            print!("{error}");
        }
        other => panic!("no errand is called {other}"),
    }
}
