//! `aegisbpf run` as a service: reload, the service manager, the journal, and how events are told.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::tempdir;

use super::audit::{Scene, cat, stop};
use crate::common::{AT_MOST, Running, aegisbpf, finish, policy};

pub(crate) const FACTS: &[(&str, fn())] = &[
    (
        "sighup_reads_the_policy_again",
        sighup_reads_the_policy_again,
    ),
    (
        "a_reload_that_fails_leaves_the_old_policy",
        a_reload_that_fails_leaves_the_old_policy,
    ),
    ("the_service_manager_is_told", the_service_manager_is_told),
    ("events_are_told_as_text", events_are_told_as_text),
    (
        "a_repetition_is_told_once_with_its_number",
        a_repetition_is_told_once_with_its_number,
    ),
    ("events_go_to_the_journal", events_go_to_the_journal),
    (
        "the_units_capabilities_are_enough",
        the_units_capabilities_are_enough,
    ),
    (
        "without_a_journal_it_does_not_start",
        without_a_journal_it_does_not_start,
    ),
];

fn sighup_reads_the_policy_again() {
    let scene = Scene::new();
    let other = scene.folder.path().join("other");
    fs::write(&other, "other\n").unwrap();
    let mut run = scene.start(&[]);
    let text = format!("version=1\n[deny_path]\n{}\n", other.display());
    policy(scene.folder.path(), text);
    run.signal(Signal::SIGHUP);
    run.says("is read again");
    cat(&scene.secret);
    cat(&other);
    let event: Value = serde_json::from_str(&run.line()).unwrap();
    assert_eq!(
        event["path"],
        other.to_str().unwrap(),
        "the old rule has gone"
    );
    let done = stop(run, Signal::SIGTERM);
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""));
    assert!(done.err.contains("1 blocks (audit)"), "{done:?}");
}

fn a_reload_that_fails_leaves_the_old_policy() {
    let scene = Scene::new();
    let mut run = scene.start(&[]);
    policy(scene.folder.path(), "version=1\n[deny_path]\nrelative\n");
    run.signal(Signal::SIGHUP);
    let said = run.says("the old policy stands");
    assert!(said.contains("test.conf:3:1"), "{said}");
    cat(&scene.secret);
    run.line();
    assert_eq!(stop(run, Signal::SIGTERM).code, Some(0));
}

/// What a service manager hears.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(AT_MOST)).unwrap();
        Self(socket)
    }

    #[track_caller]
    fn hear(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[track_caller]
    fn hear_until(&self, wanted: &str) -> String {
        loop {
            let heard = self.hear();
            if heard.contains(wanted) {
                return heard;
            }
        }
    }
}

fn the_service_manager_is_told() {
    let scene = Scene::new();
    let socket = scene.folder.path().join("notify");
    let manager = Manager::listen(&socket);
    let mut command = scene.command(&[]);
    command
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "200000")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = Running::start(command);
    let ready = manager.hear();
    assert!(ready.contains("READY=1\n"), "{ready}");
    assert!(ready.contains("STATUS=audit by "), "{ready}");
    assert!(ready.contains(", 1 rule"), "{ready}");
    // Ready means attached: what is accessed from now on is counted.
    cat(&scene.secret);
    manager.hear_until("WATCHDOG=1");
    manager.hear_until("WATCHDOG=1");
    run.signal(Signal::SIGHUP);
    let reloading = manager.hear_until("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.hear_until("READY=1");
    let done = stop(run, Signal::SIGTERM);
    assert!(done.err.contains("1 blocks (audit)"), "{done:?}");
    manager.hear_until("STOPPING=1");
}

fn events_are_told_as_text() {
    let scene = Scene::new();
    let odd = scene.folder.path().join("odd\u{1b}[31m\nname");
    fs::hard_link(&scene.secret, &odd).unwrap();
    let mut run = scene.start(&["--format", "text"]);
    cat(&odd);
    let line = run.line();
    assert!(line.contains(" audit open "), "{line}");
    assert!(line.contains("odd\\u{1b}[31m\\nname by cat["), "{line}");
    assert!(line.ends_with("test.conf:3:1)"), "{line}");
    assert_eq!(stop(run, Signal::SIGTERM).out, "");
}

fn a_repetition_is_told_once_with_its_number() {
    let scene = Scene::new();
    let run = scene.start(&["--dedup-window", "1h"]);
    for _ in 0..5 {
        cat(&scene.secret);
    }
    let done = stop(run, Signal::SIGTERM);
    let lines: Vec<Value> = done
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{done:?}");
    assert_eq!(lines[0]["repeated"], Value::Null);
    assert_eq!(lines[1]["repeated"], 4);
    assert_eq!(lines[0]["path"], lines[1]["path"]);
    assert!(done.err.contains("5 blocks (audit)"), "{done:?}");
}

