//! Blocking clients, one thread and one connection each, that share a schedule: for databases.
//!
//! The pool is an open loop as long as a client is free when an operation is due; when none is, the operation waits,
//! and its latency counts from when it was due.

use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{self, Block, BoxError, Load, Sample};
use nix::sys::prctl::set_timerslack;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rustix::process::setpriority_process;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use crate::{
    cpu::CpuClock,
    load::{
        schedule::Schedule,
        tally::{Tally, Took},
    },
};

/// Keys of one operation are drawn from so many seeds.
const SEEDS: usize = 1 << 24;

/// A client whose operation failed waits so long, so that a server that is gone is not asked millions of times.
const BACK_OFF: Duration = Duration::from_millis(2);

/// The nice value of a generator's threads. On Linux it is each thread's own.
const FIRST: i32 = -20;

/// The last stretch of a delay is spun away: a sleeping thread wakes up late.
const WAKE: Duration = Duration::from_millis(1);

/// One connection to what is under load.
pub trait Client: Send {
    /// Does one operation with keys from `rng`, and proves it.
    ///
    /// # Errors
    /// The class of what went wrong, as the application sees it: an SQLSTATE, an errno, a wrong result.
    fn operate(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String>;

    /// Takes a new connection in place of the old one, as clients do from time to time.
    ///
    /// # Errors
    /// The class of what went wrong.
    fn reconnect(&mut self) -> Result<(), String>;
}

/// Who does the work that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worker {
    /// A server in processes of its own; the clients' threads are the generator.
    Server,
    /// The clients themselves, as with a database that is a library.
    Client,
}

/// The clients, kept from block to block.
#[derive(Debug)]
pub struct Clients<C> {
    clients: Vec<C>,
    /// How many operations each one's connection has done, in whatever block.
    ages: Vec<u64>,
    worker: Worker,
    lifetime: u64,
    hold_up: Duration,
}

impl<C: Client> Clients<C> {
    /// A pool of connections. Each lasts for `lifetime` operations and is then taken anew, between two operations.
    #[must_use]
    pub fn new(clients: Vec<C>, worker: Worker, lifetime: u64) -> Self {
        Self {
            ages: vec![0; clients.len()],
            clients,
            worker,
            lifetime,
            hold_up: Duration::ZERO,
        }
    }

    /// The next closed-loop block wastes this time in its middle: the known delay of a spike-in.
    pub fn hold_up(&mut self, delay: Duration) {
        self.hold_up = delay;
    }

    /// Runs one block. `cpu` reads the server's CPU time; it is called at both ends of the window.
    ///
    /// # Errors
    /// If the CPU time cannot be read.
    pub fn run(
        &mut self,
        block: &Block,
        cpu: &mut dyn FnMut() -> Result<Duration, BoxError>,
    ) -> Result<Sample, BoxError> {
        let start = Instant::now();
        let opens = start + block.settle;
        let shared = Shared {
            schedule: Mutex::new(Schedule::new(block, SEEDS)),
            block,
            start,
            opens,
            closes: opens + block.window,
            lifetime: self.lifetime,
            worker: self.worker,
            clients: self.clients.len(),
            hold_up: match block.load {
                Load::Closed => std::mem::take(&mut self.hold_up),
                Load::Open { .. } => Duration::ZERO,
            },
        };
        let shared = &shared;
        thread::scope(|scope| {
            let (send, clocks) = mpsc::channel();
            let threads: Vec<_> = self
                .clients
                .iter_mut()
                .zip(&mut self.ages)
                .map(|(client, age)| {
                    let send = send.clone();
                    scope.spawn(move || {
                        // Timers of this thread fire when they are due.
                        let _ = set_timerslack(1);
                        if shared.worker == Worker::Server {
                            go_first();
                        }
                        let clock = CpuClock::of_this_thread();
                        // The receiver waits for all of these.
                        let _ = send.send(clock);
                        let tally = shared.work(client, age);
                        (tally, clock.read())
                    })
                })
                .collect();
            drop(send);
            let clocks: Vec<CpuClock> = clocks.iter().take(threads.len()).collect();
            thread::sleep(shared.opens.saturating_duration_since(Instant::now()));
            let threads_before: Duration =
                clocks.iter().filter_map(|clock| clock.read().ok()).sum();
            let (cpu_before, begin) = (cpu()?, Instant::now());
            // Open loop: the window ends with the last of its operations, and late ones belong to it. Closed: what ended
            // between its two instants was counted, whenever this thread wakes up.
            let mut end = None;
            if block.load == Load::Closed {
                thread::sleep(shared.closes.saturating_duration_since(Instant::now()));
                end = Some((block.window, cpu()?));
            }
            let mut tally = Tally::default();
            let mut threads_after = Duration::ZERO;
            for thread in threads {
                let (part, clock) = thread.join().map_err(|_| "a client panicked")?;
                threads_after += clock?;
                tally.add(&part);
            }
            let (wall, server) = match end {
                Some(end) => end,
                None => (begin.elapsed(), cpu()?),
            };
            let server = server.saturating_sub(cpu_before);
            let own = threads_after.saturating_sub(threads_before);
            let (cpu, generator_cpu) = match self.worker {
                Worker::Server => (server, own),
                Worker::Client => (own, Duration::ZERO),
            };
            let took = Took {
                wall,
                cpu,
                generator_cpu,
            };
            Ok(tally.into_sample(block, took))
        })
    }
}

