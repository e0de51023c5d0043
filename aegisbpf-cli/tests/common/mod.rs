//! Running the command under a bound, and policies for it to read.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part; a panic is how a test fails"
)]

pub(crate) mod bpffs;

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// No wait of these tests is longer. Loading programs takes long on a slow machine under emulation.
pub(crate) const AT_MOST: Duration = Duration::from_secs(120);

/// The command, deaf and with a fixed width, so that help is wrapped the same everywhere.
pub(crate) fn aegisbpf<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aegisbpf"));
    command
        .args(args)
        .env("COLUMNS", "100")
        // Never the machine's own enforcer.
        .env("AEGISBPF_PIN_DIR", "/nowhere/at/all")
        .stdin(Stdio::null());
    command
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `command` to its end.
#[track_caller]
pub(crate) fn finish(mut command: Command) -> Done {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::start(command).finish()
}

/// Runs `aegisbpf measure` to its end.
#[track_caller]
pub(crate) fn measure(args: &[&str]) -> Done {
    let mut command = aegisbpf(["measure"]);
    command.args(args);
    finish(command)
}

/// A command under way. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    out: Option<Lines>,
    err: Option<Lines>,
}

impl Running {
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().map(Lines::new);
        let err = child.stderr.take().map(Lines::new);
        Self { child, out, err }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.out.as_mut().unwrap().next()
    }

    /// The next line of standard output, if it comes this soon.
    pub(crate) fn line_within(&mut self, soon: Duration) -> Option<String> {
        self.out.as_mut().unwrap().0.recv_timeout(soon).ok()
    }

    /// Waits until standard error has a line that contains `text`.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> String {
        let err = self.err.as_mut().unwrap();
        loop {
            let line = err.next();
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(pid(&self.child), signal).unwrap();
    }

    /// Waits for the end, and gives what it wrote and nobody has read yet.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Done {
        let code = wait(&mut self.child).code();
        let rest = |lines: &mut Option<Lines>| lines.as_mut().map_or(String::new(), Lines::rest);
        Done {
            code,
            out: rest(&mut self.out),
            err: rest(&mut self.err),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// Waits for the end of `child`, not for ever.
#[track_caller]
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + AT_MOST;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("it did not end within {AT_MOST:?}");
}

/// Waits until something is so, not for ever.
#[track_caller]
pub(crate) fn until(mut so: impl FnMut() -> bool) {
    let end = Instant::now() + AT_MOST;
    while !so() {
        assert!(Instant::now() < end, "it did not come within {AT_MOST:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Lines of a pipe, read by a thread so that waiting for one can be bounded.
struct Lines(Receiver<String>);

impl Lines {
    fn new(pipe: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                // Not UTF-8, or nobody listens any more.
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    #[track_caller]
    fn next(&mut self) -> String {
        match self.0.recv_timeout(AT_MOST) {
            Ok(line) => line,
            Err(e) => panic!("no such line came: {e}"),
        }
    }

    fn rest(&mut self) -> String {
        let mut text = String::new();
        while let Ok(line) = self.0.recv_timeout(AT_MOST) {
            text += &line;
            text.push('\n');
        }
        text
    }
}

/// The verbs that a help lists.
pub(crate) fn verbs(help: &str) -> impl Iterator<Item = &str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // Where the words wrap, the next line begins further in.
        .filter_map(|line| {
            line.strip_prefix("  ")
                .filter(|rest| !rest.starts_with(' '))
        })
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
}

/// The policies in `fixtures/policies/KIND`, sorted.
pub(crate) fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/policies");
    let mut files: Vec<_> = fs::read_dir(folder.join(kind))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!files.is_empty(), "no fixtures prove nothing");
    files.sort();
    files
}

/// Writes a policy that is trusted: ours, and nobody else may write it.
pub(crate) fn policy(folder: &Path, content: impl AsRef<[u8]>) -> PathBuf {
    let file = folder.join("test.conf");
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    file
}
