//! One policy after another, on every backend in audit mode.

use std::fs::File;

use aegisbpf_core::{Backend, Enforcer, Error, State, Stats};

use super::audit::{attach, only_rule};
use crate::common::{Load, Scene, cat, change_during, open_often};

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

fn rows(stats: &Stats) -> Vec<(u32, u64)> {
    let rows = stats.rules.iter();
    rows.map(|row| (row.rule.number(), row.audited)).collect()
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
    assert_eq!(rows(&stats), [(1, 2), (2, 1)]);

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
    assert_eq!(rows(&stats), [(2, 2), (3, 0)]);
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
