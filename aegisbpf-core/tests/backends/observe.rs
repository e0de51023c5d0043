//! What only the tracepoint backend shows.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use aegisbpf_core::{Backend, Enforcer, Error, Mode};

use crate::common::Scene;

pub(crate) fn enforcing_is_refused_with_the_remedy(backend: Backend) {
    let scene = Scene::new();
    let refused = Enforcer::builder()
        .backend(backend)
        .mode(Mode::Enforce)
        .policy(scene.policy())
        .attach();
    match refused {
        Err(Error::Unsupported { remedy, .. }) => assert!(remedy.contains("Audit"), "{remedy}"),
        Err(other) => panic!("{}", other.chain()),
        Ok(_) => panic!("a tracepoint enforces nothing"),
    }
    let mut aegis = Enforcer::builder().backend(backend).load().unwrap();
    assert!(matches!(
        aegis.set_mode(Mode::Enforce),
        Err(Error::Unsupported { .. })
    ));
    assert_eq!(aegis.mode(), Mode::Audit);
}

/// What the next test needs, if it is not there.
pub(crate) fn no_system_calls_by_number() -> Option<String> {
    if cfg!(not(target_arch = "x86_64")) {
        return Some("the numbers of the system calls are those of x86_64".into());
    }
    match Command::new("perl").arg("-v").output() {
        Ok(_) => None,
        Err(e) => Some(format!(
            "perl, which makes system calls by number: {e}; apt-get install perl-base"
        )),
    }
}

/// By number, so that no C library chooses another call.
pub(crate) fn every_open_system_call_is_seen(backend: Backend) {
    let scene = Scene::new();
    fs::set_permissions(&scene.secret, fs::Permissions::from_mode(0o600)).unwrap();
    let aegis = Enforcer::builder()
        .backend(backend)
        .policy(scene.policy())
        .attach()
        .unwrap();
    let calls = [
        ("open", "syscall(2, $p, 0)"),
        ("creat", "syscall(85, $p, 0600)"),
        ("openat", "syscall(257, -100, $p, 0, 0)"),
        (
            "openat2",
            "syscall(437, -100, $p, my $how = pack('QQQ', 0, 0, 0), 24)",
        ),
    ];
    for (done, (name, call)) in calls.iter().enumerate() {
        let script = format!("my $p = $ARGV[0]; exit({call} < 0 ? 1 : 0)");
        let status = Command::new("perl")
            .arg("-e")
            .arg(script)
            .arg(&scene.secret)
            .status()
            .unwrap();
        assert!(status.success(), "{name} failed");
        assert_eq!(
            aegis.stats().unwrap().rules[0].audited,
            done as u64 + 1,
            "after {name}"
        );
    }
}
