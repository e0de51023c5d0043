//! `files::grep_large`: the real `grep` over one big log. It opens few files: the case where an enforcer that hooks
//! file opens should cost nothing.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};
use nix::{
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};

use crate::{
    corpus::{self, NEEDLE},
    cpu::CpuClock,
    workload::{Requirement, Workload, find_program},
    workloads::batch,
};

const GREP: Requirement = Requirement::Program {
    name: "grep",
    package: "grep",
};
const SEED: u64 = 0x6c61_7267_6500_0001;

/// The workload. One operation is one MiB of the log.
#[derive(Debug, Clone, Copy)]
pub struct GrepLarge {
    /// Size of the log in MiB.
    pub mebibytes: usize,
}

impl Workload for GrepLarge {
    fn name(&self) -> &'static str {
        "files::grep_large"
    }

    fn configuration(&self) -> String {
        format!(
            "log of {} MiB, data seed {SEED}, unit of {:?}, {}",
            self.mebibytes,
            batch::UNIT,
            version()
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[GREP]
    }

    fn prepare(&self, scratch: &Path) -> Result<Box<dyn Session>, BoxError> {
        let log = scratch.join("big.log");
        let needles = corpus::log_file(&log, self.mebibytes, SEED)?;
        let grep = find_program("grep").ok_or_else(|| GREP.to_string())?;
        let mut session = GrepSession {
            grep,
            log,
            needles,
            mebibytes: self.mebibytes as u64,
            passes: 1,
        };
        session.pass()?;
        let start = Instant::now();
        session.pass()?;
        session.passes = batch::passes(start.elapsed());
        Ok(Box::new(session))
    }
}

fn version() -> String {
    let output =
        find_program("grep").and_then(|grep| Command::new(grep).arg("--version").output().ok());
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    text.lines().next().unwrap_or("grep absent").to_owned()
}

struct GrepSession {
    grep: PathBuf,
    log: PathBuf,
    needles: u64,
    mebibytes: u64,
    /// Runs of `grep` in one block.
    passes: u32,
}

impl GrepSession {
    /// One `grep`: what it counted, and the CPU time that it took.
    fn pass(&self) -> Result<(Option<u64>, Duration), BoxError> {
        let mut command = Command::new(&self.grep);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .args(["-c", "-F", NEEDLE])
            .arg(&self.log);
        let mut grep = Running(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?,
        );
        let mut count = String::new();
        if let Some(stdout) = &mut grep.0.stdout {
            stdout.read_to_string(&mut count)?;
        }
        // Its clock is read after its end but before it is reaped, when it is complete and still there.
        let pid = Pid::from_raw(grep.0.id().cast_signed());
        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        let cpu = CpuClock::of_process(pid)?.read()?;
        let status = grep.0.wait()?;
        Ok((
            status
                .success()
                .then(|| count.trim().parse().ok())
                .flatten(),
            cpu,
        ))
    }
}

/// A `grep` that is not left behind when reading its output fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Session for GrepSession {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        batch::settle(block, || self.pass())?;
        let start = Instant::now();
        let own = CpuClock::of_this_thread();
        let own_before = own.read()?;
        let mut cpu = Duration::ZERO;
        let mut unit = batch::Unit::default();
        for _ in 0..self.passes {
            let (count, spent) = self.pass()?;
            cpu += spent;
            unit.pass(self.mebibytes, count == Some(self.needles));
        }
        Ok(unit.sample(start.elapsed(), cpu, own.read()?.saturating_sub(own_before)))
    }

    fn opens_per_operation(&self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a log has far fewer than 2^52 MiB"
        )]
        let mebibytes = self.mebibytes as f64;
        1.0 / mebibytes
    }
}
