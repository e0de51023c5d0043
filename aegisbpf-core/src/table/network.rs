//! Rules about the network, and the map entries they become.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use aegisbpf_bpf::abi::{self, NetKey, PrefixData};

use super::{State, Table};
use crate::policy::{Class, IpPrefix, Object, Operation, Proto, Rule};

/// Bits of an IPv6 address that the network filter looks at: the second 16, since the first are nearly always alike.
const V6_BITS: std::ops::RangeInclusive<u8> = 16..=32;
/// Bits of [`PrefixData::family`], which always count.
const FAMILY_BITS: u32 = 32;

impl Table {
    /// The entries of the map `net_rules`. Of several rules that say the same about a port, the first is named.
    pub(crate) fn net_rules(&self) -> BTreeMap<NetKey, u32> {
        let mut entries = BTreeMap::new();
        for (id, rule, cgroup) in self.network() {
            for key in keys(rule, cgroup) {
                entries.entry(key).or_insert(id);
            }
            if cgroup != 0 {
                // For any cgroup, and for this one: the look-ups go on only where there is something to find.
                for cgroup in [0, cgroup] {
                    let marker = NetKey {
                        cgroup,
                        kind: abi::NET_SCOPED,
                        ..EMPTY
                    };
                    entries.entry(marker).or_insert(id);
                }
            }
        }
        entries
    }

    /// The entries of the trie `net_prefixes`: how many bits count, the key, the rule's id.
    pub(crate) fn net_prefixes(&self) -> BTreeMap<(u32, PrefixData), u32> {
        let prefixes = self
            .network()
            .filter_map(|(id, rule, _)| match rule.object {
                Object::Prefix(prefix) => Some((prefix_key(prefix), id)),
                _ => None,
            });
        prefixes.collect()
    }

    /// The network filter's bytes that these entries need.
    pub(crate) fn net_filter(&self) -> Vec<u8> {
        let mut filter = vec![0; abi::NET_SLOTS];
        for (_, rule, _) in self.network() {
            match &rule.object {
                Object::Address(addr) | Object::Endpoint { addr, .. } => {
                    let whole = if addr.is_ipv4() { 32 } else { 128 };
                    mark(&mut filter, *addr, whole);
                }
                Object::Prefix(prefix) => mark(&mut filter, prefix.address(), prefix.len()),
                Object::Port { port, .. } => {
                    for bit in directions(rule.operation).map(port_bit) {
                        filter[usize::from(port.swap_bytes())] |= bit;
                    }
                }
                _ => {}
            }
        }
        if filter.iter().any(|byte| byte & abi::NET_V4 != 0) {
            // ::ffff:a.b.c.d is the same address: its bits 16 to 31 are 0.
            filter[0] |= abi::NET_V6;
        }
        filter
    }

    /// The rules about the network that hold, each with the cgroup that it is about, or 0.
    pub(super) fn network(&self) -> impl Iterator<Item = (u32, &Rule, u64)> {
        self.rows
            .iter()
            .filter_map(|(id, row)| match (row.rule.class(), &row.state) {
                (Class::Network, State::AsWritten) => Some((id.number(), &*row.rule, 0)),
                (Class::CgroupNetwork, State::Cgroup(cgroup)) => {
                    Some((id.number(), &*row.rule, *cgroup))
                }
                _ => None,
            })
    }
}

const EMPTY: NetKey = NetKey {
    cgroup: 0,
    addr: [0; abi::ADDRESS_BYTES],
    port: 0,
    proto: abi::PROTOCOL_ANY,
    kind: 0,
    direction: 0,
    pad: [0; 3],
};

fn keys(rule: &Rule, cgroup: u64) -> Vec<NetKey> {
    let mut key = NetKey { cgroup, ..EMPTY };
    match rule.object {
        Object::Address(addr) => {
            key.addr = bytes(addr);
            key.kind = abi::NET_ADDRESS;
            vec![key]
        }
        Object::Endpoint { addr, port, proto } => {
            key.addr = bytes(addr);
            key.port = port;
            key.proto = protocol(proto);
            key.kind = abi::NET_ENDPOINT;
            vec![key]
        }
        Object::Port { port, proto } => {
            key.port = port;
            key.proto = protocol(proto);
            key.kind = abi::NET_PORT;
            let each = directions(rule.operation).map(|direction| {
                let mut key = key;
                key.direction = direction;
                key
            });
            each.collect()
        }
        _ => Vec::new(),
    }
}

