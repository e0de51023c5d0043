//! What is summed up over all blocks: memory, the enforcer's counters, contention.

use crate::{
    estimate,
    guard::Memory,
    plan::Plan,
    record::BlockRecord,
    schedule::Arm,
    verdict::{MemoryResult, Totals, Verdict},
};

pub(super) fn memory(plan: &Plan, blocks: &[&BlockRecord]) -> Option<MemoryResult> {
    let seen: Vec<(f64, Memory)> = blocks
        .iter()
        .filter_map(|block| Some((block.begin_ns as f64 / 1e9, block.memory?)))
        .collect();
    let most = seen
        .iter()
        .map(|(_, memory)| *memory)
        .max_by_key(|memory| memory.total())?;
    let slopes: Vec<f64> = seen
        .iter()
        .enumerate()
        .flat_map(|(i, (t, m))| {
            seen[i + 1..]
                .iter()
                .map(move |(u, n)| (n.total() as f64 - m.total() as f64) / (u - t))
        })
        .filter(|slope| slope.is_finite())
        .collect();
    let limit = plan.limits.memory_bytes;
    let verdict = if most.total() < limit {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let slope = estimate::median(&slopes).unwrap_or(0.0);
    Some(MemoryResult {
        most: most.total(),
        process: most.process,
        kernel: most.kernel,
        slope,
        limit,
        verdict,
    })
}

pub(super) fn totals(blocks: &[&BlockRecord]) -> Totals {
    let guarded = blocks.iter().filter(|block| block.arm == Arm::Guarded);
    guarded.fold(Totals::default(), |sum, block| {
        let activity = &block.activity;
        Totals {
            hits: sum.hits + activity.hits,
            blocks: sum.blocks + activity.blocks,
            events: sum.events + activity.events,
            drops: sum.drops + activity.drops,
        }
    })
}

pub(super) fn contention(blocks: &[&BlockRecord], arm: Arm) -> f64 {
    let shares: Vec<f64> = blocks
        .iter()
        .filter(|block| block.arm == arm)
        .map(|block| block.contention.share())
        .collect();
    if shares.is_empty() {
        0.0
    } else {
        shares.iter().sum::<f64>() / shares.len() as f64
    }
}
