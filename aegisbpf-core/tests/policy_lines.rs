//! The clauses of the language, one by one.

use std::path::Path;

use aegisbpf_core::file_id::FileId;
use aegisbpf_core::policy::{CgroupRef, Object, Policy, Problem, Rule, Severity, Subject};
use proptest::prelude::*;
use rstest::rstest;

#[track_caller]
fn valid(text: &str) -> Policy {
    Policy::parse(text, "t").unwrap_or_else(|problems| panic!("{text:?}: {problems}"))
}

/// The only problem of a text with one error.
#[track_caller]
fn error(text: &str) -> Problem {
    let problems = Policy::parse(text, "t").expect_err(text);
    assert_eq!(problems.len(), 1, "{problems}");
    problems
        .iter()
        .next()
        .expect("one, says the line above")
        .clone()
}

fn entries(policy: &Policy) -> Vec<String> {
    policy.rules().iter().map(Rule::entry).collect()
}

#[rstest]
#[case::lf("version=1\n[deny_path]\n/a\n")]
#[case::crlf("version=1\r\n[deny_path]\r\n/a\r\n")]
#[case::no_line_end("version=1\n[deny_path]\n/a")]
#[case::blanks_around("\t version = 1 \n  [ deny_path ]\t\n \x0b/a\x0c \n")]
#[case::comments("# a\n\n version=1\n  # [deny_inode]\n[deny_path]\n#/b\n/a\n \n")]
#[case::leading_zeros("version=0001\n[deny_path]\n/a\n")]
#[case::plus("version=+1\n[deny_path]\n/a\n")]
#[case::appended("version=1\n[deny_path]\n[deny_inode]\n[deny_path]\n/a\n")]
fn lines_are_taken_as_the_older_tool_takes_them(#[case] text: &str) {
    let policy = valid(text);
    assert_eq!(
        (policy.version(), entries(&policy)),
        (1, vec!["/a".to_owned()])
    );
    assert!(policy.warnings().is_empty(), "{}", policy.warnings());
}

#[rstest]
#[case(1)]
#[case(2)]
#[case(6)]
#[case(7)]
fn versions_1_to_7_are_known(#[case] version: u8) {
    assert_eq!(valid(&format!("version={version}")).version(), version);
}

#[test]
fn the_last_version_wins_with_a_warning() {
    let policy = valid("version=1\nversion=3\n");
    assert_eq!(policy.version(), 3);
    let warning = policy.warnings().iter().next().unwrap();
    assert_eq!(
        (warning.severity, warning.origin.line),
        (Severity::Warning, 2)
    );
}

#[test]
fn a_problem_has_its_line_and_column_in_characters() {
    let problem = error("version=1\n[deny_path]\n\u{a0}\u{e4}\n");
    assert_eq!(
        (problem.origin.line, problem.origin.column, problem.length),
        (3, 1, 2)
    );
    let problem = error("version=1\r\n[deny_path]\r\n \t relative \r\n");
    assert_eq!(
        (problem.origin.line, problem.origin.column, problem.length),
        (3, 4, 8)
    );
    assert_eq!(problem.origin.to_string(), "t:3:4");
}

#[test]
fn all_problems_are_reported_in_order() {
    let problems = Policy::parse(
        "mode=x\n[deny_inode]\na\n[deny_ip]\nc\n[nothing]\n[deny_path]\nb",
        "t",
    )
    .unwrap_err();
    let lines: Vec<_> = problems.iter().map(|problem| problem.origin.line).collect();
    assert_eq!(lines, [1, 2, 3, 5, 6, 8]);
}

#[test]
fn a_byte_order_mark_is_the_only_problem_of_its_line() {
    assert_eq!(
        error("\u{feff}version=1\n").message,
        "the file begins with a byte-order mark"
    );
}

#[rstest]
#[case::same_line("/a\n/a")]
#[case::doubled_slash("/a\n//a")]
#[case::dot("/a\n/./a")]
#[case::trailing_slash("/a\n/a/")]
fn a_path_counts_once(#[case] lines: &str) {
    let policy = valid(&format!("version=1\n[deny_path]\n{lines}"));
    assert_eq!(entries(&policy), ["/a"]);
    assert_eq!(policy.warnings().len(), 1);
}

#[test]
fn a_parent_part_is_kept_because_links_give_it_its_meaning() {
    assert_eq!(
        entries(&valid("version=1\n[deny_path]\n/a/../b\n/b")),
        ["/a/../b", "/b"]
    );
}

