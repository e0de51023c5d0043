//! Each section: which entries it takes and what they mean, and which it refuses and with what remedy.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use aegisbpf_core::policy::{Class, Policy, Problem, Problems, Rule};
use rstest::rstest;

#[track_caller]
fn parse(version: u8, section: &str, entry: &str) -> Result<Policy, Problems> {
    Policy::parse(&format!("version={version}\n[{section}]\n{entry}\n"), "t")
}

/// The entry's only rule.
#[track_caller]
fn rule(version: u8, section: &str, entry: &str) -> Rule {
    let policy = parse(version, section, entry).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(policy.rules().len(), 1);
    let rule = policy.rules()[0].clone();
    assert_eq!(rule.section(), section);
    rule
}

/// The remedy of the entry's only error.
#[track_caller]
fn remedy(version: u8, section: &str, entry: &str) -> String {
    let problems = parse(version, section, entry).expect_err(entry);
    assert_eq!(problems.len(), 1, "{problems}");
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.origin.line, 3, "{problem}");
    problem.remedy.clone().unwrap()
}

const SUM: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[rstest]
#[case::path(
    1,
    "deny_path",
    "/etc//shadow/",
    "/etc/shadow",
    "deny any open",
    Class::File
)]
#[case::inode(
    1,
    "deny_inode",
    "08388609 : 12",
    "8388609:12",
    "deny any open",
    Class::File
)]
#[case::inode_7(7, "deny_inode", "8:1:12", "8388609:12", "deny any open", Class::File)]
#[case::dir(
    7,
    "deny_dir",
    "/srv/./x/",
    "/srv/x",
    "deny any open",
    Class::Directory
)]
#[case::cgroup(
    1,
    "allow_cgroup",
    "/sys/fs/cgroup/a/",
    "/a",
    "allow cgroup any",
    Class::AllowCgroup
)]
#[case::cgroup_id(
    1,
    "allow_cgroup",
    "cgid:007",
    "cgid:7",
    "allow cgroup any",
    Class::AllowCgroup
)]
#[case::ip(
    1,
    "deny_ip",
    "192.0.2.1",
    "192.0.2.1",
    "deny any network",
    Class::Network
)]
#[case::ip6(
    1,
    "deny_ip",
    "0:0:0:0:0:0:0:1",
    "::1",
    "deny any network",
    Class::Network
)]
#[case::ip_mapped(
    1,
    "deny_ip",
    "::ffff:192.0.2.1",
    "192.0.2.1",
    "deny any network",
    Class::Network
)]
#[case::cidr(
    1,
    "deny_cidr",
    "10.0.0.0/8",
    "10.0.0.0/8",
    "deny any network",
    Class::Network
)]
#[case::cidr_all(1, "deny_cidr", "::/0", "::/0", "deny any network", Class::Network)]
#[case::cidr_one(
    1,
    "deny_cidr",
    "2001:DB8::1/128",
    "2001:db8::1/128",
    "deny any network",
    Class::Network
)]
#[case::cidr_mapped(
    1,
    "deny_cidr",
    "::ffff:10.0.0.0/104",
    "10.0.0.0/8",
    "deny any network",
    Class::Network
)]
#[case::port(1, "deny_port", "443", "443", "deny any network", Class::Network)]
#[case::port_zeros(1, "deny_port", "00443", "443", "deny any network", Class::Network)]
#[case::port_empty(1, "deny_port", "443::", "443", "deny any network", Class::Network)]
#[case::port_words(
    1,
    "deny_port",
    "443:any:both",
    "443",
    "deny any network",
    Class::Network
)]
#[case::port_tcp(
    1,
    "deny_port",
    "443:tcp",
    "443:tcp",
    "deny any network",
    Class::Network
)]
#[case::port_egress(
    1,
    "deny_port",
    "443:tcp:egress",
    "443:tcp:egress",
    "deny any connect",
    Class::Network
)]
#[case::port_connect(
    1,
    "deny_port",
    "443:tcp:connect",
    "443:tcp:egress",
    "deny any connect",
    Class::Network
)]
#[case::port_bind(
    1,
    "deny_port",
    "443::bind",
    "443:any:bind",
    "deny any bind",
    Class::Network
)]
#[case::endpoint(
    1,
    "deny_ip_port",
    "192.0.2.1:443",
    "192.0.2.1:443",
    "deny any network",
    Class::Network
)]
#[case::endpoint_empty(
    1,
    "deny_ip_port",
    "192.0.2.1:443:",
    "192.0.2.1:443",
    "deny any network",
    Class::Network
)]
#[case::endpoint_udp(
    1,
    "deny_ip_port",
    "192.0.2.1:53:udp",
    "192.0.2.1:53:udp",
    "deny any network",
    Class::Network
)]
#[case::endpoint6(
    1,
    "deny_ip_port",
    "[::1]:443:any",
    "[::1]:443",
    "deny any network",
    Class::Network
)]
#[case::endpoint6_mapped(
    1,
    "deny_ip_port",
    "[::ffff:192.0.2.1]:443",
    "192.0.2.1:443",
    "deny any network",
    Class::Network
)]
#[case::endpoint6_full(
    1,
    "deny_ip_port",
    "1:2:3:4:5:6:7:8:443",
    "[1:2:3:4:5:6:7:8]:443",
    "deny any network",
    Class::Network
)]
#[case::endpoint6_proto(
    1,
    "deny_ip_port",
    "::1:443:tcp",
    "[::1]:443:tcp",
    "deny any network",
    Class::Network
)]
#[case::endpoint6_five(
    1,
    "deny_ip_port",
    "::1:65535",
    "[::1]:65535",
    "deny any network",
    Class::Network
)]
#[case::endpoint6_dots(
    1,
    "deny_ip_port",
    "::ffff:192.0.2.1:443",
    "192.0.2.1:443",
    "deny any network",
    Class::Network
)]
#[case::ptrace(
    1,
    "deny_ptrace",
    "",
    "[deny_ptrace]",
    "deny any ptrace",
    Class::Ptrace
)]
#[case::module(
    1,
    "deny_module_load",
    "",
    "[deny_module_load]",
    "deny any module_load",
    Class::ModuleLoad
)]
#[case::bpf(1, "deny_bpf", "", "[deny_bpf]", "deny any bpf", Class::Bpf)]
#[case::comm(
    1,
    "deny_comm",
    "fifteen bytes !",
    "fifteen bytes !",
    "deny any exec",
    Class::Comm
)]
#[case::deny_hash(3, "deny_binary_hash", SUM, SUM, "deny any exec", Class::Hash)]
#[case::allow_hash(3, "allow_binary_hash", SUM, SUM, "allow any exec", Class::Hash)]
#[case::protect(
    4,
    "protect_path",
    "/srv/key",
    "/srv/key",
    "deny unverified open",
    Class::Verified
)]
#[case::protect_connect(
    4,
    "protect_connect",
    "",
    "[protect_connect]",
    "deny unverified connect",
    Class::Verified
)]
#[case::ima(5, "trusted_exec_hash", SUM, SUM, "allow any exec", Class::Ima)]
#[case::cgroup_inode(
    6,
    "cgroup_deny_inode",
    "/a\t 1 : 2",
    "/a 1:2",
    "deny cgroup open",
    Class::CgroupFile
)]
#[case::cgroup_inode_7(
    7,
    "cgroup_deny_inode",
    "/a 0:1:2",
    "/a 1:2",
    "deny cgroup open",
    Class::CgroupFile
)]
#[case::cgroup_ip(
    6,
    "cgroup_deny_ip",
    "cgid:5 192.0.2.1",
    "cgid:5 192.0.2.1",
    "deny cgroup network",
    Class::CgroupNetwork
)]
#[case::cgroup_ip6(
    7,
    "cgroup_deny_ip",
    "/a ::1",
    "/a ::1",
    "deny cgroup network",
    Class::CgroupNetwork
)]
#[case::cgroup_port(
    6,
    "cgroup_deny_port",
    "/a 25::bind",
    "/a 25:any:bind",
    "deny cgroup bind",
    Class::CgroupNetwork
)]
#[case::exec(
    7,
    "allow_exec",
    "/bin/x /srv/y",
    "/bin/x /srv/y",
    "allow executable open",
    Class::Executable
)]
#[case::exec_dir(
    7,
    "allow_exec",
    "/bin/x  /srv/y/",
    "/bin/x /srv/y/",
    "allow executable open",
    Class::Executable
)]
#[case::exec_blanks(
    7,
    "allow_exec",
    "/bin/a b /srv/c d",
    "/bin/a b /srv/c d",
    "allow executable open",
    Class::Executable
)]
#[case::exec_root(
    7,
    "allow_exec",
    "/bin/x /",
    "/bin/x /",
    "allow executable open",
    Class::Executable
)]
fn an_entry_means(
    #[case] version: u8,
    #[case] section: &str,
    #[case] entry: &str,
    #[case] canonical: &str,
    #[case] meaning: &str,
    #[case] class: Class,
) {
    let rule = rule(version, section, entry);
    assert_eq!(rule.entry(), canonical);
    let subject = match rule.subject {
        aegisbpf_core::policy::Subject::Any => "any",
        aegisbpf_core::policy::Subject::Cgroup(_) => "cgroup",
        aegisbpf_core::policy::Subject::Executable(_) => "executable",
        _ => "unverified",
    };
    assert_eq!(
        format!("{} {subject} {}", rule.effect, rule.operation),
        meaning
    );
    assert_eq!(rule.class(), class);
}

