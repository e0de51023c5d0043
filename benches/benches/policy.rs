//! What a policy costs before any of it reaches the kernel: parsing, canonical text, looking up the files. Needs no root.

use std::{fmt::Write as _, fs, hint::black_box, path::Path};

use aegisbpf_core::{Policy, resolve::resolve, selftest::lay_out as lay_out_policy};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
/// A policy of the greatest size takes seconds: few rounds.
const EVERY: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];

criterion_group!(benches, parse, read_lines, render, look_up, lay_out);
criterion_main!(benches);

fn parse(c: &mut Criterion) {
    by_size(c, "policy_parse", &EVERY, mixed, |text| {
        Policy::parse(text, "bench.conf").expect("the text is valid")
    });
}

/// The first half of the above; what lies between the two is the price of lowering: what each entry means.
fn read_lines(c: &mut Criterion) {
    by_size(c, "policy_lines", &EVERY, mixed, |text| {
        Policy::count_entries(text)
    });
}

fn render(c: &mut Criterion) {
    let make = |rules| policy(&mixed(rules));
    by_size(c, "policy_render", &EVERY, make, Policy::to_string);
}

/// Every rule names a file that is there: the dearest case, since what is missing ends its look-up early.
fn look_up(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a directory for temporary files");
    let make = |rules| policy(&files(folder.path(), rules));
    by_size(c, "policy_resolve", &SIZES, make, |policy| {
        resolve(policy).expect("all of it are files")
    });
}

/// From rules with their files to the table of map entries.
fn lay_out(c: &mut Criterion) {
    let make = |rules| {
        let mut text = String::from("version=1\n[deny_inode]\n");
        for n in 0..rules {
            let _ = writeln!(text, "8388609:{}", 1_000_000 + n);
        }
        let policy = policy(&text);
        let resolution = resolve(&policy).expect("identities need no look-up");
        (policy, resolution)
    };
    by_size(c, "policy_table", &EVERY, make, |(policy, resolution)| {
        lay_out_policy(policy, resolution)
    });
}

/// Times `run` on what `make` makes of each number of rules.
fn by_size<I, O>(
    c: &mut Criterion,
    name: &str,
    sizes: &[usize],
    make: impl Fn(usize) -> I,
    run: impl Fn(&I) -> O,
) {
    let mut group = c.benchmark_group(name);
    group.sample_size(10);
    for rules in sizes {
        let input = make(*rules);
        group.throughput(Throughput::Elements(*rules as u64));
        group.bench_with_input(BenchmarkId::from_parameter(rules), &input, |b, input| {
            b.iter(|| run(black_box(input)));
        });
    }
}

/// Of ten rules eight about paths, one about an identity, one about a cgroup.
fn mixed(rules: usize) -> String {
    let mut text = String::from("version=1\n");
    let (inodes, cgroups) = (rules / 10, rules / 10);
    text += "[deny_path]\n";
    for n in 0..rules - inodes - cgroups {
        let _ = writeln!(text, "/srv/tenant-{}/secrets/key-{n}.pem", n / 100);
    }
    text += "[deny_inode]\n";
    for n in 0..inodes {
        let _ = writeln!(text, "8388609:{}", 1_000_000 + n);
    }
    text += "[allow_cgroup]\n";
    for n in 0..cgroups {
        let _ = writeln!(text, "/system.slice/tenant-{n}.service");
    }
    text
}

/// Makes `rules` files, a hundred in a directory, and a policy that denies them.
fn files(folder: &Path, rules: usize) -> String {
    let mut text = String::from("version=1\n[deny_path]\n");
    for n in 0..rules {
        let below = folder.join(format!("tenant-{}", n / 100));
        let file = below.join(format!("key-{n}.pem"));
        fs::create_dir_all(&below)
            .and_then(|()| fs::write(&file, ""))
            .expect("the directory for temporary files has room");
        let _ = writeln!(text, "{}", file.display());
    }
    text
}

fn policy(text: &str) -> Policy {
    text.parse().expect("the text is valid")
}
