//! From the first start to the removal.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use aegisbpf_core::{Backend, Control, Enforcer, EnforcerBuilder, Error, Policy, Stats};

use super::{bpffs::BpfFs, errand};
use crate::common::{Scene, cat, open_often, wait_for};

pub(super) fn builder(backend: Backend, base: &Path) -> EnforcerBuilder {
    Enforcer::builder().backend(backend).pin(base)
}

#[track_caller]
pub(super) fn attach(builder: EnforcerBuilder) -> Enforcer {
    builder.attach().unwrap_or_else(|e| panic!("{}", e.chain()))
}

#[track_caller]
pub(super) fn open(base: &Path) -> Control {
    Control::open(base).unwrap_or_else(|e| panic!("{}", e.chain()))
}

#[track_caller]
pub(super) fn hits(stats: &Stats) -> u64 {
    assert_eq!(stats.health.faults(), 0, "{:?}", stats.health);
    stats.hits()
}

pub(crate) fn outlives_its_process(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let aegis = attach(builder(backend, &fs.base()).policy(scene.policy()));
    let links = aegis.links();
    assert!(!links.is_empty());
    drop(aegis);
    cat(&scene.secret);
    let control = open(&fs.base());
    assert_eq!(control.links(), links);
    assert_eq!(hits(&control.stats().unwrap()), 1);
    assert_eq!(control.daemon(), None);
}

pub(crate) fn another_process_has_the_same_verbs(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let [first, second] = scene.two_policies();
    let mut aegis = attach(builder(backend, &fs.base()).policy(first.clone()));
    errand::run(&["apply"], &fs.base(), &second.to_string());
    // The process that runs it sees what the other one did.
    assert_eq!(aegis.policy().unwrap(), second);
    assert_eq!(aegis.previous().unwrap(), Some(first.clone()));
    cat(&scene.plain);
    let stats = aegis.stats().unwrap();
    assert_eq!(stats.rules.len(), 2);
    assert_eq!(hits(&stats), 1);
    assert!(
        stats.rules[1].label.starts_with("errand.conf:"),
        "{:?}",
        stats.rules
    );
    // And goes on from there.
    aegis.rollback().unwrap();
    let text = errand::run(&["policy"], &fs.base(), "");
    assert_eq!(text.parse::<Policy>().unwrap(), first);
    errand::run(&["rollback"], &fs.base(), "");
    assert_eq!(aegis.policy().unwrap(), second);
    // The kept rule met every open, whoever applied.
    cat(&scene.secret);
    assert_eq!(hits(&aegis.stats().unwrap()), 1);
}

pub(crate) fn a_start_takes_up_what_is_pinned(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let first = builder(backend, &fs.base())
        .policy(scene.policy())
        .event_sample_rate(7);
    drop(attach(first));
    open_often(&scene.secret, 10);
    let aegis = attach(builder(backend, &fs.base()));
    assert_eq!(aegis.event_sample_rate().unwrap(), 7);
    assert_eq!(hits(&aegis.stats().unwrap()), 10);
    open_often(&scene.secret, 10);
    assert_eq!(hits(&aegis.stats().unwrap()), 20);
    assert_eq!(aegis.policy().unwrap(), scene.policy());
    drop(aegis);
    // What the builder is told counts.
    let [_, both] = scene.two_policies();
    let told = builder(backend, &fs.base()).policy(both.clone());
    let aegis = attach(told.event_sample_rate(0));
    assert_eq!(aegis.event_sample_rate().unwrap(), 0);
    assert_eq!(aegis.policy().unwrap(), both);
    assert_eq!(hits(&aegis.stats().unwrap()), 20);
}

pub(crate) fn a_second_start_is_refused_with_the_pid(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let aegis = attach(builder(backend, &fs.base()).policy(scene.policy()));
    match builder(backend, &fs.base()).load() {
        Err(Error::Running { dir, pid }) => {
            assert_eq!((dir, pid), (fs.base(), Some(std::process::id())));
        }
        Err(e) => panic!("{}", e.chain()),
        Ok(_) => panic!("two processes run one enforcer"),
    }
    assert_eq!(open(&fs.base()).daemon(), Some(std::process::id()));
    drop(aegis);
    attach(builder(backend, &fs.base()));
}

