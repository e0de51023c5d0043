//! Peers and ports that a wider rule denies already.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::super::object::{IpPrefix, Object, Proto};
use super::super::problem::Problems;
use super::super::rule::{Effect, Operation, Rule, Subject};
use super::{at, warn};

pub(super) fn lint(rules: &[Rule], problems: &mut Problems) {
    let network = |rule: &&Rule| {
        rule.effect == Effect::Deny
            && matches!(
                rule.operation,
                Operation::Connect | Operation::Bind | Operation::Network
            )
            && rule.object != Object::Any
    };
    let wide = Wide::of(
        rules
            .iter()
            .filter(network)
            .filter(|rule| rule.subject == Subject::Any),
    );
    if wide.is_empty() {
        return;
    }
    for rule in rules.iter().filter(network) {
        if let Some(cover) = wide.cover(rule) {
            warn(
                problems,
                rule,
                format!(
                    "denied already: [{}] {} covers it, {}",
                    cover.section(),
                    cover.entry(),
                    at(cover, rule)
                ),
                "remove this line, unless you want its own label and counters",
            );
        }
    }
}

/// The rules that may cover others.
#[derive(Default)]
struct Wide<'r> {
    addresses: HashMap<IpAddr, &'r Rule>,
    prefixes: HashMap<IpPrefix, &'r Rule>,
    /// The lengths that prefixes have, so that an address needs one look-up for each.
    lengths: BTreeSet<u8>,
    ports: HashMap<(u16, Proto, Operation), &'r Rule>,
    endpoints: HashMap<(IpAddr, u16), &'r Rule>,
}

impl<'r> Wide<'r> {
    fn of(rules: impl Iterator<Item = &'r Rule>) -> Self {
        let mut wide = Self::default();
        for rule in rules {
            match &rule.object {
                Object::Address(address) => {
                    wide.addresses.insert(*address, rule);
                }
                Object::Prefix(prefix) => {
                    wide.lengths.insert(prefix.len());
                    wide.prefixes.insert(*prefix, rule);
                }
                Object::Port { port, proto } => {
                    wide.ports.insert((*port, *proto, rule.operation), rule);
                }
                Object::Endpoint {
                    addr,
                    port,
                    proto: Proto::Any,
                } => {
                    wide.endpoints.insert((*addr, *port), rule);
                }
                _ => {}
            }
        }
        wide
    }

    fn is_empty(&self) -> bool {
        self.addresses.is_empty()
            && self.prefixes.is_empty()
            && self.ports.is_empty()
            && self.endpoints.is_empty()
    }

    /// A rule that denies all that `rule` does, and more or to more.
    fn cover(&self, rule: &Rule) -> Option<&'r Rule> {
        let other = |cover: &&'r Rule| !std::ptr::eq(*cover, rule);
        match &rule.object {
            Object::Address(address) => self
                .addresses
                .get(address)
                .copied()
                .filter(other)
                .or_else(|| self.prefix(*address, u8::MAX)),
            Object::Prefix(prefix) => self.prefix(prefix.address(), prefix.len()),
            Object::Endpoint { addr, port, .. } => self
                .addresses
                .get(addr)
                .copied()
                .or_else(|| self.prefix(*addr, u8::MAX))
                .or_else(|| self.endpoints.get(&(*addr, *port)).copied().filter(other)),
            Object::Port { port, proto } => self.port(*port, *proto, rule.operation, rule),
            _ => None,
        }
    }

    /// A prefix with fewer bits than `below` that has this address.
    fn prefix(&self, address: IpAddr, below: u8) -> Option<&'r Rule> {
        self.lengths
            .range(..below)
            .filter_map(|len| IpPrefix::new(address, *len))
            .find_map(|prefix| self.prefixes.get(&prefix).copied())
    }

    fn port(&self, port: u16, proto: Proto, operation: Operation, rule: &Rule) -> Option<&'r Rule> {
        let protos: &[Proto] = if proto == Proto::Any {
            &[Proto::Any]
        } else {
            &[Proto::Any, proto]
        };
        let operations: &[Operation] = if operation == Operation::Network {
            &[Operation::Network]
        } else {
            &[Operation::Network, operation]
        };
        protos
            .iter()
            .flat_map(|proto| {
                operations
                    .iter()
                    .map(move |operation| (port, *proto, *operation))
            })
            .filter_map(|key| self.ports.get(&key).copied())
            .find(|cover| !std::ptr::eq(*cover, rule))
    }
}
