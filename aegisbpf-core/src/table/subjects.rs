//! Rules about single cgroups and executables, about what is executed and about operations as such, and the map
//! entries they become.

use std::collections::BTreeMap;

use aegisbpf_bpf::abi::{self, CgroupFileKey, CommKey, ExecutableFileKey};

use super::{Need, State, Table};
use crate::{
    FileId,
    policy::{Class, Object, Rule, RuleId},
};

impl Table {
    /// The entries of the map `cgroup_files`.
    pub(crate) fn cgroup_files(&self) -> BTreeMap<CgroupFileKey, u32> {
        self.first_of(
            |row| match (row.rule.class(), &row.state, &row.rule.object) {
                (Class::CgroupFile, State::Cgroup(cgroup), Object::Inode(file)) => {
                    Some(CgroupFileKey {
                        cgroup: *cgroup,
                        ino: file.ino,
                        dev: file.dev,
                        pad: 0,
                    })
                }
                _ => None,
            },
        )
    }

    /// The entries of the map `executable_files`.
    pub(crate) fn executable_files(&self) -> BTreeMap<ExecutableFileKey, u32> {
        let mut entries = self.first_of(|row| match row.state {
            State::Exception { executable, object } => Some(exception(executable, object)),
            State::ExceptionBelow {
                executable,
                directory,
            } => Some(exception(executable, directory)),
            _ => None,
        });
        // Who may access the file may access what replaces it.
        let names: BTreeMap<FileId, RuleId> = self
            .denied()
            .chain(self.denied_trees())
            .filter_map(|(id, row)| match row.state {
                State::File(file) if row.follow.name.is_some() => Some((file, *id)),
                _ => None,
            })
            .collect();
        for (id, row) in &self.rows {
            let (executable, object) = match row.state {
                State::Exception { executable, object } => (executable, object),
                State::ExceptionBelow {
                    executable,
                    directory,
                } => (executable, directory),
                _ => continue,
            };
            if let Some(rule) = names.get(&object) {
                entries
                    .entry(exception(executable, super::named(*rule)))
                    .or_insert(id.number());
            }
        }
        entries
    }

    /// The entries of the map `comms`.
    pub(crate) fn comms(&self) -> BTreeMap<CommKey, u32> {
        self.first_of(|row| match (row.rule.class(), &row.rule.object) {
            (Class::Comm, Object::Name(name)) => Some(comm_key(name)),
            _ => None,
        })
    }

    /// The entries of the map `toggles`: operation → rule.
    pub(crate) fn toggles(&self) -> BTreeMap<u32, u32> {
        self.first_of(|row| Some(toggle(&row.rule)?.0.into()))
    }

    /// Which further look-ups an access to a file asks for, beside its own rule: `EFFECT_…` bits.
    pub(crate) fn effects(&self) -> BTreeMap<FileId, u32> {
        let mut effects = BTreeMap::new();
        for row in self.rows.values() {
            let (file, bit) = match (row.rule.class(), &row.state, &row.rule.object) {
                (Class::CgroupFile, State::Cgroup(_), Object::Inode(file)) => {
                    (*file, abi::EFFECT_SCOPED)
                }
                (_, State::Exception { object, .. }, _) => (*object, abi::EFFECT_EXCEPTED),
                _ => continue,
            };
            *effects.entry(file).or_default() |= bit;
        }
        effects
    }

    /// The entries that the rows give; of several rows with one key, the first is named.
    fn first_of<K: Ord>(&self, key: impl Fn(&super::Row) -> Option<K>) -> BTreeMap<K, u32> {
        let mut entries = BTreeMap::new();
        for (id, row) in &self.rows {
            if let Some(key) = key(row) {
                entries.entry(key).or_insert(id.number());
            }
        }
        entries
    }
}

fn exception(executable: FileId, object: FileId) -> ExecutableFileKey {
    ExecutableFileKey {
        exe_ino: executable.ino,
        ino: object.ino,
        exe_dev: executable.dev,
        dev: object.dev,
    }
}

/// The operation that a rule denies as such, and what it needs.
pub(super) fn toggle(rule: &Rule) -> Option<(u8, Need)> {
    match rule.class() {
        Class::Ptrace => Some((abi::OPERATION_PTRACE, Need::Ptrace)),
        Class::ModuleLoad => Some((abi::OPERATION_MODULE_LOAD, Need::ModuleLoad)),
        Class::Bpf => Some((abi::OPERATION_BPF, Need::Bpf)),
        _ => None,
    }
}

/// The language allows at most 15 bytes; what would be cut could never match.
fn comm_key(name: &str) -> CommKey {
    let mut key = CommKey {
        name: [0; abi::COMM_BYTES],
    };
    for (to, from) in key.name[..abi::COMM_BYTES - 1].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    key
}
