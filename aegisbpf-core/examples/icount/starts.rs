//! Starts of a program that no rule is about: by another process, since what the enforcer's own starts has all its
//! descriptors, of each map, program and hook, to copy and to close.

use std::{
    cell::RefCell,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use nix::sys::personality::{self, Persona};

use crate::{Any, clock};

/// The first argument of the process that starts programs for us.
pub(crate) const STARTS: &str = "starts";
/// What is started.
const PROGRAM: &str = "/bin/true";
const CALLS: usize = 100;

/// The other process, with what it is told and what it answers.
pub(crate) struct Starter {
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Starter {
    /// Before anything of the enforcer is open.
    pub(crate) fn new() -> Result<Self, Any> {
        let mut child = Command::new("/proc/self/exe")
            .arg(STARTS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(told), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the other process has no pipes".into());
        };
        Ok(Self {
            child,
            pipes: RefCell::new((told, BufReader::new(answers))),
        })
    }

    /// What one start takes.
    pub(crate) fn start(&self) -> Result<f64, Any> {
        let (told, answers) = &mut *self.pipes.borrow_mut();
        writeln!(told, "again")?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }
}

/// It ends with us.
impl Drop for Starter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the other process does for each line that it is told. All that it starts lies at the same addresses: how many pages of
/// tables a program needs would else differ from start to start by more than hooks cost.
pub(crate) fn serve() -> Result<(), Any> {
    personality::set(personality::get()? | Persona::ADDR_NO_RANDOMIZE)?;
    for line in io::stdin().lock().lines() {
        line?;
        println!(
            "{}",
            clock::tenth(CALLS, || Command::new(PROGRAM).status())?
        );
    }
    Ok(())
}
