//! Any enforcer as a guard: one command switches it on, one off, and one proves whether it is in force.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aegisbpf_measure::{
    guard::{Evidence, Guard, Identity, Memory},
    workload::BoxError,
};
use nix::unistd::Pid;

use super::sha256;
use crate::{
    cpu::CpuClock,
    shell::{self, ShellError},
};

/// How long each command may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a guard may take from its command's end until it is in force, or no longer so.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// The commands, run by `sh -c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commands {
    /// What the reports call it.
    pub name: String,
    /// Its version, as the reports print it.
    pub version: String,
    /// Switches it on. Doing it twice must be fine.
    pub on: String,
    /// Switches it off. Doing it twice must be fine.
    pub off: String,
    /// Ends with 0 exactly if it is in force; best by provoking what it must react to.
    pub ready: String,
    /// Names of its processes (as in `/proc/PID/comm`), whose CPU time and memory are its own.
    pub processes: Vec<String>,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandGuardError {
    /// A command failed.
    #[error(transparent)]
    Shell(#[from] ShellError),
    /// It was switched on, and is not in force.
    #[error(
        "`{ready}` still fails {} s after `{on}`: the guard is not in force; the proof printed last: {output}",
        SETTLED_WITHIN.as_secs()
    )]
    NotInForce {
        /// The proof.
        ready: String,
        /// The command that switches it on.
        on: String,
        /// Last lines of the proof.
        output: String,
    },
    /// It was switched off, and is still in force.
    #[error(
        "`{ready}` still succeeds {} s after `{off}`: the guard is still in force, or the proof proves nothing",
        SETTLED_WITHIN.as_secs()
    )]
    StillInForce {
        /// The proof.
        ready: String,
        /// The command that switches it off.
        off: String,
    },
}

/// An enforcer that is switched by commands. Dropping it switches it off.
#[derive(Debug)]
pub struct CommandGuard {
    commands: Commands,
    log: PathBuf,
    proofs: u64,
    in_force: bool,
    clocks: BTreeMap<i32, Seen>,
}

/// A process of the enforcer: its clock, and what it told last.
#[derive(Debug)]
struct Seen {
    clock: CpuClock,
    last: Duration,
    at_start: Duration,
}

impl CommandGuard {
    /// Switches it off and checks that the proof can tell on from off.
    ///
    /// # Errors
    /// If a command fails, or the proof does not follow the switch.
    pub fn start(commands: Commands, scratch: &Path) -> Result<Self, CommandGuardError> {
        let mut guard = Self {
            commands,
            log: scratch.join("guard.log"),
            proofs: 0,
            in_force: true,
            clocks: BTreeMap::new(),
        };
        guard.switch_off()?;
        guard.switch_on()?;
        guard.switch_off()?;
        Ok(guard)
    }

    fn switch_on(&mut self) -> Result<(), CommandGuardError> {
        shell::run(&self.commands.on, &self.log, PATIENCE)?;
        self.in_force = true;
        if self.settles(true)? {
            return Ok(());
        }
        Err(CommandGuardError::NotInForce {
            ready: self.commands.ready.clone(),
            on: self.commands.on.clone(),
            output: shell::tail(&self.log),
        })
    }

    fn switch_off(&mut self) -> Result<(), CommandGuardError> {
        // What ends here takes its clock along.
        self.look_at_processes();
        shell::run(&self.commands.off, &self.log, PATIENCE)?;
        if self.settles(false)? {
            self.in_force = false;
            return Ok(());
        }
        Err(CommandGuardError::StillInForce {
            ready: self.commands.ready.clone(),
            off: self.commands.off.clone(),
        })
    }

    fn is_ready(&self) -> Result<bool, ShellError> {
        Ok(shell::status(&self.commands.ready, &self.log, PATIENCE)?.success())
    }

    /// Asks until the proof says so.
    fn settles(&self, wanted: bool) -> Result<bool, ShellError> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            if self.is_ready()? == wanted {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Reads the clocks of all its processes, and remembers those of processes that have ended since.
    fn look_at_processes(&mut self) {
        for pid in processes(&self.commands.processes) {
            if let Ok(clock) = CpuClock::of_process(pid)
                && let Ok(now) = clock.read()
            {
                self.clocks.entry(pid.as_raw()).or_insert(Seen {
                    clock,
                    last: now,
                    at_start: now,
                });
            }
        }
        for seen in self.clocks.values_mut() {
            if let Ok(now) = seen.clock.read() {
                seen.last = seen.last.max(now);
            }
        }
    }

    fn hook(&self) -> String {
        format!("{} in force", self.commands.name)
    }
}

impl Guard for CommandGuard {
    fn identity(&self) -> Identity {
        let Commands {
            name,
            version,
            on,
            off,
            ready,
            ..
        } = &self.commands;
        Identity {
            name: name.clone(),
            version: version.clone(),
            backend: "commands".to_owned(),
            mode: "on".to_owned(),
            policy: on.clone(),
            policy_sha256: sha256(&format!("{on}\n{off}\n{ready}")),
            hooks: vec![self.hook()],
        }
    }

