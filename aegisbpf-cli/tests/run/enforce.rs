//! `run --enforce`, on kernels that can.

use std::{fs, io::ErrorKind, path::Path, process::Stdio};

use nix::sys::signal::Signal;

use super::{
    across::Stage,
    audit::{Scene, stop},
};
use crate::common::{AT_MOST, Running, finish};

pub(crate) const FACTS: &[(&str, fn())] = &[
    (
        "a_policy_from_another_process_refuses",
        a_policy_from_another_process_refuses,
    ),
    (
        "it_outlives_a_kill_and_is_taken_up",
        it_outlives_a_kill_and_is_taken_up,
    ),
    (
        "it_outlives_an_orderly_end_unless_asked",
        it_outlives_an_orderly_end_unless_asked,
    ),
    (
        "an_emergency_lets_everything_pass",
        an_emergency_lets_everything_pass,
    ),
    (
        "a_silent_run_lets_everything_pass",
        a_silent_run_lets_everything_pass,
    ),
    ("network_rules_refuse", network_rules_refuse),
    (
        "deny_bpf_leaves_this_command_its_way",
        deny_bpf_leaves_this_command_its_way,
    ),
];

/// Why nothing can be refused here.
pub(crate) fn missing() -> Option<String> {
    let lacking = super::cannot(aegisbpf_core::Mode::Enforce);
    assert!(
        lacking.is_none() || std::env::var_os("AEGIS_IN_VM").is_none(),
        "our own virtual machine can refuse: {lacking:?}"
    );
    lacking
}

const MODE: &[&str] = &["--enforce"];

