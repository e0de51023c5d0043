//! What the tests on a real kernel share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "each test program uses a part; a panic is how a test fails"
)]

mod vm;

use std::{
    fs,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use aegisbpf_core::{Backend, Enforcer, Error, Event, Events, Mode, Policy, cgroup::CgroupTree};
use tempfile::TempDir;

/// A folder with a file that the policy denies and one that it does not.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) secret: PathBuf,
    pub(crate) plain: PathBuf,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        let plain = folder.path().join("plain");
        fs::write(&secret, "secret\n").unwrap();
        fs::write(&plain, "plain\n").unwrap();
        Self {
            folder,
            secret,
            plain,
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        self.policy_with("")
    }

    /// Two policies that both deny `secret`, under different neighbours.
    pub(crate) fn two_policies(&self) -> [Policy; 2] {
        let both = format!(
            "version=1\n[deny_path]\n{}\n{}\n",
            self.plain.display(),
            self.secret.display()
        );
        [self.policy(), both.parse().unwrap()]
    }

    pub(crate) fn policy_with(&self, more: &str) -> Policy {
        format!("version=1\n[deny_path]\n{}\n{more}", self.secret.display())
            .parse()
            .unwrap()
    }
}

/// Why the tests of `backend` cannot run here, or that they can.
pub(crate) fn missing(backend: Backend, mode: Mode) -> Option<String> {
    match Enforcer::builder().backend(backend).mode(mode).load() {
        Ok(_) => None,
        Err(error @ Error::Unsupported { .. }) => {
            let reason = error.chain().replace('\n', "; ");
            vm::must_not_lack(backend, &reason);
            Some(reason)
        }
        Err(error) => panic!("{}", error.chain()),
    }
}

/// Opens `path` in another process, since our own is never denied.
pub(crate) fn cat(path: &Path) -> Output {
    Command::new("cat").arg(path).output().unwrap()
}

/// Opens `path` from inside the cgroup directory `cgroup`.
pub(crate) fn cat_in(cgroup: &Path, path: &Path) -> Output {
    let script = "echo $$ > \"$1/cgroup.procs\" && exec cat \"$2\"";
    Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(cgroup)
        .arg(path)
        .output()
        .unwrap()
}

/// The first event that `wanted` likes, waited for with a bound.
pub(crate) fn wait_for(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        while let Some(event) = events.try_next().unwrap() {
            if wanted(&event) {
                return event;
            }
        }
        events.wait().unwrap();
    }
    panic!("no such event came");
}

/// A cgroup2 directory of our own, removed at the end.
pub(crate) struct Cgroup(pub(crate) PathBuf);

impl Cgroup {
    pub(crate) fn new(below: &Path, name: &str) -> Self {
        let path = below.join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

/// A cgroup with another one in it, and how a policy names the outer one.
pub(crate) struct Nested {
    pub(crate) inner: Cgroup,
    pub(crate) outer: Cgroup,
    pub(crate) entry: String,
}

impl Nested {
    pub(crate) fn new() -> Self {
        let tree = CgroupTree::find().unwrap();
        let name = format!("aegis-test-{}", std::process::id());
        let outer = Cgroup::new(tree.root(), &name);
        // Fields are dropped in their order: the inner directory has to go first.
        Self {
            inner: Cgroup::new(&outer.0, "inner"),
            outer,
            entry: format!("/{name}"),
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last member may still be on its way out.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// BPF objects that this process holds: none may be left when an enforcer is gone.
pub(crate) fn held_bpf_descriptors() -> usize {
    fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
        .filter(|target| target.to_string_lossy().contains("bpf"))
        .count()
}

/// Opens `path` so often in another process, without a child for each.
pub(crate) fn open_often(path: &Path, times: usize) {
    // `true` as the condition's command: a refused redirection makes it false, an opened one true.
    let script = "i=0; ok=1; while [ $i -lt $2 ]; do if true < \"$1\"; then ok=0; fi; i=$((i+1)); done; exit $ok";
    let status = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(path)
        .arg(times.to_string())
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

/// A process that does something again and again until it is told to stop, and then says how often it did so and how
/// often that succeeded. So no load ends before the thing it is a load for, however slow the machine.
pub(crate) struct Load {
    process: Child,
    stop: TempDir,
}

/// What a load did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) tried: u64,
    pub(crate) succeeded: u64,
}

impl Load {
    /// `command` makes the process that works until the file whose path it is given exists, and writes two numbers.
    pub(crate) fn start(command: impl FnOnce(&Path) -> Command) -> Self {
        let stop = tempfile::tempdir().unwrap();
        let process = command(&stop.path().join("stop"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, stop }
    }

    /// Opens `path`.
    pub(crate) fn opening(path: &Path) -> Self {
        let script = "i=0; ok=0; while [ ! -e \"$2\" ]; do \
            if true < \"$1\"; then ok=$((ok+1)); fi; i=$((i+1)); done; echo $i $ok";
        Self::start(|stop| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script, "sh"]).arg(path).arg(stop);
            shell
        })
    }

    #[track_caller]
    pub(crate) fn stop(self) -> Done {
        let done = self.end();
        assert!(
            done.tried > 100,
            "hardly anything was tried: {}",
            done.tried
        );
        done
    }

    /// The same for one of several loads, which may have had no turn.
    #[track_caller]
    pub(crate) fn end(mut self) -> Done {
        fs::write(self.stop.path().join("stop"), "").unwrap();
        let mut told = String::new();
        let mut output = self.process.stdout.take().unwrap();
        output.read_to_string(&mut told).unwrap();
        let status = self.process.wait().unwrap();
        let numbers: Vec<u64> = told
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        let [tried, succeeded] = numbers[..] else {
            panic!("{status}: the load said {told:?}");
        };
        println!("tried {tried}, succeeded {succeeded}");
        Done { tried, succeeded }
    }
}

/// A fact that fails leaves no load behind.
impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Changes between the policies while `load` is at work, and gives what it did.
#[track_caller]
pub(crate) fn change_during(aegis: &mut Enforcer, policies: &[Policy; 2], load: Load) -> Done {
    // A load that has only just started is none: it has to live through changes from its first round on.
    let until = Instant::now() + Duration::from_secs(2);
    let mut changes = 0;
    while changes < 20 || Instant::now() < until {
        changes += 1;
        aegis.apply(&policies[changes % 2]).unwrap();
    }
    println!("{changes} changes");
    load.stop()
}

/// The mode of a file that cannot be read tells more than a panic would.
#[track_caller]
pub(crate) fn assert_refused(path: &Path) {
    match Command::new("cat").arg(path).output() {
        Ok(out) if !out.status.success() => {
            let text = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(text.contains("Operation not permitted"), "{text}");
        }
        Ok(_) => panic!("{} could be opened", path.display()),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {}
        Err(e) => panic!("{e}"),
    }
}
