//! What rules cost those who meet none: guest instructions of a connect, a send and receive, a system call, and of
//! starting a program. Meaningful in a virtual machine that counts one nanosecond for each instruction:
//!
//! ```sh
//! cargo build --release -p aegisbpf-core --example network_cost
//! cargo xtask vm --icount -- target/release/examples/network_cost
//! ```
//!
//! Method: the median of 1,001 calls (41 for a program). Each row is the difference to the same call without any
//! program attached.

use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    time::Instant,
};

use aegisbpf_core::{Backend, Enforcer, Mode, Policy, selftest::EmptyHook};

type Any = Box<dyn std::error::Error>;

/// What is measured.
type Call<'a> = &'a dyn Fn() -> Result<(), Any>;

const CALLS: usize = 1_001;
const STARTS: usize = 41;

fn main() -> Result<(), Any> {
    let mut aegis = Enforcer::builder()
        .backend(Backend::Lsm)
        .mode(Mode::Audit)
        .rule_capacity(16_384)
        .attach()?;
    let aegis = &mut aegis;
    connects(aegis, "127.0.0.1:0", "127.0.0.1:4242", "IPv4")?;
    connects(aegis, "[::]:0", "[2001:db8::1]:4242", "IPv6")?;
    calls(aegis)?;
    starts(aegis)
}

/// Connecting a UDP socket, which makes no packet: the call and nothing else.
fn connects(aegis: &mut Enforcer, own: &str, peer: &str, version: &str) -> Result<(), Any> {
    let socket = UdpSocket::bind(own)?;
    let peer: SocketAddr = peer.parse()?;
    // Nothing leads to the IPv6 one; the hook comes before the kernel finds out.
    let connect = || {
        let _ = socket.connect(peer);
        Ok(())
    };
    apply(aegis, "")?;
    measure(CALLS, connect)?; // the first round warms caches and lazy paths
    let none = measure(CALLS, connect)?;
    let empty = {
        let _hook = EmptyHook::connect()?;
        measure(CALLS, connect)? - none
    };
    println!("connect, {version}, no program: {none:.0} instructions");
    row("empty lsm/socket_connect", empty, empty);
    for count in [1, 10, 10_000] {
        apply(aegis, &network(count))?;
        let cost = measure(CALLS, connect)? - none;
        row(
            &format!("no match, {count} ports, addresses, networks"),
            cost,
            empty,
        );
    }
    apply(aegis, "[deny_port]\n9:tcp:egress\n")?;
    row("no match, one port", measure(CALLS, connect)? - none, empty);
    Ok(())
}

/// Calls that only some rules concern.
fn calls(aegis: &mut Enforcer) -> Result<(), Any> {
    let (a, b) = (
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    );
    a.connect(b.local_addr()?)?;
    let echo = || {
        a.send(b"x")?;
        b.recv(&mut [0])?;
        Ok(())
    };
    let identity = || {
        nix::unistd::getppid();
        Ok(())
    };
    let stat = || {
        std::fs::metadata("/")?;
        Ok(())
    };
    let each: [(&str, Call<'_>); 3] = [
        ("getppid", &identity),
        ("stat", &stat),
        ("send and recv", &echo),
    ];
    for (name, call) in each {
        apply(aegis, "")?;
        measure(CALLS, call)?;
        let none = measure(CALLS, call)?;
        println!("{name}, no program: {none:.0} instructions");
        for (rules, text) in [
            ("rules about files", "[deny_inode]\n1:4242\n".to_owned()),
            (
                "rules about ports to connect to",
                "[deny_port]\n9:any:egress\n".to_owned(),
            ),
            ("rules about addresses", "[deny_ip]\n10.0.0.1\n".to_owned()),
        ] {
            apply(aegis, &text)?;
            let cost = measure(CALLS, call)? - none;
            println!("    {rules:<42} {cost:>8.0}");
        }
    }
    Ok(())
}

/// Starting a program and waiting for its end.
fn starts(aegis: &mut Enforcer) -> Result<(), Any> {
    let program = Path::new("/bin/true");
    let start = || {
        Command::new(program).status()?;
        Ok(())
    };
    apply(aegis, "")?;
    measure(STARTS, start)?;
    let none = measure(STARTS, start)?;
    println!("spawn, exec and exit, no program: {none:.0} instructions");
    for (rules, text) in [
        ("rules about files", "[deny_inode]\n1:4242\n"),
        ("rules about addresses", "[deny_ip]\n10.0.0.1\n"),
        (
            "a rule about names of executables",
            "[deny_comm]\nnone-of-them\n",
        ),
    ] {
        apply(aegis, text)?;
        let cost = measure(STARTS, start)? - none;
        println!("    {rules:<42} {cost:>8.0} {:>9.3} %", cost / none * 100.0);
    }
    Ok(())
}

/// So many ports, addresses and networks, none of which is met.
fn network(count: usize) -> String {
    let mut text = String::from("[deny_ip]\n");
    let address = |n: usize| format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
    for n in 0..count {
        text += &format!("{}\n", address(n));
    }
    text += "[deny_cidr]\n";
    for n in 0..count.min(256) {
        text += &format!("172.{}.0.0/16\n2001:{n:x}::/32\n", n & 255);
    }
    text += "[deny_port]\n";
    for n in 0..count.min(1_000) {
        text += &format!("{}:any:egress\n", 20_000 + n);
    }
    text
}

fn apply(aegis: &mut Enforcer, sections: &str) -> Result<(), Any> {
    let policy: Policy = format!("version=7\n{sections}").parse()?;
    aegis.apply(&policy)?;
    Ok(())
}

fn row(name: &str, cost: f64, empty: f64) {
    println!("    {name:<42} {cost:>8.0} {:>9.3} x empty", cost / empty);
}

fn measure(calls: usize, call: impl Fn() -> Result<(), Any>) -> Result<f64, Any> {
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_nanos());
    }
    times.sort_unstable();
    Ok(times[calls / 2] as f64)
}
