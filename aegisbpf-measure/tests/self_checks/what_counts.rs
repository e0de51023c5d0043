//! What may be left out, and which PASS may stand: by what others did, never by the result.

use aegisbpf_measure::{Verdict, fake::Truth, record::Purpose, verdict::Strength};

use super::{batch, run};

#[test]
fn quads_are_excluded_by_what_others_did_and_never_by_their_result() {
    let mut record = run(batch());
    record.plan.exclude_foreign_points = 30.0;
    let block = record
        .observed
        .blocks
        .iter_mut()
        .find(|b| b.purpose == Purpose::Quad && b.quad == 3)
        .expect("it is there");
    block.contention.busy_ppm = block.contention.busy_ppm.map(|busy| busy + 400_000);
    let block = record
        .observed
        .blocks
        .iter_mut()
        .find(|b| b.purpose == Purpose::Quad && b.quad == 5)
        .expect("it is there");
    block.contention.suspended_ms = Some(60_000);
    // A wild result alone excludes nothing.
    let block = record
        .observed
        .blocks
        .iter_mut()
        .find(|b| b.purpose == Purpose::Quad && b.quad == 7)
        .expect("it is there");
    block.closed.wall_ns *= 2;
    let judgement = aegisbpf_measure::decide(&record.plan, &record.observed);
    let excluded: Vec<u32> = judgement.excluded.iter().map(|(quad, _)| *quad).collect();
    assert_eq!(excluded, [3, 5], "{:?}", judgement.excluded);
    assert!(judgement.excluded[0].1.contains("CPU time of others"));
    assert!(judgement.excluded[1].1.contains("suspended for 60 s"));
}

#[test]
fn a_pass_per_cpu_second_is_refused_if_the_workload_waits_more() {
    let truth = Truth {
        effect: 0.02,
        noise: 0.2,
        cpu_noise: 0.005,
        wait: 0.5,
        ..batch()
    };
    let judged = |switches| {
        run(Truth {
            switches,
            ..truth.clone()
        })
        .judgement
    };
    let untold = judged(None);
    assert_eq!(
        (untold.verdict, untold.strength),
        (Verdict::Pass, Some(Strength::PerCpu))
    );
    assert!(
        untold
            .notes
            .iter()
            .any(|note| note.contains("does not tell how often it waits"))
    );
    assert_eq!(judged(Some(1.0)).strength, Some(Strength::PerCpu));
    let waits = judged(Some(1.5));
    assert_eq!(waits.verdict, Verdict::Inconclusive, "{}", waits.sentence());
    assert_eq!(
        untold.strict(),
        Verdict::Inconclusive,
        "the weaker strengths do not count when strict"
    );
}
