//! Another process that does one thing to a file, and ends with the errno of how it went: the enforcer's own is never
//! denied. It is this test program again, started with an errand.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink},
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::AtomicU64,
};

use io_uring::squeue;
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat2},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        stat::{Mode, SFlag, mknod, utimes},
        time::TimeVal,
    },
    unistd::linkat,
};

/// The variable that makes this program an actor.
const ERRAND: &str = "AEGIS_TEST_ERRAND";

/// Does what it was started for, if it is an actor. Called first in `main`.
pub(crate) fn act_if_told() {
    let Some(what) = std::env::var_os(ERRAND) else {
        return;
    };
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let code = match perform(&what.to_string_lossy(), &paths) {
        Ok(()) => 0,
        Err(e) => e.raw_os_error().unwrap_or(255),
    };
    std::process::exit(code);
}

/// A new process for `what` with `paths`.
pub(crate) fn command(what: &str, paths: &[&Path]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .env(ERRAND, what)
        .args(paths.iter().map(AsRef::<OsStr>::as_ref));
    command
}

/// Has another process do `what`, and tells how it went.
#[track_caller]
pub(crate) fn act(what: &str, paths: &[&Path]) -> Result<(), Errno> {
    let status = command(what, paths).status().unwrap();
    result(status.code())
}

#[track_caller]
fn result(code: Option<i32>) -> Result<(), Errno> {
    match code {
        Some(0) => Ok(()),
        Some(255) | None => panic!("the actor ended with {code:?}"),
        Some(errno) => Err(Errno::from_raw(errno)),
    }
}

#[track_caller]
pub(crate) fn refused(what: &str, paths: &[&Path]) {
    assert_eq!(act(what, paths), Err(Errno::EPERM), "{what} {paths:?}");
}

#[track_caller]
pub(crate) fn allowed(what: &str, paths: &[&Path]) {
    assert_eq!(act(what, paths), Ok(()), "{what} {paths:?}");
}

/// A process that has opened a file and waits to be told to go on.
pub(crate) struct Waiting(Child);

impl Waiting {
    pub(crate) fn start(what: &str, paths: &[&Path]) -> Self {
        Self(begin(what, paths).0)
    }

    /// Goes on, and tells how it went.
    #[track_caller]
    pub(crate) fn go(mut self) -> Result<(), Errno> {
        drop(self.0.stdin.take());
        result(self.0.wait().unwrap().code())
    }
}

/// A process that goes on with its errand until it is told to stop, and says then what it counted.
pub(crate) struct Busy {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Busy {
    pub(crate) fn start(what: &str, paths: &[&Path]) -> Self {
        let (child, output) = begin(what, paths);
        Self { child, output }
    }

    /// Tells it to stop, and gives what it said.
    #[track_caller]
    pub(crate) fn stop<const N: usize>(mut self) -> [u64; N] {
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        self.child.wait().unwrap();
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        numbers
            .try_into()
            .unwrap_or_else(|_| panic!("what the actor said: {line:?}"))
    }
}

/// The other side of [`Busy`]: says what was counted.
pub(crate) fn say<const N: usize>(counts: [AtomicU64; N]) {
    let told = counts.map(|n| n.into_inner().to_string());
    println!("{}", told.join(" "));
}

/// Starts a process and waits until it is ready.
fn begin(what: &str, paths: &[&Path]) -> (Child, BufReader<ChildStdout>) {
    let mut child = command(what, paths)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, output)
}

/// Says that this process is ready, and waits until it is told to go on or to stop.
pub(crate) fn wait_for_word() -> io::Result<()> {
    println!("ready");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

/// A descriptor that gives no access.
fn opened_as_path(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_PATH.bits())
        .open(path)
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// From now on this process sees mounts that nobody else sees, and that end with it.
fn own_mounts(what: CloneFlags) -> io::Result<()> {
    unshare(what)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(
        None::<&Path>,
        "/",
        None::<&Path>,
        private,
        None::<&Path>,
    )?)
}

fn bind_mount(from: &Path, at: &Path) -> io::Result<()> {
    Ok(mount(
        Some(from),
        at,
        None::<&Path>,
        MsFlags::MS_BIND,
        None::<&Path>,
    )?)
}

/// Does what the lines of the standard input say, and tells of each how it went.
fn obey() -> io::Result<()> {
    for line in io::stdin().lines() {
        let line = line?;
        let mut words = line.split('\t');
        let what = words.next().unwrap_or_default();
        let paths: Vec<PathBuf> = words.map(PathBuf::from).collect();
        let outcome = perform(what, &paths);
        println!(
            "{}",
            outcome.err().map_or(0, |e| e.raw_os_error().unwrap_or(255))
        );
    }
    Ok(())
}