#[track_caller]
fn refused(path: &Path) {
    let error = fs::read(path).expect_err("it was not refused");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[track_caller]
fn passes(path: &Path) {
    fs::read(path).unwrap();
}

fn a_policy_from_another_process_refuses() {
    let mut stage = Stage::run(&["--enforce", "--no-pin"]);
    let secret = stage.scene.secret.clone();
    passes(&secret);
    stage.apply();
    refused(&secret);
    let event: serde_json::Value = serde_json::from_str(&stage.run.line()).unwrap();
    assert_eq!(
        (&event["decision"], &event["operation"]),
        (&"deny".into(), &"open".into())
    );
    assert_eq!(event["path"], secret.to_str().unwrap());
    let stats = stage.json(&["stats", "--json"]);
    assert_eq!(
        (&stats["mode"], &stats["denied"]),
        (&"enforce".into(), &1.into())
    );
    assert!(stage.ok(&["stats"]).contains("Blocks (denied): 1\n"));
    stage.ok(&["block", "del", secret.to_str().unwrap()]);
    passes(&secret);
    stage.ok(&["policy", "rollback"]);
    refused(&secret);
    assert_eq!(stop(stage.run, Signal::SIGTERM).code, Some(0));
    passes(&secret);
}

fn it_outlives_a_kill_and_is_taken_up() {
    let stage = Stage::run(MODE);
    let secret = stage.scene.secret.clone();
    stage.apply();
    stage.run.signal(Signal::SIGKILL);
    let Stage { scene, run } = stage;
    assert_eq!(run.finish().code, None);
    refused(&secret);
    let text = finish(scene.verb(&["stats"])).out;
    assert!(text.contains("nobody reads the events"), "{text}");
    // Other processes still command it.
    let done = finish(scene.verb(&["policy", "export"]));
    assert!(done.out.contains(secret.to_str().unwrap()), "{done:?}");

    let mut command = scene.verb(&["run", "--enforce", "--no-pin"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = Running::start(command);
    run.says("aegisbpf: enforce by ");
    refused(&secret);
    let done = stop(run, Signal::SIGTERM);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.err.contains("2 denied"),
        "the counters went on: {done:?}"
    );
    passes(&secret);
    assert!(!scene.pins.has_pins());
}

fn it_outlives_an_orderly_end_unless_asked() {
    let stage = Stage::run(MODE);
    let secret = stage.scene.secret.clone();
    stage.apply();
    let Stage { scene, run } = stage;
    let done = stop(run, Signal::SIGTERM);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("still enforce by"), "{done:?}");
    refused(&secret);
    drop(scene);
}

fn an_emergency_lets_everything_pass() {
    let stage = Stage::run(&["--enforce", "--no-pin"]);
    let secret = stage.scene.secret.clone();
    stage.apply();
    refused(&secret);
    let log = stage.scene.folder.path().join("log");
    let log = log.to_str().unwrap();
    stage.ok(&["emergency", "disable", "--reason", "test", "--log", log]);
    passes(&secret);
    let stats = stage.json(&["stats", "--json"]);
    assert_eq!(
        (&stats["denied"], &stats["audited"]),
        (&1.into(), &1.into())
    );
    assert_eq!(stats["events"]["passed_by_emergency"], 1);
    stage.ok(&["emergency", "enable", "--log", log]);
    refused(&secret);
}

fn a_silent_run_lets_everything_pass() {
    let stage = Stage::run(&["--enforce", "--no-pin", "--deadman", "2"]);
    let secret = stage.scene.secret.clone();
    stage.apply();
    let until = std::time::Instant::now() + AT_MOST;
    let wait = |passes: bool| {
        while fs::read(&secret).is_ok() != passes {
            assert!(
                std::time::Instant::now() < until,
                "passes: {passes} never came"
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    wait(false);
    stage.run.signal(Signal::SIGSTOP);
    wait(true);
    stage.run.signal(Signal::SIGCONT);
    wait(false);
}

fn network_rules_refuse() {
    let stage = Stage::run(&["--enforce", "--no-pin"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    let connect = || std::net::TcpStream::connect(peer).map(drop);
    connect().unwrap();
    let port = format!("{}:tcp:egress", peer.port());
    stage.ok(&["network", "deny", "add", &port]);
    assert_eq!(connect().unwrap_err().kind(), ErrorKind::PermissionDenied);
    let list = stage.json(&["network", "deny", "list", "--json"]);
    assert_eq!(list[0]["denied"], 1, "{list}");
    stage.ok(&["network", "deny", "del", &port]);
    connect().unwrap();
    let endpoint = peer.to_string();
    stage.ok(&["network", "deny", "add", &endpoint]);
    assert_eq!(connect().unwrap_err().kind(), ErrorKind::PermissionDenied);
    stage.ok(&["network", "deny", "clear"]);
    connect().unwrap();
}

/// The executable that runs the enforcer may call bpf(2) in every process; a copy of it may not.
fn deny_bpf_leaves_this_command_its_way() {
    let stage = Stage::run(&["--enforce", "--no-pin"]);
    fs::write(&stage.scene.policy, "version=1\n[deny_bpf]\n").unwrap();
    stage.apply();
    stage.ok(&["stats"]);
    stage.ok(&["emergency", "status"]);
    let copy = stage.scene.folder.path().join("copy");
    fs::copy(env!("CARGO_BIN_EXE_aegisbpf"), &copy).unwrap();
    let mut stranger = std::process::Command::new(&copy);
    stranger
        .arg("stats")
        .env("AEGISBPF_PIN_DIR", stage.scene.pins.base());
    let done = finish(stranger);
    assert!(!matches!(done.code, Some(0 | 2 | 5)), "{done:?}");
    let stats = stage.json(&["stats", "--json"]);
    assert!(stats["denied"].as_u64().unwrap() > 0, "{stats}");
    let nothing = stage.write("nothing", "version=1\n");
    stage.ok(&["policy", "apply", nothing.to_str().unwrap()]);
    assert_eq!(stop(stage.run, Signal::SIGTERM).code, Some(0));
}

/// Where the kernel cannot refuse: the gate.
pub(crate) const GATE: &[(&str, fn())] =
    &[("fails_closed_unless_asked", fails_closed_unless_asked)];

/// Why the gate cannot be seen here.
pub(crate) fn gate_missing() -> Option<String> {
    match missing() {
        None => Some("this kernel enforces, so nothing closes the gate".to_owned()),
        Some(_) => super::no_kernel(),
    }
}

fn fails_closed_unless_asked() {
    let scene = Scene::new();
    for gate in [&[][..], &["--enforce-gate", "fail-closed"]] {
        let done = finish(scene.verb(&[&["run", "--enforce"][..], gate].concat()));
        assert_eq!((done.code, done.out.as_str()), (Some(4), ""), "{done:?}");
        assert!(done.err.contains("help: "), "{done:?}");
        assert!(!scene.pins.has_pins());
    }
    let mut command = scene.verb(&["run", "--enforce", "--enforce-gate", "audit-fallback"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = Running::start(command);
    run.says("AUDIT ONLY, nothing is refused");
    run.says("aegisbpf: audit by ");
    let done = stop(run, Signal::SIGTERM);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(!scene.pins.has_pins(), "an audit leaves nothing");
}
