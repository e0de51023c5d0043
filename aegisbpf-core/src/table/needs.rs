//! What rules call for: which hooks are loaded and attached.

use std::collections::BTreeSet;

use aegisbpf_bpf::abi;

use super::{Table, network, subjects};
use crate::policy::{Class, Object, Policy, Rule};

/// What a policy has that calls for hooks of its own: a hook that nothing needs is not attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// A rule that denies a file.
    Files,
    /// A rule that follows a file's name.
    Names,
    /// A rule or an exception about all below a directory: where a file lies matters.
    Directories,
    /// A rule about the names of what is executed.
    ExecNames,
    /// A rule about where to connect or send.
    Outward,
    /// A rule about where to bind, listen or accept.
    Inward,
    /// A rule about addresses: it holds for connections that are there already, too.
    Peers,
    /// A rule about tracing.
    Ptrace,
    /// A rule about kernel modules.
    ModuleLoad,
    /// A rule about bpf(2).
    Bpf,
}

impl Table {
    /// What this policy calls for.
    pub(crate) fn needs(&self) -> BTreeSet<Need> {
        let mut needs = BTreeSet::new();
        if self.names().next().is_some() {
            needs.insert(Need::Names);
        }
        if self.files().next().is_some() {
            needs.insert(Need::Files);
        }
        if self.asks_where_files_lie() {
            needs.insert(Need::Directories);
        }
        needs.extend(self.network().flat_map(|(_, rule, _)| of_network(rule)));
        let others = self.rows.values();
        needs.extend(others.filter_map(|row| of_operation(&row.rule)));
        needs
    }
}

/// What most policies have.
const USUAL: [Need; 2] = [Need::Files, Need::Names];

/// What a policy will hardly do without, by its words alone: to know the rest, the host has to be asked what they stand
/// for. Of no policy, and of one that denies nothing, it is what most have.
pub(crate) fn expected(policy: Option<&Policy>) -> BTreeSet<Need> {
    let rules = policy.map_or(&[][..], Policy::rules);
    let mut needs = BTreeSet::new();
    for rule in rules {
        match (rule.class(), &rule.object) {
            (Class::File, Object::Path(_)) => needs.extend([Need::Files, Need::Names]),
            (Class::File | Class::CgroupFile, _) => needs.extend([Need::Files]),
            (Class::Directory, _) => {
                needs.extend([Need::Files, Need::Names, Need::Directories]);
            }
            (Class::Network | Class::CgroupNetwork, _) => needs.extend(of_network(rule)),
            _ => needs.extend(of_operation(rule)),
        }
    }
    if needs.is_empty() {
        return USUAL.into();
    }
    needs
}

/// What a rule about the network calls for.
fn of_network(rule: &Rule) -> impl Iterator<Item = Need> {
    let is_about_peers = !matches!(rule.object, Object::Port { .. });
    let ways = network::directions(rule.operation).map(|direction| match direction {
        abi::DIRECTION_OUT => Need::Outward,
        _ => Need::Inward,
    });
    ways.chain(is_about_peers.then_some(Need::Peers))
}

/// What a rule about an operation as such calls for, or about the names of what is executed.
fn of_operation(rule: &Rule) -> Option<Need> {
    match rule.class() {
        Class::Comm => Some(Need::ExecNames),
        _ => Some(subjects::toggle(rule)?.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sections: &str) -> BTreeSet<Need> {
        let text = format!("version=7\n{sections}");
        expected(Some(&text.parse().unwrap()))
    }

    #[test]
    fn a_policy_expects_what_its_rules_are_about() {
        use Need::{Bpf, Directories, Files, Inward, Names, Outward, Peers};
        assert_eq!(of("[deny_path]\n/a\n"), [Files, Names].into());
        assert_eq!(of("[deny_inode]\n1:2\n"), [Files].into());
        assert_eq!(of("[deny_dir]\n/a\n"), [Files, Names, Directories].into());
        assert_eq!(of("[deny_ip]\n10.0.0.1\n"), [Outward, Inward, Peers].into());
        assert_eq!(of("[deny_port]\n80:tcp:bind\n"), [Inward].into());
        assert_eq!(
            of("[deny_bpf]\n[deny_port]\n80:tcp:connect\n"),
            [Outward, Bpf].into()
        );
    }

    #[test]
    fn of_nothing_the_usual_is_expected() {
        assert_eq!(expected(None), USUAL.into());
        assert_eq!(of("[allow_cgroup]\n/a\n"), USUAL.into());
    }
}
