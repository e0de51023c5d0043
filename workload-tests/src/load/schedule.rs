//! What is due when: a function of the block alone, so that the blocks of a pair replay the same work.

use std::time::Duration;

use aegisbpf_measure::workload::{Block, Load};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When it is to be sent, from the start of the block. `None`: as soon as a connection is free (closed loop).
    pub at: Option<Duration>,
    /// Which page.
    pub page: usize,
}

/// The requests of one block, in order.
#[derive(Debug, Clone)]
pub struct Schedule {
    rng: ChaCha8Rng,
    pages: usize,
    load: Load,
    end: Duration,
    issued: u64,
}

impl Schedule {
    /// The schedule of a block over so many pages. Settle time and window are one stretch of even load.
    #[must_use]
    pub fn new(block: &Block, pages: usize) -> Self {
        let end = block.settle + block.window;
        Self {
            rng: ChaCha8Rng::seed_from_u64(block.seed),
            pages,
            load: block.load,
            end,
            issued: 0,
        }
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let at = match self.load {
            Load::Open { rate } => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a block holds far fewer than 2^52 requests"
                )]
                let at = Duration::from_secs_f64(self.issued as f64 / rate);
                if at >= self.end {
                    return None;
                }
                Some(at)
            }
            Load::Closed => None,
        };
        self.issued += 1;
        Some(Due {
            at,
            page: self.rng.random_range(0..self.pages),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(seed: u64) -> Block {
        let (settle, window) = (Duration::from_millis(100), Duration::from_millis(400));
        Block {
            seed,
            settle,
            window,
            load: Load::Open { rate: 1_000.0 },
        }
    }

    #[test]
    fn the_same_seed_replays_the_same_schedule() {
        let once: Vec<Due> = Schedule::new(&open(7), 1_000).collect();
        assert_eq!(once, Schedule::new(&open(7), 1_000).collect::<Vec<_>>());
        assert_ne!(once, Schedule::new(&open(8), 1_000).collect::<Vec<_>>());
    }

    #[test]
    fn requests_are_due_evenly_over_settle_time_and_window() {
        let due: Vec<Due> = Schedule::new(&open(7), 1_000).collect();
        assert_eq!(due.len(), 500);
        assert!(
            due.iter()
                .enumerate()
                .all(|(i, due)| due.at == Some(Duration::from_millis(i as u64)))
        );
    }

    #[test]
    fn a_closed_loop_never_runs_dry() {
        let block = Block {
            load: Load::Closed,
            ..open(7)
        };
        assert!(
            Schedule::new(&block, 10)
                .take(5_000)
                .all(|due| due.at.is_none() && due.page < 10)
        );
    }
}
