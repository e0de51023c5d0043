//! Rules and the map entries they become. The kernel knows ids and effects; words stay here.

mod needs;
mod network;
mod subjects;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
};

use aegisbpf_bpf::abi::{self, NameKey, NameRef, ObjectKey, RuleRef};
use serde::{Deserialize, Serialize};

pub(crate) use self::needs::{Need, expected};
use crate::{
    FileId,
    locate::WatchedName,
    policy::{Class, Meaning, Object, Policy, Rule, RuleId},
    resolve::{Follow, Reason, Resolution, Resolved},
};

/// Denied files from which on the sieve is asked. With fewer the filter is wrong once in 128 times, and who meets a rule
/// would pay for what others do not save.
const SIEVED: usize = 512;

/// What became of a rule on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It holds for this file, or for this directory and all below it.
    File(FileId),
    /// It holds for this cgroup and everything below it.
    Cgroup(u64),
    /// This executable may access this file.
    Exception {
        /// The executable.
        executable: FileId,
        /// The file.
        object: FileId,
    },
    /// It holds as it is written: it names nothing that the host could lack.
    AsWritten,
    /// Another rule names the same file or cgroup and is the one that counts.
    Same(RuleId),
    /// What it names is not there: it matches nothing until the policy is applied again.
    Unresolved(Reason),
    /// This executable may access this directory and all below it.
    ExceptionBelow {
        /// The executable.
        executable: FileId,
        /// The directory.
        directory: FileId,
    },
}

/// For people: what the rule stands for here.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "file {file}"),
            Self::Cgroup(cgroup) => write!(f, "cgroup {cgroup}"),
            Self::AsWritten => f.write_str("as written"),
            Self::Same(other) => write!(f, "same as rule {other}, which counts"),
            Self::Exception { executable, object } => {
                write!(f, "executable {executable}, object {object}")
            }
            Self::Unresolved(reason) => write!(f, "unresolved: {reason}"),
            Self::ExceptionBelow {
                executable,
                directory,
            } => write!(f, "executable {executable}, all below {directory}"),
        }
    }
}

/// A rule with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) rule: Arc<Rule>,
    pub(crate) state: State,
    pub(crate) follow: Follow,
}

impl Row {
    /// Does it hold for a file that is there, or for a name?
    fn holds_for_a_file(&self) -> bool {
        self.follow.name.is_some()
            || matches!(
                self.state,
                State::File(_) | State::Cgroup(_) | State::Same(_)
            )
    }
}

/// One applied policy: each rule under the id that the kernel knows.
///
/// A rule that two policies share keeps its id, and with it its counters, when the second replaces the
/// first; an id is never used again for another rule. So an event that waited in the ring buffer while the
/// policy changed still finds the rule it was made by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<RuleId, Row>,
    /// The directories on the way to watched names, each with the first rule whose file it leads to.
    pub(crate) ancestors: Vec<(WatchedName, RuleId)>,
    last_id: u32,
}

impl Table {
    /// The table of `policy`, as the successor of `self`.
    pub(crate) fn succeed(&self, policy: &Policy, resolution: &Resolution) -> Self {
        let known: HashMap<_, RuleId> = self
            .rows
            .iter()
            .map(|(id, row)| (row.rule.meaning(), *id))
            .collect();
        let mut next = Self {
            last_id: self.last_id,
            ..Self::default()
        };
        let mut given: HashMap<RuleId, RuleId> = HashMap::new();
        // The first rule about a file or a cgroup is the one that is named for it.
        let mut files: HashMap<(Class, FileId), RuleId> = HashMap::new();
        let mut cgroups: HashMap<(Class, u64, &Object), RuleId> = HashMap::new();
        for (index, rule) in policy.iter() {
            let id = known
                .get(&rule.meaning())
                .copied()
                .unwrap_or_else(|| next.fresh());
            // A file or a cgroup that several classes know is no repetition.
            let class = rule.class();
            let state = match resolution.get(index) {
                Some(Resolved::File(file)) => match *files.entry((class, *file)).or_insert(id) {
                    first if first == id => State::File(*file),
                    first => State::Same(first),
                },
                Some(Resolved::Cgroup(cgroup)) => {
                    match *cgroups.entry((class, *cgroup, &rule.object)).or_insert(id) {
                        first if first == id => State::Cgroup(*cgroup),
                        first => State::Same(first),
                    }
                }
                Some(Resolved::Exception { executable, object }) => State::Exception {
                    executable: *executable,
                    object: *object,
                },
                Some(Resolved::ExceptionBelow {
                    executable,
                    directory,
                }) => State::ExceptionBelow {
                    executable: *executable,
                    directory: *directory,
                },
                Some(Resolved::AsWritten) => State::AsWritten,
                Some(Resolved::Unresolved(reason)) => State::Unresolved(reason.clone()),
                None => State::Unresolved(Reason::NoSuchFile),
            };
            next.rows.insert(
                id,
                Row {
                    rule: Arc::new(rule.clone()),
                    state,
                    follow: resolution.follow(index).cloned().unwrap_or_default(),
                },
            );
            given.insert(index, id);
        }
        next.ancestors = resolution
            .ancestors()
            .filter_map(|(name, index)| Some((name.clone(), *given.get(&index)?)))
            .collect();
        next
    }

