//! `cargo xtask vm`: boot a stock Debian kernel in QEMU, run a program inside, end with its exit code.
//!
//! kernel (get one) → modules → initramfs (guest base, programs, files) → qemu (boot, stream, result).

mod build;
mod cache;
mod elf;
mod error;
mod guest;
mod icount;
mod image;
mod initramfs;
mod kernel;
mod modules;
mod qemu;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use error::{Attempt, Error, Result};
use guest::Work;
use initramfs::Initramfs;
use kernel::{Choice, Kernel};
use qemu::{Machine, Outcome};

/// Nothing was tested: something is missing on the host, or the guest left no result (EX_SOFTWARE).
const INFRASTRUCTURE: u8 = 70;
/// The command was ended by `--timeout`, as timeout(1) has it.
const TIMED_OUT: u8 = 124;

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: the command's (with several kernels the first that is not 0); 124 if it was ended by --timeout;
70 if nothing was tested, because something is missing or the guest gave no result twice.")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    task: Option<Task>,
    /// A Debian series (6.1, 6.12) or the path of a kernel image; may be repeated [default: 6.1 and 6.12]
    #[arg(long = "kernel", value_name = "SERIES|PATH")]
    kernels: Vec<Choice>,
    /// CPUs of the guest
    #[arg(long, default_value_t = 1)]
    smp: u32,
    /// Memory of the guest
    #[arg(long, value_name = "MIB", default_value_t = 1_024)]
    memory: u32,
    /// Size of the empty ext4 file system at /ext4
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    disk: u32,
    /// Run in a root file system on ext4 with this installed package and all that it depends on; may be repeated
    #[arg(long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Let the guest's TSC count instructions instead of time
    #[arg(long, conflicts_with = "smp")]
    icount: bool,
    /// The guest's LSM list, instead of the kernel's own
    #[arg(long, value_name = "LIST")]
    lsm: Option<String>,
    /// More words for the kernel's command line
    #[arg(long, value_name = "WORDS")]
    append: Vec<String>,
    /// More kernel modules to load, with what they depend on
    #[arg(long = "module", value_name = "NAME")]
    modules: Vec<String>,
    /// End a boot after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// A file or directory to bring along; a program brings its libraries [default GUEST: the same path]
    #[arg(long = "file", value_name = "HOST[:GUEST]")]
    files: Vec<String>,
    /// A program of the workspace to build and put into the guest's /bin
    #[arg(long = "bin", value_name = "PACKAGE:NAME")]
    binaries: Vec<build::Binary>,
    /// An environment variable of the command
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = env)]
    env: Vec<(String, String)>,
    /// Build this package's tests and run them; COMMAND is then their arguments
    #[arg(long, value_name = "PACKAGE[:TARGET]")]
    test: Option<build::Test>,
    /// Build in release mode
    #[arg(long)]
    release: bool,
    /// Begin each line of what the guest writes with the seconds since the start
    #[arg(long)]
    times: bool,
    /// A program of the host, or guest:PATH for one that the guest has; and its arguments
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "test")]
    command: Vec<String>,
}

/// What is not to run a program.
#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Count the instructions that the enforcer adds, and compare them with the bars and with those recorded
    Icount(icount::Args),
}

/// Runs on all kernels, and says on stderr how each went.
pub(crate) fn run(args: &Args) -> ExitCode {
    if let Some(Task::Icount(args)) = &args.task {
        return icount::run(args);
    }
    match run_on_all(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let mut message = format!("vm: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                message.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            eprintln!("{message}");
            ExitCode::from(INFRASTRUCTURE)
        }
    }
}

fn run_on_all(args: &Args) -> Result<u8> {
    let cache = cache::open()?;
    let kernels = if args.kernels.is_empty() {
        vec![Choice::Series("6.1".into()), Choice::Series("6.12".into())]
    } else {
        args.kernels.clone()
    };
    let (tree, work) = prepare(args)?;
    let mut machine = args.machine();
    if !args.packages.is_empty() {
        machine.image = Some(image::obtain(&args.packages, &cache)?);
    }
    let mut result = 0;
    for choice in &kernels {
        let kernel = Kernel::obtain(choice, &cache)?;
        let code = run_on(&kernel, args, &machine, tree.clone(), &work, &cache)?;
        if result == 0 {
            result = code;
        }
    }
    Ok(result)
}

