//! What holds on every backend in audit mode.

use std::{
    fs::{self, File},
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, OpenOptionsExt, symlink},
    },
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use aegisbpf_core::{
    Access, Backend, Decision, Enforcer, Error, FileId, Mode, Policy, State, Stats,
    cgroup::CgroupTree,
};
use nix::{
    poll::{PollFd, PollFlags, poll},
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::common::{
    Cgroup, Done, Load, Nested, Scene, cat, cat_in, change_during, open_often, wait_for,
};

fn attach(backend: Backend, policy: Policy) -> Enforcer {
    Enforcer::builder()
        .backend(backend)
        .policy(policy)
        .attach()
        .unwrap_or_else(|e| panic!("{}", e.chain()))
}

#[track_caller]
fn only_rule(stats: &Stats) -> (u64, u64, u64) {
    assert_eq!(stats.health.faults(), 0, "{:?}", stats.health);
    let rule = &stats.rules[0];
    (rule.audited, rule.denied, rule.exempted)
}

pub(crate) fn counts_every_open_exactly(backend: Backend) {
    let scene = Scene::new();
    let aegis = attach(backend, scene.policy());
    open_often(&scene.secret, 1_000);
    assert_eq!(only_rule(&aegis.stats().unwrap()), (1_000, 0, 0));
}

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

pub(crate) fn other_files_count_nothing(backend: Backend) {
    let scene = Scene::new();
    let aegis = attach(backend, scene.policy());
    open_often(&scene.plain, 100);
    assert_eq!(only_rule(&aegis.stats().unwrap()), (0, 0, 0));
}

pub(crate) fn a_rule_holds_for_a_hard_link_and_through_a_symlink(backend: Backend) {
    let scene = Scene::new();
    let (hard, soft) = (
        scene.folder.path().join("hard"),
        scene.folder.path().join("soft"),
    );
    let aegis = attach(backend, scene.policy());
    fs::hard_link(&scene.secret, &hard).unwrap();
    symlink(&scene.secret, &soft).unwrap();
    cat(&hard);
    cat(&soft);
    // That we made the link ourselves may count as one more exempted access.
    let (audited, denied, _) = only_rule(&aegis.stats().unwrap());
    assert_eq!((audited, denied), (2, 0));
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

pub(crate) fn all_below_a_directory_is_counted_and_named(backend: Backend) {
    const OPENS: usize = 100;
    let scene = Scene::new();
    let folder = scene.folder.path();
    let (denied, other) = (folder.join("denied"), folder.join("other"));
    let deep = denied.join("a/b/file");
    for directory in [deep.parent().unwrap(), &other] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::write(&deep, "").unwrap();
    fs::write(other.join("moved"), "").unwrap();
    let policy = |more: &str| -> Policy {
        let text = format!("version=7\n[deny_dir]\n{}\n{more}", denied.display());
        text.parse().unwrap()
    };
    let mut aegis = attach(backend, policy(""));
    let mut events = aegis.events().unwrap();
    open_often(&scene.plain, OPENS);
    open_often(&other.join("moved"), OPENS);
    assert_eq!(only_rule(&aegis.stats().unwrap()), (0, 0, 0));
    open_often(&deep, OPENS);
    assert_eq!(only_rule(&aegis.stats().unwrap()), (OPENS as u64, 0, 0));
    let event = wait_for(&mut events, |_| true);
    assert_eq!(event.path.as_deref(), Some(deep.as_path()));
    assert_eq!(event.object.as_deref(), denied.to_str());
    // What comes to lie there later, by a link to it too.
    fs::rename(other.join("moved"), denied.join("moved")).unwrap();
    symlink(&denied, folder.join("link")).unwrap();
    open_often(&folder.join("link/moved"), OPENS);
    assert_eq!(only_rule(&aegis.stats().unwrap()).0, 2 * OPENS as u64);
    // A rule about the file itself is named before it.
    let label = format!("[deny_path]\n{}\n", deep.display());
    aegis.apply(&policy(&label)).unwrap();
    open_often(&deep, OPENS);
    let stats = aegis.stats().unwrap();
    let of = |section: &str| {
        let rule = stats.rules.iter().find(|rule| rule.section == section);
        rule.unwrap().audited
    };
    assert_eq!(
        (of("deny_dir"), of("deny_path")),
        (2 * OPENS as u64, OPENS as u64)
    );
}

/// Also where somebody has let go of the events meanwhile, and the numbers of descriptors are others' now.
pub(crate) fn what_only_other_rules_need_is_loaded_with_the_first(backend: Backend) {
    let scene = Scene::new();
    let mut aegis = attach(backend, scene.policy());
    let programs = |aegis: &Enforcer, of: &str| {
        let memory = aegis.stats().unwrap().memory;
        memory.iter().filter(|part| part.of.contains(of)).count()
    };
    let before = programs(&aegis, "/");
    assert_eq!(programs(&aegis, "connect"), 0);
    drop(aegis.events().unwrap());
    let others: Vec<File> = (0..64).map(|_| File::open("/dev/null").unwrap()).collect();
    let policy = format!("version=7\n[deny_dir]\n{}\n", scene.folder.path().display());
    aegis.apply(&policy.parse().unwrap()).unwrap();
    drop(others);
    assert!(programs(&aegis, "/") > before);
    open_often(&scene.plain, 10);
    assert_eq!(only_rule(&aegis.stats().unwrap()).0, 10);
    // And back again.
    aegis.apply(&scene.policy()).unwrap();
    open_often(&scene.plain, 10);
    open_often(&scene.secret, 10);
    assert_eq!(only_rule(&aegis.stats().unwrap()).0, 10);
    let network = "version=1\n[deny_port]\n9:tcp:connect\n";
    aegis.apply(&network.parse().unwrap()).unwrap();
    assert_ne!(programs(&aegis, "connect"), 0);
}

pub(crate) fn o_path_gives_no_access_and_counts_nothing(backend: Backend) {
    let scene = Scene::new();
    let aegis = attach(backend, scene.policy());
    let flags = nix::fcntl::OFlag::O_PATH.bits();
    File::options()
        .read(true)
        .custom_flags(flags)
        .open(&scene.secret)
        .unwrap();
    assert_eq!(only_rule(&aegis.stats().unwrap()), (0, 0, 0));
}

pub(crate) fn the_enforcer_itself_is_exempt(backend: Backend) {
    let scene = Scene::new();
    let aegis = attach(backend, scene.policy());
    File::open(&scene.secret).unwrap();
    assert_eq!(only_rule(&aegis.stats().unwrap()), (0, 0, 1));
}

pub(crate) fn an_allowed_cgroup_is_exempt_with_all_below_it(backend: Backend) {
    let scene = Scene::new();
    let cgroups = Nested::new();
    let aegis = attach(
        backend,
        scene.policy_with(&format!("[allow_cgroup]\n{}\n", cgroups.entry)),
    );
    assert!(cat_in(&cgroups.outer.0, &scene.secret).status.success());
    assert!(cat_in(&cgroups.inner.0, &scene.secret).status.success());
    assert_eq!(only_rule(&aegis.stats().unwrap()), (0, 0, 2));
    cat(&scene.secret);
    assert_eq!(only_rule(&aegis.stats().unwrap()), (1, 0, 2));
}

pub(crate) fn counts_are_kept_for_each_cgroup(backend: Backend) {
    let scene = Scene::new();
    let tree = CgroupTree::find().unwrap();
    let cgroup = Cgroup::new(tree.root(), &format!("aegis-test-{}", std::process::id()));
    let aegis = attach(backend, scene.policy());
    for _ in 0..3 {
        cat_in(&cgroup.0, &scene.secret);
    }
    cat(&scene.secret);
    let stats = aegis.stats().unwrap();
    let id = fs::metadata(&cgroup.0).unwrap().ino();
    let counted: Vec<_> = stats
        .cgroups
        .iter()
        .map(|c| (c.cgroup == id, c.audited))
        .collect();
    assert_eq!(counted, [(true, 3), (false, 1)]);
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
    // A machine so slow that the wait ends before the event came shows nothing: then a longer one may.
    for seconds in [2_u16, 8, 32] {
        let has_happened = AtomicBool::new(false);
        let is_shown = std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                let start = Instant::now();
                let ring = PollFd::new(events.as_fd(), PollFlags::POLLIN);
                poll(&mut [ring], seconds * 1_000).unwrap();
                let slept = start.elapsed();
                if has_happened.load(Ordering::SeqCst) {
                    assert!(
                        slept >= Duration::from_secs(seconds.into()),
                        "woken after {slept:?}"
                    );
                    return true;
                }
                false
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

pub(crate) fn detached_hooks_count_nothing_and_come_back(backend: Backend) {
    let scene = Scene::new();
    let mut aegis = attach(backend, scene.policy());
    let links = aegis.links();
    assert!(!links.is_empty());
    cat(&scene.secret);
    aegis.detach().unwrap();
    aegis.detach().unwrap();
    assert!(aegis.links().is_empty());
    cat(&scene.secret);
    assert_eq!(only_rule(&aegis.stats().unwrap()), (1, 0, 0));
    aegis.attach().unwrap();
    assert_eq!(aegis.links(), links);
    cat(&scene.secret);
    assert_eq!(only_rule(&aegis.stats().unwrap()), (2, 0, 0));
}

pub(crate) fn a_new_policy_replaces_the_old_one_whole(backend: Backend) {
    let scene = Scene::new();
    let mut aegis = attach(backend, scene.policy());
    cat(&scene.secret);
    // The new policy keeps the rule and adds one: the kept one keeps id and counters.
    let both = format!(
        "version=1\n[deny_path]\n{}\n{}\n",
        scene.plain.display(),
        scene.secret.display()
    );
    aegis.apply(&both.parse().unwrap()).unwrap();
    cat(&scene.secret);
    cat(&scene.plain);
    let stats = aegis.stats().unwrap();
    let rows: Vec<_> = stats
        .rules
        .iter()
        .map(|r| (r.rule.number(), r.audited))
        .collect();
    assert_eq!(rows, [(1, 2), (2, 1)]);

    // Nothing of the old policy stays, and ids are not used again.
    let plain = format!(
        "version=1\n[deny_path]\n/nowhere/at/all\n{}\n",
        scene.plain.display()
    );
    let applied = aegis.apply(&plain.parse().unwrap()).unwrap();
    assert_eq!(applied.unresolved.len(), 1);
    cat(&scene.secret);
    cat(&scene.plain);
    let stats = aegis.stats().unwrap();
    let rows: Vec<_> = stats
        .rules
        .iter()
        .map(|r| (r.rule.number(), r.audited))
        .collect();
    assert_eq!(rows, [(2, 2), (3, 0)]);
    assert!(matches!(stats.rules[1].state, State::Unresolved(_)));
    assert!(
        stats.cgroups.iter().all(|c| c.rule.number() != 1),
        "counters of a rule that is no more"
    );
}

pub(crate) fn a_refused_policy_changes_nothing(backend: Backend) {
    let scene = Scene::new();
    let mut aegis = attach(backend, scene.policy());
    let generation = aegis.stats().unwrap().generation;
    let folder = format!(
        "version=1\n[deny_path]\n{}\n",
        scene.folder.path().display()
    );
    assert!(matches!(
        aegis.apply(&folder.parse().unwrap()),
        Err(Error::Policy(_))
    ));
    cat(&scene.secret);
    let stats = aegis.stats().unwrap();
    assert_eq!(stats.generation, generation);
    assert_eq!(only_rule(&stats), (1, 0, 0));
}

/// A rule that both policies have must meet every open while they change, and meet it once.
pub(crate) fn policies_change_under_load_without_a_miss(backend: Backend) {
    let scene = Scene::new();
    let policies = scene.two_policies();
    let mut aegis = attach(backend, policies[0].clone());
    let done = change_during(&mut aegis, &policies, Load::opening(&scene.secret));
    assert_eq!(done.succeeded, done.tried);
    assert_eq!(only_rule(&aegis.stats().unwrap()), (done.tried, 0, 0));
}

pub(crate) fn ten_thousand_rules_apply(backend: Backend) {
    let scene = Scene::new();
    let many: String = (1..=10_000)
        .map(|n| format!("1048577:{}\n", 5_000_000 + n))
        .collect();
    let aegis = attach(backend, scene.policy_with(&format!("[deny_inode]\n{many}")));
    open_often(&scene.secret, 10);
    open_often(&scene.plain, 10);
    let stats = aegis.stats().unwrap();
    assert_eq!(stats.rules.len(), 10_001);
    assert_eq!(only_rule(&stats), (10, 0, 0));
    assert_eq!(stats.hits(), 10);
}

const MANY: u64 = 200;
const MANY_OPENS: &str = "AEGIS_TEST_MANY_OPENS";

/// A process begins with room for 64 descriptors, in another place than the kernel takes for more.
pub(crate) fn a_file_is_seen_whatever_its_descriptor(backend: Backend) {
    let scene = Scene::new();
    let aegis = attach(backend, scene.policy());
    let room = Command::new(std::env::current_exe().unwrap())
        .env(MANY_OPENS, &scene.secret)
        .output()
        .unwrap();
    // The others look at no descriptor; and who holds as many programs has no small array to hand on.
    if backend == Backend::Tracepoint {
        assert_eq!(String::from_utf8_lossy(&room.stdout), "64");
    }
    assert_eq!(aegis.stats().unwrap().hits(), MANY);
}

/// If this process is the one that the test above starts: says how many descriptors it had room for, and holds more.
pub(crate) fn be_the_opener() -> bool {
    let Some(path) = std::env::var_os(MANY_OPENS) else {
        return false;
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let room = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    let held: Vec<_> = (0..MANY)
        .map(|_| std::fs::File::open(&path).unwrap())
        .collect();
    print!("{}", room.unwrap().trim());
    drop(held);
    true
}

/// A process has room for as many descriptors as the one that started it had; ours go on with what they need.
pub(crate) fn give_up_inherited_descriptors() {
    for inherited in 3..1024 {
        let _ = nix::unistd::close(inherited); // most are none
    }
}

pub(crate) fn hook_runs_are_counted_on_request_only(backend: Backend) {
    let scene = Scene::new();
    let mut aegis = attach(backend, scene.policy());
    let runs = |aegis: &Enforcer| {
        aegis
            .hook_runs()
            .unwrap()
            .iter()
            .map(|h| h.runs)
            .sum::<u64>()
    };
    aegis.count_runs(true).unwrap();
    open_often(&scene.plain, 100);
    let counted = runs(&aegis);
    assert!(counted >= 100, "{counted} runs for 100 opens");
    aegis.count_runs(false).unwrap();
    let before = runs(&aegis);
    open_often(&scene.plain, 100);
    assert_eq!(runs(&aegis), before);
}
