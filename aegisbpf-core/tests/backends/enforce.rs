//! What only security hooks can do: refuse.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    process::Command,
};

use aegisbpf_core::{Backend, Enforcer, Error, Mode, Policy};

use crate::common::{Load, Nested, Scene, assert_refused, cat, cat_in, change_during};

fn enforce(backend: Backend, policy: Policy) -> Enforcer {
    Enforcer::builder()
        .backend(backend)
        .mode(Mode::Enforce)
        .policy(policy)
        .attach()
        .unwrap_or_else(|e| panic!("{}", e.chain()))
}

pub(crate) fn a_denied_file_is_refused_with_eperm(backend: Backend) {
    let scene = Scene::new();
    let hard = scene.folder.path().join("hard");
    fs::hard_link(&scene.secret, &hard).unwrap();
    let mut aegis = enforce(backend, scene.policy());
    let mut events = aegis.events().unwrap();
    assert_refused(&scene.secret);
    assert_refused(&hard);
    assert!(cat(&scene.plain).status.success());
    let stats = aegis.stats().unwrap();
    assert_eq!((stats.rules[0].audited, stats.rules[0].denied), (0, 2));
    let event = crate::common::wait_for(&mut events, |_| true);
    assert_eq!(event.decision, aegisbpf_core::Decision::Deny);
    assert_eq!(event.path.as_deref(), Some(scene.secret.as_path()));
}