/// What the guest is to hold and to run, on whatever kernel.
fn prepare(args: &Args) -> Result<(Initramfs, Work)> {
    let mut tree = guest::base()?;
    let mut work = Work {
        env: args.env.clone(),
        directory: "/root".into(),
        in_image: !args.packages.is_empty(),
        ..Work::default()
    };
    for file in &args.files {
        let (host, guest) = host_and_guest(file)?;
        tree.host(&host, &guest)?;
        work.brought.push(guest);
    }
    for binary in &args.binaries {
        let path = binary.build(args.release)?;
        tree.host(&path, &Path::new("/bin").join(&binary.name))?;
    }
    if let Some(test) = &args.test {
        let built = test.build(args.release)?;
        for program in built.tests.iter().chain(&built.binaries) {
            tree.host(program, program)?;
            work.brought.push(program.clone());
        }
        for program in &built.tests {
            let mut command = vec![program.to_string_lossy().into_owned()];
            command.extend(args.command.iter().cloned());
            work.commands.push(command);
        }
        let manifest_dir = built.directory.to_string_lossy().into_owned();
        work.env.push(("CARGO_MANIFEST_DIR".into(), manifest_dir));
        work.directory = built.directory;
    } else {
        work.commands.push(command(&args.command, &mut tree)?);
    }
    Ok((tree, work))
}

/// Puts the program into the tree, at the path that it has on the host.
fn command(words: &[String], tree: &mut Initramfs) -> Result<Vec<String>> {
    let mut command = words.to_vec();
    let Some(program) = command.first_mut() else {
        return Ok(command); // clap requires one
    };
    if let Some(inside) = program.strip_prefix("guest:") {
        *program = inside.to_owned();
        return Ok(command);
    }
    let found = if program.contains('/') {
        Some(PathBuf::from(&*program)).filter(|path| path.is_file())
    } else {
        error::on_path(program)
    };
    let found = found.ok_or_else(|| Error::NoProgram {
        program: program.clone(),
    })?;
    let path = std::path::absolute(&found).attempt("finding", &found)?;
    tree.host(&path, &path)?;
    *program = path.to_string_lossy().into_owned();
    Ok(command)
}

/// One kernel; a guest without a result gets a second chance, since an emulated boot may fail on a busy machine; the second tells more.
fn run_on(
    kernel: &Kernel,
    args: &Args,
    machine: &Machine,
    mut tree: Initramfs,
    work: &Work,
    cache: &Path,
) -> Result<u8> {
    let wanted: Vec<_> = guest::MODULES
        .into_iter()
        .chain(args.modules.iter().map(String::as_str))
        .collect();
    guest::finish(&mut tree, modules::collect(kernel, &wanted)?, work)?;
    let scratch = cache::scratch(cache)?;
    let initramfs = scratch.path().join("initramfs");
    tree.write(&initramfs)?;

    let mut machine = machine.clone();
    loop {
        eprintln!("vm: booting {}", kernel.release);
        let start = Instant::now();
        let outcome = machine.boot(&kernel.image, &initramfs, scratch.path())?;
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Outcome::Exited(code) => {
                eprintln!(
                    "vm: {}: exit code {code} after {seconds:.1} s",
                    kernel.release
                );
                return Ok(code);
            }
            Outcome::TimedOut => {
                eprintln!(
                    "vm: {}: ended after {seconds:.0} s by --timeout",
                    kernel.release
                );
                return Ok(TIMED_OUT);
            }
            Outcome::NoResult { why, .. } if !machine.is_verbose => {
                eprintln!(
                    "vm: {}: infrastructure failure, trying once more: {why}",
                    kernel.release
                );
                machine.is_verbose = true;
            }
            Outcome::NoResult { why, console } => return Err(Error::NoResult { why, console }),
        }
    }
}

impl Args {
    fn machine(&self) -> Machine {
        Machine {
            smp: self.smp,
            memory_mib: self.memory,
            disk_mib: self.disk,
            icount: self.icount,
            lsm: self.lsm.clone(),
            append: self.append.clone(),
            timeout: Duration::from_secs(self.timeout),
            image: None,
            is_verbose: false,
            has_times: self.times,
        }
    }
}

fn host_and_guest(file: &str) -> Result<(PathBuf, PathBuf)> {
    let (host, guest) = match file.split_once(':') {
        Some((host, guest)) => (host, Some(guest)),
        None => (file, None),
    };
    let host = std::path::absolute(host).attempt("finding", host)?;
    let guest = guest.map_or_else(|| host.clone(), PathBuf::from);
    Ok((host, guest))
}

fn env(text: &str) -> std::result::Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let is_name = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_name {
        Ok((name.to_owned(), value.to_owned()))
    } else {
        Err("a name has letters, digits and underscores")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_absolute_path_unless_told_otherwise() {
        let same = host_and_guest("/etc/fstab").unwrap();
        assert_eq!(same, ("/etc/fstab".into(), "/etc/fstab".into()));
        let other = host_and_guest("/a/b:/c").unwrap();
        assert_eq!(other, ("/a/b".into(), "/c".into()));
    }

    #[test]
    fn a_variable_that_a_shell_cannot_name_is_refused() {
        assert_eq!(env("A_1=x=y").unwrap(), ("A_1".into(), "x=y".into()));
        for text in ["A", "=x", "1A=x", "A-B=x"] {
            assert!(env(text).is_err(), "{text}");
        }
    }
}
