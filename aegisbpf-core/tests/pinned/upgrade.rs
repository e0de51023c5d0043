//! Enforcement goes on while processes come and go.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use aegisbpf_core::{Backend, Emergency, Error, Mode, Policy};

use super::{
    bpffs::BpfFs,
    errand,
    life::{attach, builder, hits, open},
};
use crate::common::{Load, Scene, assert_refused, cat};

pub(crate) fn killing_the_daemon_ends_no_enforcement(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let mut daemon = errand::start(&["run", &backend.to_string(), "enforce"], &fs.base());
    let mut ready = String::new();
    BufReader::new(daemon.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    errand::run(&["apply"], &fs.base(), &scene.policy().to_string());
    assert_refused(&scene.secret);
    assert_eq!(open(&fs.base()).daemon(), Some(daemon.id()));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_refused(&scene.secret);
    let control = open(&fs.base());
    assert_eq!(control.daemon(), None);
    assert_eq!(
        (control.mode(), control.stats().unwrap().hits()),
        (Mode::Enforce, 2)
    );
    // And the policy can still be changed.
    errand::run(&["apply"], &fs.base(), "version=1\n");
    assert!(cat(&scene.secret).status.success());
}

/// Programs or maps that cannot be taken up as they are: the new ones go on where the old ones ended.
pub(crate) fn a_new_set_of_programs_succeeds_the_old_one(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let [one, other] = scene.two_policies();
    let small = || builder(backend, &fs.base()).rule_capacity(10);
    let first = small().event_sample_rate(3);
    let mut aegis = attach(first.policy(other.clone()));
    aegis.apply(&one).unwrap();
    let id = aegis.stats().unwrap().rules[0].rule;
    let log = scene.folder.path().join("emergency.jsonl");
    let mut switch = Emergency::open(fs.base()).unwrap().log(&log);
    switch.disable("a test").unwrap();
    let set = fs::metadata(fs.set()).unwrap().ino();
    drop(aegis);
    for round in 0..3 {
        for _ in 0..5 {
            cat(&scene.secret);
        }
        let larger = small().ring_buffer_bytes(1 << (19 + round));
        let aegis = attach(larger);
        let stats = aegis.stats().unwrap();
        assert_eq!(hits(&stats), 5 * (round + 1));
        assert_eq!(stats.rules[0].rule, id, "the rule keeps its id");
        assert_eq!(stats.cgroups.len(), 1);
        assert_eq!(stats.cgroups[0].audited, 5 * (round + 1));
        assert!(stats.emergency.active);
        assert_eq!(aegis.event_sample_rate().unwrap(), 3);
        assert_eq!(aegis.policy().unwrap(), one);
        assert_eq!(aegis.previous().unwrap(), Some(other.clone()));
        assert!(!aegis.links().is_empty());
        assert!(!Path::new(&format!("{}-new", fs.set().display())).exists());
    }
    assert_ne!(fs::metadata(fs.set()).unwrap().ino(), set);
    // A policy that there was no room for, and its predecessor.
    let many: String = (1..=100).map(|n| format!("1048577:{n}\n")).collect();
    let many: Policy = scene
        .policy_with(&format!("[deny_inode]\n{many}"))
        .to_string()
        .parse()
        .unwrap();
    let mut aegis = attach(builder(backend, &fs.base()).policy(many.clone()));
    assert_eq!(aegis.applied().unwrap().rules, 101);
    assert_eq!(hits(&aegis.stats().unwrap()), 15);
    assert_eq!(aegis.previous().unwrap(), Some(one.clone()));
    aegis.rollback().unwrap();
    assert_eq!(aegis.policy().unwrap(), one);
    // Room that is asked for, for a policy that comes later; and it stays, whatever else is replaced.
    drop(aegis);
    let room = |rules: usize| -> Policy {
        let many: String = (1..=rules).map(|n| format!("1048577:{n}\n")).collect();
        format!("version=1\n[deny_inode]\n{many}").parse().unwrap()
    };
    let mut aegis = attach(builder(backend, &fs.base()).rule_capacity(9_000));
    assert_eq!(aegis.apply(&room(9_000)).unwrap().rules, 9_000);
    drop(aegis);
    let aegis = attach(builder(backend, &fs.base()).ring_buffer_bytes(1 << 17));
    assert_eq!(aegis.policy().unwrap().rules().len(), 9_000);
    drop(aegis);
    let aegis = attach(builder(backend, &fs.base()).rule_capacity(9_100));
    let memory = aegis.stats().unwrap().memory;
    let ring = memory.iter().find(|part| part.of == "events").unwrap();
    assert_eq!(ring.bytes, 1 << 17);
}

pub(crate) fn pins_of_another_version_are_replaced(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let foreign = fs.base().join("v99");
    fs::create_dir_all(foreign.join("links")).unwrap();
    fs::set_permissions(fs.base(), fs::Permissions::from_mode(0o700)).unwrap();
    let refused = builder(backend, &fs.base())
        .load()
        .err()
        .expect("no policy");
    assert!(matches!(refused, Error::AbiMismatch { .. }), "{refused}");
    assert!(foreign.exists());
    let aegis = attach(builder(backend, &fs.base()).policy(scene.policy()));
    assert!(!foreign.exists());
    cat(&scene.secret);
    assert_eq!(hits(&aegis.stats().unwrap()), 1);
    assert_eq!(aegis.applied().unwrap().rules, 1);
}

/// How many processes follow each other, by default. `AEGIS_STARTS` makes it fewer, where each takes the verifier seconds.
fn starts() -> usize {
    let told = std::env::var("AEGIS_STARTS").ok();
    told.and_then(|n| n.parse().ok()).unwrap_or(10)
}

/// One set after the other while a file is opened all the time.
pub(crate) fn no_open_slips_through_a_succession(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let first = builder(backend, &fs.base()).mode(Mode::Enforce);
    drop(attach(first.policy(scene.policy())));
    let load = Load::opening(&scene.secret);
    for start in 0..starts().min(4) {
        let size = 1 << (19 + start % 2);
        let next = attach(builder(backend, &fs.base()).ring_buffer_bytes(size));
        assert_eq!(next.mode(), Mode::Enforce, "the mode was not asked for");
    }
    let done = load.stop();
    assert_eq!(done.succeeded, 0, "an open succeeded");
    let stats = open(&fs.base()).stats().unwrap();
    assert_eq!(stats.blocks(), done.tried, "each was counted once");
}

/// Starts one process after the other over the same pins while a file is opened all the time.
pub(crate) fn no_open_slips_through_a_restart(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let first = builder(backend, &fs.base()).mode(Mode::Enforce);
    drop(attach(first.policy(scene.policy())));
    let load = Load::opening(&scene.secret);
    for start in 0..starts() {
        let policy = scene.two_policies()[start % 2].clone();
        let next = attach(builder(backend, &fs.base()).policy(policy));
        assert_eq!(next.mode(), Mode::Enforce, "the mode was not asked for");
    }
    let done = load.stop();
    assert_eq!(done.succeeded, 0, "an open succeeded");
    let stats = open(&fs.base()).stats().unwrap();
    assert_eq!(stats.blocks(), done.tried, "each was counted once");
}
