//! What an empty program costs on this machine, by the kernel's statistics and in truth.

use std::fs::File;

use aegisbpf_core::{Backend, dose::Dose};
use aegisbpf_measure::{
    guard::EmptyProgram,
    interval::{mean, one_sample},
    schedule::{Arm, Coin},
    workload::BoxError,
};

use crate::cpu::CpuClock;

/// Opens in one block.
const OPENS: u32 = 1_500;
/// Quads of blocks.
const QUADS: usize = 12;

/// Measures it where this backend's own programs run: quads of blocks without statistics, then one with them.
/// `None`: there is no empty program for this backend.
///
/// # Errors
/// If the kernel refuses it.
pub fn measure(backend: Backend) -> Result<Option<EmptyProgram>, BoxError> {
    let Some(mut empty) = Dose::empty(backend)? else {
        return Ok(None);
    };
    block()?;
    let mut differences = Vec::new();
    for quad in Coin::new(1, 0).take(QUADS) {
        let (mut bare, mut guarded) = (Vec::new(), Vec::new());
        for (arm, _) in quad.blocks() {
            match arm {
                Arm::Bare => {
                    empty.detach()?;
                    bare.push(block()?);
                }
                Arm::Guarded => {
                    empty.attach()?;
                    guarded.push(block()?);
                }
            }
        }
        differences.push(mean(&guarded) - mean(&bare));
    }
    empty.attach()?;
    empty.count_runs(true)?;
    let before = empty.runs()?;
    block()?;
    let after = empty.runs()?;
    empty.count_runs(false)?;
    empty.detach()?;
    let (runs, nanos) = (after.0 - before.0, after.1 - before.1);
    let Some(found) = one_sample(&differences, 0.95).filter(|_| runs > 0) else {
        return Ok(None);
    };
    Ok(Some(EmptyProgram {
        reported_ps: nanos * 1_000 / runs,
        true_ps: picoseconds(found.estimate),
        margin_ps: picoseconds((found.upper - found.lower) / 2.0),
    }))
}

/// CPU time of one open and its close, in nanoseconds.
fn block() -> Result<f64, BoxError> {
    let clock = CpuClock::of_this_thread();
    // Twice as many: the first half only settles.
    for _ in 0..OPENS {
        File::open("/")?;
    }
    let before = clock.read()?;
    for _ in 0..OPENS {
        File::open("/")?;
    }
    let nanos = (clock.read()? - before).as_nanos();
    #[expect(clippy::cast_precision_loss, reason = "some milliseconds")]
    let nanos = nanos as f64;
    Ok(nanos / f64::from(OPENS))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not below zero, and far below 2^53"
)]
fn picoseconds(nanos: f64) -> u64 {
    (1e3 * nanos.max(0.0)).round() as u64
}
