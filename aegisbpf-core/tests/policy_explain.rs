//! Which rule decides, by every step of the order; what differs between two policies; what a trial run suggests.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use aegisbpf_core::file_id::FileId;
use aegisbpf_core::policy::{
    Access, Diff, Effect, Facts, How, Operation, Policy, Proto, Role, RuleId, Seen, Suggestion,
    Written,
};
use proptest::prelude::*;
use rstest::rstest;

#[track_caller]
fn policy(text: &str) -> Policy {
    Policy::parse(&format!("version=7\n{text}"), "t")
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// `deny /srv/a` or `allow`: what is decided, and the entry of the rule.
#[track_caller]
fn decided(policy: &Policy, access: &Access) -> String {
    let explanation = policy.explain(access, &Written);
    assert_eq!(
        explanation
            .matches
            .first()
            .filter(|found| found.role == Role::Decides)
            .map(|found| found.rule),
        explanation.rule
    );
    match explanation.rule {
        Some(id) => format!(
            "{} {}",
            explanation.effect,
            policy.rule(id).unwrap().entry()
        ),
        None => explanation.effect.to_string(),
    }
}

const FILES: &str = "[deny_path]\n/srv/a\n/srv/dir/named\n[deny_dir]\n/srv/dir\n[deny_inode]\n1:7\n[protect_path]\n/srv/p\n\
    [cgroup_deny_inode]\n/w 1:7\n/w 1:8\n[allow_cgroup]\n/ok\n[allow_exec]\n/bin/x /srv/a\n/bin/x /srv/dir/\n/bin/y /srv/dir\n\
    [deny_comm]\nnc\n";

#[rstest]
#[case::nothing(Access::file("/srv/b"), "allow")]
#[case::path(Access::file("/srv/a"), "deny /srv/a")]
#[case::directory(Access::file("/srv/dir/x/y"), "deny /srv/dir")]
#[case::the_directory_itself(Access::file("/srv/dir"), "deny /srv/dir")]
#[case::an_exception_for_the_directory_itself(Access::file("/srv/dir").by("/bin/x"), "allow /bin/x /srv/dir/")]
#[case::no_part_of_a_name(Access::file("/srv/dirx"), "allow")]
#[case::path_before_directory(Access::file("/srv/dir/named"), "deny /srv/dir/named")]
#[case::inode(Access::file("/x").identity(FileId::from_kernel(1, 7)), "deny 1:7")]
#[case::second_name(Access::file("/link").at("/srv/a"), "deny /srv/a")]
#[case::cgroup(Access::file("/srv/a").in_cgroup("/ok/below"), "allow /ok")]
#[case::cgroup_needs_a_rule(Access::file("/srv/b").in_cgroup("/ok"), "allow")]
#[case::other_cgroup(Access::file("/srv/a").in_cgroup("/okay"), "deny /srv/a")]
#[case::scoped(Access::file("/x").identity(FileId::from_kernel(1, 8)).in_cgroup("/w/z"), "deny /w 1:8")]
#[case::scoped_elsewhere(Access::file("/x").identity(FileId::from_kernel(1, 8)).in_cgroup("/z"), "allow")]
#[case::scoped_and_all(Access::file("/x").identity(FileId::from_kernel(1, 7)).in_cgroup("/w"), "deny 1:7")]
#[case::scoped_before_allowed(Access::file("/x").identity(FileId::from_kernel(1, 7)).in_cgroup("/w").in_cgroup("/ok"), "deny /w 1:7")]
#[case::executable(Access::file("/srv/a").by("/bin/x"), "allow /bin/x /srv/a")]
#[case::executable_for_a_directory(Access::file("/srv/dir/q").by("/bin/x"), "allow /bin/x /srv/dir/")]
#[case::executable_without_slash(Access::file("/srv/dir/q").by("/bin/y"), "allow /bin/y /srv/dir")]
#[case::other_executable(Access::file("/srv/a").by("/bin/y"), "deny /srv/a")]
#[case::executable_not_for_this(Access::file("/srv/p").by("/bin/x"), "deny /srv/p")]
#[case::protected(Access::file("/srv/p"), "deny /srv/p")]
#[case::verified(Access::file("/srv/p").verified(true), "allow /srv/p")]
#[case::verified_helps_nothing_else(Access::file("/srv/a").verified(true), "deny /srv/a")]
#[case::comm(Access::exec("/usr/bin/nc"), "deny nc")]
#[case::comm_is_about_executing(Access::file("/usr/bin/nc"), "allow")]
#[case::comm_of_the_target(Access::exec("/usr/bin/nc").at("/etc/alternatives/other"), "allow")]
#[case::comm_in_a_cgroup(Access::exec("/usr/bin/nc").in_cgroup("/ok"), "allow /ok")]
#[case::executing_is_access(Access::exec("/srv/a"), "deny /srv/a")]
#[case::comm_after_exception(Access::exec("/srv/dir/nc").by("/bin/x"), "deny nc")]
fn for_files(#[case] access: Access, #[case] expected: &str) {
    assert_eq!(decided(&policy(FILES), &access), expected);
}

const NETWORK: &str = "[deny_ip]\n192.0.2.1\n[deny_cidr]\n192.0.2.0/24\n2001:db8::/32\n[deny_port]\n25:tcp:egress\n80::bind\n53:udp\n\
    [deny_ip_port]\n192.0.2.2:443\n198.51.100.1:443:tcp\n[cgroup_deny_ip]\n/w 203.0.113.1\n/ok 203.0.113.2\n[allow_cgroup]\n/ok\n";

#[rstest]
#[case::nothing("203.0.113.9", 443, Proto::Tcp, "", "allow")]
#[case::address("192.0.2.1", 443, Proto::Tcp, "", "deny 192.0.2.1")]
#[case::mapped("::ffff:192.0.2.1", 443, Proto::Tcp, "", "deny 192.0.2.1")]
#[case::endpoint_before_prefix("192.0.2.2", 443, Proto::Udp, "", "deny 192.0.2.2:443")]
#[case::prefix("192.0.2.3", 25, Proto::Tcp, "", "deny 192.0.2.0/24")]
#[case::prefix6("2001:db8:1::1", 1, Proto::Tcp, "", "deny 2001:db8::/32")]
#[case::port("203.0.113.9", 25, Proto::Tcp, "", "deny 25:tcp:egress")]
#[case::port_of_another_protocol("203.0.113.9", 25, Proto::Udp, "", "allow")]
#[case::port_of_another_direction("203.0.113.9", 80, Proto::Tcp, "", "allow")]
#[case::endpoint_protocol("198.51.100.1", 443, Proto::Udp, "", "allow")]
#[case::cgroup("203.0.113.1", 1, Proto::Tcp, "/w/x", "deny /w 203.0.113.1")]
#[case::other_cgroup("203.0.113.1", 1, Proto::Tcp, "/x", "allow")]
#[case::allowed("192.0.2.1", 443, Proto::Tcp, "/ok", "allow /ok")]
#[case::allowed_before_scoped("203.0.113.2", 443, Proto::Tcp, "/ok/x", "allow /ok")]
fn for_peers(
    #[case] peer: &str,
    #[case] port: u16,
    #[case] proto: Proto,
    #[case] cgroup: &str,
    #[case] expected: &str,
) {
    let mut access = Access::connect(peer.parse().unwrap(), port, proto);
    if !cgroup.is_empty() {
        access = access.in_cgroup(cgroup);
    }
    assert_eq!(decided(&policy(NETWORK), &access), expected);
}

#[test]
fn for_ports_and_sections_without_entries() {
    let network = policy(NETWORK);
    assert_eq!(
        decided(&network, &Access::bind(80, Proto::Tcp)),
        "deny 80:any:bind"
    );
    assert_eq!(decided(&network, &Access::bind(25, Proto::Tcp)), "allow");
    assert_eq!(
        decided(&network, &Access::bind(53, Proto::Any)),
        "deny 53:udp"
    );
    let whole = policy("[deny_ptrace]\n[protect_connect]\n[allow_cgroup]\n/ok\n");
    assert_eq!(
        decided(&whole, &Access::of(Operation::Ptrace)),
        "deny [deny_ptrace]"
    );
    assert_eq!(
        decided(&whole, &Access::of(Operation::Ptrace).in_cgroup("/ok")),
        "allow /ok"
    );
    assert_eq!(decided(&whole, &Access::of(Operation::Bpf)), "allow");
    let connect = Access::connect("::1".parse().unwrap(), 1, Proto::Tcp);
    assert_eq!(decided(&whole, &connect), "deny [protect_connect]");
    assert_eq!(decided(&whole, &connect.verified(true)), "allow");
}

#[test]
fn what_the_host_knows_matches_other_names() {
    struct Host;
    impl Facts for Host {
        fn file(&self, rule: RuleId) -> Option<FileId> {
            (rule.number() == 1).then_some(FileId::from_kernel(1, 5))
        }
        fn cgroup(&self, rule: RuleId) -> Option<u64> {
            (rule.number() == 2).then_some(77)
        }
    }
    let policy = policy("[deny_path]\n/srv/a\n[allow_cgroup]\n/ok\ncgid:78\n");
    let access = Access::file("/hard/link").identity(FileId::from_kernel(1, 5));
    let explanation = policy.explain(&access, &Host);
    assert_eq!(
        (explanation.effect, explanation.matches[0].how),
        (Effect::Deny, How::Identity)
    );
    for (id, expected) in [(77, Effect::Allow), (78, Effect::Allow), (79, Effect::Deny)] {
        let access = access.clone().in_cgroup_id(None, id);
        assert_eq!(policy.explain(&access, &Host).effect, expected);
    }
}

#[test]
fn an_explanation_names_all_rules_and_what_is_not_known() {
    let policy = policy(&format!(
        "{FILES}[deny_binary_hash]\nsha256:{}\n",
        "0".repeat(64)
    ));
    let access = Access::exec("/srv/dir/named");
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&policy.explain(&access, &Written)).unwrap()
    );
    let allowed = policy.explain(&Access::file("/srv/b"), &Written);
    insta::assert_snapshot!(serde_json::to_string_pretty(&allowed).unwrap());
}

