//! Connects to where no rule is about. A UDP socket makes no packet of it: the call and nothing else.

use std::net::{SocketAddr, UdpSocket};

use aegisbpf_core::{Enforcer, selftest::EmptyHook};

use crate::{Any, Row, apply, clock};

const CALLS: usize = 101;
const RULES: usize = 1_000;

pub(crate) fn measure(aegis: &mut Enforcer) -> Result<(), Any> {
    connect(
        aegis,
        "127.0.0.1:0",
        "127.0.0.1:4242",
        "connect, IPv4, no match",
    )?;
    // Nothing leads there; the hook comes before the kernel finds out.
    connect(
        aegis,
        "[::]:0",
        "[2001:db8::1]:4242",
        "connect, IPv6, no match",
    )
}

fn connect(aegis: &mut Enforcer, own: &str, peer: &str, row: &'static str) -> Result<(), Any> {
    let socket = UdpSocket::bind(own)?;
    let peer: SocketAddr = peer.parse()?;
    let connect = || {
        let _ = socket.connect(peer);
        Ok::<_, Any>(())
    };
    let one = || clock::median(CALLS, connect);
    let (base, with) = clock::least(aegis, &rules(), one)?;
    apply(aegis, "")?;
    let empty = clock::least_with(EmptyHook::connect, one)? - base;
    Row::new(row, base, Some(empty), with).print()
}

/// Ports, addresses and networks, none of which is met.
fn rules() -> String {
    let mut text = String::from("[deny_ip]\n");
    for n in 0..RULES {
        text += &format!("10.0.{}.{}\n", n >> 8, n & 255);
    }
    text += "[deny_cidr]\n";
    for n in 0..256 {
        text += &format!("172.{n}.0.0/16\n2001:{n:x}::/32\n");
    }
    text += "[deny_port]\n";
    for n in 0..RULES {
        text += &format!("{}:any:egress\n", 20_000 + n);
    }
    text
}
