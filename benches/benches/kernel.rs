//! What an enforcer costs: applying a policy, and opening and closing a file. Needs root and BPF; what this host cannot load is skipped,
//! with the reason.
//!
//! The files are opened by another process, since the enforcer's own is exempt. An open and a close are one
//! iteration, timed over there; bare and attached stand in one group, so that criterion draws them side by side. They run
//! one after the other, though: for a judgement that withstands a drifting machine there is `workload-tests`.

#[path = "kernel/opener.rs"]
mod opener;

use std::{fmt::Write as _, fs, hint::black_box, path::PathBuf, thread, time::Duration};

use aegisbpf_core::{Backend, Enforcer, Policy};
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, measurement::WallTime,
};
use nix::time::ClockId;
use tempfile::TempDir;

use opener::Opener;

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
/// Changing a policy of this size takes a good part of a second.
const GREAT: usize = 100_000;

criterion_group!(benches, apply, swap, drain, open_close);

fn main() {
    if opener::is_asked_for() {
        opener::serve();
        return;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

/// Rules about identities, so that no file is looked up: what is left is building, switching and waiting until no
/// program reads the old policy.
fn apply(c: &mut Criterion) {
    for backend in loadable("apply") {
        let mut group = c.benchmark_group(format!("apply_{backend}"));
        group.sample_size(10);
        for rules in SIZES.into_iter().chain([GREAT]) {
            let policy = policy(&format!("version=1\n{}", strangers(rules)));
            let builder = Enforcer::builder().backend(backend);
            // Given to the builder, so that there is room for it.
            let mut aegis = load(builder.policy(policy.clone()));
            group.throughput(Throughput::Elements(rules as u64));
            group.bench_with_input(BenchmarkId::from_parameter(rules), &policy, |b, policy| {
                b.iter(|| aegis.apply(policy).expect("the kernel took it before"));
            });
        }
    }
}

/// One policy against another that shares all rules but one, as an administrator changes them.
fn swap(c: &mut Criterion) {
    for backend in loadable("swap") {
        let mut group = c.benchmark_group(format!("swap_{backend}"));
        group.sample_size(10);
        for rules in SIZES.into_iter().chain([GREAT]) {
            let policies = [0, 1].map(|last| {
                let text = format!(
                    "version=1\n{}1:{}\n",
                    strangers(rules - 1),
                    4_000_000 + last
                );
                policy(&text)
            });
            let mut aegis = load(
                Enforcer::builder()
                    .backend(backend)
                    .policy(policies[0].clone()),
            );
            let mut turn = 0;
            group.bench_function(BenchmarkId::from_parameter(rules), |b| {
                b.iter(|| {
                    turn += 1;
                    aegis
                        .apply(&policies[turn % 2])
                        .expect("the kernel took it before")
                });
            });
        }
    }
}

/// The clocks of `drain`: how long it takes, and what CPU time it takes of the thread that reads.
const CLOCKS: [(&str, ClockId); 2] = [
    ("", ClockId::CLOCK_MONOTONIC),
    ("_cpu", ClockId::CLOCK_THREAD_CPUTIME_ID),
];

/// Reading events that wait in the ring buffer, and making text of them: events a second, and CPU time of each.
fn drain(c: &mut Criterion) {
    /// As many as fit the buffer below.
    const EVENTS: u64 = 10_000;
    for backend in loadable("drain") {
        let scene = Scene::new();
        let mut opener = Opener::start(&scene.secret);
        let builder = Enforcer::builder()
            .backend(backend)
            .policy(policy(&scene.deny_secret()))
            .ring_buffer_bytes(16 << 20);
        let mut aegis = load(builder);
        let mut events = aegis.events().expect("nobody has taken them");
        aegis.attach().expect("what loads can be attached");
        let mut group = c.benchmark_group(format!("drain_{backend}"));
        group.sample_size(10).throughput(Throughput::Elements(1));
        for (name, as_text) in [("decoded", false), ("written_as_text", true)] {
            for (suffix, clock) in CLOCKS {
                let read = || clock.now().map(Duration::from).expect("the clock is there");
                group.bench_function(format!("{name}{suffix}"), |b| {
                    b.iter_custom(|times| {
                        let mut spent = Duration::ZERO;
                        let mut left = times;
                        while left > 0 {
                            let batch = left.min(EVENTS);
                            opener.open(batch);
                            let start = read();
                            for _ in 0..batch {
                                let event = events
                                    .try_next()
                                    .expect("a record can be read")
                                    .expect("as many wait as files were opened");
                                if as_text {
                                    black_box(event.to_string());
                                }
                            }
                            spent += read() - start;
                            left -= batch;
                        }
                        spent
                    });
                });
            }
        }
    }
}

fn open_close(c: &mut Criterion) {
    for backend in loadable("open_close") {
        let scene = Scene::new();
        unmatched(c, backend, &scene);
        matched(c, backend, &scene);
    }
}

/// A file that no rule names: what nearly every open on a machine is.
fn unmatched(c: &mut Criterion, backend: Backend, scene: &Scene) {
    let mut group = c.benchmark_group(format!("open_close_unmatched_{backend}"));
    let mut opener = Opener::start(&scene.plain);
    time(&mut group, "bare", &mut opener);
    for rules in SIZES {
        let text = format!("{}{}", scene.deny_secret(), strangers(rules - 1));
        let mut aegis = load(Enforcer::builder().backend(backend).policy(policy(&text)));
        aegis.attach().expect("what loads can be attached");
        time(&mut group, &format!("attached_{rules}_rules"), &mut opener);
        let hits = aegis.stats().expect("the enforcer is loaded").hits();
        assert_eq!(hits, 0, "somebody opened a denied file");
    }
}

/// A file that a rule names, in audit mode: counted, and counted and reported.
fn matched(c: &mut Criterion, backend: Backend, scene: &Scene) {
    let mut group = c.benchmark_group(format!("open_close_matched_{backend}"));
    let mut opener = Opener::start(&scene.secret);
    time(&mut group, "bare", &mut opener);
    for (name, one_in) in [("counted", 0), ("reported_1_in_64", 64), ("reported", 1)] {
        let builder = Enforcer::builder()
            .backend(backend)
            .policy(policy(&scene.deny_secret()))
            .event_sample_rate(one_in);
        let mut aegis = load(builder);
        let events = aegis.events().expect("nobody has taken them");
        let stopper = events.stopper();
        let reader = thread::spawn(move || events.count());
        aegis.attach().expect("what loads can be attached");
        let before = opener.opened();
        time(&mut group, name, &mut opener);
        let blocks = aegis.stats().expect("the enforcer is loaded").blocks();
        assert_eq!(blocks, opener.opened() - before, "every open was counted");
        stopper.stop();
        reader.join().expect("counting events does not panic");
    }
}

fn time(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, opener: &mut Opener) {
    group.bench_function(name, |b| b.iter_custom(|times| opener.open(times)));
}

/// A file that the policy denies and one that it does not.
struct Scene {
    _folder: TempDir,
    secret: PathBuf,
    plain: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory for temporary files");
        let secret = folder.path().join("secret");
        let plain = folder.path().join("plain");
        for file in [&secret, &plain] {
            fs::write(file, "").expect("the directory was just made");
        }
        Self {
            _folder: folder,
            secret,
            plain,
        }
    }

    fn deny_secret(&self) -> String {
        format!("version=1\n[deny_path]\n{}\n", self.secret.display())
    }
}

/// A section of rules for files that nobody here opens, spread over the filter as inode numbers are.
fn strangers(rules: usize) -> String {
    let mut text = String::from("[deny_inode]\n");
    for n in 0..rules {
        let _ = writeln!(text, "1:{}", 5_000_000 + n * 7);
    }
    text
}

fn policy(text: &str) -> Policy {
    text.parse().unwrap_or_else(|problems| panic!("{problems}"))
}

fn load(builder: aegisbpf_core::EnforcerBuilder) -> Enforcer {
    builder.load().unwrap_or_else(|e| panic!("{}", e.chain()))
}

/// The backends that can be had here; says why another cannot.
fn loadable(what: &str) -> Vec<Backend> {
    let mut found = Vec::new();
    for backend in [Backend::Lsm, Backend::ModifyReturn, Backend::Tracepoint] {
        match Enforcer::builder().backend(backend).load() {
            Ok(_) => found.push(backend),
            Err(e) => println!(
                "{what}_{backend}: skipped: {}",
                e.chain().replace('\n', "; ")
            ),
        }
    }
    found
}