pub(crate) fn what_is_not_there_is_said(backend: Backend) {
    let fs = BpfFs::mount();
    let at = |base: &Path| Control::open(base).err().expect("there is none");
    assert!(matches!(at(&fs.base()), Error::NotRunning { dir } if dir == fs.base()));
    fs::create_dir_all(fs.base().join("v99")).unwrap();
    assert!(matches!(at(&fs.base()), Error::AbiMismatch { found, .. } if found == [99]));
    let elsewhere = tempfile::tempdir().unwrap();
    match builder(backend, &elsewhere.path().join("x")).load() {
        Err(Error::Unsupported { reason, .. }) => {
            assert!(reason.contains("bpf file system"), "{reason}");
        }
        Err(e) => panic!("{}", e.chain()),
        Ok(_) => panic!("pinned in a file system that cannot hold pins"),
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

pub(crate) fn removing_leaves_nothing(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let aegis = attach(builder(backend, &fs.base()).policy(scene.policy()));
    aegis.unpin().unwrap();
    assert!(!fs.base().exists());
    assert!(matches!(
        Control::open(fs.base()),
        Err(Error::NotRunning { .. })
    ));
}

pub(crate) fn hooks_follow_a_policy_of_another_process(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let aegis = attach(builder(backend, &fs.base()));
    assert!(aegis.links().is_empty());
    errand::run(&["apply"], &fs.base(), &scene.policy().to_string());
    assert!(!aegis.links().is_empty());
    cat(&scene.secret);
    assert_eq!(hits(&aegis.stats().unwrap()), 1);
    errand::run(&["apply"], &fs.base(), "version=1\n");
    assert!(aegis.links().is_empty());
}

pub(crate) fn events_have_one_reader_in_any_process(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let mut aegis = attach(builder(backend, &fs.base()));
    let mut events = aegis.events().unwrap();
    assert!(matches!(aegis.events(), Err(Error::EventsTaken)));
    let refusal = errand::run(&["events"], &fs.base(), "");
    assert!(
        refusal.contains(&format!("process {}", std::process::id())),
        "{refusal}"
    );
    // A rule that another process applied has its words in our events.
    errand::run(&["apply"], &fs.base(), &scene.policy().to_string());
    cat(&scene.secret);
    let event = wait_for(&mut events, |_| true);
    assert_eq!(event.origin.unwrap().source.as_ref(), "errand.conf");
    drop(events);
    let mut control = open(&fs.base());
    let mut events = control.events().unwrap();
    cat(&scene.secret);
    wait_for(&mut events, |_| true);
}

pub(crate) fn single_rules_come_and_go(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let mut aegis = attach(builder(backend, &fs.base()).policy(scene.policy()));
    let one = format!("version=1\n[deny_path]\n{}\n", scene.plain.display());
    cat(&scene.secret);
    errand::run(&["add"], &fs.base(), &one);
    cat(&scene.plain);
    let stats = aegis.stats().unwrap();
    assert_eq!((stats.rules.len(), hits(&stats)), (2, 2));
    errand::run(&["remove"], &fs.base(), &one);
    cat(&scene.plain);
    cat(&scene.secret);
    let stats = aegis.stats().unwrap();
    assert_eq!((stats.rules.len(), hits(&stats)), (1, 2));
    assert_eq!(aegis.policy().unwrap(), scene.policy());
    let error = aegis.remove(&one.parse().unwrap()).unwrap_err();
    assert!(
        matches!(&error, Error::NoSuchRule { rules } if rules.len() == 1),
        "{error}"
    );
    aegis.retain(|_| false).unwrap();
    assert!(aegis.links().is_empty());
}

pub(crate) fn a_directory_of_somebody_else_is_refused(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    fs::create_dir(fs.base()).unwrap();
    std::os::unix::fs::chown(fs.base(), Some(1000), None).unwrap();
    let told = || builder(backend, &fs.base()).policy(scene.policy());
    let refused = told().load().err().expect("it belongs to another user");
    assert!(refused.to_string().contains("user 1000"), "{refused}");
    std::os::unix::fs::chown(fs.base(), Some(0), None).unwrap();
    fs::set_permissions(fs.base(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(told().load().is_err());
    fs::set_permissions(fs.base(), fs::Permissions::from_mode(0o700)).unwrap();
    drop(attach(told()));
    fs::set_permissions(fs.base(), fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(
        Control::open(fs.base()),
        Err(Error::Unsupported { .. })
    ));
}