pub(crate) fn perform(what: &str, paths: &[PathBuf]) -> io::Result<()> {
    let path = |n: usize| paths[n].as_path();
    let one = paths.first().map_or(Path::new(""), PathBuf::as_path);
    match what {
        "open" => File::open(one).map(drop),
        "read" => fs::read(one).map(drop),
        "list" => fs::read_dir(one)?.try_for_each(|entry| entry.map(drop)),
        "write" => OpenOptions::new().append(true).open(one).map(drop),
        "create" => OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(one)
            .map(drop),
        "truncate" => Ok(nix::unistd::truncate(one, 0)?),
        "chmod" => fs::set_permissions(one, Permissions::from_mode(0o600)),
        "chown" => chown(one, Some(0), Some(0)),
        "setxattr" => super::raw::setxattr(one),
        "link" => fs::hard_link(one, path(1)),
        "unlink" => fs::remove_file(one),
        "rename" => fs::rename(one, path(1)),
        "exchange" => Ok(renameat2(
            AT_FDCWD,
            one,
            AT_FDCWD,
            path(1),
            RenameFlags::RENAME_EXCHANGE,
        )?),
        "symlink" => symlink(one, path(1)),
        "mkdir" => fs::create_dir(one),
        "rmdir" => fs::remove_dir(one),
        "mknod" => Ok(mknod(one, SFlag::S_IFREG, Mode::S_IRWXU, 0)?),
        "tmpfile" => {
            let directory = one.parent().unwrap_or(Path::new("/"));
            let file = OpenOptions::new()
                .write(true)
                .custom_flags(OFlag::O_TMPFILE.bits())
                .open(directory)?;
            let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
            Ok(linkat(
                AT_FDCWD,
                descriptor.as_str(),
                AT_FDCWD,
                one,
                AtFlags::AT_SYMLINK_FOLLOW,
            )?)
        }
        "exec" => Err(std::os::unix::process::CommandExt::exec(
            Command::new(one).arg("/dev/null"),
        )),
        "reopen" => {
            let file = opened_as_path(one)?;
            File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map(drop)
        }
        "held ftruncate" => {
            let file = OpenOptions::new().write(true).open(one)?;
            wait_for_word()?;
            file.set_len(0)
        }
        "held fchmod" => {
            let file = File::open(one)?;
            wait_for_word()?;
            file.set_permissions(Permissions::from_mode(0o600))
        }
        "held mmap" => {
            let file = File::open(one)?;
            wait_for_word()?;
            super::raw::mmap(&file)
        }
        "held reopen" => {
            let file = opened_as_path(one)?;
            wait_for_word()?;
            File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map(drop)
        }
        "held read" => {
            let file = File::open(one)?;
            wait_for_word()?;
            let mut text = String::new();
            { file }.read_to_string(&mut text).map(drop)
        }
        "held write" => {
            let mut file = OpenOptions::new().append(true).open(one)?;
            wait_for_word()?;
            file.write_all(b"more\n")
        }
        "held sendfile" | "held splice" => {
            let file = File::open(one)?;
            wait_for_word()?;
            super::raw::move_to_pipe(&file, what == "held splice")
        }
        "held hand over" => {
            let file = File::open(one)?;
            wait_for_word()?;
            let status = Command::new("cat")
                .stdin(file)
                .stdout(Stdio::null())
                .status()?;
            if status.success() {
                Ok(())
            } else {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }
        "stat" => fs::metadata(one).map(drop),
        "touch" => Ok(utimes(one, &TimeVal::new(1, 0), &TimeVal::new(1, 0))?),
        "path only" => opened_as_path(one).map(drop),
        "openat2" => super::raw::openat2(one),
        "read and write" => OpenOptions::new()
            .read(true)
            .write(true)
            .open(one)
            .map(drop),
        "open or create" => OpenOptions::new()
            .append(true)
            .create(true)
            .open(one)
            .map(drop),
        "io_uring" => super::raw::open_by_uring(one, squeue::Flags::empty(), false),
        "io_uring worker" => super::raw::open_by_uring(one, squeue::Flags::ASYNC, false),
        "io_uring poller" => super::raw::open_by_uring(one, squeue::Flags::empty(), true),
        "own root" => File::open(below(Path::new("/proc/self/root"), one)).map(drop),
        "another's root" => {
            let parent = format!("/proc/{}/root", std::os::unix::process::parent_id());
            File::open(below(Path::new(&parent), one)).map(drop)
        }
        "directory's descriptor" => {
            let directory = opened_as_path(one.parent().unwrap_or(Path::new("/")))?;
            let name = one.file_name().unwrap_or_default();
            Ok(openat(&directory, name, OFlag::O_RDONLY, Mode::empty()).map(drop)?)
        }
        "descriptor's name" => {
            let file = opened_as_path(one)?;
            File::open(format!("/dev/fd/{}", file.as_raw_fd())).map(drop)
        }
        "chroot" => {
            std::os::unix::fs::chroot(one.parent().unwrap_or(Path::new("/")))?;
            File::open(Path::new("/").join(one.file_name().unwrap_or_default())).map(drop)
        }
        "bind mount of it" => {
            own_mounts(CloneFlags::CLONE_NEWNS)?;
            bind_mount(one, path(1))?;
            File::open(path(1)).map(drop)
        }
        "new bind mount of it" => {
            own_mounts(CloneFlags::CLONE_NEWNS)?;
            super::raw::move_mount(one, path(1))?;
            File::open(path(1)).map(drop)
        }
        "bind mount of its directory" => {
            own_mounts(CloneFlags::CLONE_NEWNS)?;
            bind_mount(one.parent().unwrap_or(Path::new("/")), path(1))?;
            File::open(path(1).join(one.file_name().unwrap_or_default())).map(drop)
        }
        "own mounts" => {
            own_mounts(CloneFlags::CLONE_NEWNS)?;
            File::open(one).map(drop)
        }
        "own users and mounts" => {
            own_mounts(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
            File::open(one).map(drop)
        }
        "execute by descriptor" => super::raw::execute(&opened_as_path(one)?),
        "open by handle" => super::raw::open_by_handle(one, || Ok(())),
        "open by handle at" => super::raw::open_by_handle_at(path(1), one, || Ok(())),
        "held open by handle at" => super::raw::open_by_handle_at(path(1), one, wait_for_word),
        "held open by handle" => super::raw::open_by_handle(one, wait_for_word),
        "run" => Command::new(one).arg("/dev/null").status().map(drop),
        "obey" => obey(),
        "attack" => super::crowd::attack(one, &path(1).to_string_lossy()),
        "watch exchanges" | "watch edits" => super::swap::watch(what, paths),
        "hammer" => super::race::hammer(one),
        other => panic!("no such errand: {other}"),
    }
}
