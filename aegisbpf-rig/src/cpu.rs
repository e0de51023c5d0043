//! Exact CPU time of processes and threads.
//!
//! The kernel's CPU clocks bring a running task's account up to date when they are read. `schedstat` does not
//! (it lags by up to a tick, 4 ms of a 500 ms window), and `utime`/`stime` are sampled by the tick altogether.

use std::time::Duration;

use nix::{
    errno::Errno,
    sys::time::TimeSpec,
    time::{ClockId, clock_getcpuclockid},
    unistd::{Pid, gettid},
};

/// A CPU clock that could not be read, mostly because its process has ended.
#[derive(Debug, thiserror::Error)]
#[error("CPU clock of {of} {id}: {source}")]
pub struct CpuError {
    of: &'static str,
    id: Pid,
    source: Errno,
}

/// The CPU clock of one process or thread.
#[derive(Debug, Clone, Copy)]
pub struct CpuClock {
    of: &'static str,
    id: Pid,
    clock: ClockId,
}

impl CpuClock {
    /// All threads of a process, the ended ones included. Also works on a zombie, until it is reaped.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn of_process(id: Pid) -> Result<Self, CpuError> {
        let of = "process";
        clock_getcpuclockid(id)
            .map(|clock| Self { of, id, clock })
            .map_err(|source| CpuError { of, id, source })
    }

    /// The calling thread. The clock may be read by every thread of this process.
    #[must_use]
    pub fn of_this_thread() -> Self {
        let id = gettid();
        // What pthread_getcpuclockid(3) computes: the inverted id above three bits for "a thread's scheduler clock".
        let clock = ClockId::from_raw((!id.as_raw() << 3) | 0b110);
        Self {
            of: "thread",
            id,
            clock,
        }
    }

    /// CPU time used so far.
    ///
    /// # Errors
    /// If the process or thread has ended.
    pub fn read(self) -> Result<Duration, CpuError> {
        match self.clock.now() {
            Ok(now) => Ok(TimeSpec::into(now)),
            Err(source) => Err(CpuError {
                of: self.of,
                id: self.id,
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, process::Command, thread, time::Instant};

    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    use super::*;

    fn burn() {
        black_box((0..5_000_000_u64).map(black_box).sum::<u64>());
    }

    #[test]
    fn another_threads_clock_counts_its_work_alone() {
        let (send, receive) = std::sync::mpsc::channel();
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let worker = thread::spawn(move || {
            let clock = CpuClock::of_this_thread();
            let before = clock.read().unwrap();
            burn();
            send.send((clock, before, clock.read().unwrap())).unwrap();
            finished.recv().unwrap_err();
        });
        let (clock, before, after) = receive.recv().unwrap();
        let seen = clock.read().unwrap();
        assert!(
            after > before && seen >= after && seen < after + (after - before),
            "{before:?} {after:?} {seen:?}"
        );
        drop(finish);
        worker.join().unwrap();
        // A thread is joined a little before the kernel has forgotten it.
        let ended = Instant::now();
        while clock.read().is_ok() {
            assert!(
                ended.elapsed() < Duration::from_secs(30),
                "an ended thread has no clock"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_zombie_still_tells_its_cpu_time() {
        let mut child = Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        let clock = CpuClock::of_process(pid).unwrap();
        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        assert!(clock.read().unwrap() > Duration::ZERO);
        child.wait().unwrap();
        let error = clock.read().unwrap_err().to_string();
        assert!(error.contains(&pid.to_string()), "{error}");
    }
}
