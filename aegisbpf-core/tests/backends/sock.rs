//! Rules about the network without security hooks: programs on a cgroup. Always on a cgroup of the test's own, so
//! that nothing else of the machine can be denied.

use std::path::Path;

use aegisbpf_core::{Access, Backend, Decision, Enforcer, Error, Mode, Policy};

use super::probe::{self, EPERM, errno, errno_in};
use crate::Fact;
use crate::common::{Load, Nested, Scene, cat, change_during, wait_for};

/// What the `sock` backend does.
pub(crate) const FACTS: &[(&str, Fact)] = &[
    (
        "it_refuses_in_its_cgroup_alone",
        it_refuses_in_its_cgroup_alone,
    ),
    ("it_audits_beside_tracepoints", it_audits_beside_tracepoints),
    (
        "subjects_are_those_of_the_cgroups",
        subjects_are_those_of_the_cgroups,
    ),
    (
        "it_takes_rules_about_the_network_alone",
        it_takes_rules_about_the_network_alone,
    ),
    (
        "a_new_policy_has_none_of_the_old_rules",
        a_new_policy_has_none_of_the_old_rules,
    ),
    (
        "no_connection_slips_through_while_policies_change",
        no_connection_slips_through_while_policies_change,
    ),
];

fn policy(sections: &str) -> Policy {
    format!("version=7\n{sections}")
        .parse()
        .unwrap_or_else(|e| panic!("{e}"))
}

fn attached(backend: Backend, mode: Mode, scope: &Path, sections: &str) -> Enforcer {
    Enforcer::builder()
        .backend(backend)
        .mode(mode)
        .network_scope(scope)
        .policy(policy(sections))
        .attach()
        .unwrap_or_else(|e| panic!("{}", e.chain()))
}

fn it_refuses_in_its_cgroup_alone(backend: Backend) {
    let cgroups = Nested::new();
    let mut aegis = attached(
        backend,
        Mode::Enforce,
        &cgroups.outer.0,
        "[deny_ip]\n127.0.0.2\n::1\n[deny_cidr]\n127.3.0.0/16\n[deny_port]\n9005:udp\n9006:tcp:egress\n9007:any:bind\n[deny_ip_port]\n127.0.0.4:9001\n",
    );
    assert_eq!(
        aegis.links(),
        [
            "bind4", "bind6", "connect4", "connect6", "sendmsg4", "sendmsg6"
        ]
        .map(|n| format!("cgroup/{n}"))
    );
    let mut events = aegis.events().unwrap();
    let probes = [
        ("end(connect(tcp, v4('127.0.0.2', 9)))", EPERM, 111),
        ("end(connect(tcp6, mapped('127.0.0.2', 9)))", EPERM, 111),
        ("end(connect(udp6, mapped('127.0.0.2', 9)))", EPERM, 0),
        ("end(connect(udp6, v4('127.0.0.2', 9)))", EPERM, 0),
        ("end(connect(tcp6, v6($loop6, 9)))", EPERM, 111),
        ("end(send(udp6, 'x', 0, v6($loop6, 9)))", EPERM, 0),
        ("end(send(udp, 'x', 0, v4('127.0.0.2', 9)))", EPERM, 0),
        ("end(send(udp, 'x', 0, v4('127.0.0.2', 9, 0)))", EPERM, 0),
        ("end(send(udp6, 'x', 0, mapped('127.0.0.2', 9)))", EPERM, 0),
        ("end(connect(udp, v4('127.3.9.9', 9)))", EPERM, 0),
        ("end(connect(udp, v4('127.0.0.1', 9005)))", EPERM, 0),
        ("end(connect(tcp, v4('127.0.0.1', 9005)))", 111, 111),
        ("end(bind(udp, v4('127.0.0.1', 9005)))", EPERM, 0),
        ("end(bind(udp, v4('127.0.0.1', 9006)))", 0, 0),
        ("end(connect(tcp, v4('127.0.0.1', 9006)))", EPERM, 111),
        ("end(bind(tcp, v4('0.0.0.0', 9007, 0)))", EPERM, 0),
        ("end(bind(tcp6, v6('0' x 32, 9007)))", EPERM, 0),
        ("end(bind(tcp, v4('127.0.0.2', 0)))", EPERM, 0),
        ("end(connect(udp, v4('127.0.0.4', 9001)))", EPERM, 0),
        ("end(connect(udp, v4('127.0.0.4', 9002)))", 0, 0),
        // A send that connects: no socket makes its way around.
        (
            "end(send(tcp, 'x', 0x20000000, v4('127.0.0.2', 9)))",
            EPERM,
            -1,
        ),
    ];
    for (script, within, outside) in probes {
        assert_eq!(errno_in(&cgroups.inner.0, script), within, "{script}");
        if outside >= 0 {
            assert_eq!(errno(script), outside, "outside the cgroup: {script}");
        }
    }
    let event = wait_for(&mut events, |_| true);
    assert_eq!(
        (event.decision, event.operation),
        (Decision::Deny, Access::Connect)
    );
    assert_eq!(event.endpoint.unwrap().to_string(), "tcp 127.0.0.2:9");
    assert_eq!(event.comm, "perl");
    let stats = aegis.stats().unwrap();
    let denied: u64 = stats.rules.iter().map(|rule| rule.denied).sum();
    let expected = probes
        .iter()
        .filter(|(_, within, _)| *within == EPERM)
        .count();
    assert_eq!(denied, expected as u64);
    assert_eq!(stats.health.faults(), 0);
    drop(aegis);
    assert_eq!(
        errno_in(&cgroups.inner.0, "end(connect(udp, v4('127.0.0.2', 9)))"),
        0
    );
}

