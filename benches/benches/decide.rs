//! The decision alone, in the kernel, by `BPF_PROG_TEST_RUN`: what a miss, a hit and an exempt access cost, for policies of
//! several sizes. Needs root and BPF; skipped with the reason elsewhere.
//!
//! Each iteration is one system call that runs the program once. Its price stands in every row, so compare rows; the
//! row `filter_says_no` is that price and next to nothing else.

use std::{fmt::Write as _, hint::black_box};

use aegisbpf_core::{FileId, Policy, selftest::Selftest};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 4] = [10, 1_000, 10_000, 100_000];
/// A device that no file here is on.
const DEVICE: u32 = 1;
const FIRST: u64 = 5_000_000;
/// As many as the filter has slots: such a distance gives two inode numbers the same slot.
const FILTER_SLOTS: u64 = 1 << 16;

criterion_group!(benches, decide);
criterion_main!(benches);

fn decide(c: &mut Criterion) {
    if let Err(e) = Selftest::load() {
        println!("decide: skipped: {}", e.chain().replace('\n', "; "));
        return;
    }
    let mut group = c.benchmark_group("decide");
    for rules in SIZES {
        let mut kernel = Selftest::load().expect("it loaded a moment ago");
        kernel.apply(&policy(rules)).expect("these rules hold");
        let denied = FileId::from_kernel(DEVICE, FIRST);
        let outcomes = [
            ("filter_says_no", FileId::from_kernel(DEVICE, FIRST - 1), 0),
            (
                "filter_is_wrong",
                FileId::from_kernel(DEVICE, FIRST + 64 * FILTER_SLOTS),
                0,
            ),
            ("hit", denied, 1),
        ];
        for (name, file, decision) in outcomes {
            let (found, _) = kernel.decide(file).expect("it runs");
            // At many rules no slot of the filter is free, and the first two rows are one.
            assert_eq!(found, decision, "{name} of {rules} rules");
            group.bench_function(BenchmarkId::new(name, rules), |b| {
                b.iter(|| kernel.decide(black_box(file)).expect("it ran before"));
            });
        }
        kernel.set(false, true).expect("settings can be written");
        let (found, _) = kernel.decide(denied).expect("it runs");
        assert_eq!(found, 3, "the enforcer itself is exempt");
        group.bench_function(BenchmarkId::new("exempt", rules), |b| {
            b.iter(|| kernel.decide(black_box(denied)).expect("it ran before"));
        });
    }
}

fn policy(rules: usize) -> Policy {
    let mut text = String::from("version=1\n[deny_inode]\n");
    for n in 0..rules as u64 {
        // Seven apart: neighbours of a rule's inode have no rule, as long as the filter has room.
        let _ = writeln!(text, "{DEVICE}:{}", FIRST + n * 7);
    }
    text.parse().unwrap_or_else(|problems| panic!("{problems}"))
}
