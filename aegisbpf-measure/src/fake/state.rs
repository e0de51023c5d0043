//! The one state that the parts of a fake machine share, and the noise that it makes.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::truth::Truth;
use crate::guard::Evidence;

/// What a fake machine is at a moment, and what is true of it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) truth: Truth,
    pub(super) now: Duration,
    pub(super) attached: bool,
    pub(super) counting: bool,
    pub(super) evidence: Evidence,
    pub(super) rng: ChaCha8Rng,
    /// The level's deviation, and when it was drawn.
    level: (f64, Duration),
    /// Whether a burst is under way, and until when that lasts.
    burst: (bool, Duration),
    pub(super) switched: bool,
    pub(super) hold_up: Duration,
}

impl State {
    /// A machine at its start: nothing attached.
    pub(super) fn new(truth: Truth) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(truth.seed);
        let level = (truth.wander * normal(&mut rng), Duration::ZERO);
        Self {
            truth,
            now: Duration::ZERO,
            attached: false,
            counting: false,
            evidence: Evidence::default(),
            rng,
            level,
            burst: (false, Duration::ZERO),
            switched: false,
            hold_up: Duration::ZERO,
        }
    }

    /// ln of how much slower this block is than the machine's mean.
    pub(super) fn noise(&mut self) -> f64 {
        let truth = self.truth.clone();
        let shape = |rng: &mut ChaCha8Rng| {
            if !truth.heavy_tails {
                return normal(rng);
            }
            // t with 3 degrees of freedom has variance 3.
            let square: f64 = (0..3).map(|_| normal(rng).powi(2)).sum();
            normal(rng) / square.sqrt()
        };
        let mut noise = truth.noise * shape(&mut self.rng);
        if truth.wander > 0.0 {
            let (level, drawn) = self.level;
            let gone = self.now.saturating_sub(drawn).as_secs_f64();
            let kept = (-gone / truth.wander_time.as_secs_f64()).exp();
            let fresh = truth.wander * (1.0 - kept * kept).sqrt() * normal(&mut self.rng);
            self.level = (kept * level + fresh, self.now);
            noise += self.level.0;
        }
        if truth.hold_ups.0 > 0.0 && self.rng.random::<f64>() < truth.hold_ups.0 {
            noise += truth.hold_ups.1.ln_1p();
        }
        if let Some(bursts) = truth.bursts {
            while self.burst.1 <= self.now {
                let on = !self.burst.0;
                let mean = if on { bursts.on } else { bursts.off };
                // At least a microsecond, so that this ends.
                let lasts = mean.mul_f64(-(1.0 - self.rng.random::<f64>()).ln().min(-1e-6));
                self.burst = (on, self.burst.1 + lasts);
            }
            if self.burst.0 {
                noise += bursts.slows.ln_1p();
            }
        }
        if std::mem::take(&mut self.switched) {
            noise += truth.switch_effect.ln_1p();
        }
        noise
    }
}

/// A standard normal number (Box and Muller 1958).
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small positive numbers"
)]
pub(super) fn count(value: f64) -> u64 {
    value.round() as u64
}
