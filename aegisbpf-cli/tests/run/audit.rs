//! An audit from its first line to its last.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Done, Running, aegisbpf, bpffs::BpfFs, finish, policy, wait};

pub(crate) const FACTS: &[(&str, fn())] = &[
    ("an_access_is_one_json_line", an_access_is_one_json_line),
    (
        "sigterm_and_sigint_end_it_well",
        sigterm_and_sigint_end_it_well,
    ),
    (
        "events_can_be_turned_off_and_counts_stay",
        events_can_be_turned_off_and_counts_stay,
    ),
    ("a_closed_pipe_ends_it_well", a_closed_pipe_ends_it_well),
    (
        "closed_standard_error_does_not_end_it",
        closed_standard_error_does_not_end_it,
    ),
    (
        "a_name_that_is_not_utf8_does_not_end_it",
        a_name_that_is_not_utf8_does_not_end_it,
    ),
    (
        "without_a_policy_nothing_is_watched",
        without_a_policy_nothing_is_watched,
    ),
    ("doctor_is_content", doctor_is_content),
];

/// A file that the policy denies.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) pins: BpfFs,
    pub(crate) secret: PathBuf,
    pub(crate) policy: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret\n").unwrap();
        let text = format!("version=1\n[deny_path]\n{}\n", secret.display());
        let policy = policy(folder.path(), text);
        Self {
            folder,
            pins: BpfFs::mount(),
            secret,
            policy,
        }
    }

    /// Any verb, on the enforcer of this scene.
    pub(crate) fn verb(&self, args: &[&str]) -> Command {
        let mut command = aegisbpf(args);
        command
            .env("AEGISBPF_PIN_DIR", self.pins.base())
            .process_group(0);
        command
    }

    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = self.verb(&["run", "--audit", "--policy"]);
        command.arg(&self.policy).args(more);
        // A process group of its own, so that what it might leave behind can be found.
        command.process_group(0);
        command
    }

    /// Starts the command and waits until it says that its hooks are attached.
    #[track_caller]
    pub(crate) fn start(&self, more: &[&str]) -> Running {
        let mut command = self.command(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut run = Running::start(command);
        run.says("aegisbpf: audit by ");
        run
    }
}

/// Opens `path` in another process, whose id it gives.
#[track_caller]
pub(crate) fn cat(path: &Path) -> u32 {
    let mut child = Command::new("cat")
        .arg(path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(wait(&mut child).success(), "audit refuses nothing");
    child.id()
}

/// Asks for the end and gives it, with proof that no process is left to hold a hook: hooks that are not pinned go
/// with the last process that holds them, and nothing is pinned.
#[track_caller]
pub(crate) fn stop(run: Running, signal: Signal) -> Done {
    let id = run.id();
    run.signal(signal);
    let done = run.finish();
    assert_none_left(id);
    done
}

#[track_caller]
fn assert_none_left(id: u32) {
    assert!(!Path::new(&format!("/proc/{id}")).exists());
    let group = Pid::from_raw(i32::try_from(id).unwrap());
    assert_eq!(killpg(group, None), Err(Errno::ESRCH));
}

fn an_access_is_one_json_line() {
    let scene = Scene::new();
    let mut run = scene.start(&[]);
    let reader = cat(&scene.secret);
    let event: Value = serde_json::from_str(&run.line()).unwrap();
    assert_eq!(
        (&event["decision"], &event["operation"]),
        (&"audit".into(), &"open".into())
    );
    assert_eq!(event["path"], scene.secret.to_str().unwrap());
    assert_eq!(event["object"], scene.secret.to_str().unwrap());
    assert_eq!(
        (&event["comm"], &event["tgid"]),
        (&"cat".into(), &reader.into())
    );
    let file = event["file"].as_str().unwrap();
    let ino = fs::metadata(&scene.secret).unwrap().ino();
    assert!(file.ends_with(&format!(":{ino}")), "{file}");
    let origin = event["origin"].as_str().unwrap();
    assert!(origin.ends_with("test.conf:3:1"), "{origin}");

    let done = stop(run, Signal::SIGTERM);
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), ""),
        "one access, one line"
    );
    assert!(done.err.contains("1 blocks (audit)"), "{}", done.err);
}

fn sigterm_and_sigint_end_it_well() {
    let scene = Scene::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let run = scene.start(&[]);
        cat(&scene.secret);
        // At once: what was in the ring buffer when the signal came is still told.
        let done = stop(run, signal);
        assert_eq!(done.code, Some(0), "{signal}: {done:?}");
        assert_eq!(done.out.lines().count(), 1, "{signal}: {done:?}");
        assert!(done.err.contains("faults: 0"), "{signal}: {done:?}");
    }
    cat(&scene.secret);
}

fn events_can_be_turned_off_and_counts_stay() {
    let scene = Scene::new();
    let run = scene.start(&["--event-sample-rate", "0"]);
    for _ in 0..3 {
        cat(&scene.secret);
    }
    let done = stop(run, Signal::SIGTERM);
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""));
    assert!(done.err.contains("3 blocks (audit)"), "{done:?}");
    assert!(done.err.contains("3 sampled out"), "{done:?}");
}

fn a_closed_pipe_ends_it_well() {
    let scene = Scene::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = scene.command(&[]);
    command.stdout(writer).stderr(Stdio::piped());
    let mut run = Running::start(command);
    run.says("aegisbpf: audit by ");
    drop(reader);
    let id = run.id();
    cat(&scene.secret);
    let done = run.finish();
    assert_none_left(id);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.err.contains("1 blocks (audit)"),
        "the summary is still told: {done:?}"
    );
}

fn closed_standard_error_does_not_end_it() {
    let scene = Scene::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = scene.command(&[]);
    command.stdout(Stdio::piped()).stderr(writer);
    let mut run = Running::start(command);
    // It cannot say that it is ready, so it is asked until it answers.
    let mut tries = 0;
    let first = loop {
        cat(&scene.secret);
        if let Some(line) = run.line_within(std::time::Duration::from_millis(200)) {
            break line;
        }
        tries += 1;
        assert!(tries < 600, "no event came");
    };
    serde_json::from_str::<Value>(&first).unwrap();
    assert_eq!(stop(run, Signal::SIGTERM).code, Some(0));
}

fn a_name_that_is_not_utf8_does_not_end_it() {
    let scene = Scene::new();
    let link = scene
        .folder
        .path()
        .join(OsStr::from_bytes(b"not \xff utf8"));
    fs::hard_link(&scene.secret, &link).unwrap();
    let mut run = scene.start(&[]);
    cat(&link);
    cat(&scene.secret);
    let odd: Value = serde_json::from_str(&run.line()).unwrap();
    let path = odd["path"].as_str().unwrap();
    assert!(path.ends_with("not \u{fffd} utf8"), "{path}");
    let plain: Value = serde_json::from_str(&run.line()).unwrap();
    assert_eq!(plain["path"], scene.secret.to_str().unwrap());
    assert_eq!(stop(run, Signal::SIGTERM).code, Some(0));
}

fn without_a_policy_nothing_is_watched() {
    let mut command = aegisbpf(["run", "--audit"]);
    command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut run = Running::start(command);
    run.says("cannot reach this run");
    run.says("nothing is watched");
    run.says("no hook attached");
    let done = stop(run, Signal::SIGINT);
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""));
}

fn doctor_is_content() {
    let done = finish(aegisbpf(["doctor"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("the kernel takes them"), "{done:?}");
}