/// Lets this thread run before the server's processes, as clients on another machine would: what is sent late, in both arms
/// alike, would pass for latency. A weight alone does not do it, since a running process keeps the CPU for its slice. Where
/// real time is refused the weight must do, and where that is, too, it costs only lag, which is judged.
fn go_first() {
    let first = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    if set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, first).is_err() {
        let _ = setpriority_process(None, FIRST);
    }
}

/// What all clients of a block share.
struct Shared<'a> {
    schedule: Mutex<Schedule>,
    block: &'a Block,
    start: Instant,
    opens: Instant,
    closes: Instant,
    lifetime: u64,
    worker: Worker,
    clients: usize,
    /// The known delay of a spike-in.
    hold_up: Duration,
}

impl Shared<'_> {
    fn middle(&self) -> Instant {
        self.opens + self.block.window / 2
    }

    /// The known delay, once: all clients stand still for so long, each after its first operation of the second half.
    /// One that is alone spins, as it wakes up too late else; several would keep each other from the CPUs.
    fn waste(&self, hold_up: &mut Duration) {
        let delay = std::mem::take(hold_up);
        let until = Instant::now() + delay;
        if self.clients > 1 {
            thread::sleep(delay.saturating_sub(WAKE));
        }
        workload::hold_up(until.saturating_duration_since(Instant::now()));
    }

    /// One client's share of the block.
    fn work(&self, client: &mut impl Client, age: &mut u64) -> Tally {
        let mut tally = Tally::default();
        let mut free_since = self.start;
        let mut hold_up = self.hold_up;
        loop {
            let due = {
                let mut schedule = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
                schedule.next()
            };
            let Some(due) = due else { return tally };
            let intended = match due.at {
                Some(at) => self.start + at,
                None => Instant::now(),
            };
            thread::sleep(intended.saturating_duration_since(Instant::now()));
            let sent = Instant::now();
            if due.at.is_none() && sent >= self.closes {
                return tally;
            }
            let mut rng = ChaCha8Rng::seed_from_u64(due.page as u64);
            let outcome = client.operate(&mut rng);
            let now = Instant::now();
            let counts = match self.block.load {
                Load::Open { .. } => intended >= self.opens,
                Load::Closed => (self.opens..self.closes).contains(&now),
            };
            if counts {
                tally.lag(sent - intended.max(free_since));
                match &outcome {
                    Ok(()) => tally.done(now - intended, now < self.middle()),
                    Err(class) => tally.error(class),
                }
            }
            *age += 1;
            let mut renewed = Ok(());
            if *age >= self.lifetime || outcome.is_err() {
                renewed = client.reconnect();
                *age = 0;
            }
            if let (Err(class), true) = (&renewed, counts) {
                tally.error(class);
            }
            if outcome.is_err() || renewed.is_err() {
                thread::sleep(BACK_OFF);
            }
            if now >= self.middle() {
                self.waste(&mut hold_up);
            }
            free_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Takes 2 ms an operation, and stands still for a fifth of a second once.
    #[derive(Default)]
    struct Slow {
        operations: u64,
        connections: u64,
        stall_at: Option<u64>,
        fails: bool,
    }

    impl Client for Slow {
        fn operate(&mut self, _: &mut ChaCha8Rng) -> Result<(), String> {
            self.operations += 1;
            thread::sleep(Duration::from_millis(2));
            if Some(self.operations) == self.stall_at {
                thread::sleep(Duration::from_millis(200));
            }
            if self.fails {
                return Err("SQLSTATE 40001".to_owned());
            }
            Ok(())
        }

        fn reconnect(&mut self) -> Result<(), String> {
            self.connections += 1;
            Ok(())
        }
    }

    fn block(load: Load) -> Block {
        Block {
            seed: 1,
            settle: Duration::from_millis(20),
            window: Duration::from_millis(500),
            load,
        }
    }

    #[track_caller]
    fn run(clients: Vec<Slow>, load: Load) -> (Sample, Vec<Slow>) {
        let mut pool = Clients::new(clients, Worker::Server, 10);
        let sample = pool.run(&block(load), &mut || Ok(Duration::ZERO)).unwrap();
        (sample, pool.clients)
    }

    #[test]
    fn every_operation_of_an_open_window_is_done_and_counted_once() {
        let (sample, clients) = run(
            vec![Slow::default(), Slow::default()],
            Load::Open { rate: 100.0 },
        );
        assert_eq!(sample.operations, 50);
        assert_eq!(
            clients.iter().map(|client| client.operations).sum::<u64>(),
            52
        );
        assert!(clients.iter().any(|client| client.connections > 0));
        assert!(sample.errors.is_empty());
    }

    #[test]
    fn a_stall_delays_all_that_was_due_meanwhile_and_is_no_lag() {
        let stalling = Slow {
            stall_at: Some(10),
            ..Slow::default()
        };
        let (sample, _) = run(vec![stalling], Load::Open { rate: 100.0 });
        let latency = sample.latency.unwrap();
        let delayed = latency.count_between(50_000_000, u64::MAX);
        assert!(delayed >= 10, "{delayed} of {}", latency.len());
        assert!(sample.lag_p99.unwrap() < Duration::from_nanos(latency.max()) / 2);
    }

    #[test]
    fn a_failed_operation_is_an_error_of_its_class_and_takes_a_new_connection() {
        let failing = Slow {
            fails: true,
            ..Slow::default()
        };
        let (sample, clients) = run(vec![failing], Load::Open { rate: 100.0 });
        assert_eq!(sample.operations, 0);
        assert_eq!(
            sample.errors,
            BTreeMap::from([("SQLSTATE 40001".to_owned(), 50)])
        );
        assert_eq!(clients[0].connections, clients[0].operations);
    }

    #[test]
    fn a_known_delay_is_missing_from_one_closed_window_in_its_second_half() {
        let mut pool = Clients::new(
            vec![Slow::default(), Slow::default()],
            Worker::Server,
            1_000,
        );
        pool.hold_up(Duration::from_millis(200));
        let mut second_half = |load| {
            let sample = pool.run(&block(load), &mut || Ok(Duration::ZERO)).unwrap();
            sample.halves.map(|[_, second]| second.operations)
        };
        // An open loop leaves the delay to the next closed one.
        assert_eq!(second_half(Load::Open { rate: 50.0 }), None);
        // 250 ms less 200: two clients of 2 ms an operation do 50 at the most, and what was under way.
        let held_up = second_half(Load::Closed).unwrap();
        assert!(held_up <= 54, "{held_up}");
        assert_eq!(pool.hold_up, Duration::ZERO, "one block has it");
    }

    #[test]
    fn a_closed_loop_ends_with_its_window() {
        let (sample, _) = run(vec![Slow::default()], Load::Closed);
        assert!(
            sample.operations > 10 && sample.operations < 251,
            "{}",
            sample.operations
        );
        assert_eq!(sample.wall, Duration::from_millis(500));
    }
}