#[rstest]
#[case::path("deny_path", "etc/shadow", "write the whole path, from `/`")]
#[case::protect("protect_path", "\"/x\"", "write the path without quotes")]
#[case::dir(
    "deny_dir",
    "~/x",
    "`~` is not expanded: write the path of the home directory"
)]
#[case::inode(
    "deny_inode",
    "8388609",
    "write decimal numbers, as `8:1:1234`; a major is at most 4095, a minor 1048575"
)]
#[case::cgroup(
    "allow_cgroup",
    "system.slice",
    "begin at the cgroup root: `/system.slice`"
)]
#[case::cgroup_id(
    "allow_cgroup",
    "cgid:0",
    "write the inode number of the cgroup's directory, which `stat -c %i` prints"
)]
#[case::ip_prefix("deny_ip", "192.0.2.0/24", "put a prefix under [deny_cidr]")]
#[case::ip_port(
    "deny_ip",
    "192.0.2.0:1",
    "put an address with a port under [deny_ip_port]"
)]
#[case::ip_name(
    "deny_ip",
    "example.org",
    "names are not looked up: write each address of the host, which `getent ahosts NAME` prints"
)]
#[case::ip_zone(
    "deny_ip",
    "fe80::1%2",
    "write the address without its zone: a rule holds on every interface"
)]
#[case::cidr_none(
    "deny_cidr",
    "::1",
    "write `::1/128`, or put the address under [deny_ip]"
)]
#[case::cidr_junk(
    "deny_cidr",
    "10.0.0.0/8x",
    "write `10.0.0.0/8`, and nothing behind it"
)]
#[case::cidr_long(
    "deny_cidr",
    "10.0.0.0/33",
    "write `10.0.0.0/32` for this address alone"
)]
#[case::cidr_sign(
    "deny_cidr",
    "10.0.0.0/+8",
    "write `10.0.0.0/32` for this address alone"
)]
#[case::port_order("deny_port", "tcp:22:egress", "write `22:tcp:egress`")]
#[case::port_zero(
    "deny_port",
    "0",
    "write the port as a number, as `443` or `443:tcp:egress`"
)]
#[case::port_range(
    "deny_port",
    "80-90",
    "there are no ranges: write each port on a line of its own"
)]
#[case::port_proto("deny_port", "80:TCP", "did you mean `tcp`?")]
#[case::port_dir(
    "deny_port",
    "80:bind",
    "the protocol comes first: write `80:any:bind`"
)]
#[case::port_egres("deny_port", "80:tcp:ingress", "did you mean `egress`?")]
#[case::port_fourth(
    "deny_port",
    "80:tcp:both:",
    "write `80:tcp:both`: port, protocol, direction"
)]
#[case::endpoint_none(
    "deny_ip_port",
    "192.0.2.1",
    "write `192.0.2.1:443`, or put it under [deny_ip]"
)]
#[case::endpoint_ambiguous(
    "deny_ip_port",
    "2001:db8::1:443",
    "write `[2001:db8::1]:443`, or put an address alone under [deny_ip]"
)]
#[case::endpoint_direction(
    "deny_ip_port",
    "[::1]:1:tcp:bind",
    "an endpoint has no direction: remove what follows the protocol"
)]
#[case::comm_path(
    "deny_comm",
    "/usr/bin/nc",
    "write `nc`, or put the path under [deny_path]"
)]
#[case::comm_long(
    "deny_comm",
    "sixteen bytes !!",
    "put the path of the executable under [deny_path]"
)]
#[case::hash_bare("deny_binary_hash", &SUM[7..], "write `sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`")]
#[case::hash_short(
    "allow_binary_hash",
    "sha256:ab",
    "a SHA-256 sum has 64 digits, this has 2; `sha256sum FILE` prints it"
)]
#[case::ima_other(
    "trusted_exec_hash",
    "sha1:ab",
    "write `sha256:` and what `sha256sum FILE` prints first"
)]
#[case::cgroup_inode(
    "cgroup_deny_inode",
    "/a",
    "write both, as `/system.slice/x.service 8388609:1234`"
)]
#[case::cgroup_ip("cgroup_deny_ip", "/a 10.0.0.0/8", "put a prefix under [deny_cidr]")]
#[case::cgroup_port("cgroup_deny_port", "/a tcp:22", "write `22:tcp`")]
#[case::exec_one(
    "allow_exec",
    "/bin/x",
    "write the two absolute paths with a blank between them, as `/usr/sbin/sshd /etc/shadow`"
)]
#[case::exec_relative("allow_exec", "bin/x /y", "write the whole path, from `/`")]
#[case::include(
    "include",
    "conf.d",
    "save it to a file, or write the entries of the other file here"
)]
#[case::tag("deny_path", "/x # @severity=hgih", "write `@severity=high`")]
#[case::tag_twice("deny_path", "/x # @mitre=T1000 a @mitre=T1001", "keep one of the two")]
#[case::tag_unknown("deny_path", "/x # @severty=high", "did you mean `@severity=high`?")]
fn an_entry_is_refused_with_a_remedy(
    #[case] section: &str,
    #[case] entry: &str,
    #[case] expected: &str,
) {
    assert_eq!(remedy(7, section, entry), expected);
}

