//! A quad, block by block, with the treatment check in between.

use std::{collections::BTreeMap, time::Duration};

use super::{Engine, Error, Frame};
use crate::{
    guard::{Guard, Runs},
    record::{Activity, BlockRecord, Purpose, Window, nanos},
    schedule::{Arm, Quad},
    treatment::Check,
    workload::{Block, Kind, Load},
};

/// Noise next to the denied file may add a hit; so often it is touched again.
const TOUCHES: usize = 3;

impl Engine<'_> {
    /// Four blocks, and the treatment check in between (outside of all windows).
    pub(super) fn quad(
        &mut self,
        purpose: Purpose,
        number: u32,
        quad: Quad,
        frame: &Frame,
    ) -> Result<(), Error> {
        let mut hits = [None; 2];
        let mut probe: Option<(BTreeMap<String, Runs>, u64)> = None;
        for (position, (arm, seed)) in (0..).zip(quad.blocks()) {
            if self.progress.stopped() {
                return Ok(());
            }
            // Outside of the quads that count, labels are made up: everything is bare.
            let real = if purpose.is_bare() { Arm::Bare } else { arm };
            if purpose == Purpose::Placebo && arm == Arm::Guarded {
                // All that a switch does may be seen in the next block, but the treatment.
                self.switch(Arm::Guarded)?;
            }
            self.switch(real)?;
            let hold_up = frame
                .hold_up
                .filter(|_| purpose == Purpose::Spike && arm == Arm::Guarded);
            let mut block = self.block(real, seed, frame, hold_up)?;
            (block.purpose, block.quad, block.position, block.arm) =
                (purpose, number, position, arm);
            self.blocks.push(block);
            if purpose.is_bare() {
                continue;
            }
            let place = &mut hits[usize::from(arm == Arm::Guarded)];
            if place.is_none() {
                *place = Some(self.touch(u64::from(arm == Arm::Guarded))?);
            }
            if arm == Arm::Guarded && probe.is_none() {
                probe = Some(self.probe(seed, frame)?);
            }
        }
        if let ([Some(bare_hits), Some(guarded_hits)], Some((hooks, operations))) = (hits, probe) {
            let opens_per_operation = self.session.opens_per_operation();
            self.checks.push(Check {
                quad: number,
                guarded_hits,
                bare_hits,
                runs: hooks.values().map(|runs| runs.count).sum(),
                operations,
                opens_per_operation,
                hooks,
            });
        }
        Ok(())
    }

    /// One block: for services an open-loop window and a closed-loop one (2:1), for batch jobs one unit.
    fn block(
        &mut self,
        arm: Arm,
        seed: u64,
        frame: &Frame,
        hold_up: Option<Duration>,
    ) -> Result<BlockRecord, Error> {
        let Frame { settle, rate, .. } = *frame;
        let begin = self.host.now();
        let counters = self.host.counters();
        let before = self.evidence()?;
        let mut middle = before.clone();
        let open = match rate {
            Some(rate) => {
                let window = self.plan.window * 2 / 3;
                let block = Block {
                    seed,
                    settle,
                    window,
                    load: Load::Open { rate },
                };
                let sample = self.window(&block, "open loop")?;
                middle = self.evidence()?;
                Some(Window::new(
                    &sample,
                    middle.cpu.saturating_sub(before.cpu),
                    settle,
                ))
            }
            None => None,
        };
        let block = Block {
            seed,
            settle,
            window: self.closed_window(),
            load: Load::Closed,
        };
        if let Some(delay) = hold_up {
            self.session.hold_up(delay);
        }
        let sample = self.window(&block, "closed loop")?;
        let after = self.evidence()?;
        let closed = Window::new(&sample, after.cpu.saturating_sub(middle.cpu), settle);
        let wall = self.host.now().saturating_sub(begin);
        let memory = match arm {
            Arm::Bare => None,
            Arm::Guarded => self.ask("reading the memory", Guard::memory)?,
        };
        Ok(BlockRecord {
            purpose: Purpose::Quad,
            quad: 0,
            position: 0,
            arm,
            seed,
            begin_ns: nanos(begin.saturating_sub(self.begin)),
            open,
            closed,
            activity: Activity::between(&before, &after),
            memory,
            contention: self.host.counters().since(counters, wall),
            spike_ns: hold_up.map(nanos),
        })
    }

    /// A service shares its block between an open-loop and a closed-loop window, 2:1.
    pub(super) fn closed_window(&self) -> Duration {
        match self.session.kind() {
            Kind::Service => self.plan.window / 3,
            Kind::Batch | Kind::Timed => self.plan.window,
        }
    }

    /// Touches the denied file until the expected number of hits was seen, three times at most; tells the last number.
    fn touch(&mut self, expected: u64) -> Result<u64, Error> {
        let mut hits = 0;
        for _ in 0..TOUCHES {
            let before = self.evidence()?.hits;
            self.ask("touching a denied file", Guard::touch_denied)?;
            hits = self.evidence()?.hits.saturating_sub(before);
            // Too many may be a stranger's; too few are a guard that does not work.
            if hits <= expected {
                break;
            }
        }
        Ok(hits)
    }

    /// Runs of each hook and operations in an untimed guarded block.
    fn probe(&mut self, seed: u64, frame: &Frame) -> Result<(BTreeMap<String, Runs>, u64), Error> {
        let load = frame.rate.map_or(Load::Closed, |rate| Load::Open { rate });
        let mut window = self.plan.probe;
        if let Load::Open { rate } = load {
            // At a low rate the window must hold a few operations.
            window = window.max(Duration::from_secs_f64((10.0 / rate).min(60.0)));
        }
        self.ask("switching on the run counting", |guard| {
            guard.count_runs(true)
        })?;
        let before = self.evidence()?;
        let sample = self.window(
            &Block {
                seed,
                settle: Duration::ZERO,
                window,
                load,
            },
            "hook probe",
        );
        let after = self.evidence()?;
        self.ask("switching off the run counting", |guard| {
            guard.count_runs(false)
        })?;
        let since = |(hook, runs): (String, Runs)| {
            let earlier = before.runs.get(&hook).copied().unwrap_or_default();
            (hook, runs.since(earlier))
        };
        let hooks = after.runs.into_iter().map(since).collect();
        Ok((hooks, sample?.operations))
    }
}