    fn protect(&mut self) -> Result<(), BoxError> {
        Ok(self.switch_on()?)
    }

    fn release(&mut self) -> Result<(), BoxError> {
        Ok(self.switch_off()?)
    }

    /// Its links are what the last proof said; there are no counters of hooks.
    fn evidence(&mut self) -> Result<Evidence, BoxError> {
        self.look_at_processes();
        let cpu = self
            .clocks
            .values()
            .map(|seen| seen.last.saturating_sub(seen.at_start))
            .sum();
        Ok(Evidence {
            links: if self.in_force {
                vec![self.hook()]
            } else {
                Vec::new()
            },
            hits: self.proofs,
            cpu,
            ..Evidence::default()
        })
    }

    /// Runs the proof once; a success is a hit.
    fn touch_denied(&mut self) -> Result<(), BoxError> {
        self.proofs += u64::from(self.is_ready()?);
        Ok(())
    }

    fn count_runs(&mut self, _on: bool) -> Result<(), BoxError> {
        Ok(())
    }

    /// Of the processes that were named; what it holds in the kernel is not known.
    fn memory(&mut self) -> Result<Option<Memory>, BoxError> {
        if self.commands.processes.is_empty() {
            return Ok(None);
        }
        let process = processes(&self.commands.processes)
            .into_iter()
            .filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
            .filter_map(|text| {
                let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
                line.trim().trim_end_matches(" kB").parse::<u64>().ok()
            })
            .sum::<u64>();
        Ok(Some(Memory {
            process: process << 10,
            kernel: 0,
        }))
    }
}

impl Drop for CommandGuard {
    fn drop(&mut self) {
        if self.in_force {
            let _ = shell::run(&self.commands.off, &self.log, PATIENCE);
        }
    }
}

/// Processes of these names.
fn processes(names: &[String]) -> Vec<Pid> {
    if names.is_empty() {
        return Vec::new();
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            names.iter().any(|name| name == comm.trim_end())
        })
        .map(Pid::from_raw)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(directory: &Path) -> Commands {
        let flag = directory.join("flag").display().to_string();
        Commands {
            name: "flag".to_owned(),
            version: "1".to_owned(),
            on: format!("touch {flag}"),
            off: format!("rm -f {flag}"),
            ready: format!("test -e {flag}"),
            processes: Vec::new(),
        }
    }

    #[test]
    fn the_proof_follows_the_switch() {
        let scratch = tempfile::tempdir().unwrap();
        let mut guard = CommandGuard::start(commands(scratch.path()), scratch.path()).unwrap();
        guard.touch_denied().unwrap();
        let off = guard.evidence().unwrap();
        assert_eq!((off.links.len(), off.hits), (0, 0));
        guard.protect().unwrap();
        guard.touch_denied().unwrap();
        let on = guard.evidence().unwrap();
        assert_eq!((on.links, on.hits), (guard.identity().hooks, 1));
        // No process of it was named: nothing is known, which is not nothing.
        assert_eq!(guard.memory().unwrap(), None);
        drop(guard);
        assert!(
            !scratch.path().join("flag").exists(),
            "dropping switches it off"
        );
    }

    #[test]
    fn a_guard_that_somebody_else_switched_off_gives_no_hit() {
        let scratch = tempfile::tempdir().unwrap();
        let mut guard = CommandGuard::start(commands(scratch.path()), scratch.path()).unwrap();
        guard.protect().unwrap();
        fs::remove_file(scratch.path().join("flag")).unwrap();
        guard.touch_denied().unwrap();
        assert_eq!(guard.evidence().unwrap().hits, 0);
    }

    #[test]
    fn a_proof_that_always_succeeds_proves_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let commands = Commands {
            ready: "true".to_owned(),
            ..commands(scratch.path())
        };
        let error = CommandGuard::start(commands, scratch.path()).unwrap_err();
        assert!(
            matches!(error, CommandGuardError::StillInForce { .. }),
            "{error}"
        );
    }

    #[test]
    fn the_cpu_time_of_a_process_that_ended_is_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let name = "aegis-spin-test";
        let program = scratch.path().join(name);
        fs::copy("/bin/sleep", &program).unwrap();
        let mut commands = commands(scratch.path());
        commands.processes = vec![name.to_owned()];
        let mut guard = CommandGuard::start(commands, scratch.path()).unwrap();
        let mut child = std::process::Command::new(&program)
            .arg("30")
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while guard.clocks.is_empty() && Instant::now() < deadline {
            guard.look_at_processes();
        }
        assert_eq!(guard.clocks.len(), 1);
        assert!(guard.memory().unwrap().unwrap().process > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        guard.look_at_processes();
        assert_eq!(guard.clocks.len(), 1, "an ended process is not forgotten");
    }
}