#[test]
fn the_error_is_at_the_part_that_is_wrong() {
    let problems = parse(7, "cgroup_deny_port", "/system.slice  22:tcp:egres").unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!(
        (problem.origin.column, problem.length),
        (23, 5),
        "{problem}"
    );
}

#[rstest]
#[case("deny_port", "443\n443:\n443:any:both\n0443::")]
#[case("deny_port", "443::egress\n443:any:connect")]
#[case("deny_ip", "::1\n0:0:0:0:0:0:0:1\n0::1")]
#[case("deny_ip", "192.0.2.1\n::ffff:192.0.2.1\n::ffff:c000:201")]
#[case("deny_cidr", "10.0.0.0/8\n::ffff:10.0.0.0/104")]
#[case("deny_ip_port", "[::1]:443\n::1:443:any\n[0::1]:0443:")]
#[case(
    "deny_binary_hash",
    "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nsha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)]
#[case("cgroup_deny_port", "/a 443\n/sys/fs/cgroup/a\t443:any")]
#[case("allow_exec", "/bin/x /y\n/bin//x  /y/.")]
#[case("deny_ptrace", "\n[deny_ptrace]")]
fn one_meaning_in_several_spellings_counts_once(#[case] section: &str, #[case] entries: &str) {
    let policy = parse(7, section, entries).unwrap();
    assert_eq!(policy.rules().len(), 1, "{policy}");
    let repeated = |warning: &&Problem| warning.message.contains("counts once");
    assert_eq!(
        policy.warnings().iter().filter(repeated).count(),
        entries.lines().filter(|line| !line.is_empty()).count()
            - usize::from(section != "deny_ptrace")
    );
    assert_eq!(policy.to_string().parse(), Ok(policy));
}

