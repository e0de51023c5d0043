//! What a policy costs before any of it reaches the kernel: CPU time of parsing and rendering, and the memory at its peak.
//! `cargo run --release -p aegisbpf-core --example policy_cost -- 1000000`

#![allow(clippy::cast_precision_loss, reason = "one decimal is shown")]

use std::{env, fmt::Write as _, fs, hint::black_box};

use aegisbpf_core::Policy;
use nix::sys::resource::{UsageWho, getrusage};

fn main() {
    let rules = env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(10_000);
    let text = text(rules);
    println!(
        "{rules} rules, {:.1} MiB of text",
        mebibytes(text.len() as u64)
    );
    let before = peak();
    let (policy, took) = timed(|| Policy::parse(&text, "cost.conf").expect("the text is valid"));
    println!("parse    {took:8.1} ms");
    println!(
        "memory   {:8.1} MiB above the text, at the peak",
        mebibytes(peak() - before)
    );
    assert_eq!(policy.rules().len(), rules);
    let (canonical, took) = timed(|| policy.to_string());
    println!("render   {took:8.1} ms");
    let (again, took) = timed(|| Policy::parse(&canonical, "cost.conf").expect("it was rendered"));
    println!("again    {took:8.1} ms");
    let (same, took) = timed(|| again == policy);
    println!("compare  {took:8.1} ms");
    assert!(same);
}

/// The n-th entry of a section.
type Entry = fn(usize) -> String;

/// Eight kinds of rules, the same number of each.
fn text(rules: usize) -> String {
    let mut text = String::from("version=7\n");
    let sections: [(&str, Entry); 8] = [
        ("deny_path", |n| {
            format!("/srv/tenant-{}/secrets/key-{n}.pem # key {n}", n / 100)
        }),
        ("deny_inode", |n| format!("8:1:{}", 1_000_000 + n)),
        ("allow_cgroup", |n| {
            format!("/system.slice/tenant-{n}.service")
        }),
        ("deny_ip", |n| {
            format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)
        }),
        ("deny_cidr", |n| {
            format!("2001:db8:{:x}:{:x}::/64", n >> 16, n & 0xffff)
        }),
        ("deny_ip_port", |n| {
            format!("[2001:db9::{:x}:{:x}]:443:tcp", n >> 16, n & 0xffff)
        }),
        ("cgroup_deny_ip", |n| {
            format!("/system.slice/tenant-{n}.service 192.0.2.1")
        }),
        ("deny_dir", |n| format!("/srv/other-{n}/private")),
    ];
    for (at, (section, entry)) in sections.into_iter().enumerate() {
        let _ = writeln!(text, "[{section}]");
        let count = rules / 8 + usize::from(at < rules % 8);
        (0..count).for_each(|n| {
            let _ = writeln!(text, "{}", entry(n));
        });
    }
    text
}

/// What `run` gives, and how many milliseconds of CPU it took.
fn timed<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let start = cpu();
    let value = black_box(run());
    (value, cpu() - start)
}

/// Milliseconds of CPU that this process took.
fn cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("it asks about ourselves");
    let times = [usage.user_time(), usage.system_time()];
    times
        .iter()
        .map(|time| time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3)
        .sum()
}

/// The most bytes that the process ever held.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
