//! What holds on every backend in audit mode.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt, OpenOptionsExt, symlink},
    process::Command,
};

use aegisbpf_core::{Backend, Enforcer, Policy, Stats, cgroup::CgroupTree};

use crate::common::{Cgroup, Nested, Scene, cat, cat_in, open_often, wait_for};

pub(super) fn attach(backend: Backend, policy: Policy) -> Enforcer {
    Enforcer::builder()
        .backend(backend)
        .policy(policy)
        .attach()
        .unwrap_or_else(|e| panic!("{}", e.chain()))
}

#[track_caller]
pub(super) fn only_rule(stats: &Stats) -> (u64, u64, u64) {
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
