//! The load generator: one thread that sends what is due, reads what is answered, and watches its own lag.

use std::{
    io,
    iter::Peekable,
    net::SocketAddr,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{self, Block, BoxError, Load, Sample};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{prctl::set_timerslack, time::TimeSpec},
};

use crate::{
    cpu::CpuClock,
    load::{
        connection::{Connection, Failure, Request},
        http::Target,
        schedule::Schedule,
        tally::{Tally, Took},
    },
};

/// A request unanswered for so long counts as an error of class `timeout`.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// The last stretch before a send is due is polled without sleeping: a sleeping thread wakes up tens of µs late,
/// which would be booked as latency.
const SPIN: Duration = Duration::from_micros(60);

/// What ends a run; failed requests do not, they are counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Nobody answers there any more.
    #[error("connecting to {address}: {source}")]
    Connect {
        /// Whom we called.
        address: SocketAddr,
        /// What came of it.
        source: io::Error,
    },
    /// Waiting for replies.
    #[error("waiting for replies of {address}: {source}")]
    Wait {
        /// Whose.
        address: SocketAddr,
        /// What came of it.
        source: Errno,
    },
}

/// Connections to one server, kept from block to block.
#[derive(Debug)]
pub struct Generator {
    target: Target,
    connections: Vec<Connection>,
    hold_up: Duration,
}

impl Generator {
    /// Opens so many connections to the target.
    ///
    /// # Errors
    /// If one is refused.
    pub fn connect(target: Target, connections: usize) -> Result<Self, LoadError> {
        let address = target.address;
        let connections = (0..connections)
            .map(|_| Connection::open(address))
            .collect::<io::Result<_>>()
            .map_err(|source| LoadError::Connect { address, source })?;
        // Timers of this thread fire when they are due and not up to 50 µs later. Refusal costs only lag, which is judged.
        let _ = set_timerslack(1);
        Ok(Self {
            target,
            connections,
            hold_up: Duration::ZERO,
        })
    }

    /// The next closed-loop block wastes this time in its middle: the known delay of a spike-in.
    pub fn hold_up(&mut self, delay: Duration) {
        self.hold_up = delay;
    }

    /// Runs one block. `cpu` reads the server's CPU time; it is called at both ends of the window.
    ///
    /// # Errors
    /// If the server is gone, or its CPU time cannot be read.
    pub fn run(
        &mut self,
        block: &Block,
        cpu: &mut dyn FnMut() -> Result<Duration, BoxError>,
    ) -> Result<Sample, BoxError> {
        let schedule = Schedule::new(block, self.target.pages.len()).peekable();
        let opens = Instant::now() + block.settle;
        let mut count = Count::default();
        let mut run = Run {
            generator: self,
            schedule,
            block,
            opens,
            closes: opens + block.window,
            draining: false,
            count: &mut count,
        };
        run.until(|run, now| now >= run.opens)?;

        let own_clock = CpuClock::of_this_thread();
        let (cpu_before, own_before, begin) = (cpu()?, own_clock.read()?, Instant::now());
        run.count.now = true;
        run.count.middle = Some(begin + block.window / 2);
        match block.load {
            // Late replies still belong to the window: leaving them out would hide the slowest.
            Load::Open { .. } => {
                run.until(|run, _| run.schedule.peek().is_none() && run.is_idle())?;
            }
            Load::Closed => {
                run.until(|run, now| now >= run.opens + run.block.window / 2)?;
                workload::hold_up(std::mem::take(&mut run.generator.hold_up));
                run.until(|run, now| now >= run.closes)?;
            }
        }
        // What was counted is what was answered until now, however late this thread woke up.
        let wall = begin.elapsed();
        let (cpu, generator_cpu) = (
            cpu()?.saturating_sub(cpu_before),
            own_clock.read()?.saturating_sub(own_before),
        );

        run.count.now = false;
        run.draining = true;
        run.until(|run, _| run.is_idle())?;
        let took = Took {
            wall,
            cpu,
            generator_cpu,
        };
        Ok(count.tally.into_sample(block, took))
    }
}

/// What counts, and what was counted.
#[derive(Debug, Default)]
struct Count {
    /// Closed loop: whether the window is open.
    now: bool,
    /// Until when its first half lasts.
    middle: Option<Instant>,
    tally: Tally,
}

impl Count {
    fn over(&mut self, request: Request, outcome: &Result<(), Failure>, now: Instant, load: Load) {
        // Open loop: a request belongs to the window in which it was due. Closed loop: in which it was answered.
        let counts = match load {
            Load::Open { .. } => request.counted,
            Load::Closed => self.now,
        };
        match outcome {
            _ if !counts => {}
            Ok(()) => {
                let in_first_half = self.middle.is_some_and(|middle| now < middle);
                self.tally.done(now - request.intended, in_first_half);
            }
            Err(failure) => self.tally.error(&failure.class),
        }
    }
}

