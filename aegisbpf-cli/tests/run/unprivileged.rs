//! A user who may do nothing.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
};

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::common::{Done, aegisbpf, finish, policy};

pub(crate) const FACTS: &[(&str, fn())] = &[
    ("policy_check_works", policy_check_works),
    (
        "run_is_refused_with_the_remedy_and_leaves_nothing",
        run_is_refused_with_the_remedy_and_leaves_nothing,
    ),
    ("doctor_says_what_is_missing", doctor_says_what_is_missing),
];

const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// Why we cannot be nobody here.
pub(crate) fn missing() -> Option<String> {
    if !geteuid().is_root() {
        return None; // we are nobody already
    }
    let tried = Command::new("setpriv").args(NOBODY).arg("true").output();
    match tried {
        Ok(out) if out.status.success() => None,
        Ok(out) => Some(format!(
            "setpriv, which drops privileges: {}; apt-get install util-linux",
            String::from_utf8_lossy(&out.stderr)
                .lines()
                .next()
                .unwrap_or_default()
        )),
        Err(e) => Some(format!(
            "setpriv, which drops privileges: {e}; apt-get install util-linux"
        )),
    }
}

/// The command and a policy, where everybody may read them.
struct Scene {
    folder: TempDir,
    program: PathBuf,
    policy: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let program = folder.path().join("aegisbpf");
        fs::copy(env!("CARGO_BIN_EXE_aegisbpf"), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let policy = policy(folder.path(), "version=1\n[deny_path]\n/etc/passwd\n");
        Self {
            folder,
            program,
            policy,
        }
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Done {
        if !geteuid().is_root() {
            return finish(aegisbpf(args));
        }
        let mut command = Command::new("setpriv");
        command
            .args(NOBODY)
            .arg(&self.program)
            .args(args)
            .current_dir(self.folder.path());
        finish(command)
    }
}

fn policy_check_works() {
    let scene = Scene::new();
    let done = scene.run(&["policy", "check", scene.policy.to_str().unwrap()]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    assert!(
        done.out.contains("valid, 1 rule, 0 of them unresolved"),
        "{done:?}"
    );
}

fn run_is_refused_with_the_remedy_and_leaves_nothing() {
    let scene = Scene::new();
    let mounts = || fs::read_to_string("/proc/self/mounts").unwrap();
    let before = mounts();
    let done = scene.run(&["run", "--audit", "--policy", scene.policy.to_str().unwrap()]);
    assert_eq!((done.code, done.out.as_str()), (Some(4), ""), "{done:?}");
    assert!(done.err.contains("help: run as root"), "{done:?}");
    assert_eq!(mounts(), before);
    let left: Vec<_> = fs::read_dir(scene.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

fn doctor_says_what_is_missing() {
    let scene = Scene::new();
    let done = scene.run(&["doctor"]);
    assert_eq!((done.code, done.err.as_str()), (Some(4), ""), "{done:?}");
    assert!(done.out.contains("loading programs needs root"), "{done:?}");
}
