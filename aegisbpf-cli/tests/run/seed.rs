//! The commands of the document on testing with real workloads, which came before this command, as they are written
//! there: `./build/aegisbpf`, `sudo`, `./config/policy-production.conf` and all.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::common::{Done, Running, bpffs::BpfFs, finish};

pub(crate) const FACTS: &[(&str, fn())] = &[
    (
        "audit_apply_and_stats_as_written",
        audit_apply_and_stats_as_written,
    ),
    ("tuning_as_written", tuning_as_written),
];

/// A directory as the document has it: the command below `build`, the policy below `config`.
struct Checkout {
    folder: TempDir,
    pins: BpfFs,
}

impl Checkout {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["build", "config"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        symlink(
            env!("CARGO_BIN_EXE_aegisbpf"),
            folder.path().join("build/aegisbpf"),
        )
        .unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/production.conf");
        let policy = folder.path().join("config/policy-production.conf");
        fs::copy(shipped, &policy).unwrap();
        fs::set_permissions(&policy, fs::Permissions::from_mode(0o644)).unwrap();
        Self {
            folder,
            pins: BpfFs::mount(),
        }
    }

    /// One line of the document, for a shell that may have no sudo(8). `exec` keeps its process ours to end.
    fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("sudo() {{ \"$@\"; }}; {line}"))
            .current_dir(self.folder.path())
            .env("AEGISBPF_PIN_DIR", self.pins.base())
            .stdin(Stdio::null());
        shell
    }

    #[track_caller]
    fn run(&self, line: &str) -> Done {
        let done = finish(self.shell(line));
        assert_eq!(done.code, Some(0), "{line}: {done:?}");
        done
    }

    /// `LINE &`, until it is ready.
    #[track_caller]
    fn background(&self, line: &str) -> Running {
        let line = line.replacen("sudo ", "exec ", 1);
        let mut shell = self.shell(&line);
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut run = Running::start(shell);
        run.says("aegisbpf: audit by ");
        run
    }
}

/// `sudo pkill -f "aegisbpf run"` sends this to every process whose command line matches; a test may end its own only.
#[track_caller]
fn pkill(run: Running) {
    let line = fs::read(format!("/proc/{}/cmdline", run.id())).unwrap();
    let line = String::from_utf8(line).unwrap().replace('\0', " ");
    assert!(
        line.contains("aegisbpf run"),
        "pkill -f would not find {line}"
    );
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().code, Some(0));
}

fn audit_apply_and_stats_as_written() {
    let checkout = Checkout::new();
    let run = checkout.background("sudo ./build/aegisbpf run --audit");
    let done = checkout.run("sudo ./build/aegisbpf policy apply ./config/policy-production.conf");
    assert!(done.err.contains("31 rules"), "{done:?}");
    checkout.run("cat /etc/sudoers /etc/shadow >/dev/null 2>&1 || true");
    let stats = checkout.run("sudo ./build/aegisbpf stats --detailed").out;
    for heading in ["Blocks (audit): ", "Ring buffer drops: 0", "Memory usage: "] {
        assert!(stats.contains(heading), "{heading}: {stats}");
    }
    let cgroups = checkout
        .run("sudo ./build/aegisbpf stats --detailed | grep -A 10 \"Top blocked cgroups\"")
        .out;
    assert!(cgroups.starts_with("Top blocked cgroups\n"), "{cgroups}");
    if Path::new("/etc/shadow").exists() {
        assert!(!stats.contains("Blocks (audit): 0\n"), "{stats}");
        assert!(cgroups.lines().count() > 2, "{cgroups}");
    }
    pkill(run);
    // Started again with its output in a file, as the scripts do.
    let mut shell =
        checkout.shell("exec ./build/aegisbpf run --audit > aegisbpf-perf-test.log 2>&1");
    shell.stdout(Stdio::null()).stderr(Stdio::null());
    let run = Running::start(shell);
    let log = checkout.folder.path().join("aegisbpf-perf-test.log");
    let until = std::time::Instant::now() + crate::common::AT_MOST;
    while !fs::read_to_string(&log)
        .unwrap_or_default()
        .contains("audit by")
    {
        assert!(std::time::Instant::now() < until, "it did not start");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    pkill(run);
}

fn tuning_as_written() {
    let checkout = Checkout::new();
    for (line, sampled) in [
        (
            "sudo ./build/aegisbpf run --audit --event-sample-rate=100",
            true,
        ),
        (
            "sudo ./build/aegisbpf run --audit --ringbuf-bytes=2097152",
            false,
        ),
    ] {
        let run = checkout.background(line);
        checkout.run("sudo ./build/aegisbpf policy apply ./config/policy-production.conf");
        checkout.run("sudo ./build/aegisbpf allow add /system.slice/myapp.service");
        if Path::new("/etc/shadow").exists() {
            checkout.run("sudo ./build/aegisbpf block add --inode /etc/shadow");
            checkout.run("cat /etc/shadow > /dev/null");
            let stats = checkout.run("sudo ./build/aegisbpf stats --json").out;
            let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
            assert_eq!(stats["blocks"].as_u64().unwrap(), 1, "{stats}");
            let left_out = stats["events"]["sampled_out"].as_u64().unwrap();
            assert!(sampled || left_out == 0, "{stats}");
        }
        pkill(run);
    }
}
