//! Before the first quad: switching cost, warm-up, capacity, pilot, and what the budget allows.

use std::{collections::BTreeMap, time::Duration};

use super::{Engine, Error, Frame};
use crate::{
    estimate::{deviation, median, resolvable},
    guard::Guard,
    metric::{Metric, Quantile},
    record::{Calibration, Purpose, QuantileUse, nanos},
    schedule::{Arm, Coin},
    workload::{Block, Kind, Load, Sample},
};

/// Shortest settle time, whatever the switch costs.
const SETTLE_MIN: Duration = Duration::from_millis(50);
/// Attach and detach so often to learn what a switch costs.
const SWITCHES: usize = 5;
/// Two successive medians of warm-up blocks closer than this: warm.
const WARM: f64 = 0.02;
impl Engine<'_> {
    pub(super) fn calibrate(&mut self) -> Result<Calibration, Error> {
        let kind = self.session.kind();
        self.progress.phase("switching cost");
        let switches = self.switching_cost()?;
        let slowest = switches.iter().copied().max().unwrap_or_default();
        let empty = self.ask("measuring an empty program", Guard::calibrate)?;
        let settle = self.plan.settle.max(2 * slowest).max(SETTLE_MIN);

        self.progress.phase("warm-up");
        let mut coin = Coin::new(self.plan.seed, 1);
        let (warmup, mut unit_wall) = self.warm_up(settle, &mut coin)?;
        let rate = match kind {
            Kind::Batch | Kind::Timed => None,
            Kind::Service => {
                self.progress.phase("capacity");
                Some(self.capacity(settle, &mut coin)? / 2.0)
            }
        };
        if kind == Kind::Service {
            unit_wall = Duration::ZERO;
        }

        self.go_on()?;
        self.progress.phase("pilot");
        let begin = self.host.now();
        let window = match kind {
            Kind::Batch => unit_wall,
            Kind::Service => self.plan.window / 3,
            Kind::Timed => self.plan.window,
        };
        let delay = window.mul_f64(self.plan.spike_percent / 100.0);
        let can = self.plan.spike_every > 0 && self.session.hold_up(Duration::ZERO);
        let hold_up = can.then_some(delay);
        let frame = Frame {
            settle,
            rate,
            hold_up,
        };
        for (number, quad) in (0..self.plan.pilot_quads).zip(coin) {
            self.quad(Purpose::Pilot, number, quad, &frame)?;
        }
        let pilot = self.host.now().saturating_sub(begin);
        if hold_up.is_some() {
            let spike = Coin::new(self.plan.seed, 3)
                .next()
                .expect("a coin never ends");
            self.quad(Purpose::Spike, 0, spike, &frame)?;
        }
        // A guarded quad also switches, and has its probe.
        let probe = if kind != Kind::Service {
            unit_wall + settle
        } else {
            self.plan.probe
        };
        let one = pilot / self.plan.pilot_quads.max(1);
        // Each quad pays its part of the placebos and spike-ins between them.
        let part = |every: u32| {
            if every == 0 {
                Duration::ZERO
            } else {
                one / every
            }
        };
        let sides = part(self.plan.placebo_every)
            + hold_up.map_or(Duration::ZERO, |_| part(self.plan.spike_every));
        let quad_time = one + sides + 2 * slowest + probe;
        let left = self
            .plan
            .budget
            .saturating_sub(self.host.now().saturating_sub(self.begin));
        let affordable = nanos(left) / nanos(quad_time).max(1);
        let affordable = u32::try_from(affordable).unwrap_or(u32::MAX);
        let quads_max = affordable.clamp(self.plan.min_quads, self.plan.max_quads);
        let mut calibration = Calibration {
            kind,
            cpus: self.host.cpus(),
            switches_ns: switches.into_iter().map(nanos).collect(),
            settle,
            rate,
            hold_up,
            unit_wall,
            warmup,
            noise: 0.0,
            quad_time,
            quads_max,
            quantiles: BTreeMap::new(),
            empty,
        };
        self.declare(&mut calibration, affordable);
        Ok(calibration)
    }

    /// Says what this machine can resolve in this budget, before anything is judged.
    fn declare(&mut self, calibration: &mut Calibration, affordable: u32) {
        let values: Vec<f64> = self
            .blocks
            .iter()
            .filter_map(|block| Metric::Throughput.value(calibration, block))
            .collect();
        calibration.noise = deviation(&values).unwrap_or(0.0);
        let quads_max = calibration.quads_max;
        let total = calibration.quad_time * quads_max;
        // d_q is a mean of two minus a mean of two, so its deviation is that of a single block.
        let effect = Metric::P50.overhead(resolvable(calibration.noise, f64::from(quads_max)));
        self.say(format!(
            "this machine resolves about ±{effect:.1} % of throughput in {:.1} minutes ({quads_max} quads)",
            total.as_secs_f64() / 60.0
        ));
        if affordable < self.plan.min_quads {
            self.say(format!(
                "the budget of {:.0} s is enough for {affordable} of the {} quads that are run at the least: fewer decide nothing",
                self.plan.budget.as_secs_f64(),
                self.plan.min_quads
            ));
        }
        let samples = self
            .blocks
            .iter()
            .filter_map(|block| block.steady().latency.as_ref().map(|latency| latency.count))
            .min()
            .unwrap_or(0);
        for quantile in [Quantile::P95, Quantile::P99] {
            let usage = quantile.usage(samples, quads_max);
            if let QuantileUse::NotJudgeable(quads) = usage
                && samples > 0
            {
                self.say(format!(
                    "{quantile:?} is not judgeable in this budget: {samples} samples a block, {quads} quads would be needed"
                ));
            }
            calibration.quantiles.insert(quantile, usage);
        }
    }

    fn switching_cost(&mut self) -> Result<Vec<Duration>, Error> {
        // Whatever state it was handed over in.
        self.ask("releasing", Guard::release)?;
        self.attached = false;
        let mut times = Vec::new();
        for _ in 0..SWITCHES {
            for arm in [Arm::Guarded, Arm::Bare] {
                self.go_on()?;
                let begin = self.host.now();
                self.switch(arm)?;
                times.push(self.host.now().saturating_sub(begin));
            }
        }
        Ok(times)
    }

    /// Blocks bare, guarded, bare until two successive medians of three agree. Also gives the wall time of the last bare one.
    fn warm_up(
        &mut self,
        settle: Duration,
        coin: &mut Coin,
    ) -> Result<((u32, bool), Duration), Error> {
        let mut values = Vec::new();
        let mut last = None;
        let mut wall = Duration::ZERO;
        let mut blocks = 0;
        while blocks < self.plan.warmup_blocks {
            self.go_on()?;
            let arm = if blocks % 3 == 1 {
                Arm::Guarded
            } else {
                Arm::Bare
            };
            self.switch(arm)?;
            let block = Block {
                seed: coin.seed(),
                settle,
                window: self.closed_window(),
                load: Load::Closed,
            };
            let begin = self.host.now();
            let sample = self.window(&block, "warm-up")?;
            blocks += 1;
            if blocks == 1 {
                self.works(&sample)?;
                self.forewarn(self.host.now().saturating_sub(begin));
            }
            if arm == Arm::Bare {
                wall = sample.wall;
            }
            values.push(sample.operations as f64 / sample.wall.as_secs_f64());
            if values.len() == 3 {
                let now = median(&values);
                values.clear();
                if let (Some(now), Some(before)) = (now, last.replace(now).flatten())
                    && (now / before - 1.0_f64).abs() < WARM
                {
                    return Ok(((blocks, true), wall));
                }
            }
        }
        self.say(format!(
            "the workload was not steady after {blocks} warm-up blocks"
        ));
        Ok(((blocks, false), wall))
    }

    /// A workload that only fails would be void, quad by quad, to the end of the budget.
    fn works(&self, first: &Sample) -> Result<(), Error> {
        if first.operations > 0 || first.errors.is_empty() {
            return Ok(());
        }
        let errors: Vec<String> = first
            .errors
            .iter()
            .map(|(class, count)| format!("{count} × {class}"))
            .collect();
        Err(Error::Fails {
            workload: self.plan.workload.clone(),
            errors: errors.join(", "),
        })
    }

    /// Says as early as possible that the least number of quads takes longer than the budget: one unit of work may take
    /// minutes, and there are dozens.
    fn forewarn(&mut self, first: Duration) {
        let plan = self.plan;
        let spikes = plan.spike_every > 0 && self.session.hold_up(Duration::ZERO);
        let blocks = 4 * (plan.pilot_quads + u32::from(spikes) + plan.min_quads);
        // The warm-up is two threes at the least.
        let warm_up = plan.warmup_blocks.min(6);
        let least = match self.session.kind() {
            // The first was as short as those that find the capacity; the others have a window at a fixed rate, too,
            // twice as long.
            Kind::Service => {
                first.saturating_mul(warm_up + 3 + 3 * blocks) + plan.probe * plan.min_quads
            }
            // The probe is one more block.
            Kind::Batch | Kind::Timed => first.saturating_mul(warm_up + blocks + plan.min_quads),
        };
        if least > plan.budget {
            let minutes = |time: Duration| time.as_secs_f64() / 60.0;
            self.say(format!(
                "the budget of {:.1} minutes is not enough: the least that can decide anything, {} quads and what comes before them, \
                 takes about {:.1} minutes here",
                minutes(plan.budget),
                plan.min_quads,
                minutes(least)
            ));
        }
    }

    /// Operations a second, as fast as it goes, bare: the median of three.
    fn capacity(&mut self, settle: Duration, coin: &mut Coin) -> Result<f64, Error> {
        self.switch(Arm::Bare)?;
        let mut rates = Vec::new();
        for _ in 0..3 {
            self.go_on()?;
            let block = Block {
                seed: coin.seed(),
                settle,
                window: self.plan.window / 3,
                load: Load::Closed,
            };
            let sample = self.window(&block, "capacity")?;
            rates.push(sample.operations as f64 / sample.wall.as_secs_f64());
        }
        median(&rates)
            .filter(|rate| *rate > 0.0)
            .ok_or_else(|| Error::Idle {
                workload: self.plan.workload.clone(),
                window: self.plan.window / 3,
            })
    }
}
