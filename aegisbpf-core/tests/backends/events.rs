//! What is told of a denied access, and what is not: events are lost and left out, counts never.

use std::{
    fs,
    os::{fd::AsFd, unix::fs::MetadataExt},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use aegisbpf_core::{Access, Backend, Decision, Enforcer, Error, FileId, Mode, Stats};
use nix::{
    poll::{PollFd, PollFlags, poll},
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use super::audit::{attach, only_rule};
use crate::common::{Done, Load, Scene, cat, open_often, wait_for};

pub(crate) fn an_event_says_who_did_what_to_which_file(backend: Backend) {
    let scene = Scene::new();
    let mut aegis = attach(backend, scene.policy());
    let mut events = aegis.events().unwrap();
    assert!(matches!(aegis.events(), Err(Error::EventsTaken)));
    let mut child = Command::new("cat")
        .arg(&scene.secret)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let event = wait_for(&mut events, |event| event.tgid == child.id());
    assert!(child.wait().unwrap().success());

    let meta = fs::metadata(&scene.secret).unwrap();
    assert_eq!(event.file, FileId::from_stat(meta.dev(), meta.ino()));
    assert_eq!(
        (event.decision, event.operation),
        (Decision::Audit, Access::Open)
    );
    assert_eq!(event.path.as_deref(), Some(scene.secret.as_path()));
    assert!(!event.path_is_partial);
    assert_eq!((event.comm.as_str(), event.pid), ("cat", event.tgid));
    assert_eq!(
        (event.uid, event.gid),
        (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw()
        )
    );
    assert_eq!(event.rule.number(), 1);
    assert_eq!(event.origin.unwrap().line, 3);
    assert_ne!(event.cgroup, 0);
    let age = event
        .time
        .elapsed()
        .unwrap_or_else(|ahead| ahead.duration());
    assert!(age.as_secs() < 60, "the event's clock is {age:?} off");
}

pub(crate) fn execution_is_reported_as_such(backend: Backend) {
    let scene = Scene::new();
    // busybox decides by the name it is called by.
    let program = scene.folder.path().join("true");
    let which = Command::new("sh")
        .args(["-c", "command -v true && readlink -f /bin/cat"])
        .output()
        .unwrap();
    let text = String::from_utf8(which.stdout).unwrap();
    let real = text.lines().last().unwrap();
    let source = if real.contains("busybox") {
        real
    } else {
        "/bin/true"
    };
    fs::copy(source, &program).unwrap();
    let policy = format!("version=1\n[deny_path]\n{}\n", program.display())
        .parse()
        .unwrap();
    let mut aegis = attach(backend, policy);
    let mut events = aegis.events().unwrap();
    assert!(Command::new(&program).status().unwrap().success());
    let event = wait_for(&mut events, |_| true);
    assert_eq!(event.operation, Access::Exec);
    assert_eq!(event.path.as_deref(), Some(program.as_path()));
    assert_eq!(only_rule(&aegis.stats().unwrap()).0, 1);
}

pub(crate) fn a_full_ring_loses_events_not_counts(backend: Backend) {
    let scene = Scene::new();
    let aegis = Enforcer::builder()
        .backend(backend)
        .policy(scene.policy())
        .ring_buffer_bytes(1)
        .attach()
        .unwrap();
    open_often(&scene.secret, 500);
    let stats = aegis.stats().unwrap();
    assert_eq!(only_rule(&stats), (500, 0, 0));
    assert_eq!(stats.health.emitted + stats.health.dropped, 500);
    assert!(
        stats.health.dropped > 400,
        "a page holds ten events: {:?}",
        stats.health
    );
}

/// A reader that has read, and stalls. Who opens meanwhile is decided about and counted, each time.
pub(crate) fn a_stalled_reader_loses_events_not_counts(backend: Backend) {
    let (done, opens) = stall(backend, Mode::Audit);
    assert_eq!(done.succeeded, done.tried);
    assert_eq!(opens, done.tried);
}

/// The same while opens are refused.
pub(crate) fn a_stalled_reader_loses_events_not_refusals(backend: Backend) {
    let (done, opens) = stall(backend, Mode::Enforce);
    assert_eq!((done.succeeded, opens), (0, done.tried));
}

/// Lets four processes flood a small ring that nobody reads, and tells what they did and what was counted.
fn stall(backend: Backend, mode: Mode) -> (Done, u64) {
    let scene = Scene::new();
    let mut aegis = Enforcer::builder()
        .backend(backend)
        .mode(mode)
        .policy(scene.policy())
        .ring_buffer_bytes(1)
        .attach()
        .unwrap_or_else(|e| panic!("{}", e.chain()));
    let mut events = aegis.events().unwrap();
    cat(&scene.secret);
    let wanted = match mode {
        Mode::Audit => Decision::Audit,
        _ => Decision::Deny,
    };
    assert_eq!(wait_for(&mut events, |_| true).decision, wanted);
    let loads = [(); 4].map(|()| Load::opening(&scene.secret));
    let until = Instant::now() + Duration::from_secs(120);
    while aegis.stats().unwrap().health.dropped < 2_000 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut done = Done {
        tried: 0,
        succeeded: 0,
    };
    for load in loads {
        let one = load.end();
        done.tried += one.tried;
        done.succeeded += one.succeeded;
    }
    let Stats { health, rules, .. } = aegis.stats().unwrap();
    let counted = rules[0].audited + rules[0].denied;
    assert_eq!(health.faults(), 0, "{health:?}");
    assert!(
        health.dropped >= 2_000,
        "the ring never overflowed: {health:?}"
    );
    assert_eq!(
        health.emitted + health.dropped,
        counted,
        "each event is there or lost"
    );
    // The reader goes on: what had room is there, and what happens from now on.
    let mut read = 1;
    while events.try_next().unwrap().is_some() {
        read += 1;
    }
    assert_eq!(read, health.emitted);
    cat(&scene.secret);
    assert_eq!(wait_for(&mut events, |_| true).decision, wanted);
    (done, counted - 1)
}

/// An event costs the access that it is about no wake-up: a reader that waits for the ring alone sleeps on.
pub(crate) fn a_single_event_wakes_nobody(backend: Backend) {
    let scene = Scene::new();
    let mut aegis = attach(backend, scene.policy());
    let mut events = aegis.events().unwrap();
    // A machine so slow that the wait ends before the event came, or begins after it, shows nothing: then a longer one may.
    for seconds in [2_u16, 8, 32] {
        let has_happened = AtomicBool::new(false);
        let is_shown = std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                let start = Instant::now();
                let ring = PollFd::new(events.as_fd(), PollFlags::POLLIN);
                poll(&mut [ring], seconds * 1_000).unwrap();
                let slept = start.elapsed();
                has_happened.load(Ordering::SeqCst) && slept >= Duration::from_secs(seconds.into())
            });
            // Asleep, or else the event would be there before it looks.
            std::thread::sleep(Duration::from_millis(500));
            cat(&scene.secret);
            has_happened.store(true, Ordering::SeqCst);
            sleeper.join().unwrap()
        });
        while events.try_next().unwrap().is_some() {}
        if is_shown {
            assert_eq!(aegis.stats().unwrap().health.dropped, 0);
            return;
        }
    }
    panic!("each time the reader was woken, or the event took longer than it waits");
}

pub(crate) fn sampling_is_one_in_n_on_each_cpu(backend: Backend) {
    let scene = Scene::new();
    let aegis = Enforcer::builder()
        .backend(backend)
        .policy(scene.policy())
        .event_sample_rate(10)
        .attach()
        .unwrap();
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let cpus = (0..CpuSet::count()).filter(|&cpu| all.is_set(cpu).unwrap());
    let mut used = 0;
    for cpu in cpus.take(2) {
        // Children inherit the one CPU.
        let mut one = CpuSet::new();
        one.set(cpu).unwrap();
        sched_setaffinity(Pid::from_raw(0), &one).unwrap();
        open_often(&scene.secret, 95);
        used += 1;
        // The first on each CPU, and each tenth after it: 1, 11, … 91.
        let stats = aegis.stats().unwrap();
        assert_eq!(only_rule(&stats), (95 * used, 0, 0));
        let events = (stats.health.emitted, stats.health.sampled_out);
        assert_eq!(events, (10 * used, 85 * used));
    }
    sched_setaffinity(Pid::from_raw(0), &all).unwrap();
}
