//! Rules about the network, where the backend sees every way to a peer. Only loopback, and nobody listens on most of
//! it: a connection that no rule stands against ends with "connection refused".

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use aegisbpf_core::{Access, Backend, Enforcer, Mode, Policy};

use super::probe::{self, EPERM, errno};
use crate::Fact;
use crate::common::{Load, change_during, wait_for};

/// What rules about the network do.
pub(crate) const FACTS: &[(&str, Fact)] = &[
    (
        "an_address_is_denied_by_whatever_name",
        an_address_is_denied_by_whatever_name,
    ),
    (
        "af_unspec_is_the_sockets_own_family",
        af_unspec_is_the_sockets_own_family,
    ),
    (
        "a_network_is_denied_whatever_its_length",
        a_network_is_denied_whatever_its_length,
    ),
    (
        "a_port_is_denied_for_its_protocol_and_direction",
        a_port_is_denied_for_its_protocol_and_direction,
    ),
    (
        "an_endpoint_is_an_address_and_a_port",
        an_endpoint_is_an_address_and_a_port,
    ),
    (
        "a_rule_holds_for_sockets_that_are_older",
        a_rule_holds_for_sockets_that_are_older,
    ),
    (
        "a_datagram_to_an_unconnected_socket_is_received_and_not_answered",
        a_datagram_to_an_unconnected_socket_is_received_and_not_answered,
    ),
    (
        "audit_counts_what_enforce_would_refuse",
        audit_counts_what_enforce_would_refuse,
    ),
    (
        "the_most_specific_rule_is_named",
        the_most_specific_rule_is_named,
    ),
    (
        "a_new_policy_has_none_of_the_old_ones_network_rules",
        a_new_policy_has_none_of_the_old_ones_network_rules,
    ),
    (
        "the_enforcer_reaches_what_it_denies",
        the_enforcer_reaches_what_it_denies,
    ),
    (
        "no_connection_slips_through_while_policies_change",
        no_connection_slips_through_while_policies_change,
    ),
];

/// Nobody listens there.
const REFUSED: i32 = 111;

fn policy(sections: &str) -> Policy {
    format!("version=7\n{sections}")
        .parse()
        .unwrap_or_else(|e| panic!("{e}"))
}

fn attached(backend: Backend, mode: Mode, sections: &str) -> Enforcer {
    Enforcer::builder()
        .backend(backend)
        .mode(mode)
        .policy(policy(sections))
        .attach()
        .unwrap_or_else(|e| panic!("{}", e.chain()))
}

/// Each probe with the error number that it must end with.
#[track_caller]
fn show(probes: &[(&str, i32)]) {
    for (script, expected) in probes {
        assert_eq!(errno(script), *expected, "{script}");
    }
}

pub(crate) fn an_address_is_denied_by_whatever_name(backend: Backend) {
    let _aegis = attached(backend, Mode::Enforce, "[deny_ip]\n127.0.0.2\n::1\n");
    show(&[
        ("end(connect(tcp, v4('127.0.0.2', 9)))", EPERM),
        ("end(connect(tcp, v4('127.0.0.3', 9)))", REFUSED),
        ("end(connect(udp, v4('127.0.0.2', 9)))", EPERM),
        ("end(connect(udp, v4('127.0.0.3', 9)))", 0),
        // ::ffff:127.0.0.2 is 127.0.0.2.
        ("end(connect(tcp6, mapped('127.0.0.2', 9)))", EPERM),
        ("end(connect(tcp6, mapped('127.0.0.3', 9)))", REFUSED),
        ("end(connect(udp6, mapped('127.0.0.2', 9)))", EPERM),
        ("end(send(udp6, 'x', 0, mapped('127.0.0.2', 9)))", EPERM),
        ("end(send(udp6, 'x', 0, mapped('127.0.0.3', 9)))", 0),
        // An IPv4 address on a socket of version 6.
        ("end(connect(udp6, v4('127.0.0.2', 9)))", EPERM),
        ("end(send(udp6, 'x', 0, v4('127.0.0.2', 9)))", EPERM),
        ("end(connect(tcp6, v6($loop6, 9)))", EPERM),
        ("end(send(udp6, 'x', 0, v6($loop6, 9)))", EPERM),
        ("end(send(udp, 'x', 0, v4('127.0.0.2', 9)))", EPERM),
        ("end(send(udp, 'x', 0, v4('127.0.0.3', 9)))", 0),
        // A send that connects.
        ("end(send(tcp, 'x', 0x20000000, v4('127.0.0.2', 9)))", EPERM),
        // Multipath TCP, which is TCP; where the kernel has none, the socket cannot be made (exit code 99).
        (
            "socket(my $s, 2, 1, 262) or exit 1; end(connect($s, v4('127.0.0.2', 9)))",
            EPERM,
        ),
        ("end(bind(tcp, v4('127.0.0.2', 0)))", EPERM),
        ("end(bind(tcp, v4('127.0.0.3', 0)))", 0),
    ]);
}

