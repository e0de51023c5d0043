//! A batch job that is one real program, run again and again.

use std::{
    ffi::OsString,
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};
use nix::{
    sys::wait::{Id, WaitPidFlag, waitid},
    unistd::Pid,
};

use crate::{cpu::CpuClock, workloads::batch};

/// What is run, and how its work is proved.
pub(crate) struct Job {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Whether the work was done, by what the program printed.
    pub(crate) proof: Box<dyn Fn(&str) -> bool>,
    /// Operations in one run of the program.
    pub(crate) operations: u64,
    /// Files that one run opens, at the least.
    pub(crate) opens: f64,
}

/// The job's session: a fixed number of runs makes up a block.
pub(crate) struct JobSession {
    job: Job,
    passes: u32,
    /// The known delay of the next block, if it is a spike-in.
    hold_up: Duration,
}

impl JobSession {
    /// Runs the job once to fill the caches, and once to see how often it fits into a block.
    pub(crate) fn prepare(job: Job) -> Result<Self, BoxError> {
        let mut session = Self {
            job,
            passes: 1,
            hold_up: Duration::ZERO,
        };
        session.pass()?;
        let start = Instant::now();
        session.pass()?;
        session.passes = batch::passes(start.elapsed());
        Ok(session)
    }

    fn pass(&self) -> Result<Run, BoxError> {
        let mut command = Command::new(&self.job.program);
        command.env_clear().env("LC_ALL", "C");
        run(command.args(&self.job.arguments))
    }
}

impl Session for JobSession {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        batch::settle(block, || self.pass())?;
        let start = Instant::now();
        let own = CpuClock::of_this_thread();
        let own_before = own.read()?;
        let mut cpu = Duration::ZERO;
        let mut unit = batch::Unit::held_up(std::mem::take(&mut self.hold_up));
        for _ in 0..self.passes {
            let run = self.pass()?;
            cpu += run.cpu;
            match run.failure {
                Some(class) => unit.errors(&[class]),
                None => unit.pass(self.job.operations, (self.job.proof)(&run.output)),
            }
        }
        Ok(unit.sample(start.elapsed(), cpu, own.read()?.saturating_sub(own_before)))
    }

    fn opens_per_operation(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let operations = self.job.operations as f64;
        self.job.opens / operations
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.hold_up = delay;
        true
    }
}

/// How a program went.
pub(crate) struct Run {
    /// What it printed.
    pub(crate) output: String,
    /// The class of its failure, if it did not succeed.
    pub(crate) failure: Option<String>,
    /// CPU time of the program, without its children.
    pub(crate) cpu: Duration,
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<Run, BoxError> {
    let mut running = Running(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?,
    );
    let child = &mut running.0;
    let (mut output, mut errors) = (String::new(), String::new());
    // Side by side: a program that waits for room in one pipe would never end the other.
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let reader =
            scope.spawn(|| stderr.map_or(Ok(0), |mut pipe| pipe.read_to_string(&mut errors)));
        let read = stdout.map_or(Ok(0), |mut pipe| pipe.read_to_string(&mut output));
        read.and(reader.join().unwrap_or(Ok(0)))
    })?;
    // Its clock is read after its end but before it is reaped, when it is complete and still there.
    let pid = Pid::from_raw(child.id().cast_signed());
    waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    let cpu = CpuClock::of_process(pid)?.read()?;
    let status = child.wait()?;
    let failure = (!status.success()).then(|| class(&errors, &status.to_string()));
    Ok(Run {
        output,
        failure,
        cpu,
    })
}

/// What a program says at the end of its first complaint, which is the system's word for the error: the path before it
/// differs from run to run. A line that says "error" goes before one that does not, as compilers begin with where they
/// are.
pub(crate) fn class(errors: &str, status: &str) -> String {
    let said = || errors.lines().filter(|line| !line.trim().is_empty());
    let complaint = said()
        .find(|line| line.contains("rror: "))
        .or(said().next());
    let word = complaint.and_then(|line| line.rsplit(": ").next());
    word.map_or_else(
        || status.to_owned(),
        |word| format!("{status}: {}", word.trim()),
    )
}

/// A program that is not left behind when reading its output fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_classed_by_its_status_and_the_systems_word() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo partly; echo \"cat: /x/y: No such file or directory\" >&2; exit 3",
        ]);
        let run = run(&mut command).unwrap();
        assert_eq!(
            run.failure.as_deref(),
            Some("exit status: 3: No such file or directory")
        );
        assert_eq!(run.output, "partly\n");
    }

    #[test]
    fn a_compiler_says_first_where_it_is_and_then_what_is_wrong() {
        let errors = "In file included from ./db/builder.h:8,\n                 from db/builder.cc:5:\n\
            ./db/status.h:17:10: fatal error: leveldb/export.h: Operation not permitted\n";
        let class = class(errors, "exit status: 2");
        assert_eq!(class, "exit status: 2: Operation not permitted");
    }

    #[test]
    fn the_time_of_a_program_is_known_after_its_end() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]);
        let run = run(&mut command).unwrap();
        assert!(run.failure.is_none() && run.cpu > Duration::from_millis(1));
    }
}