#[test]
fn a_difference_is_in_rules_not_in_lines() {
    let old = policy(
        "[deny_path]\n/a\n/b # one\n/c # @severity=low\n[scan_paths]\n/opt\n[deny_binary_hash]\nsha256:0000000000000000000000000000000000000000000000000000000000000000\n",
    );
    let same = policy(
        "# other order\n[deny_binary_hash]\nsha256:0000000000000000000000000000000000000000000000000000000000000000\n[deny_path]\n/c/ # @severity=low\n//b # one\n/a\n[scan_paths]\n/opt/\n",
    );
    assert!(Diff::between(&old, &same).is_empty());
    let new = policy("[deny_path]\n/b # two\n/c # @severity=high\n/d\n[require_ima_appraisal]\n");
    let diff = Diff::between(&old, &new);
    let entries = |rules: &[&aegisbpf_core::policy::Rule]| {
        rules.iter().map(|rule| rule.entry()).collect::<Vec<_>>()
    };
    assert_eq!(entries(&diff.removed)[0], "/a");
    assert_eq!(diff.removed.len(), 2);
    assert_eq!(entries(&diff.added), ["/d"]);
    assert_eq!(
        diff.relabelled
            .iter()
            .map(|(_, new)| new.label())
            .collect::<Vec<_>>(),
        ["t:3 /b # two", "t:4 /c # @severity=high"]
    );
    assert_eq!(
        (diff.unset, diff.set),
        (
            vec!["[scan_paths] /opt".to_owned()],
            vec!["[require_ima_appraisal]".to_owned()]
        )
    );
}