#[rstest]
#[case::fits(255, true)]
#[case::too_long(256, false)]
fn a_path_has_at_most_255_bytes(#[case] bytes: usize, #[case] taken: bool) {
    let path = format!("/{}", "x".repeat(bytes - 1));
    assert_eq!(
        Policy::parse(&format!("version=1\n[deny_path]\n{path}"), "t").is_ok(),
        taken
    );
}

#[rstest]
#[case("deny_binary_hash", 2, 3)]
#[case("protect_path", 3, 4)]
#[case("trusted_exec_hash", 4, 5)]
#[case("cgroup_deny_ip", 5, 6)]
#[case("deny_dir", 6, 7)]
fn a_section_above_the_version_names_the_version_it_needs(
    #[case] name: &str,
    #[case] version: u8,
    #[case] needed: u8,
) {
    let message = error(&format!("version={version}\n[{name}]\n")).message;
    assert!(
        message.contains(&format!("needs version={needed}")),
        "{message}"
    );
}

#[rstest]
#[case::blank(1, "/a\t/")]
#[case::hash(7, "/a #/")]
#[case::hash_that_needs_no_slash(7, "/a#")]
fn a_path_with_an_awkward_end_survives_rendering(#[case] version: u8, #[case] path: &str) {
    let policy = valid(&format!("version={version}\n[deny_path]\n{path}\n"));
    assert_eq!(policy.to_string().parse(), Ok(policy));
}

#[test]
fn of_many_problems_the_first_thousand_are_listed() {
    let text = format!("version=1\n[deny_path]\n{}", "x\n".repeat(5000));
    let problems = Policy::parse(&text, "t").unwrap_err();
    assert_eq!(problems.len(), 1001);
    let last = problems.iter().last().unwrap();
    assert!(last.message.contains("more than 1000 errors"), "{last}");
}

#[test]
fn a_note_is_kept_in_version_7_only() {
    let policy = valid("version=7\n[deny_path]\n/etc/shadow  #  the hashes # really\n");
    let rule = &policy.rules()[0];
    assert_eq!(rule.note.as_deref(), Some("the hashes # really"));
    assert_eq!(rule.label(), "t:3 /etc/shadow # the hashes # really");
    assert_eq!(
        entries(&valid("version=6\n[deny_path]\n/etc/shadow # x\n")),
        ["/etc/shadow # x"]
    );
}

#[rstest]
#[case(1, "8388609:12")]
#[case(1, " 8388609 : 12 ")]
#[case(7, "8388609:12")]
#[case(7, "8:1:12")]
#[case(7, "8 : 1 : 12")]
fn deny_inode_takes_the_kernel_s_encoding(#[case] version: u8, #[case] entry: &str) {
    let policy = valid(&format!("version={version}\n[deny_inode]\n{entry}\n"));
    assert_eq!(
        policy.rules()[0].object,
        Object::Inode(FileId::from_parts(8, 1, 12))
    );
}

#[test]
fn three_parts_below_version_7_get_the_right_spelling() {
    let problem = error("version=6\n[deny_inode]\n8:1:12\n");
    assert!(problem.message.contains("needs version=7"), "{problem}");
    assert!(problem.remedy.unwrap().contains("`8388609:12`"));
}

#[rstest]
#[case("/system.slice/a.service", "/system.slice/a.service")]
#[case("/sys/fs/cgroup/system.slice/a.service/", "/system.slice/a.service")]
#[case("/sys/fs/cgroup", "/")]
#[case("/sys/fs/cgroups/a", "/sys/fs/cgroups/a")]
#[case("/sys/fs/cgroup/sys/fs/cgroup/a", "/sys/fs/cgroup/a")]
fn a_cgroup_path_starts_at_the_cgroup_root(#[case] entry: &str, #[case] path: &str) {
    let policy = valid(&format!("version=1\n[allow_cgroup]\n{entry}\n"));
    assert_eq!(
        policy.rules()[0].subject,
        Subject::Cgroup(CgroupRef::Path(Path::new(path).to_owned()))
    );
    assert_eq!(policy.to_string().parse(), Ok(policy));
}

#[test]
fn a_cgroup_id_is_taken() {
    let policy = valid("version=1\n[allow_cgroup]\ncgid:18446744073709551615\n");
    assert_eq!(
        policy.rules()[0].subject,
        Subject::Cgroup(CgroupRef::Id(u64::MAX))
    );
}

#[test]
fn the_order_of_lines_has_no_meaning() {
    let a = valid("version=1\n[deny_path]\n/a\n/b\n[deny_inode]\n1:1\n");
    let b = valid("version=1\n[deny_inode]\n1:1\n[deny_path]\n/b\n[deny_path]\n//a\n");
    assert_eq!(a, b);
    assert_eq!(a.to_string(), b.to_string());
    assert_ne!(a, valid("version=1\n[deny_path]\n/a\n/b\n"));
}

