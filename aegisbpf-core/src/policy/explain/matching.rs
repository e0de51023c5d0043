//! Which rules match an access, and why.

use std::path::Path;

use super::super::object::{Object, Proto};
use super::super::rule::{CgroupRef, Effect, Operation, RuleId, Subject};
use super::super::{Policy, Rule};
use super::{Access, Facts, How};

/// The rules that match an access.
pub(super) struct Matched<'p>(Vec<(RuleId, &'p Rule, How)>);

impl<'p> Matched<'p> {
    pub(super) fn of(policy: &'p Policy, access: &Access, facts: &dyn Facts) -> Self {
        let rules = policy.iter().filter_map(|(id, rule)| {
            let how = matches(id, rule, access, facts)?;
            Some((id, rule, how))
        });
        Self(rules.collect())
    }

    /// The first rule for which `is` holds.
    pub(super) fn first(&self, is: impl Fn(&Rule) -> bool) -> Option<RuleId> {
        self.0
            .iter()
            .find(|(_, rule, _)| is(rule))
            .map(|(id, ..)| *id)
    }

    pub(super) fn denials(&self) -> impl Iterator<Item = RuleId> {
        self.0
            .iter()
            .filter(|(_, rule, _)| rule.effect == Effect::Deny)
            .map(|(id, ..)| *id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RuleId, &Rule, How)> {
        self.0.iter().map(|(id, rule, how)| (*id, *rule, *how))
    }
}

fn matches(id: RuleId, rule: &Rule, access: &Access, facts: &dyn Facts) -> Option<How> {
    let how = match &rule.object {
        Object::Path(_) | Object::Inode(_) | Object::Dir(_) => file(id, rule, access, facts)?,
        Object::Name(name) => {
            let named = |path: &std::path::PathBuf| {
                path.file_name().is_some_and(|last| last == name.as_str())
            };
            // Of a link and its target the name of the target counts, which is the last one known.
            (access.operation == Operation::Exec && access.names.last().is_some_and(named))
                .then_some(How::Name)?
        }
        Object::Address(_) | Object::Prefix(_) | Object::Port { .. } | Object::Endpoint { .. } => {
            peer(rule, access).then_some(How::Peer)?
        }
        // By content, which nobody has read.
        Object::Hash(_) | Object::ImaHash(_) => return None,
        Object::Any if rule.operation == Operation::Any || rule.operation == access.operation => {
            How::All
        }
        Object::Any => return None,
    };
    match &rule.subject {
        Subject::Any | Subject::Unverified => Some(how),
        Subject::Executable(executable) => access
            .executables
            .contains(executable)
            .then_some(How::Subject),
        Subject::Cgroup(cgroup) => {
            let own = facts.cgroup(id);
            let is = |name: &super::CgroupName| match cgroup {
                CgroupRef::Path(path) => {
                    name.path.as_ref() == Some(path) || own.is_some() && own == name.id
                }
                CgroupRef::Id(id) => name.id == Some(*id),
            };
            access.cgroups.iter().any(is).then_some(How::Subject)
        }
    }
}

fn file(id: RuleId, rule: &Rule, access: &Access, facts: &dyn Facts) -> Option<How> {
    if !matches!(access.operation, Operation::Open | Operation::Exec) {
        return None;
    }
    let named = |path: &Path| access.names.iter().any(|name| name == path);
    let below = |dir: &Path| {
        access
            .names
            .iter()
            .any(|name| name != dir && name.starts_with(dir))
    };
    let same = |file: Option<_>| file.is_some() && file == access.file;
    // For an exception the host's file may be that of the executable.
    let identity = || rule.effect == Effect::Deny && same(facts.file(id));
    match &rule.object {
        Object::Path(path) if named(path) => Some(How::Name),
        // A directory of [allow_exec] needs no slash at its end to be one.
        Object::Path(path) if rule.effect == Effect::Allow && below(path) => Some(How::Below),
        Object::Path(_) => identity().then_some(How::Identity),
        Object::Inode(file) => same(Some(*file)).then_some(How::Identity),
        Object::Dir(dir) if below(dir) => Some(How::Below),
        Object::Dir(dir) if named(dir) => Some(How::Name),
        Object::Dir(_) if identity() => Some(How::Identity),
        Object::Dir(_) => {
            let is_above = |directory| access.directories.contains(&directory);
            (rule.effect == Effect::Deny && facts.file(id).is_some_and(is_above))
                .then_some(How::Below)
        }
        _ => None,
    }
}

fn peer(rule: &Rule, access: &Access) -> bool {
    let operation = match rule.operation {
        Operation::Network => matches!(access.operation, Operation::Connect | Operation::Bind),
        other => other == access.operation,
    };
    let proto =
        |proto: Proto| proto == Proto::Any || access.proto == Proto::Any || proto == access.proto;
    operation
        && match &rule.object {
            Object::Address(address) => access.peer == Some(*address),
            Object::Prefix(prefix) => access.peer.is_some_and(|peer| prefix.contains(peer)),
            Object::Port {
                port,
                proto: wanted,
            } => access.port == Some(*port) && proto(*wanted),
            Object::Endpoint {
                addr,
                port,
                proto: wanted,
            } => access.peer == Some(*addr) && access.port == Some(*port) && proto(*wanted),
            _ => false,
        }
}
