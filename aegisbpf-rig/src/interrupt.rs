//! A stop that is asked for from outside, by a signal: whoever waits for a command of the user's gives it up.

use std::{
    io,
    process::{Child, ExitStatus},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

/// What was given up.
#[derive(Debug, thiserror::Error)]
#[error("stopped by an interrupt")]
pub struct Interrupted;

/// Asked for in one thread, and seen by everybody who holds a clone. The default is never asked for.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_asked: AtomicBool,
    /// Process group of the command that is waited for.
    group: Mutex<Option<Pid>>,
}

impl Interrupt {
    /// Asks to stop. The command under way is asked to end; if asked again, it is killed.
    ///
    /// Not by SIGINT, as a terminal does: whoever was started in the background of a script ignores it, and so does
    /// what it starts.
    pub fn ask(&self) {
        let again = self.0.is_asked.swap(true, Ordering::AcqRel);
        self.tell(if again {
            Signal::SIGKILL
        } else {
            Signal::SIGTERM
        });
    }

    /// Whether it was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.is_asked.load(Ordering::Acquire)
    }

    /// An error once it was asked for.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_asked() {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }

    /// Waits for the end of a child that leads a process group of its own.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let reached = self.reach(child);
        while !reached.ends(WaitPidFlag::WEXITED)? {}
        drop(reached);
        child.wait()
    }

    /// From now on the group that this child leads is told, until the result is dropped; which must be before the
    /// child is reaped: until then its id is surely its own.
    pub(crate) fn reach(&self, child: &Child) -> Reached<'_> {
        let pid = Pid::from_raw(child.id().cast_signed());
        *self.group() = Some(pid);
        // Asked for before it was there.
        if self.is_asked() {
            self.tell(Signal::SIGTERM);
        }
        Reached {
            interrupt: self,
            pid,
        }
    }

    fn tell(&self, signal: Signal) {
        if let Some(group) = *self.group() {
            let _ = killpg(group, signal);
        }
    }

    fn group(&self) -> std::sync::MutexGuard<'_, Option<Pid>> {
        self.0.group.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A child that is told of the interrupt.
pub(crate) struct Reached<'a> {
    interrupt: &'a Interrupt,
    pid: Pid,
}

impl Reached<'_> {
    /// Whether it has ended, without reaping it; waits for that unless the flags say not to.
    pub(crate) fn ends(&self, flags: WaitPidFlag) -> io::Result<bool> {
        match waitid(Id::Pid(self.pid), flags | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => Ok(false),
            Ok(_) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for Reached<'_> {
    fn drop(&mut self) {
        *self.interrupt.group() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::{CommandExt, ExitStatusExt},
        process::Command,
        sync::mpsc,
        thread,
        time::Duration,
    };

    use super::*;

    fn sleeper(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0);
        command.spawn().unwrap()
    }

    /// Waits for `child` elsewhere; panics if it does not end.
    fn waited(interrupt: &Interrupt, mut child: Child) -> mpsc::Receiver<ExitStatus> {
        let interrupt = interrupt.clone();
        let (send, ended) = mpsc::channel();
        thread::spawn(move || send.send(interrupt.wait(&mut child).unwrap()));
        ended
    }

    fn until_reached(interrupt: &Interrupt) {
        while interrupt.group().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_command_under_way_is_interrupted() {
        let interrupt = Interrupt::default();
        let ended = waited(&interrupt, sleeper("exec sleep 600"));
        until_reached(&interrupt);
        interrupt.ask();
        let status = ended.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
        assert!(interrupt.check().is_err());
    }

    #[test]
    fn one_that_does_not_listen_is_killed_when_asked_again() {
        let scratch = tempfile::tempdir().unwrap();
        let deaf = scratch.path().join("deaf");
        let interrupt = Interrupt::default();
        let ended = waited(
            &interrupt,
            sleeper(&format!(
                "trap '' TERM; touch {}; while :; do sleep 600; done",
                deaf.display()
            )),
        );
        while !deaf.exists() {
            thread::sleep(Duration::from_millis(1));
        }
        until_reached(&interrupt);
        interrupt.ask();
        interrupt.ask();
        let status = ended.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    }

    #[test]
    fn one_that_is_started_too_late_is_interrupted_as_well() {
        let interrupt = Interrupt::default();
        interrupt.ask();
        let ended = waited(&interrupt, sleeper("exec sleep 600"));
        let status = ended.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
    }

    #[test]
    fn without_an_interrupt_the_end_is_the_commands_own() {
        let status = Interrupt::default().wait(&mut sleeper("exit 7")).unwrap();
        assert_eq!(status.code(), Some(7));
    }
}