    /// The table that had these rows.
    pub(crate) fn restore(
        rows: impl IntoIterator<Item = (RuleId, Rule, State, Follow)>,
        ancestors: Vec<(WatchedName, RuleId)>,
        last_id: u32,
    ) -> Self {
        let row = |(id, rule, state, follow)| {
            let rule = Arc::new(rule);
            (
                id,
                Row {
                    rule,
                    state,
                    follow,
                },
            )
        };
        Self {
            rows: rows.into_iter().map(row).collect(),
            ancestors,
            last_id,
        }
    }

    /// The greatest id that was ever given.
    pub(crate) fn last_id(&self) -> u32 {
        self.last_id
    }

    /// The id of each rule, by what it means.
    pub(crate) fn ids(&self) -> HashMap<Meaning<'_>, RuleId> {
        self.rows
            .iter()
            .map(|(id, row)| (row.rule.meaning(), *id))
            .collect()
    }

    /// Nothing of this table but the memory of the ids that were given.
    pub(crate) fn emptied(&self) -> Self {
        Self {
            last_id: self.last_id,
            ..Self::default()
        }
    }

    fn fresh(&mut self) -> RuleId {
        self.last_id += 1;
        RuleId::new(self.last_id).expect("counting up from one never gives zero before 2^32 rules")
    }

    /// The entries of the map `rules`: what is denied to all, what single cgroups or executables have rules about, and
    /// what a rule says of files that come to bear its name.
    pub(crate) fn files(&self) -> impl Iterator<Item = (ObjectKey, RuleRef)> {
        let mut entries: BTreeMap<FileId, RuleRef> = BTreeMap::new();
        for (id, row) in self.denied() {
            if let State::File(file) = row.state {
                entries.insert(file, denies(*id, row.follow.generation));
            }
        }
        let effects = self.effects();
        for (file, effect) in &effects {
            let entry = entries.entry(*file).or_insert(RuleRef {
                rule: 0,
                ..denied_by(0)
            });
            if entry.rule == 0 {
                entry.effect = 0;
            }
            entry.effect |= effect;
            if effect & abi::EFFECT_SCOPED != 0 {
                // The rules about single cgroups name the number alone.
                entry.effect &= !abi::EFFECT_ONE_GENERATION;
            }
        }
        // An exception alone, from nothing that is denied, needs no look-up: unless a directory above may be denied.
        if !self.asks_where_files_lie() {
            entries.retain(|_, entry| entry.effect != abi::EFFECT_EXCEPTED);
        }
        let identities = entries
            .into_iter()
            .map(|(file, entry)| (object(file, abi::OBJECT_FILE), entry));
        let trees = self.trees();
        let excepted_trees: HashSet<FileId> = trees
            .iter()
            .filter(|(_, entry)| entry.effect & abi::EFFECT_EXCEPTED != 0)
            .map(|(file, _)| *file)
            .collect();
        let trees = trees
            .into_iter()
            .map(|(directory, entry)| (object(directory, abi::OBJECT_DIR), entry));
        let by_name = self
            .denied()
            .chain(self.denied_trees())
            .filter(|(_, row)| row.follow.name.is_some())
            .map(move |(id, row)| {
                let is_excepted = match row.state {
                    State::File(file) if row.rule.class() == Class::Directory => {
                        excepted_trees.contains(&file)
                    }
                    State::File(file) => effects
                        .get(&file)
                        .is_some_and(|effect| effect & abi::EFFECT_EXCEPTED != 0),
                    _ => false,
                };
                let mut entry = denied_by(id.number());
                if is_excepted {
                    entry.effect |= abi::EFFECT_EXCEPTED;
                }
                (object(named(*id), abi::OBJECT_RULE), entry)
            });
        identities.chain(trees).chain(by_name)
    }

    fn denied(&self) -> impl Iterator<Item = (&RuleId, &Row)> {
        self.of_class(Class::File)
    }

    /// The rules about all below a directory.
    fn denied_trees(&self) -> impl Iterator<Item = (&RuleId, &Row)> {
        self.of_class(Class::Directory)
    }

    fn of_class(&self, class: Class) -> impl Iterator<Item = (&RuleId, &Row)> {
        self.rows
            .iter()
            .filter(move |(_, row)| row.rule.class() == class)
    }

    /// Does a rule, or an exception from one, hold for all below a directory?
    pub(crate) fn asks_where_files_lie(&self) -> bool {
        let denies = |row: &Row| {
            matches!(row.rule.class(), Class::File | Class::CgroupFile) && row.holds_for_a_file()
        };
        let excepts = |row: &Row| matches!(row.state, State::ExceptionBelow { .. });
        self.denied_trees().any(|(_, row)| row.holds_for_a_file())
            || (self.rows.values().any(excepts) && self.rows.values().any(denies))
    }

    /// The directories that rules and exceptions hold for, with all below them.
    fn trees(&self) -> BTreeMap<FileId, RuleRef> {
        let mut trees = BTreeMap::new();
        if !self.asks_where_files_lie() {
            return trees;
        }
        for (id, row) in self.denied_trees() {
            if let State::File(directory) = row.state {
                trees.insert(directory, denies(*id, row.follow.generation));
                // For files of that file system of which nobody knows where they lie.
                let somewhere = FileId::from_kernel(directory.dev, 0);
                trees
                    .entry(somewhere)
                    .or_insert_with(|| denied_by(id.number()));
            }
        }
        for row in self.rows.values() {
            if let State::ExceptionBelow { directory, .. } = row.state {
                let entry = trees.entry(directory).or_insert_with(|| {
                    let mut alone = RuleRef {
                        effect: 0,
                        ..denied_by(0)
                    };
                    if let Some(generation) = row.follow.generation {
                        alone.generation = generation;
                        alone.effect = abi::EFFECT_ONE_GENERATION;
                    }
                    alone
                });
                entry.effect |= abi::EFFECT_EXCEPTED;
            }
        }
        trees
    }

    /// The entries of the maps `names` and `short_names`, each name once: that of a rule's object before that of a directory, and of
    /// several rules the first.
    pub(crate) fn names(&self) -> impl Iterator<Item = (NameKey, NameRef)> {
        // A directory's rule first: it holds for whatever bears the name, a file too.
        let objects =
            self.denied_trees()
                .filter_map(|(id, row)| Some((row.follow.name.as_ref()?, *id, abi::NAME_DIRECTORY)))
                .chain(self.denied().filter_map(|(id, row)| {
                    Some((row.follow.name.as_ref()?, *id, abi::NAME_OBJECT))
                }));
        let ancestors = self
            .ancestors
            .iter()
            .map(|(name, id)| (name, *id, abi::NAME_ANCESTOR));
        let mut seen = HashSet::new();
        objects
            .chain(ancestors)
            .filter(move |(name, ..)| seen.insert(*name))
            .filter_map(|(name, id, kind)| {
                let value = NameRef {
                    rule: id.number(),
                    kind,
                };
                Some((name_key(name)?, value))
            })
    }

    /// The entries of the map `exempt`: cgroup id → rule id.
    pub(crate) fn cgroups(&self) -> impl Iterator<Item = (u64, u32)> {
        self.rows.iter().filter_map(|(id, row)| match row.state {
            State::Cgroup(cgroup) if row.rule.class() == Class::AllowCgroup => {
                Some((cgroup, id.number()))
            }
            _ => None,
        })
    }

    /// The inode numbers of the files that these entries are about.
    pub(crate) fn inos(&self) -> impl Iterator<Item = u64> {
        self.files()
            .filter(|(key, _)| key.kind == abi::OBJECT_FILE)
            .map(|(key, _)| key.ino)
    }

    /// The filter bytes that these entries need.
    pub(crate) fn filter(&self) -> Vec<u8> {
        let file = match self.inos().count() {
            SIEVED.. => abi::FILTER_FILE | abi::FILTER_SIEVED,
            _ => abi::FILTER_FILE,
        };
        let mut filter = vec![0; abi::FILTER_SLOTS];
        let mut mark = |ino: u64, bit| filter[ino as usize % abi::FILTER_SLOTS] |= bit;
        for (key, _) in self.files() {
            match key.kind {
                abi::OBJECT_FILE => mark(key.ino, file),
                abi::OBJECT_DIR => mark(key.ino, abi::FILTER_DIR),
                _ => {}
            }
        }
        for (name, _) in self.names() {
            mark(name.ino, abi::FILTER_NAME);
        }
        filter
    }
}