/// The kernel takes an address without a family for one of the socket's own: on sendto, and on bind to any address.
pub(crate) fn af_unspec_is_the_sockets_own_family(backend: Backend) {
    let _aegis = attached(
        backend,
        Mode::Enforce,
        "[deny_ip]\n127.0.0.2\n[deny_port]\n9999:any:bind\n",
    );
    show(&[
        ("end(send(udp, 'x', 0, v4('127.0.0.2', 9, 0)))", EPERM),
        ("end(send(udp, 'x', 0, v4('127.0.0.3', 9, 0)))", 0),
        ("end(bind(tcp, v4('0.0.0.0', 9999, 0)))", EPERM),
        ("end(bind(tcp, v4('0.0.0.0', 9998, 0)))", 0),
        ("end(bind(udp, v4('0.0.0.0', 9999, 0)))", EPERM),
        // What ends a connection reaches nobody.
        (
            "my $s = udp; connect($s, v4('127.0.0.3', 9)) or exit 98; end(connect($s, v4('0.0.0.0', 0, 0)))",
            0,
        ),
    ]);
}

pub(crate) fn a_network_is_denied_whatever_its_length(backend: Backend) {
    let _aegis = attached(
        backend,
        Mode::Enforce,
        "[deny_cidr]\n127.1.0.0/16\n127.2.2.0/31\n127.128.0.0/9\n::/1\n",
    );
    show(&[
        ("end(connect(udp, v4('127.1.255.255', 9)))", EPERM),
        ("end(connect(udp, v4('127.2.2.1', 9)))", EPERM),
        ("end(connect(udp, v4('127.2.2.2', 9)))", 0),
        ("end(connect(udp, v4('127.200.0.1', 9)))", EPERM),
        ("end(connect(udp6, mapped('127.1.2.3', 9)))", EPERM),
        ("end(connect(udp6, v6($loop6, 9)))", EPERM),
        // No part of ::/1, though its bits are.
        ("end(connect(udp6, mapped('127.0.0.1', 9)))", 0),
        ("end(connect(udp, v4('127.0.0.1', 9)))", 0),
    ]);
}

pub(crate) fn a_port_is_denied_for_its_protocol_and_direction(backend: Backend) {
    let _aegis = attached(
        backend,
        Mode::Enforce,
        "[deny_port]\n9001:tcp:egress\n9002:udp:egress\n9003:tcp:bind\n9004:udp:bind\n9005\n",
    );
    show(&[
        ("end(connect(tcp, v4('127.0.0.1', 9001)))", EPERM),
        ("end(connect(tcp6, v6($loop6, 9001)))", EPERM),
        ("end(send(udp, 'x', 0, v4('127.0.0.1', 9001)))", 0),
        ("end(bind(tcp, v4('127.0.0.1', 9001)))", 0),
        ("end(connect(tcp, v4('127.0.0.1', 9002)))", REFUSED),
        ("end(send(udp, 'x', 0, v4('127.0.0.1', 9002)))", EPERM),
        ("end(connect(udp, v4('127.0.0.1', 9002)))", EPERM),
        ("end(bind(tcp, v4('127.0.0.1', 9003)))", EPERM),
        ("end(bind(tcp6, v6('0' x 32, 9003)))", EPERM),
        ("end(bind(udp, v4('127.0.0.1', 9003)))", 0),
        ("end(connect(tcp, v4('127.0.0.1', 9003)))", REFUSED),
        ("end(bind(udp, v4('127.0.0.1', 9004)))", EPERM),
        ("end(bind(tcp, v4('127.0.0.1', 9004)))", 0),
        ("end(bind(tcp, v4('127.0.0.1', 9005)))", EPERM),
        ("end(bind(udp, v4('127.0.0.1', 9005)))", EPERM),
        ("end(connect(tcp, v4('127.0.0.1', 9005)))", EPERM),
        ("end(send(udp, 'x', 0, v4('127.0.0.1', 9005)))", EPERM),
        // The bytes of the port in the other order are another port: 9005 is 0x232d.
        ("end(connect(tcp, v4('127.0.0.1', 0x2d23)))", REFUSED),
    ]);
}