#[test]
fn settings_are_kept_with_their_origins_and_in_canonical_text() {
    let text = "version=5\n[scan_paths]\n/opt//bin\nrelative\n/opt/bin\n[protect_connect]\n[protect_runtime_deps]\n\
                [require_ima_appraisal]\n[require_ima_appraisal]\n[deny_binary_hash]\n";
    let policy = Policy::parse(&format!("{text}{SUM}\n"), "t").unwrap();
    let set: Vec<_> = policy
        .settings()
        .iter()
        .map(|(section, class, origin)| (section, class, origin.line))
        .collect();
    assert_eq!(
        set,
        [
            ("protect_runtime_deps", Class::Verified, 7),
            ("require_ima_appraisal", Class::Ima, 8),
            ("scan_paths", Class::Hash, 3),
            ("scan_paths", Class::Hash, 4),
        ]
    );
    let lines: Vec<_> = policy
        .warnings()
        .iter()
        .map(|warning| warning.origin.line)
        .collect();
    assert_eq!(lines, [4, 5, 9]);
    assert_eq!(policy.to_string().parse(), Ok(policy.clone()));
    let other = policy.to_string().replace("[require_ima_appraisal]\n", "");
    assert_ne!(other.parse(), Ok(policy));
}

#[rstest]
#[case("deny_binary_hash", 3)]
#[case("allow_binary_hash", 3)]
#[case("scan_paths", 3)]
#[case("protect_path", 4)]
#[case("protect_connect", 4)]
#[case("protect_runtime_deps", 4)]
#[case("require_ima_appraisal", 5)]
#[case("trusted_exec_hash", 5)]
#[case("ima_fail_closed", 5)]
#[case("cgroup_deny_inode", 6)]
#[case("cgroup_deny_ip", 6)]
#[case("cgroup_deny_port", 6)]
#[case("deny_dir", 7)]
#[case("allow_exec", 7)]
#[case("include", 7)]
fn a_section_needs_its_version(#[case] section: &str, #[case] since: u8) {
    for version in 1..=7 {
        let needed = match parse(version, section, "") {
            Ok(_) => None,
            Err(problems) => problems
                .iter()
                .map(|p| p.message.clone())
                .find(|m| m.contains("needs version=")),
        };
        let expected = (version < since).then(|| {
            format!("[{section}] needs version={since}, this file says version={version}")
        });
        assert_eq!(needed, expected);
    }
}