/// One block under way.
struct Run<'a> {
    generator: &'a mut Generator,
    schedule: Peekable<Schedule>,
    block: &'a Block,
    /// The window, from … to.
    opens: Instant,
    closes: Instant,
    /// Nothing is sent any more.
    draining: bool,
    count: &'a mut Count,
}

impl Run<'_> {
    fn is_idle(&self) -> bool {
        self.generator
            .connections
            .iter()
            .all(|connection| connection.request.is_none())
    }

    fn start(&self) -> Instant {
        self.opens - self.block.settle
    }

    /// Sends and receives until told to stop.
    fn until(&mut self, stop: impl Fn(&mut Self, Instant) -> bool) -> Result<(), LoadError> {
        loop {
            self.send_due()?;
            let now = Instant::now();
            if stop(self, now) {
                return Ok(());
            }
            let patience = self.patience(now);
            self.receive(patience)?;
        }
    }

    /// Sends every request that is due, as long as a connection is free to carry it.
    fn send_due(&mut self) -> Result<(), LoadError> {
        while let Some(&due) = self.schedule.peek().filter(|_| !self.draining) {
            // The one that is free the longest: so a lag counts only what the generator itself is to blame for.
            let free = self
                .generator
                .connections
                .iter_mut()
                .filter(|connection| connection.request.is_none());
            let Some(connection) = free.min_by_key(|connection| connection.free_since) else {
                break;
            };
            let now = Instant::now();
            let intended = due.at.map_or(now, |at| self.opens - self.block.settle + at);
            if intended > now {
                break;
            }
            self.schedule.next();
            let counted = intended >= self.opens;
            if counted {
                let lag = now - intended.max(connection.free_since);
                self.count.tally.lag(lag);
            }
            let request = Request {
                page: due.page,
                intended,
                sent: now,
                counted,
            };
            if let Err(class) = connection.send(request, &self.generator.target.pages[due.page]) {
                self.count
                    .over(request, &Err(Failure::broken(class)), now, self.block.load);
                reopen(connection, self.generator.target.address)?;
            }
        }
        Ok(())
    }

    /// How long to sleep for replies at most; zero is a spin.
    fn patience(&mut self, now: Instant) -> Duration {
        let until = |instant: Instant| instant.saturating_duration_since(now);
        let start = self.start();
        let edge = if now < self.opens {
            until(self.opens)
        } else {
            until(self.closes).max(Duration::from_millis(1))
        };
        let any_free = self
            .generator
            .connections
            .iter()
            .any(|connection| connection.request.is_none());
        match self.schedule.peek().and_then(|due| due.at) {
            Some(at) if any_free => until(start + at).saturating_sub(SPIN).min(edge),
            _ => edge,
        }
    }

    /// Waits for replies and books them.
    fn receive(&mut self, patience: Duration) -> Result<(), LoadError> {
        let Generator {
            target,
            connections,
            ..
        } = &mut *self.generator;
        let busy: Vec<usize> = (0..connections.len())
            .filter(|&index| connections[index].request.is_some())
            .collect();
        let mut fds: Vec<PollFd<'_>> = busy
            .iter()
            .map(|&index| PollFd::new(connections[index].as_fd(), PollFlags::POLLIN))
            .collect();
        match ppoll(&mut fds, Some(TimeSpec::from_duration(patience)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(source) => {
                return Err(LoadError::Wait {
                    address: target.address,
                    source,
                });
            }
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        for (index, ready) in busy.into_iter().zip(ready) {
            self.receive_on(index, ready)?;
            // Between two replies: the second must not delay what is due by now.
            self.send_due()?;
        }
        Ok(())
    }

    fn receive_on(&mut self, index: usize, ready: bool) -> Result<(), LoadError> {
        let Generator {
            target,
            connections,
            ..
        } = &mut *self.generator;
        let connection = &mut connections[index];
        let outcome = if ready {
            connection.receive(&target.pages)
        } else {
            None
        };
        let now = Instant::now();
        let timeout = || Err(Failure::broken("timeout".to_owned()));
        let outcome = outcome.or_else(|| connection.is_overdue(now, REQUEST_LIMIT).then(timeout));
        if let (Some(outcome), Some(request)) = (outcome, connection.request) {
            self.count.over(request, &outcome, now, self.block.load);
            connection.finish(now);
            if outcome.is_err_and(|failure| failure.broken) {
                reopen(connection, target.address)?;
            }
        }
        Ok(())
    }
}

fn reopen(connection: &mut Connection, address: SocketAddr) -> Result<(), LoadError> {
    connection
        .reopen()
        .map_err(|source| LoadError::Connect { address, source })
}