pub(crate) fn an_endpoint_is_an_address_and_a_port(backend: Backend) {
    let _aegis = attached(
        backend,
        Mode::Enforce,
        "[deny_ip_port]\n127.0.0.2:9001:tcp\n[::1]:9002\n",
    );
    show(&[
        ("end(connect(tcp, v4('127.0.0.2', 9001)))", EPERM),
        ("end(connect(tcp6, mapped('127.0.0.2', 9001)))", EPERM),
        ("end(connect(tcp, v4('127.0.0.2', 9002)))", REFUSED),
        ("end(connect(tcp, v4('127.0.0.3', 9001)))", REFUSED),
        ("end(send(udp, 'x', 0, v4('127.0.0.2', 9001)))", 0),
        ("end(connect(tcp6, v6($loop6, 9002)))", EPERM),
        ("end(send(udp6, 'x', 0, v6($loop6, 9002)))", EPERM),
    ]);
}

/// A socket that was bound, or a connection that was made, before the rule.
pub(crate) fn a_rule_holds_for_sockets_that_are_older(backend: Backend) {
    let script = r"
        $| = 1;
        my $bound = tcp; bind($bound, v4('127.0.0.1', 9003)) or exit 90;
        my $server = tcp; bind($server, v4('127.0.0.2', 9004)) or exit 91; listen($server, 5) or exit 92;
        my $client = tcp; connect($client, v4('127.0.0.2', 9004)) or exit 93;
        accept(my $held, $server) or exit 94;
        my $waiting = tcp; connect($waiting, v4('127.0.0.2', 9004)) or exit 95;
        my $udp = udp; connect($udp, v4('127.0.0.2', 9005)) or exit 96;
        syswrite($held, 'data');
        print qq(ready\n); <STDIN>;
        my @all = map { $_->() ? 0 : $!+0 } (
            sub { listen($bound, 5) },
            sub { accept(my $new, $server) },
            sub { syswrite($client, 'x') },
            sub { sysread($client, my $buffer, 1) },
            sub { send($client, 'x', 0) },
            sub { send($udp, 'x', 0) },
        );
        print qq(@all\n);
    ";
    let mut child = probe::command(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let _aegis = attached(
        backend,
        Mode::Enforce,
        "[deny_port]\n9003:tcp:bind\n9004:tcp:bind\n[deny_ip]\n127.0.0.2\n",
    );
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let answer = lines.next().unwrap().unwrap();
    child.wait().unwrap();
    assert_eq!(answer, "1 1 1 1 1 1");
}

/// Accepted: an unconnected socket is told its peer only with the datagram, after the hook. What it answers is refused.
pub(crate) fn a_datagram_to_an_unconnected_socket_is_received_and_not_answered(backend: Backend) {
    let script = r"
        $| = 1;
        my $socket = udp; bind($socket, v4('127.0.0.1', 0)) or exit 90;
        my $port = unpack('x2 n', getsockname($socket));
        print qq($port
);
        my $from = recv($socket, my $text, 10, 0);
        defined($from) or exit 91;
        print qq($text
);
        end(send($socket, 'x', 0, $from));
    ";
    let _aegis = attached(backend, Mode::Enforce, "[deny_ip]\n127.0.0.2\n");
    let mut child = probe::command(script)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port: u16 = lines.next().unwrap().unwrap().parse().unwrap();
    // We may: the enforcer is never denied.
    let socket = std::net::UdpSocket::bind("127.0.0.2:0").unwrap();
    socket.send_to(b"data", ("127.0.0.1", port)).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "data");
    assert_eq!(child.wait().unwrap().code(), Some(EPERM));
}

/// The same decisions, and nothing refused.
pub(crate) fn audit_counts_what_enforce_would_refuse(backend: Backend) {
    let mut aegis = attached(
        backend,
        Mode::Audit,
        "[deny_ip]\n127.0.0.2\n[deny_port]\n9005\n",
    );
    show(&[
        ("end(connect(tcp, v4('127.0.0.2', 9)))", REFUSED),
        ("end(connect(tcp, v4('127.0.0.1', 9)))", REFUSED),
        ("end(bind(udp, v4('127.0.0.1', 9005)))", 0),
    ]);
    let stats = aegis.stats().unwrap();
    let counts: Vec<_> = stats.rules.iter().map(|r| (r.audited, r.denied)).collect();
    assert_eq!(counts, [(1, 0), (1, 0)]);
    assert_eq!(stats.health.faults(), 0);
    let mut events = aegis.events().unwrap();
    let event = wait_for(&mut events, |event| event.operation == Access::Connect);
    assert_eq!(event.endpoint.unwrap().to_string(), "tcp 127.0.0.2:9");
    assert_eq!(event.object.as_deref(), Some("127.0.0.2"));
    let event = wait_for(&mut events, |event| event.operation == Access::Bind);
    assert_eq!(event.endpoint.unwrap().to_string(), "udp 127.0.0.1:9005");
    assert_eq!(event.comm, "perl");
}

