//! The order of the arms, and what a switch leaves behind, must not be in the effect.

use aegisbpf_measure::{
    Record, Verdict,
    fake::Truth,
    record::Purpose,
    schedule::Arm,
    self_check::{Kind as Check, Status},
};

use super::{assert_fails, batch, found, run};

#[test]
fn a_settle_time_that_is_too_short_fails_the_carry_over() {
    assert_fails(
        Truth {
            carry_over: 0.06,
            ..batch()
        },
        Check::CarryOver,
    );
}

#[test]
fn carry_over_is_also_found_without_halves() {
    let mut record = run(Truth {
        effect: 0.01,
        ..batch()
    });
    for block in &mut record.observed.blocks {
        block.closed.halves = None;
        // The block just after a switch to the guarded arm is slower than the next.
        let middle = block.position == 1 && block.arm == Arm::Guarded;
        if middle && block.purpose == Purpose::Quad {
            block.closed.wall_ns += block.closed.wall_ns / 12;
        }
    }
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    let check = found(&judgement, Check::CarryOver);
    assert_eq!(check.status, Status::Failed, "{check:?}");
    assert!(check.sentence.contains("just after a switch"), "{check:?}");
}

#[test]
fn an_effect_that_depends_on_the_order_fails() {
    let mut record = run(batch());
    let abba: Vec<u32> = quads(&record, Arm::Bare);
    for block in &mut record.observed.blocks {
        if block.purpose == Purpose::Quad && block.arm == Arm::Guarded && abba.contains(&block.quad)
        {
            block.closed.wall_ns += block.closed.wall_ns / 20;
        }
    }
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    let check = found(&judgement, Check::OrderEffect);
    assert_eq!(check.status, Status::Failed, "{check:?}");
    assert_eq!(judgement.verdict, Verdict::Invalid);
}

/// Numbers of the quads that begin with this arm.
fn quads(record: &Record, first: Arm) -> Vec<u32> {
    let blocks = record.observed.blocks.iter();
    blocks
        .filter(|block| block.purpose == Purpose::Quad && block.position == 0 && block.arm == first)
        .map(|block| block.quad)
        .collect()
}
