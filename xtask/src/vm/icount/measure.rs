//! One boot: the measuring program and the command in a guest whose clock counts instructions.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{Error, rows::Row};
use crate::vm::{build, error::Attempt};

/// The megabytes that a million rules need, beside what any guest needs.
const MEMORY_FOR_ALL: &str = "3584";

/// What runs inside.
pub(super) struct Programs {
    measuring: PathBuf,
    command: PathBuf,
}

impl Programs {
    pub(super) fn build() -> Result<Self, Error> {
        let command = build::Binary::new("aegisbpf-cli", "aegisbpf");
        Ok(Self {
            measuring: build::example("aegisbpf-core", "icount")?,
            command: command.build(true)?,
        })
    }

    /// The rows of one kernel. What goes wrong in the guest is on standard error.
    pub(super) fn run(&self, kernel: &str, all: bool, timeout: u64) -> Result<Vec<Row>, Error> {
        let own = env::current_exe().attempt("finding", "this program")?;
        let output = Command::new(&own)
            .args(["vm", "--icount", "--kernel", kernel, "--file", "/bin/true"])
            .args(["--timeout", &timeout.to_string()])
            .args(
                all.then_some(["--memory", MEMORY_FOR_ALL])
                    .into_iter()
                    .flatten(),
            )
            .arg("--file")
            .arg(format!("{}:/bin/aegisbpf", self.command.display()))
            .arg("--")
            .arg(&self.measuring)
            .args(all.then_some("all"))
            .stderr(Stdio::inherit())
            .output()
            .attempt("starting", &own)?;
        if !output.status.success() {
            return Err(Error::Guest(kernel.to_owned(), output.status));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines()
            .map(|line| {
                serde_json::from_str(line)
                    .map_err(|_| Error::NoRow(kernel.to_owned(), line.to_owned()))
            })
            .collect()
    }
}