/// Stands for whatever file comes to bear the rule's name, where a rule is looked up by its object. No file system has
/// the device 0.
pub(crate) fn named(rule: RuleId) -> FileId {
    FileId::from_kernel(0, rule.number().into())
}

fn object(file: FileId, kind: u32) -> ObjectKey {
    ObjectKey {
        ino: file.ino,
        dev: file.dev,
        kind,
    }
}

fn denied_by(rule: u32) -> RuleRef {
    RuleRef {
        rule,
        effect: abi::EFFECT_DENY,
        generation: 0,
        pad: 0,
    }
}

fn denies(rule: RuleId, generation: Option<u32>) -> RuleRef {
    let any = denied_by(rule.number());
    match generation {
        None => any,
        Some(generation) => RuleRef {
            effect: any.effect | abi::EFFECT_ONE_GENERATION,
            generation,
            ..any
        },
    }
}

/// `None` for what no file system takes for a name.
fn name_key(name: &WatchedName) -> Option<NameKey> {
    let mut bytes = [0; abi::FULL_NAME_BYTES];
    // The last byte stays a NUL.
    bytes[..abi::FULL_NAME_BYTES - 1]
        .get_mut(..name.name.len())?
        .copy_from_slice(&name.name);
    Some(NameKey {
        ino: name.directory.ino,
        dev: name.directory.dev,
        len: u32::try_from(name.name.len()).ok()?,
        name: bytes,
    })
}