/// The journal's protocol: `NAME=value` lines, or a name, a length in 64 bits and the value.
fn journal_fields(datagram: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = datagram;
    while let Some(end) = rest.iter().position(|&b| b == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        let line = std::str::from_utf8(line).unwrap();
        match line.split_once('=') {
            Some((name, value)) => {
                fields.insert(name.to_owned(), value.to_owned());
                rest = after;
            }
            None => {
                let (length, after) = after.split_at(8);
                let length = u64::from_le_bytes(length.try_into().unwrap());
                let (value, after) = after.split_at(usize::try_from(length).unwrap());
                let value = String::from_utf8(value.to_vec()).unwrap();
                fields.insert(line.to_owned(), value);
                rest = &after[1..];
            }
        }
    }
    fields
}

/// A journal of our own, which only the command sees: a mount name space hides the machine's.
fn events_go_to_the_journal() {
    let scene = Scene::new();
    let folder = tempdir().unwrap();
    let journal = UnixDatagram::bind(folder.path().join("socket")).unwrap();
    journal.set_read_timeout(Some(AT_MOST)).unwrap();
    let mut command = with_journal(folder.path());
    command
        .args(["run", "--audit", "--log", "both", "--policy"])
        .arg(&scene.policy)
        .env("AEGISBPF_PIN_DIR", scene.pins.base())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut run = Running::start(command);
    run.says("aegisbpf: audit by ");
    cat(&scene.secret);
    let mut datagram = [0; 8192];
    let probe = journal.recv(&mut datagram).unwrap();
    assert_eq!(probe, 0, "is there a journal? An empty datagram asks");
    let length = journal.recv(&mut datagram).unwrap();
    let fields = journal_fields(&datagram[..length]);
    let event: Value = serde_json::from_str(&run.line()).unwrap();
    assert_eq!(fields["SYSLOG_IDENTIFIER"], "aegisbpf");
    assert_eq!(fields["PRIORITY"], "5");
    assert!(fields["MESSAGE"].contains(" audit open "), "{fields:?}");
    assert_eq!(fields["AEGISBPF_PATH"], event["path"].as_str().unwrap());
    assert_eq!(fields["AEGISBPF_RULE"], event["rule"].to_string());
    assert_eq!(fields["AEGISBPF_COMM"], "cat");

    // A journal that goes away is said once and ends nothing.
    drop(journal);
    cat(&scene.secret);
    run.line();
    run.says("the journal takes no events");
    run.signal(Signal::SIGTERM);
    let done = run.finish();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("2 blocks (audit)"), "{done:?}");
}

/// The command where `folder` is `/run/systemd/journal`.
fn with_journal(folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-euc"])
        .arg(
            "mount -t tmpfs none /run; mkdir -p /run/systemd/journal; \
             mount --bind \"$0\" /run/systemd/journal; exec \"$@\"",
        )
        .arg(folder)
        .arg(env!("CARGO_BIN_EXE_aegisbpf"))
        .env("AEGISBPF_PIN_DIR", "/nowhere/at/all")
        .stdin(Stdio::null());
    command
}

fn without_a_journal_it_does_not_start() {
    let folder = tempdir().unwrap();
    let mut command = with_journal(folder.path());
    command.args(["run", "--audit", "--log", "journald"]);
    let done = finish(command);
    assert_eq!((done.code, done.out.as_str()), (Some(4), ""), "{done:?}");
    assert!(done.err.contains("help: use --log stdout"), "{done:?}");
    // And what is no time is wrong usage.
    let done = finish(aegisbpf(["run", "--dedup-window", "soon"]));
    assert_eq!(done.code, Some(2), "{done:?}");
}

/// The unit in contrib/ takes nearly everything away from the service; what is left has to do.
fn the_units_capabilities_are_enough() {
    let unit = include_str!("../../../contrib/systemd/aegisbpf.service");
    let setting = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("the unit has no {name}"))
    };
    let kept: String = setting("CapabilityBoundingSet=")
        .split_whitespace()
        .map(|cap| format!(",+{}", cap.trim_start_matches("CAP_").to_lowercase()))
        .collect();
    assert_eq!(setting("NoNewPrivileges="), "yes");
    let start: Vec<_> = setting("ExecStart=").split_whitespace().collect();
    let scene = Scene::new();
    let mut command = Command::new("setpriv");
    command
        .arg("--no-new-privs")
        .arg(format!("--bounding-set=-all{kept}"))
        .arg(env!("CARGO_BIN_EXE_aegisbpf"))
        .env("AEGISBPF_PIN_DIR", scene.pins.base())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // As the unit starts it, but for where the policy is and where events go.
    for word in &start[1..] {
        match *word {
            "/etc/aegisbpf/policy.conf" => command.arg(&scene.policy),
            "journald" => command.arg("stdout"),
            word => command.arg(word),
        };
    }
    let mut run = Running::start(command);
    run.says("aegisbpf: audit by ");
    cat(&scene.secret);
    run.line();
    let capabilities = fs::read_to_string(format!("/proc/{}/status", run.id())).unwrap();
    let bounded = capabilities
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap().count_ones());
    assert!(bounded.is_some_and(|kept| kept <= 5), "{capabilities}");
    run.signal(Signal::SIGTERM);
    let done = run.finish();
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!scene.pins.has_pins());
}