pub(super) fn directions(operation: Operation) -> impl Iterator<Item = u8> {
    let (out, within) = match operation {
        Operation::Connect => (true, false),
        Operation::Bind => (false, true),
        _ => (true, true),
    };
    let out = out.then_some(abi::DIRECTION_OUT);
    out.into_iter().chain(within.then_some(abi::DIRECTION_IN))
}

fn port_bit(direction: u8) -> u8 {
    if direction == abi::DIRECTION_OUT {
        abi::NET_PORT_OUT
    } else {
        abi::NET_PORT_IN
    }
}

fn protocol(proto: Proto) -> u8 {
    match proto {
        Proto::Any => abi::PROTOCOL_ANY,
        Proto::Tcp => abi::PROTOCOL_TCP,
        Proto::Udp => abi::PROTOCOL_UDP,
    }
}

/// As the programs hold it: an IPv4 address is `::ffff:a.b.c.d`.
fn bytes(addr: IpAddr) -> [u8; abi::ADDRESS_BYTES] {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => addr.octets(),
    }
}

fn prefix_key(prefix: IpPrefix) -> (u32, PrefixData) {
    let (family, addr) = match prefix.address() {
        IpAddr::V4(v4) => {
            let mut addr = [0; abi::ADDRESS_BYTES];
            addr[..4].copy_from_slice(&v4.octets());
            (4, addr)
        }
        IpAddr::V6(v6) => (6, v6.octets()),
    };
    (
        FAMILY_BITS + u32::from(prefix.len()),
        PrefixData { family, addr },
    )
}

/// Marks all values that the filter's 16 bits can have in a network.
fn mark(filter: &mut [u8], addr: IpAddr, len: u8) {
    let (bits, free, bit) = match addr {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            (u16::from_be_bytes([a, b]), 16 - len.min(16), abi::NET_V4)
        }
        IpAddr::V6(v6) => {
            let free = V6_BITS.end() - len.clamp(*V6_BITS.start(), *V6_BITS.end());
            (second_word(v6), free, abi::NET_V6)
        }
    };
    for low in 0..1_u32 << free {
        let value = bits | u16::try_from(low).expect("a prefix leaves at most 16 bits free");
        // The programs read the two bytes in the order in which they are sent.
        filter[usize::from(value.swap_bytes())] |= bit;
    }
}

fn second_word(addr: Ipv6Addr) -> u16 {
    addr.segments()[1]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn marked(text: &str) -> Vec<u16> {
        let (addr, len) = text.split_once('/').unwrap();
        let mut filter = vec![0; abi::NET_SLOTS];
        mark(&mut filter, addr.parse().unwrap(), len.parse().unwrap());
        let slots = filter.iter().enumerate().filter(|(_, byte)| **byte != 0);
        let mut values: Vec<u16> = slots
            .map(|(slot, _)| u16::try_from(slot).unwrap().swap_bytes())
            .collect();
        values.sort_unstable();
        values
    }

    #[rstest]
    #[case("10.1.2.3/32", &[0x0a01])]
    #[case("10.1.2.0/24", &[0x0a01])]
    #[case("10.1.0.0/16", &[0x0a01])]
    #[case("10.2.0.0/15", &[0x0a02, 0x0a03])]
    #[case("2001:db8::/32", &[0x0db8])]
    #[case("2001:db8::/31", &[0x0db8, 0x0db9])]
    #[case("::1/128", &[0])]
    fn a_network_marks_what_its_addresses_can_have(#[case] text: &str, #[case] values: &[u16]) {
        assert_eq!(marked(text), values);
    }

    #[rstest]
    #[case("0.0.0.0/0")]
    #[case("::/0")]
    #[case("2000::/3")]
    #[case("2001::/16")]
    fn a_wide_network_marks_all(#[case] text: &str) {
        assert_eq!(marked(text).len(), abi::NET_SLOTS);
    }

    #[test]
    fn an_ipv4_network_is_no_part_of_an_ipv6_one() {
        let all = |text: &str| IpPrefix::new(text.parse().unwrap(), 0).unwrap();
        assert_eq!(prefix_key(all("::")).1.family, 6);
        assert_eq!(prefix_key(all("0.0.0.0")).1.family, 4);
    }
}
