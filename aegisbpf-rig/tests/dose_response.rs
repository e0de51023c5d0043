//! Programs of a known price on this kernel: what the method finds of them grows with the dose, in a straight line.

use std::{fs, path::Path};

use aegisbpf_rig::dose::{Response, line, respond};

/// Attaching needs root, and a kernel that describes its types.
fn can_attach() -> bool {
    nix::unistd::Uid::effective().is_root() && Path::new("/sys/kernel/btf/vmlinux").exists()
}

#[test]
#[ignore = "measures for a minute, and means something on a quiet machine only: run it as root with `--ignored`"]
fn doses_are_found_in_order_and_in_a_straight_line_by_pairs_and_by_run_times() {
    if !can_attach() {
        eprintln!("ignored: needs root and /sys/kernel/btf/vmlinux");
        return;
    }
    let scratch = std::env::temp_dir().join(format!("aegisbpf-dose-{}", std::process::id()));
    fs::create_dir_all(&scratch).expect("a directory for sockets");
    let responses = respond(&[0, 1, 4, 16, 64], 8, 8_000, &scratch).expect("doses attach");
    fs::remove_dir_all(&scratch).expect("the sockets are ours");
    for found in &responses {
        println!("{found:?}");
    }
    in_order(&responses);
    straight(&responses);
    for found in &responses {
        assert!(found.z.abs() < 5.0, "the two estimates disagree: {found:?}");
    }
}

#[track_caller]
fn in_order(responses: &[Response]) {
    for pair in responses.windows(2) {
        assert!(pair[0].direct < pair[1].direct, "by run times: {pair:?}");
        // What is less than the noise may not be told apart, but never be told the wrong way round.
        assert!(pair[0].interval.0 < pair[1].interval.1, "paired: {pair:?}");
    }
    let of = |lookups| {
        responses
            .iter()
            .find(|found| found.lookups == lookups)
            .expect("it was measured")
    };
    assert!(
        of(64).interval.0 > of(4).interval.1,
        "64 look-ups are not told from 4: {responses:?}"
    );
}

#[track_caller]
fn straight(responses: &[Response]) {
    let (base, each) = line(responses, |found| found.paired);
    for found in responses {
        let on_the_line = base + each * f64::from(found.lookups);
        let (lower, upper) = found.interval;
        // Five intervals of 95 % may well miss once: twice their width does not.
        let (down, up) = (found.paired - lower, upper - found.paired);
        let band = found.paired - 2.0 * down - 1.0..=found.paired + 2.0 * up + 1.0;
        assert!(
            band.contains(&on_the_line),
            "paired: {on_the_line:.0} ns on the line, {found:?}"
        );
    }
    let (base, each) = line(responses, |found| found.direct);
    assert!(each > 1.0, "a look-up costs {each} ns");
    for found in responses {
        let on_the_line = base + each * f64::from(found.lookups);
        let apart = (on_the_line - found.direct).abs();
        assert!(
            apart < 0.2 * found.direct + 30.0,
            "by run times: {on_the_line:.0} ns on the line, {found:?}"
        );
    }
}
