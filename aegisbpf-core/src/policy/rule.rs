//! What a policy says, one rule at a time: subject, operation, object, effect, and where it is written.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::file_id::FileId;

/// The number of a rule in its policy, from 1. The kernel's maps, the counters and the events know rules by it;
/// 0 stands for "no rule" there and is never given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RuleId(u32);

impl RuleId {
    /// The rule with this number; `None` for 0.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// The id of the rule at `index` of [`Policy::rules`](super::Policy::rules).
    pub(crate) fn from_index(index: usize) -> Self {
        Self(
            u32::try_from(index + 1)
                .expect("the parser stops long before 2^32 rules: a file has at most 64 MiB"),
        )
    }

    /// The place of the rule in [`Policy::rules`](super::Policy::rules).
    pub(crate) fn index(self) -> usize {
        self.0 as usize - 1
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub struct Origin {
    /// The file, as it was named to us.
    pub source: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

impl Origin {
    /// A place in `source`.
    #[must_use]
    pub fn new(source: impl Into<Arc<str>>, line: u32, column: u32) -> Self {
        Self {
            source: source.into(),
            line,
            column,
        }
    }

    /// `production.conf:14`: file name without directories, and line. For tables and labels, which are narrow.
    #[must_use]
    pub fn short(&self) -> String {
        let name = self
            .source
            .rsplit('/')
            .find(|part| !part.is_empty())
            .unwrap_or(&self.source);
        format!("{name}:{}", self.line)
    }
}

/// `production.conf:14:1`
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source, self.line, self.column)
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The operation is refused (or, in audit mode, reported).
    Deny,
    /// The operation is let through, whatever denies it.
    Allow,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        })
    }
}

/// Who does it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Subject {
    /// Every process.
    Any,
    /// The processes of a cgroup, and of all below it.
    Cgroup(CgroupRef),
}

/// A cgroup, as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CgroupRef {
    /// By its path below the cgroup2 root: `/system.slice/ssh.service`.
    Path(PathBuf),
    /// By its id, which is its directory's inode number: `cgid:4711`.
    Id(u64),
}

/// The spelling of `[allow_cgroup]`.
impl fmt::Display for CgroupRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Below /sys/fs/cgroup once more: without the prefix, that part would be taken for it.
            Self::Path(path) if path.starts_with(CGROUP_PREFIX) => {
                write!(f, "{CGROUP_PREFIX}{}", path.display())
            }
            Self::Path(path) => path.display().fmt(f),
            Self::Id(id) => write!(f, "cgid:{id}"),
        }
    }
}

impl Serialize for CgroupRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where cgroups are usually mounted; policies may write cgroup paths with it or without.
pub(crate) const CGROUP_PREFIX: &str = "/sys/fs/cgroup";

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Operation {
    /// A file is opened.
    Open,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
        })
    }
}

/// To what it is done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Object {
    /// The file at an absolute path.
    Path(PathBuf),
    /// A file by its identity.
    Inode(FileId),
    /// Everything.
    Any,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Inode(id) => id.fmt(f),
            Self::Any => f.write_str("any"),
        }
    }
}

/// One rule of a policy. Two rules are equal if they are written alike in the same place; see
/// [`Policy`](super::Policy) for equality by meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Rule {
    /// What the rule does.
    pub effect: Effect,
    /// Who it is about.
    pub subject: Subject,
    /// The operation it is about.
    pub operation: Operation,
    /// The object it is about.
    pub object: Object,
    /// The text after ` # ` on its line (since version 7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// Where it is written.
    pub origin: Origin,
}

impl Rule {
    /// `production.conf:14 /etc/shadow`: the rule in a few words, for events and stats. A note follows as
    /// it is written, ` # note`.
    #[must_use]
    pub fn label(&self) -> String {
        let place = self.origin.short();
        let entry = self.entry();
        match &self.note {
            Some(note) => format!("{place} {entry} # {note}"),
            None => format!("{place} {entry}"),
        }
    }

    /// What stands on the rule's line, in canonical spelling and without the note: the object, or the subject
    /// for a rule about everything that a subject does.
    #[must_use]
    pub fn entry(&self) -> String {
        match (&self.subject, &self.object) {
            (Subject::Cgroup(cgroup), Object::Any) => cgroup.to_string(),
            (_, object) => object.to_string(),
        }
    }

    /// What two rules have in common if one of them is superfluous, and how canonical text is ordered.
    pub(crate) fn meaning(&self) -> Meaning<'_> {
        (self.effect, &self.subject, self.operation, &self.object)
    }

    /// The path, if the object is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.object {
            Object::Path(path) => Some(path),
            _ => None,
        }
    }
}

/// See [`Rule::meaning`].
pub(crate) type Meaning<'a> = (Effect, &'a Subject, Operation, &'a Object);
