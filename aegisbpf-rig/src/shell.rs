//! Command lines that people gave us: run by the shell, within a time, with what they printed last when they fail.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::WaitPidFlag,
    },
    unistd::Pid,
};

use crate::interrupt::Interrupt;

/// A command line that did not do what it was given for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShellError {
    /// It could not be started.
    #[error("starting `{line}`: {source}")]
    Start {
        /// The command line.
        line: String,
        /// Why.
        source: io::Error,
    },
    /// It failed.
    #[error("`{line}` ended with {status}; it printed last: {output}")]
    Failed {
        /// The command line.
        line: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        output: String,
    },
    /// It does not end.
    #[error("`{line}` was still running after {} s and was ended", limit.as_secs())]
    Endless {
        /// The command line.
        line: String,
        /// How long it was given.
        limit: Duration,
    },
}

/// `sh -c LINE`, without input; what it prints goes to `log`, which is emptied first.
///
/// # Errors
/// If the log cannot be written.
pub fn command(line: &str, log: &Path) -> io::Result<Command> {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    silenced(&mut command, log)?;
    Ok(command)
}

/// Without input, with both outputs in `log`, and in a process group of its own: an interrupt at the terminal stops us in
/// good order, and must not end it in the middle of a block.
///
/// # Errors
/// If the log cannot be written.
pub fn silenced(command: &mut Command, log: &Path) -> io::Result<()> {
    let out = File::create(log)?;
    let err = out.try_clone()?;
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    command.process_group(0);
    Ok(())
}

/// Runs a line to its end and tells how it ended. No interrupt reaches it.
///
/// # Errors
/// If it cannot be started, or does not end in time.
pub fn status(line: &str, log: &Path, limit: Duration) -> Result<ExitStatus, ShellError> {
    status_unless(line, log, limit, &Interrupt::default())
}

fn status_unless(
    line: &str,
    log: &Path,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<ExitStatus, ShellError> {
    let start = |source| ShellError::Start {
        line: line.to_owned(),
        source,
    };
    let child = command(line, log).map_err(start)?.spawn().map_err(start)?;
    wait_within(child, line, limit, interrupt)
}

/// Waits for the end of a [`silenced`] child that was started as `line`; ends it and its group if it takes too long. An
/// interrupt is passed on to it.
///
/// # Errors
/// If it does not end in time.
pub fn wait_within(
    mut child: Child,
    line: &str,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<ExitStatus, ShellError> {
    let start = |source| ShellError::Start {
        line: line.to_owned(),
        source,
    };
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    let reached = interrupt.reach(&child);
    loop {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        if reached.ends(flags).map_err(start)? {
            drop(reached);
            return child.wait().map_err(start);
        }
        if Instant::now() > deadline {
            // Before it is reaped its group's id is surely its own.
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            drop(reached);
            let _ = child.wait();
            return Err(ShellError::Endless {
                line: line.to_owned(),
                limit,
            });
        }
        thread::sleep(pause);
        pause = (2 * pause).min(Duration::from_millis(10));
    }
}

/// Runs a line that must succeed. No interrupt reaches it.
///
/// # Errors
/// If it does not.
pub fn run(line: &str, log: &Path, limit: Duration) -> Result<(), ShellError> {
    run_unless(line, log, limit, &Interrupt::default())
}

/// The same, but an interrupt is passed on to it.
///
/// # Errors
/// If it does not succeed.
pub fn run_unless(
    line: &str,
    log: &Path,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<(), ShellError> {
    let status = status_unless(line, log, limit, interrupt)?;
    if status.success() {
        return Ok(());
    }
    Err(ShellError::Failed {
        line: line.to_owned(),
        status,
        output: tail(log),
    })
}

/// The last lines of a log, in one.
#[must_use]
pub fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(3)..];
    if last.is_empty() {
        "(nothing)".to_owned()
    } else {
        last.join(" | ")
    }
}

/// Words as a shell would take them: for showing what was run.
#[must_use]
pub fn quoted<S: AsRef<std::ffi::OsStr>>(words: &[S]) -> String {
    let quote = |word: &S| {
        let text = word.as_ref().to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_line_says_what_it_printed_last() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let error = run(
            "echo one; echo two >&2; exit 3",
            log.path(),
            Duration::from_secs(20),
        )
        .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.contains("one | two"),
            "{text}"
        );
    }

    #[test]
    fn an_endless_line_is_ended() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let error = run("exec sleep 60", log.path(), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ShellError::Endless { .. }), "{error}");
    }

    #[test]
    fn an_interrupt_of_ours_does_not_reach_a_line() {
        let log = tempfile::NamedTempFile::new().unwrap();
        // The fifth field is the process group.
        let line = "[ $(cut -d ' ' -f 5 /proc/$$/stat) = $$ ]";
        run(line, log.path(), Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn what_an_endless_line_started_ends_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("pid");
        let line = format!("sleep 61 & echo $! >{}; wait", pid.display());
        let log = directory.path().join("log");
        let error = run(&line, &log, Duration::from_secs(5)).unwrap_err();
        assert!(matches!(error, ShellError::Endless { .. }), "{error}");
        let started = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !crate::service::has_ended(Pid::from_raw(started)) {
            assert!(Instant::now() < deadline, "{started} is still there");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(
            quoted(&["make", "-j2", "a b", "it's", ""]),
            r"make -j2 'a b' 'it'\''s' ''"
        );
    }
}
