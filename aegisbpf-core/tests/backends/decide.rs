//! The decision on its own, in the kernel, under TEST_RUN.

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
    test.set(false, 0).unwrap();
    let (kind, rule) = decide(&mut test, here);
    assert_eq!((kind, rule.unwrap().number()), (AUDIT, 1));
    assert_eq!(
        decide(&mut test, same_slot),
        (ALLOW, None),
        "the filter says perhaps, the rules say no"
    );
    assert_eq!(decide(&mut test, elsewhere), (ALLOW, None));

    test.set(true, 0).unwrap();
    assert_eq!(decide(&mut test, here).0, DENY);
    test.set(true, std::process::id()).unwrap();
    // In a pid name space of our own this is another number, and the denial above is what is left to show.
    if std::fs::read_link("/proc/self/ns/pid").ok() == std::fs::read_link("/proc/1/ns/pid").ok() {
        assert_eq!(decide(&mut test, here).0, EXEMPT);
    }
}
