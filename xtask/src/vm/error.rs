//! What can go wrong before the guest's command has an exit code.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// All of them mean "nothing was tested"; the runner ends with [`super::INFRASTRUCTURE`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{tool} is not on PATH; install it with `apt-get install {package}`")]
    Tool {
        tool: &'static str,
        package: &'static str,
    },
    #[error(
        "{} is linked dynamically and cannot be the guest's only program; install the static one with `apt-get install busybox-static`",
        .0.display()
    )]
    BusyboxNotStatic(PathBuf),
    #[error(
        "apt-cache knows no package linux-image-{series}.*-cloud-amd64-unsigned; run `apt-get update` (Debian 12 with its security and backports sources has them), or name a kernel file with --kernel PATH"
    )]
    NoKernelPackage { series: String },
    #[error("{} has no {what} in it; remove the directory to have it made again", .dir.display())]
    Package { what: &'static str, dir: PathBuf },
    #[error("{} is not an x86 Linux kernel image (bzImage)", .0.display())]
    NotAKernel(PathBuf),
    #[error("module {name} is neither in {} nor built into that kernel", .dir.display())]
    NoModule { name: String, dir: PathBuf },
    #[error(
        "{program} is neither a file nor on PATH; prefix the path of a program that only the guest has with `guest:`"
    )]
    NoProgram { program: String },
    #[error("reading {} as an ELF file", .path.display())]
    Elf {
        path: PathBuf,
        source: object::Error,
    },
    #[error("{} needs {library}, which the dynamic loader does not find; install it, or set LD_LIBRARY_PATH", .path.display())]
    NoLibrary { path: PathBuf, library: String },
    #[error(
        "package {package} is not installed on this machine, whose files the image is made of; `apt-get install {package}`, or `cargo xtask setup`"
    )]
    NotInstalled { package: String },
    #[error("cargo built no {wanted}; `cargo test -p {package} --no-run` lists what there is")]
    NotBuilt { wanted: String, package: String },
    #[error("reading cargo's messages")]
    CargoMessage(#[source] serde_json::Error),
    #[error("`{command}` ended with {status}{}", indented(.stderr))]
    Command {
        command: String,
        status: std::process::ExitStatus,
        stderr: String,
    },
    #[error("{action} {}", .path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the guest left no result: {why}; its console said last:{}", indented(.console))]
    NoResult { why: String, console: String },
}

/// Names the file and the deed in an I/O error: `read(path).attempt("reading", path)`.
pub(crate) trait Attempt<T> {
    fn attempt(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Io {
            action,
            path: path.as_ref().to_owned(),
            source,
        })
    }
}

/// Runs a host program to its end; anything but success is an error with what it wrote.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let output = command
        .output()
        .attempt("starting", command.get_program())?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::Command {
        command: format!("{command:?}"),
        status: output.status,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Finds a program on PATH, or names the package that has it.
pub(crate) fn tool(tool: &'static str, package: &'static str) -> Result<PathBuf> {
    on_path(tool).ok_or(Error::Tool { tool, package })
}

/// The first executable of this name on PATH; the superuser's directories come last, since a user's PATH lacks them.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("\n    {line}")).collect()
}
