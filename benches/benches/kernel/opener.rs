//! A process of its own that opens and closes a file as often as it is told, and tells how long it took. It is this very
//! program, started with a variable that says which file.

use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

const FILE: &str = "AEGIS_BENCH_OPEN";

/// Was this process started by [`Opener::start`]?
pub(crate) fn is_asked_for() -> bool {
    env::var_os(FILE).is_some()
}

/// Answers each number on standard input with the nanoseconds that so many opens and closes took. Ends with its input.
pub(crate) fn serve() {
    let file = env::var_os(FILE).expect("asked before");
    for line in io::stdin().lines() {
        let times: u64 = line
            .expect("a pipe can be read")
            .parse()
            .expect("a number is sent");
        let start = Instant::now();
        for _ in 0..times {
            drop(File::open(&file).expect("audit refuses nothing"));
        }
        println!("{}", start.elapsed().as_nanos());
    }
}

/// The other end.
pub(crate) struct Opener {
    child: Child,
    ask: Option<ChildStdin>,
    answer: BufReader<ChildStdout>,
    opened: u64,
}

impl Opener {
    pub(crate) fn start(file: &Path) -> Self {
        let mut child = Command::new(env::current_exe().expect("proc is mounted"))
            .env(FILE, file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program could be started before");
        Self {
            ask: child.stdin.take(),
            answer: BufReader::new(child.stdout.take().expect("it was piped")),
            child,
            opened: 0,
        }
    }

    /// Has the file opened so often.
    pub(crate) fn open(&mut self, times: u64) -> Duration {
        let ask = self.ask.as_mut().expect("taken only by drop");
        writeln!(ask, "{times}").expect("it reads until its input ends");
        let mut line = String::new();
        self.answer
            .read_line(&mut line)
            .expect("it answers each number");
        self.opened += times;
        Duration::from_nanos(line.trim().parse().expect("a number is sent"))
    }

    /// How often it was opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        drop(self.ask.take());
        // It ends with its input; a failure to wait leaves nothing that init would not reap.
        let _ = self.child.wait();
    }
}