#[test]
fn what_is_not_supported_is_refused_or_dropped_loudly() {
    use aegisbpf_core::policy::{Severity, Unsupported};
    let text = "version=7\n[deny_path]\n/a\n[deny_ip]\n::1\n192.0.2.1\n[protect_connect]\n[protect_runtime_deps]\n";
    let policy = Policy::parse(text, "t").unwrap();
    let supported = |class| match class {
        Class::File => Ok(()),
        _ => Err(Unsupported::new("the reason", "the remedy")),
    };
    let refusals = policy.refusals(supported);
    insta::assert_snapshot!(refusals);
    let (rest, warnings) = policy.without_unsupported(supported);
    assert_eq!(rest.to_string(), "version=7\n\n[deny_path]\n/a\n");
    assert_eq!(warnings.len(), refusals.len());
    assert!(
        warnings
            .iter()
            .all(|warning| warning.severity == Severity::Warning
                && warning.message.starts_with("dropped: ["))
    );
    assert!(rest.refusals(supported).is_empty());
}

#[test]
fn a_problem_of_a_rule_is_as_long_as_the_entry_is_written() {
    use aegisbpf_core::policy::Unsupported;
    let policy = parse(7, "deny_inode", "8:1:12 # a label").unwrap();
    let refusals = policy.refusals(|_| Err(Unsupported::new("the reason", "the remedy")));
    assert_eq!(refusals.iter().next().unwrap().length, 6);
}