#[test]
fn ids_follow_the_lines_from_1() {
    let policy = valid("version=1\n[allow_cgroup]\n/x\n[deny_path]\n/b\n/b\n/a\n");
    let ids: Vec<_> = policy
        .iter()
        .map(|(id, rule)| (id.number(), rule.origin.line))
        .collect();
    assert_eq!(ids, [(1, 3), (2, 5), (3, 7)]);
    assert!(
        policy
            .iter()
            .all(|(id, rule)| policy.rule(id) == Some(rule))
    );
}

#[test]
fn problems_and_rules_are_json() {
    let policy = valid("version=7\n[deny_inode]\n8:1:12 # n\n[allow_cgroup]\ncgid:5\n");
    insta::assert_snapshot!(serde_json::to_string_pretty(&policy).unwrap());
    let problems = Policy::parse("version=1\n[deny_ip]\nx", "t").unwrap_err();
    insta::assert_snapshot!(serde_json::to_string_pretty(&problems).unwrap());
}

/// Lines that are likely to be nearly right, and some that are anything.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "version=[+0-9]{0,3}",
        section().prop_map(|name| format!("[{name}]")),
        "\\[(deny_ip_port|deny_paths|scan_path|::1)\\]?( #.*)?",
        "/[a-c./# *\u{e4}\t]{0,12}",
        "/[a-c./# ]{0,6} [/a-c0-9:.# ]{0,12}",
        "[0-9]{1,11} ?: ?[0-9]{1,21}",
        "[0-9]{1,5}:[0-9]{1,8}:[0-9]{1,5}( # [a-z#@= ]{0,9})?",
        "(cgid:|/sys/fs/cgroup/?)[a-z0-9/.]{0,8}",
        "[\\[\\]0-9a-f:./]{1,16}",
        "[0-9]{1,3}.[0-9]{1,3}.[0-9]{1,3}.[0-9]{1,3}[:/]?[0-9]{0,3}",
        "[0-9]{1,5}:(tcp|udp|any)?:?(egress|bind)?:?",
        "sha256:[0-9a-fA-F]{63,65}",
        "\\PC*",
    ]
}

fn section() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "deny_path",
            "deny_inode",
            "allow_cgroup",
            "deny_ip",
            "deny_cidr",
            "deny_port",
            "deny_ip_port",
            "deny_ptrace",
            "deny_module_load",
            "deny_bpf",
            "deny_comm",
            "deny_binary_hash",
            "allow_binary_hash",
            "scan_paths",
            "protect_path",
            "protect_connect",
            "protect_runtime_deps",
            "require_ima_appraisal",
            "trusted_exec_hash",
            "ima_fail_closed",
            "cgroup_deny_inode",
            "cgroup_deny_ip",
            "cgroup_deny_port",
            "deny_dir",
            "allow_exec",
            "include",
        ][..],
    )
}

