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
    process::{Child, Command, Stdio},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, renameat2},
    sys::stat::{Mode, SFlag, mknod},
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
        let mut child = command(what, paths)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    /// Goes on, and tells how it went.
    #[track_caller]
    pub(crate) fn go(mut self) -> Result<(), Errno> {
        drop(self.0.stdin.take());
        result(self.0.wait().unwrap().code())
    }
}

fn wait_for_word() -> io::Result<()> {
    println!("ready");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

fn perform(what: &str, paths: &[PathBuf]) -> io::Result<()> {
    let path = |n: usize| paths[n].as_path();
    let one = path(0);
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
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(OFlag::O_PATH.bits())
                .open(one)?;
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
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(OFlag::O_PATH.bits())
                .open(one)?;
            wait_for_word()?;
            File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map(drop)
        }
        "open by handle" => super::raw::open_by_handle(one, || Ok(())),
        "held open by handle" => super::raw::open_by_handle(one, wait_for_word),
        "hammer" => super::race::hammer(one),
        other => panic!("no such errand: {other}"),
    }
}
