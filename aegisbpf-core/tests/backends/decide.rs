//! The decision on its own, in the kernel, under TEST_RUN.

use std::time::Duration;

use aegisbpf_core::{FileId, Policy, selftest::Selftest};

const ALLOW: u8 = 0;
const AUDIT: u8 = 1;
const DENY: u8 = 2;
const EXEMPT: u8 = 3;

/// Two files that share the low bits of their inode number and one that has the inode but not the device.
pub(crate) fn decides_by_identity_alone() {
    let mut test = Selftest::load().unwrap_or_else(|e| panic!("{}", e.chain()));
    let here = FileId::from_kernel(8 << 20 | 1, 42);
    let same_slot = FileId::from_kernel(8 << 20 | 1, 42 + (1 << 16));
    let elsewhere = FileId::from_kernel(8 << 20 | 2, 42);
    let decide = |test: &mut Selftest, file| test.decide(file).unwrap();

    assert_eq!(decide(&mut test, here), (ALLOW, None), "no policy at all");
    let policy: Policy = format!("version=1\n[deny_inode]\n{here}\n")
        .parse()
        .unwrap();
    test.apply(&policy).unwrap();
    test.set(false, false).unwrap();
    let (kind, rule) = decide(&mut test, here);
    assert_eq!((kind, rule.unwrap().number()), (AUDIT, 1));
    assert_eq!(
        decide(&mut test, same_slot),
        (ALLOW, None),
        "the filter says perhaps, the rules say no"
    );
    assert_eq!(decide(&mut test, elsewhere), (ALLOW, None));

    test.set(true, false).unwrap();
    assert_eq!(decide(&mut test, here).0, DENY);
    test.set(true, true).unwrap();
    assert_eq!(decide(&mut test, here).0, EXEMPT);
    test.age().unwrap();
    assert_eq!(
        decide(&mut test, here).0,
        DENY,
        "a process that has got the enforcer's number is not the enforcer"
    );
}

/// So many rules that the filter alone says nearly nothing: whatever is denied is found, before and after a change, and
/// while both policies are there what is neither's is not.
pub(crate) fn every_rule_of_a_large_policy_is_found() {
    const RULES: u64 = 20_000;
    let mut test = Selftest::load().unwrap_or_else(|e| panic!("{}", e.chain()));
    test.set(true, false).unwrap();
    let file = |n: u64| FileId::from_kernel(8 << 20 | 1, 1_000 + n * 13);
    let policy = |from: u64| -> Policy {
        let entries: String = (from..from + RULES)
            .map(|n| format!("{}\n", file(n)))
            .collect();
        format!("version=1\n[deny_inode]\n{entries}")
            .parse()
            .unwrap()
    };
    for from in [0, RULES / 2, 5 * RULES] {
        test.apply(&policy(from)).unwrap();
        for n in (from..from + RULES).step_by(7) {
            assert_eq!(test.decide(file(n)).unwrap().0, DENY, "{}", file(n));
        }
        for n in (0..from).chain(from + RULES..7 * RULES).step_by(97) {
            assert_eq!(test.decide(file(n)).unwrap().0, ALLOW, "{}", file(n));
        }
    }
    let few: Policy = format!("version=1\n[deny_inode]\n{}\n", file(3))
        .parse()
        .unwrap();
    test.apply(&few).unwrap();
    assert_eq!(test.decide(file(3)).unwrap().0, DENY);
    assert_eq!(test.decide(file(4)).unwrap().0, ALLOW);
}

pub(crate) fn emergency_and_silence_turn_refusals_into_audits() {
    let mut test = Selftest::load().unwrap_or_else(|e| panic!("{}", e.chain()));
    let file = FileId::from_kernel(8 << 20 | 1, 42);
    let policy: Policy = format!("version=1\n[deny_inode]\n{file}\n")
        .parse()
        .unwrap();
    let decide = |test: &mut Selftest| test.decide(file).unwrap().0;
    test.apply(&policy).unwrap();
    test.set(true, false).unwrap();
    assert_eq!(decide(&mut test), DENY);

    test.emergency(true).unwrap();
    assert_eq!(decide(&mut test), AUDIT);
    test.apply(&"version=1\n".parse().unwrap()).unwrap();
    test.apply(&policy).unwrap();
    test.set(true, false).unwrap();
    assert_eq!(decide(&mut test), AUDIT, "an emergency outlives policies");
    test.emergency(false).unwrap();
    assert_eq!(decide(&mut test), DENY);

    test.dead_man(Some(Duration::from_secs(3_600))).unwrap();
    assert_eq!(decide(&mut test), DENY);
    test.dead_man(Some(Duration::from_nanos(1))).unwrap();
    assert_eq!(decide(&mut test), AUDIT);
    test.dead_man(None).unwrap();
    assert_eq!(decide(&mut test), DENY);

    let health = test.health().unwrap();
    let passed = (health.passed_by_emergency, health.passed_by_dead_man);
    assert_eq!(passed, (2, 1));
    assert_eq!(health.faults(), 0);
}
