//! Emergency and dead-man timer.

use std::{fs, time::Duration};

use aegisbpf_core::{Backend, Emergency, Enforcer, Error, Mode};

use super::{
    bpffs::BpfFs,
    life::{attach, builder, open},
};
use crate::common::{Scene, assert_refused, cat};

fn enforce(backend: Backend, fs: &BpfFs, scene: &Scene) -> Enforcer {
    let builder = builder(backend, &fs.base()).mode(Mode::Enforce);
    attach(builder.policy(scene.policy()))
}

pub(crate) fn an_emergency_is_recorded_and_outlives_policies(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let mut aegis = attach(builder(backend, &fs.base()));
    let log = scene.folder.path().join("log/emergency.jsonl");
    let open_switch = || Emergency::open(fs.base()).unwrap().log(&log);
    assert!(open_switch().status().unwrap().last.is_none());
    let reason = "é".repeat(300);
    open_switch().disable(&reason).unwrap();
    aegis.apply(&scene.policy()).unwrap();
    let emergency = aegis.stats().unwrap().emergency;
    assert!(emergency.active);
    let last = emergency.last.unwrap();
    assert!(reason.starts_with(&last.reason) && last.reason.len() > 200);
    assert_eq!((last.pid, last.uid), (std::process::id(), 0));
    assert!(!open_switch().enable("over").unwrap().active);
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["reason"], *reason, "the log has it whole");
    assert_eq!(lines[0]["action"], "disable");
    assert_eq!(lines[1]["action"], "enable");

    // What cannot be recorded is done all the same, and said.
    let nowhere = Emergency::open(fs.base())
        .unwrap()
        .log("/proc/nothing/here");
    let error = { nowhere }.disable("no disk").unwrap_err();
    assert!(matches!(error, Error::Unrecorded { .. }), "{error}");
    assert!(open_switch().status().unwrap().active);
}

pub(crate) fn an_emergency_waits_for_nobody(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let _aegis = attach(builder(backend, &fs.base()).policy(scene.policy()));
    // Somebody has the turn and keeps it.
    let dir = fs::File::open(fs.base()).unwrap();
    let held = nix::fcntl::Flock::lock(dir, nix::fcntl::FlockArg::LockExclusive).unwrap();
    let log = scene.folder.path().join("emergency.jsonl");
    let mut switch = Emergency::open(fs.base()).unwrap().log(&log);
    assert!(switch.disable("stuck").unwrap().active);
    drop(held);
    assert!(open(&fs.base()).stats().unwrap().emergency.active);
}

pub(crate) fn an_emergency_ends_refusals_at_once(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let mut aegis = enforce(backend, &fs, &scene);
    assert_refused(&scene.secret);
    let log = scene.folder.path().join("emergency.jsonl");
    let mut switch = Emergency::open(fs.base()).unwrap().log(&log);
    switch.disable("a test").unwrap();
    assert!(cat(&scene.secret).status.success());
    let [_, both] = scene.two_policies();
    aegis.apply(&both).unwrap();
    aegis.set_mode(Mode::Enforce).unwrap();
    assert!(cat(&scene.secret).status.success());
    switch.enable("over").unwrap();
    assert_refused(&scene.secret);
    let stats = aegis.stats().unwrap();
    assert_eq!((stats.rules[0].audited, stats.rules[0].denied), (2, 2));
    assert_eq!(stats.health.passed_by_emergency, 2);
}

pub(crate) fn a_silent_daemon_ends_refusals(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let mut aegis = enforce(backend, &fs, &scene);
    aegis
        .set_dead_man(Some(Duration::from_secs(3_600)))
        .unwrap();
    assert_refused(&scene.secret);
    aegis.set_dead_man(Some(Duration::from_nanos(1))).unwrap();
    assert!(cat(&scene.secret).status.success());
    assert!(aegis.stats().unwrap().dead_man.unwrap().expired);
    aegis
        .set_dead_man(Some(Duration::from_secs(3_600)))
        .unwrap();
    aegis.heartbeat().unwrap();
    assert_refused(&scene.secret);
    aegis.set_dead_man(None).unwrap();
    assert_refused(&scene.secret);
    assert_eq!(aegis.stats().unwrap().health.passed_by_dead_man, 1);
}