/// Both ways at once: files by tracepoints, the network by the cgroup.
fn it_audits_beside_tracepoints(_: Backend) {
    let (scene, cgroups) = (Scene::new(), Nested::new());
    let sections = format!(
        "[deny_path]\n{}\n[deny_ip]\n127.0.0.2\n",
        scene.secret.display()
    );
    let aegis = attached(
        Backend::Tracepoint,
        Mode::Audit,
        &cgroups.outer.0,
        &sections,
    );
    let links = aegis.links();
    assert!(
        links.iter().any(|link| link == "cgroup/connect4"),
        "{links:?}"
    );
    assert!(
        links.iter().any(|link| link.ends_with("sys_exit_openat")),
        "{links:?}"
    );
    assert!(cat(&scene.secret).status.success());
    assert_eq!(
        errno_in(&cgroups.outer.0, "end(connect(udp, v4('127.0.0.2', 9)))"),
        0
    );
    let stats = aegis.stats().unwrap();
    let audited: Vec<_> = stats.rules.iter().map(|rule| rule.audited).collect();
    assert_eq!(audited, [1, 1]);
}

fn subjects_are_those_of_the_cgroups(backend: Backend) {
    let cgroups = Nested::new();
    let name = &cgroups.entry;
    let aegis = attached(
        backend,
        Mode::Enforce,
        &cgroups.outer.0,
        &format!(
            "[allow_cgroup]\n{name}/inner\n[deny_ip]\n127.0.0.2\n[cgroup_deny_ip]\n{name} 127.0.0.3\n[cgroup_deny_port]\n{name} 9005:udp:egress\n"
        ),
    );
    let denied = "end(connect(udp, v4('127.0.0.2', 9)))";
    let (own, port) = (
        "end(connect(udp, v4('127.0.0.3', 9)))",
        "end(send(udp, 'x', 0, v4('127.0.0.1', 9005)))",
    );
    for script in [denied, own, port] {
        assert_eq!(errno_in(&cgroups.outer.0, script), EPERM, "{script}");
        assert_eq!(errno_in(&cgroups.inner.0, script), 0, "{script}");
    }
    let stats = aegis.stats().unwrap();
    let counts: Vec<_> = stats.rules[1..]
        .iter()
        .map(|r| (r.denied, r.exempted))
        .collect();
    assert_eq!(counts, [(1, 1); 3]);
}

fn it_takes_rules_about_the_network_alone(backend: Backend) {
    let (scene, cgroups) = (Scene::new(), Nested::new());
    let sections = format!(
        "[deny_ip]\n127.0.0.2\n[deny_path]\n{}\n",
        scene.secret.display()
    );
    let refused = Enforcer::builder()
        .backend(backend)
        .mode(Mode::Enforce)
        .network_scope(&cgroups.outer.0)
        .policy(policy(&sections))
        .attach();
    match refused {
        Err(Error::Policy(problems)) => {
            let problem = problems.iter().next().unwrap();
            assert!(problem.message.contains("[deny_path]"), "{problem:?}");
            assert!(problem.remedy.is_some());
        }
        Err(other) => panic!("{}", other.chain()),
        Ok(_) => panic!("a rule about a file is nothing for sockets"),
    }
}

fn a_new_policy_has_none_of_the_old_rules(backend: Backend) {
    let cgroups = Nested::new();
    let scope = &cgroups.outer.0;
    let mut aegis = attached(
        backend,
        Mode::Enforce,
        scope,
        "[deny_ip]\n127.0.0.2\n[deny_port]\n9005\n",
    );
    let (address, port) = (
        "end(connect(udp, v4('127.0.0.2', 9)))",
        "end(bind(udp, v4('127.0.0.1', 9005)))",
    );
    assert_eq!(
        (errno_in(scope, address), errno_in(scope, port)),
        (EPERM, EPERM)
    );
    aegis
        .apply(&policy("[deny_port]\n9006:udp:egress\n"))
        .unwrap();
    assert_eq!((errno_in(scope, address), errno_in(scope, port)), (0, 0));
    assert_eq!(aegis.links().len(), 4, "{:?}", aegis.links());
    aegis.set_mode(Mode::Audit).unwrap();
    assert_eq!(
        errno_in(scope, "end(connect(udp, v4('127.0.0.1', 9006)))"),
        0
    );
    assert_eq!(aegis.stats().unwrap().rules[0].audited, 1);
    aegis.apply(&policy("")).unwrap();
    assert!(aegis.links().is_empty());
}

fn no_connection_slips_through_while_policies_change(backend: Backend) {
    let cgroups = Nested::new();
    let policies = [
        policy("[deny_ip]\n127.0.0.2\n"),
        policy("[deny_cidr]\n127.0.0.0/24\n[deny_port]\n9\n"),
    ];
    let mut aegis = attached(
        backend,
        Mode::Enforce,
        &cgroups.outer.0,
        "[deny_ip]\n127.0.0.2\n",
    );
    const CONNECT: &str = "connect(udp, v4('127.0.0.2', 9))";
    let load = Load::start(|stop| probe::in_cgroup(&cgroups.outer.0, &probe::until(stop, CONNECT)));
    let done = change_during(&mut aegis, &policies, load);
    assert_eq!(done.succeeded, 0, "a connection was made");
}