/// Address, endpoint, network, port: the first that matches is named.
pub(crate) fn the_most_specific_rule_is_named(backend: Backend) {
    let aegis = attached(
        backend,
        Mode::Audit,
        "[deny_port]\n9001\n[deny_cidr]\n127.0.0.0/8\n127.0.0.0/24\n[deny_ip_port]\n127.0.0.2:9001\n[deny_ip]\n127.0.0.3\n",
    );
    for peer in ["127.0.0.3", "127.0.0.2", "127.0.0.4", "127.1.0.1"] {
        assert_eq!(errno(&format!("end(connect(udp, v4('{peer}', 9001)))")), 0);
    }
    assert_eq!(errno("end(connect(udp6, v6($loop6, 9001)))"), 0);
    let stats = aegis.stats().unwrap();
    let named: Vec<_> = stats
        .rules
        .iter()
        .map(|r| (r.label.as_str(), r.audited))
        .collect();
    assert!(named.iter().all(|(_, n)| *n == 1), "{named:?}");
}

/// Nothing of an old policy stays, and only hooks that a rule needs are attached.
pub(crate) fn a_new_policy_has_none_of_the_old_ones_network_rules(backend: Backend) {
    let mut aegis = attached(
        backend,
        Mode::Enforce,
        "[deny_ip]\n127.0.0.2\n[deny_cidr]\n127.3.0.0/16\n[deny_port]\n9005\n[deny_ip_port]\n127.0.0.4:9\n[deny_ptrace]\n",
    );
    let all = [
        "end(connect(udp, v4('127.0.0.2', 9)))",
        "end(connect(udp, v4('127.3.0.1', 9)))",
        "end(connect(udp, v4('127.0.0.1', 9005)))",
        "end(connect(udp, v4('127.0.0.4', 9)))",
    ];
    for script in all {
        assert_eq!(errno(script), EPERM, "{script}");
    }
    let hooks = |aegis: &Enforcer| {
        let short = |name: &String| {
            name.rsplit(['/', '_'])
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        aegis.links().iter().map(short).collect::<Vec<_>>()
    };
    assert_eq!(hooks(&aegis).len(), 8, "{:?}", aegis.links());
    aegis
        .apply(&policy("[deny_port]\n9006:udp:egress\n"))
        .unwrap();
    assert_eq!(hooks(&aegis), ["connect", "sendmsg"]);
    for script in all {
        assert_eq!(errno(script), 0, "{script}");
    }
    assert_eq!(errno("end(connect(udp, v4('127.0.0.1', 9006)))"), EPERM);
    aegis
        .apply(&policy("[deny_port]\n9006:udp:bind\n"))
        .unwrap();
    assert_eq!(hooks(&aegis), ["accept", "bind", "listen"]);
    assert_eq!(errno("end(connect(udp, v4('127.0.0.1', 9006)))"), 0);
    aegis.apply(&policy("")).unwrap();
    assert!(aegis.links().is_empty());
    assert_eq!(errno("end(bind(udp, v4('127.0.0.1', 9006)))"), 0);
}

/// The enforcer itself is never denied.
pub(crate) fn the_enforcer_reaches_what_it_denies(backend: Backend) {
    let aegis = attached(backend, Mode::Enforce, "[deny_ip]\n127.0.0.2\n");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.2:9").unwrap();
    assert_eq!(aegis.stats().unwrap().rules[0].exempted, 1);
}

/// Both policies deny the peer: no connection is made while they change.
pub(crate) fn no_connection_slips_through_while_policies_change(backend: Backend) {
    let policies = [
        policy("[deny_ip]\n127.0.0.2\n"),
        policy("[deny_cidr]\n127.0.0.0/24\n[deny_port]\n9\n"),
    ];
    let mut aegis = attached(backend, Mode::Enforce, "[deny_ip]\n127.0.0.2\n");
    const CONNECT: &str = "connect(udp, v4('127.0.0.2', 9))";
    let load = Load::start(|stop| probe::command(&probe::until(stop, CONNECT)));
    let done = change_during(&mut aegis, &policies, load);
    assert_eq!(done.succeeded, 0, "a connection was made");
}
