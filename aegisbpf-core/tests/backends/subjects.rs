//! Who asks: cgroups with all below them, rules of single cgroups, exceptions of single executables.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use aegisbpf_core::{Backend, Enforcer, FileId, Mode, Policy};

use super::probe::{EPERM, errno, errno_in};
use crate::Fact;
use crate::common::{Nested, Scene, cat, cat_in};

/// What rules about who asks do.
pub(crate) const FACTS: &[(&str, Fact)] = &[
    (
        "a_cgroup_s_own_rules_hold_for_it_and_all_below",
        a_cgroup_s_own_rules_hold_for_it_and_all_below,
    ),
    (
        "an_allowed_cgroup_and_its_own_rules",
        an_allowed_cgroup_and_its_own_rules,
    ),
    (
        "an_executable_may_access_what_it_is_excepted_from",
        an_executable_may_access_what_it_is_excepted_from,
    ),
];

fn enforce(backend: Backend, sections: &str) -> Enforcer {
    let policy: Policy = format!("version=7\n{sections}")
        .parse()
        .unwrap_or_else(|e| panic!("{e}"));
    Enforcer::builder()
        .backend(backend)
        .mode(Mode::Enforce)
        .policy(policy)
        .attach()
        .unwrap_or_else(|e| panic!("{}", e.chain()))
}

fn identity(path: &Path) -> FileId {
    let meta = fs::metadata(path).unwrap();
    FileId::from_stat(meta.dev(), meta.ino())
}

pub(crate) fn a_cgroup_s_own_rules_hold_for_it_and_all_below(backend: Backend) {
    let (scene, cgroups) = (Scene::new(), Nested::new());
    let name = &cgroups.entry;
    let aegis = enforce(
        backend,
        &format!(
            "[cgroup_deny_inode]\n{name} {}\n[cgroup_deny_ip]\n{name} 127.0.0.2\n[cgroup_deny_port]\n{name} 9005:udp:egress\n",
            identity(&scene.secret)
        ),
    );
    let (address, port) = (
        "end(connect(tcp, v4('127.0.0.2', 9)))",
        "end(connect(udp, v4('127.0.0.1', 9005)))",
    );
    for cgroup in [&cgroups.outer.0, &cgroups.inner.0] {
        assert!(!cat_in(cgroup, &scene.secret).status.success());
        assert!(cat_in(cgroup, &scene.plain).status.success());
        assert_eq!(errno_in(cgroup, address), EPERM);
        assert_eq!(errno_in(cgroup, port), EPERM);
        assert_eq!(errno_in(cgroup, "end(bind(udp, v4('127.0.0.1', 9005)))"), 0);
    }
    assert!(cat(&scene.secret).status.success(), "outside the cgroup");
    assert_eq!(errno(address), 111);
    assert_eq!(errno(port), 0);
    let denied: Vec<_> = aegis
        .stats()
        .unwrap()
        .rules
        .iter()
        .map(|r| r.denied)
        .collect();
    assert_eq!(denied, [2, 2, 2]);
}

/// For files a cgroup's own rule beats its exemption; for the network the exemption beats the rule.
pub(crate) fn an_allowed_cgroup_and_its_own_rules(backend: Backend) {
    let (scene, cgroups) = (Scene::new(), Nested::new());
    let name = &cgroups.entry;
    let file = identity(&scene.secret);
    let _aegis = enforce(
        backend,
        &format!(
            "[allow_cgroup]\n{name}\n[deny_inode]\n{}\n[deny_ip]\n127.0.0.3\n[cgroup_deny_inode]\n{name} {file}\n[cgroup_deny_ip]\n{name} 127.0.0.2\n",
            identity(&scene.plain)
        ),
    );
    let inner = &cgroups.inner.0;
    assert!(cat_in(inner, &scene.plain).status.success());
    assert!(!cat(&scene.plain).status.success());
    assert!(!cat_in(inner, &scene.secret).status.success());
    assert_eq!(errno_in(inner, "end(connect(udp, v4('127.0.0.2', 9)))"), 0);
    assert_eq!(errno_in(inner, "end(connect(udp, v4('127.0.0.3', 9)))"), 0);
    assert_eq!(errno("end(connect(udp, v4('127.0.0.3', 9)))"), EPERM);
}

/// A copy of a program under its own name elsewhere: another executable.
fn copy_of(program: &str, folder: &Path) -> PathBuf {
    fs::create_dir(folder).unwrap();
    let copy = folder.join(program);
    let original = fs::canonicalize(Path::new("/bin").join(program)).unwrap();
    fs::copy(original, &copy).unwrap();
    copy
}

pub(crate) fn an_executable_may_access_what_it_is_excepted_from(backend: Backend) {
    let scene = Scene::new();
    let reader = copy_of("cat", &scene.folder.path().join("bin"));
    let other = copy_of("cat", &scene.folder.path().join("other"));
    let aegis = enforce(
        backend,
        &format!(
            "[deny_path]\n{secret}\n{plain}\n[allow_exec]\n{} {secret}\n",
            reader.display(),
            secret = scene.secret.display(),
            plain = scene.plain.display(),
        ),
    );
    let opens = |program: &Path, file: &Path| {
        let output = Command::new(program).arg(file).output().unwrap();
        output.status.success()
    };
    assert!(opens(&reader, &scene.secret));
    assert!(
        !opens(&reader, &scene.plain),
        "the exception is for one file"
    );
    assert!(!opens(&other, &scene.secret), "and for one executable");
    assert!(!cat(&scene.secret).status.success());
    // Not the name counts: a link to the executable is the executable.
    let link = scene.folder.path().join("cat");
    std::os::unix::fs::symlink(&reader, &link).unwrap();
    assert!(opens(&link, &scene.secret));
    assert_eq!(aegis.stats().unwrap().rules[0].exempted, 2);
}

/// Threads come and go: no table of ours fills by them, and the last is denied as the first.
pub(crate) fn seventy_thousand_threads_leave_nothing_behind(backend: Backend) {
    let scene = Scene::new();
    let policy = scene.policy();
    let aegis = Enforcer::builder()
        .backend(backend)
        .event_sample_rate(0)
        .policy(policy)
        .attach()
        .unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .env(THREADS, &scene.secret)
        .status()
        .unwrap();
    assert!(status.success());
    let stats = aegis.stats().unwrap();
    assert_eq!(stats.rules[0].audited, short_lived());
    assert_eq!(stats.health.faults(), 0);
    assert_eq!(stats.cgroups.len(), 1, "one cgroup, one entry");
}

/// How many threads there are, by default. `AEGIS_THREADS` makes it fewer, for emulated machines: to fill any table of ours
/// that fills by itself (2^14 entries) 20,000 do.
fn short_lived() -> u64 {
    let told = std::env::var("AEGIS_THREADS").ok();
    told.and_then(|n| n.parse().ok()).unwrap_or(70_000)
}

const THREADS: &str = "AEGIS_TEST_THREADS";

/// If this process is the one that the test above starts: opens a file from so many threads, one after another.
pub(crate) fn be_the_threads() -> bool {
    let Some(path) = std::env::var_os(THREADS) else {
        return false;
    };
    for _ in 0..short_lived() {
        let path = path.clone();
        std::thread::spawn(move || fs::File::open(path).unwrap())
            .join()
            .unwrap();
    }
    true
}