pub(crate) fn a_denied_program_is_not_executed(backend: Backend) {
    let scene = Scene::new();
    let program = scene.folder.path().join("cat");
    fs::copy(fs::canonicalize("/bin/cat").unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(
        Command::new(&program)
            .arg("/dev/null")
            .status()
            .unwrap()
            .success()
    );
    let policy = format!("version=1\n[deny_path]\n{}\n", program.display());
    let _aegis = enforce(backend, policy.parse().unwrap());
    let refused = Command::new(&program)
        .arg("/dev/null")
        .status()
        .unwrap_err();
    assert_eq!(
        refused.raw_os_error(),
        Some(nix::errno::Errno::EPERM as i32)
    );
}

pub(crate) fn the_mode_changes_while_attached(backend: Backend) {
    let scene = Scene::new();
    let mut aegis = enforce(backend, scene.policy());
    assert_refused(&scene.secret);
    aegis.set_mode(Mode::Audit).unwrap();
    assert!(cat(&scene.secret).status.success());
    aegis.set_mode(Mode::Enforce).unwrap();
    assert_refused(&scene.secret);
    let stats = aegis.stats().unwrap();
    assert_eq!((stats.rules[0].audited, stats.rules[0].denied), (1, 2));
}

pub(crate) fn an_allowed_cgroup_may_open_a_denied_file(backend: Backend) {
    let scene = Scene::new();
    let cgroups = Nested::new();
    let aegis = enforce(
        backend,
        scene.policy_with(&format!("[allow_cgroup]\n{}\n", cgroups.entry)),
    );
    assert!(cat_in(&cgroups.outer.0, &scene.secret).status.success());
    assert!(cat_in(&cgroups.inner.0, &scene.secret).status.success());
    assert_refused(&scene.secret);
    assert!(
        File::open(&scene.secret).is_ok(),
        "the enforcer itself is never denied"
    );
    let rule = &aegis.stats().unwrap().rules[0];
    assert_eq!((rule.denied, rule.exempted), (1, 3));
}

pub(crate) fn nothing_is_denied_after_exit(backend: Backend) {
    let scene = Scene::new();
    let aegis = enforce(backend, scene.policy());
    assert_refused(&scene.secret);
    drop(aegis);
    assert!(cat(&scene.secret).status.success());
}

/// What attaches belongs to the test that does it, and goes with its stack however that ends.
pub(crate) fn a_failing_test_leaves_nothing_attached(backend: Backend) {
    let scene = Scene::new();
    let failed = std::panic::catch_unwind(|| {
        let _aegis = enforce(backend, scene.policy());
        assert_refused(&scene.secret);
        panic!("this is meant to fail, after it has attached");
    });
    assert!(failed.is_err());
    assert_eq!(crate::common::held_bpf_descriptors(), 0);
    assert!(cat(&scene.secret).status.success());
}

/// The denied file is in both policies: no open may succeed at any moment of a change.
pub(crate) fn no_open_slips_through_while_policies_change(backend: Backend) {
    let scene = Scene::new();
    let policies = scene.two_policies();
    let mut aegis = enforce(backend, policies[0].clone());
    let done = change_during(&mut aegis, &policies, Load::opening(&scene.secret));
    assert_eq!(done.succeeded, 0, "an open succeeded");
    assert_eq!(aegis.stats().unwrap().rules[0].denied, done.tried);
}

pub(crate) fn the_empty_hook_class_is_not_attached(backend: Backend) {
    let mut aegis = enforce(backend, "version=1\n".parse().unwrap());
    assert!(aegis.links().is_empty());
    let scene = Scene::new();
    aegis.apply(&scene.policy()).unwrap();
    let hook = match backend {
        Backend::Lsm => "lsm/file_open",
        _ => "modify_return/security_file_open",
    };
    assert!(aegis.links().iter().any(|link| link == hook));
    assert_refused(&scene.secret);
    aegis.apply(&"version=1\n".parse().unwrap()).unwrap();
    assert!(aegis.links().is_empty());
    assert!(cat(&scene.secret).status.success());
}

/// Where the active LSM list lacks bpf, such programs attach and never run. So another backend enforces or, where
/// that is not safe either, none: never this one.
pub(crate) fn lsm_is_refused_where_it_would_never_run() {
    let list = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    let has_bpf = list.trim().split(',').any(|name| name == "bpf");
    match (has_bpf, Enforcer::builder().mode(Mode::Enforce).load()) {
        (true, Ok(aegis)) => assert_eq!(aegis.backend(), Backend::Lsm),
        (false, Ok(aegis)) => {
            assert_eq!(aegis.backend(), Backend::ModifyReturn);
            let asked = Enforcer::builder().backend(Backend::Lsm).load();
            assert!(matches!(asked, Err(Error::Unsupported { .. })));
        }
        (false, Err(Error::Unsupported { reason, remedy, .. })) => {
            assert!(
                reason.contains("LSM") || reason.contains("kernel refused"),
                "{reason}"
            );
            assert!(!remedy.is_empty());
        }
        (_, Err(error)) => panic!("{}", error.chain()),
    }
}

/// On a fully preemptible kernel the backend enforces only if it was asked for by name.
pub(crate) fn modify_return_is_refused_where_programs_are_skipped() {
    let asked = Enforcer::builder()
        .backend(Backend::ModifyReturn)
        .mode(Mode::Enforce)
        .load()
        .unwrap_or_else(|e| panic!("{}", e.chain()));
    assert_eq!(asked.stats().unwrap().missed_runs, 0);
    drop(asked);
    let modes = fs::read_to_string("/sys/kernel/debug/sched/preempt").unwrap_or_default();
    let lsm = Enforcer::builder().backend(Backend::Lsm).load().is_ok();
    match Enforcer::builder().mode(Mode::Enforce).load() {
        Ok(aegis) if lsm => assert_eq!(aegis.backend(), Backend::Lsm),
        Ok(aegis) => {
            assert!(!modes.contains("(full)"), "{modes}");
            assert_eq!(aegis.backend(), Backend::ModifyReturn);
        }
        Err(Error::Unsupported { reason, remedy, .. }) => {
            assert!(modes.contains("(full)"), "{modes}: {reason}");
            assert!(reason.contains("slip through"), "{reason}");
            assert!(remedy.contains("--backend modify_return"), "{remedy}");
        }
        Err(error) => panic!("{}", error.chain()),
    }
}
