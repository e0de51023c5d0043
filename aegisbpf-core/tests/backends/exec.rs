//! Rules about the name of what is executed.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use aegisbpf_core::{Access, Backend, Decision, Enforcer, Mode, Policy};

use super::probe::{EPERM, errno};
use crate::Fact;
use crate::common::{Nested, Scene, wait_for};

/// What rules about names of executables do.
pub(crate) const FACTS: &[(&str, Fact)] = &[
    (
        "a_name_is_the_executed_files_own",
        a_name_is_the_executed_files_own,
    ),
    (
        "a_script_counts_by_its_name_and_by_its_interpreter",
        a_script_counts_by_its_name_and_by_its_interpreter,
    ),
    (
        "an_allowed_cgroup_executes_it_and_audit_counts_it",
        an_allowed_cgroup_executes_it_and_audit_counts_it,
    ),
];

fn attached(backend: Backend, mode: Mode, sections: &str) -> Enforcer {
    let policy: Policy = format!("version=7\n{sections}").parse().unwrap();
    Enforcer::builder()
        .backend(backend)
        .mode(mode)
        .policy(policy)
        .attach()
        .unwrap_or_else(|e| panic!("{}", e.chain()))
}

/// A program of this name that does nothing, in `folder`.
fn program(folder: &Path, name: &str) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    // perl is one program whatever its name is; busybox is not.
    let perl = Command::new("sh")
        .args(["-c", "command -v perl"])
        .output()
        .unwrap();
    let perl = String::from_utf8(perl.stdout).unwrap();
    fs::copy(fs::canonicalize(perl.trim()).unwrap(), &path).unwrap();
    path
}

#[track_caller]
fn runs(path: &Path) -> bool {
    match Command::new(path).args(["-e", "exit 0"]).status() {
        Ok(status) => status.success(),
        Err(e) => {
            assert_eq!(e.raw_os_error(), Some(EPERM), "{}: {e}", path.display());
            false
        }
    }
}

pub(crate) fn a_name_is_the_executed_files_own(backend: Backend) {
    let scene = Scene::new();
    let folder = scene.folder.path();
    let denied = program(folder, "denied-program");
    assert_eq!("denied-program".len(), 14);
    let other = program(folder, "other");
    // The path is longer than 200 bytes, the name as it was.
    let deep = program(
        &folder.join("d".repeat(100)).join("e".repeat(100)),
        "denied-program",
    );
    let (link, misnamed) = (folder.join("innocent"), folder.join("dir"));
    symlink(&denied, &link).unwrap();
    fs::create_dir(&misnamed).unwrap();
    symlink(&other, misnamed.join("denied-program")).unwrap();
    let longer = program(folder, "denied-program-2");
    let mut aegis = attached(backend, Mode::Enforce, "[deny_comm]\ndenied-program\n");
    let mut events = aegis.events().unwrap();
    assert!(!runs(&denied));
    assert!(!runs(&deep));
    assert!(!runs(&link), "through a symbolic link of another name");
    assert!(runs(&other));
    assert!(
        runs(&misnamed.join("denied-program")),
        "only the link is called so"
    );
    assert!(runs(&longer), "a longer name is another name");
    let event = wait_for(&mut events, |_| true);
    assert_eq!(
        (event.decision, event.operation),
        (Decision::Deny, Access::Exec)
    );
    // fexecve: an open descriptor, by its number and by execveat with an empty path.
    let by_descriptor = format!(
        "open(my $f, '<', '{}') or exit 98; $^F = 255; exec '/proc/self/fd/' . fileno($f), '-e', 'exit 0'; end(0)",
        denied.display()
    );
    assert_eq!(errno(&by_descriptor), EPERM);
    let execveat = format!(
        "open(my $f, '<', '{}') or exit 98; my ($e, $n) = ('', 'prog'); \
         my ($argv, $envp) = (pack('p Q', $n, 0), pack('Q', 0)); \
         syscall(322, fileno($f), $e, $argv, $envp, 0x1000); end(0)",
        denied.display()
    );
    assert_eq!(errno(&execveat), EPERM);
    assert_eq!(aegis.stats().unwrap().rules[0].denied, 5);
}

pub(crate) fn a_script_counts_by_its_name_and_by_its_interpreter(backend: Backend) {
    let scene = Scene::new();
    let folder = scene.folder.path();
    let interpreter = program(folder, "interpreter");
    let script = folder.join("script");
    fs::write(&script, format!("#!{}\nexit 0;\n", interpreter.display())).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(runs(&script));
    let mut aegis = attached(backend, Mode::Enforce, "[deny_comm]\nscript\n");
    assert!(!runs(&script));
    assert!(runs(&interpreter));
    let next: Policy = "version=7\n[deny_comm]\ninterpreter\n".parse().unwrap();
    aegis.apply(&next).unwrap();
    assert!(!runs(&script));
    aegis.apply(&"version=7\n".parse().unwrap()).unwrap();
    assert!(runs(&script) && aegis.links().is_empty());
}

pub(crate) fn an_allowed_cgroup_executes_it_and_audit_counts_it(backend: Backend) {
    let (scene, cgroups) = (Scene::new(), Nested::new());
    let denied = program(scene.folder.path(), "denied");
    let mut aegis = attached(
        backend,
        Mode::Enforce,
        &format!("[deny_comm]\ndenied\n[allow_cgroup]\n{}\n", cgroups.entry),
    );
    let status = Command::new("sh")
        .args([
            "-c",
            "echo $$ > \"$1/cgroup.procs\" && exec \"$2\" -e 'exit 0'",
            "sh",
        ])
        .arg(&cgroups.inner.0)
        .arg(&denied)
        .status()
        .unwrap();
    assert!(status.success());
    assert!(!runs(&denied));
    aegis.set_mode(Mode::Audit).unwrap();
    assert!(runs(&denied));
    let rule = &aegis.stats().unwrap().rules[0];
    assert_eq!((rule.audited, rule.denied, rule.exempted), (1, 1, 1));
}
