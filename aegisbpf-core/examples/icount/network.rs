//! Connects to where no rule is about. A UDP socket makes no packet of it: the call and nothing else.

use std::net::{SocketAddr, UdpSocket};

use aegisbpf_core::selftest::EmptyHook;

use crate::{Any, Subject, clock};

const CALLS: usize = 101;
const RULES: usize = 1_000;

/// A socket of each version, and where it connects to.
pub(crate) struct Sockets([(&'static str, UdpSocket, SocketAddr); 2]);

impl Sockets {
    pub(crate) fn new() -> Result<Self, Any> {
        let (v4, v6) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("[::]:0")?);
        Ok(Self([
            ("connect, IPv4, no match", v4, "127.0.0.1:4242".parse()?),
            // Nothing leads there; the hook comes before the kernel finds out.
            ("connect, IPv6, no match", v6, "[2001:db8::1]:4242".parse()?),
        ]))
    }
}

pub(crate) fn subjects(sockets: &Sockets) -> impl Iterator<Item = Subject<'_>> {
    sockets.0.iter().map(|(row, socket, peer)| Subject {
        row,
        sections: rules(),
        empty: Some(EmptyHook::connect),
        one: Box::new(move || clock::median(CALLS, || Ok::<_, Any>(socket.connect(peer).is_ok()))),
    })
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