fn seen(cgroup: u64, path: Option<&str>, entry: &str, count: u64) -> Seen {
    Seen {
        cgroup,
        path: path.map(Into::into),
        entry: entry.to_owned(),
        count,
    }
}

#[test]
fn a_suggestion_is_a_policy_most_frequent_first() {
    let suggestion = Suggestion::of([
        seen(1, Some("/"), "/etc/shadow", 9000),
        seen(2, Some("/system.slice/cron.service"), "/etc/shadow", 7),
        seen(2, Some("/system.slice/cron.service"), "/etc/gshadow", 30),
        seen(3, Some("/system.slice/a.service"), "/etc/shadow", 37),
        seen(
            4,
            Some("/user.slice/user-0.slice/session-3.scope"),
            "/etc/shadow",
            5,
        ),
        seen(5, None, "/etc/shadow", 4),
        seen(6, Some("/odd\nname"), "/odd\npath", 3),
        seen(7, Some("/system.slice/run-r8c1.service"), "/etc/shadow", 2),
        seen(
            8,
            Some("/user.slice/user-0.slice/user@0.service/app.slice/agent.service"),
            "/etc/shadow",
            1,
        ),
        seen(9, Some("/never"), "/etc/shadow", 0),
    ]);
    insta::assert_snapshot!(suggestion);
    let policy: Policy = suggestion.to_string().parse().unwrap();
    assert!(policy.warnings().is_empty(), "{}", policy.warnings());
    assert_eq!(policy.rules().len(), 3);
    assert!(
        Suggestion::of([])
            .to_string()
            .parse::<Policy>()
            .unwrap()
            .rules()
            .is_empty()
    );
}

proptest! {
    #[test]
    fn any_suggestion_is_a_policy(names in prop::collection::vec("\\PC{0,8}|/[a-z# \t\n/.]{0,12}|\\[.{3}", 0..5)) {
        let seen = names.iter().enumerate().map(|(n, name)| Seen {
            cgroup: n as u64,
            path: Some(Path::new("/").join(name)),
            entry: name.clone(),
            count: 1,
        });
        let text = Suggestion::of(seen).to_string();
        prop_assert!(text.parse::<Policy>().is_ok(), "{text}");
    }

    #[test]
    fn an_explanation_never_panics(text in "(\\[(deny_path|deny_dir|allow_exec|deny_ip|deny_port|allow_cgroup)\\]\n(/[ab/]{0,5} ?/?[ab]{0,3}|::1|[1-9]0)\n){0,6}", path in "/[ab/]{0,5}") {
        if let Ok(policy) = Policy::parse(&format!("version=7\n{text}"), "t") {
            for access in [Access::file(&path), Access::exec(&path).by("/a").in_cgroup("/b"), Access::bind(10, Proto::Any)] {
                let explanation = policy.explain(&access, &Written);
                prop_assert_eq!(explanation.rule.is_some(), !explanation.matches.is_empty() && explanation.matches[0].role == Role::Decides);
            }
        }
    }
}