/// Texts without errors, of all sections.
fn policy_text() -> impl Strategy<Value = String> {
    // Trailing blanks are no part of a line, so a path that ends in one is written with a slash.
    let path = || "/[a-c./# *\u{e4}\u{a0}\r\t]{0,12}";
    let inode = || (any::<u32>(), any::<u64>()).prop_map(|(dev, ino)| format!("{dev}:{ino}"));
    let cgroup = || {
        prop_oneof![
            "(/sys/fs/cgroup)?(/sys/fs/cgroup)?/[a-c#]{0,8}",
            "cgid:[1-9][0-9]{0,9}"
        ]
    };
    let address = || {
        prop_oneof![
            any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
            any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string()),
            any::<std::net::Ipv4Addr>().prop_map(|address| format!("::ffff:{address}")),
        ]
    };
    let port = || "(0?[1-9][0-9]{0,3}|65535)(:(tcp|udp|any|)(:(egress|connect|bind|both|))?)?";
    let hash = || "sha256:[0-9a-fA-F]{64}";
    let path_entry = prop_oneof![
        path().prop_map(|path| format!("[deny_path]\n{path}\n")),
        path().prop_map(|path| format!("[protect_path]\n{path}\n")),
        path().prop_map(|path| format!("[deny_dir]\n{path}\n")),
        "/[a-c./#]{0,8}( [a-c./#]{0,5})?[ \t]{1,3}/[a-c./# \t]{0,10}"
            .prop_map(|pair| format!("[allow_exec]\n{pair}\n")),
        "[a-z/][a-c./ #]{0,9}".prop_map(|path| format!("[scan_paths]\n{path}\n")),
        "[a-z][a-c. #]{0,14}".prop_map(|name| format!("[deny_comm]\n{name}\n")),
        inode().prop_map(|inode| format!("[deny_inode]\n{inode}\n")),
        "(/sys/fs/cgroup)?(/sys/fs/cgroup)?/[a-c# ]{0,8}"
            .prop_map(|cgroup| format!("[allow_cgroup]\n{cgroup}\n")),
        cgroup().prop_map(|cgroup| format!("[allow_cgroup]\n{cgroup}\n")),
    ];
    let network_entry = prop_oneof![
        address().prop_map(|address| format!("[deny_ip]\n{address}\n")),
        (address(), 0..=32u8).prop_map(|(address, len)| format!("[deny_cidr]\n{address}/{len}\n")),
        port().prop_map(|port| format!("[deny_port]\n{port}\n")),
        (address(), 1..=u16::MAX, "(:(tcp|udp|any|))?").prop_map(|(address, port, proto)| {
            let bracketed = if address.contains(':') {
                format!("[{address}]")
            } else {
                address
            };
            format!("[deny_ip_port]\n{bracketed}:{port}{proto}\n")
        }),
        (cgroup(), inode())
            .prop_map(|(cgroup, inode)| format!("[cgroup_deny_inode]\n{cgroup} {inode}\n")),
        (cgroup(), address())
            .prop_map(|(cgroup, address)| format!("[cgroup_deny_ip]\n{cgroup}\t {address}\n")),
        (cgroup(), port())
            .prop_map(|(cgroup, port)| format!("[cgroup_deny_port]\n{cgroup} {port}\n")),
    ];
    let other_entry = prop_oneof![
        hash().prop_map(|hash| format!("[deny_binary_hash]\n{hash}\n")),
        hash().prop_map(|hash| format!("[allow_binary_hash]\n{hash}\n")),
        hash().prop_map(|hash| format!("[trusted_exec_hash]\n{hash}\n")),
        prop::sample::select(
            &[
                "deny_ptrace",
                "deny_module_load",
                "deny_bpf",
                "protect_connect",
                "require_ima_appraisal"
            ][..]
        )
        .prop_map(|flag| format!("[{flag}]\n")),
        Just(format!(
            "[protect_connect]\n[protect_runtime_deps]\n[trusted_exec_hash]\nsha256:{}\n[ima_fail_closed]\n",
            "0".repeat(64)
        )),
    ];
    let label = prop_oneof![
        Just(String::new()),
        " # [a-c@# \t]{0,8}",
        "[ \t]#[ \t][a-c# ]{0,4} @severity=(info|low|medium|high|critical) ?( @mitre=T[0-9]{4}(\\.[0-9]{3})?)?",
    ];
    let entry = (prop_oneof![path_entry, network_entry, other_entry], label);
    let text = |version: u8, entries: Vec<(String, String)>| {
        let mut text = format!("version={version}\n");
        for (entry, label) in entries {
            let (lines, newest) = (entry.trim_end_matches('\n'), version == 7);
            match lines {
                _ if newest => text += &format!("{lines}{label}\n"),
                _ if entry.starts_with("[deny_dir") || entry.starts_with("[allow_exec") => {}
                _ => text += &entry,
            }
        }
        text
    };
    let version = prop::sample::select(&[6, 7][..]);
    (version, prop::collection::vec(entry, 0..8))
        .prop_map(move |(version, entries)| text(version, entries))
}

proptest! {
    #[test]
    fn parsing_the_rendered_policy_gives_the_policy(text in policy_text()) {
        // A version 6 has no IPv6 address for a cgroup.
        let parsed = Policy::parse(&text, "t");
        prop_assume!(parsed.is_ok());
        let policy = parsed.unwrap();
        let again: Policy = policy.to_string().parse().unwrap();
        prop_assert_eq!(again.to_string(), policy.to_string());
        prop_assert_eq!(again, policy);
    }

    #[test]
    fn nearly_right_text_never_panics(lines in prop::collection::vec(line(), 0..12)) {
        match Policy::parse(&lines.join("\n"), "t") {
            Ok(policy) => prop_assert_eq!(policy.to_string().parse(), Ok(policy)),
            Err(problems) => prop_assert!(problems.has_errors()),
        }
    }

    #[test]
    fn bytes_never_panic(bytes: Vec<u8>) {
        let _ = Policy::parse_bytes(&bytes, "t").map_err(|problems| problems.to_string());
    }
}
