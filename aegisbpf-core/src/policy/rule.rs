//! What a policy says, one rule at a time: subject, operation, object, effect, and where it is written.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use super::object::Object;
use super::problem::Span;
use super::section::Kind;
use super::tags::Tags;

/// The number of a rule in its policy, from 1. The kernel's maps, the counters and the events know rules by it;
/// 0 stands for "no rule" there and is never given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// The processes that run the executable at an absolute path.
    Executable(PathBuf),
    /// The processes that run an executable whose identity is not verified.
    Unverified,
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
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Whatever is done.
    Any,
    /// A file is accessed: opened, and all else that is done to files.
    Open,
    /// A file is executed.
    Exec,
    /// A peer is connected to, or sent something.
    Connect,
    /// A port is bound, listened on, and connections on it are accepted.
    Bind,
    /// [`Connect`](Self::Connect) and [`Bind`](Self::Bind).
    Network,
    /// Another process is traced.
    Ptrace,
    /// A kernel module is loaded.
    ModuleLoad,
    /// bpf(2) is called.
    Bpf,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Any => "any",
            Self::Open => "open",
            Self::Exec => "exec",
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::Network => "network",
            Self::Ptrace => "ptrace",
            Self::ModuleLoad => "module_load",
            Self::Bpf => "bpf",
        })
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
    /// The text after ` # ` on its line, without the tags (since version 7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// The words like `@severity=high` after ` # ` on its line (since version 7).
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Where it is written.
    pub origin: Origin,
    /// How many characters the entry has there. The canonical spelling may have more or fewer.
    #[serde(skip)]
    pub(super) length: u32,
}

impl Rule {
    /// `production.conf:14 /etc/shadow`: the rule in a few words, for events and stats. A note and tags follow as
    /// they are written, ` # note @severity=high`.
    #[must_use]
    pub fn label(&self) -> String {
        let place = self.origin.short();
        format!("{place} {}{}", self.entry(), self.comment())
    }

    /// ` # note @severity=high`: what follows the entry on its line; nothing if there is neither note nor tag.
    pub(super) fn comment(&self) -> String {
        match (&self.note, self.tags.is_empty()) {
            (None, true) => String::new(),
            (None, false) => format!(" # {}", self.tags),
            (Some(note), true) => format!(" # {note}"),
            (Some(note), false) => format!(" # {note} {}", self.tags),
        }
    }

    /// What stands on the rule's line, in canonical spelling and without the note; for a section that takes no
    /// entries, its header.
    #[must_use]
    pub fn entry(&self) -> String {
        let object = match (&self.object, self.operation) {
            (Object::Port { port, proto }, Operation::Connect) => format!("{port}:{proto}:egress"),
            (Object::Port { port, proto }, Operation::Bind) => format!("{port}:{proto}:bind"),
            (object, _) => object.to_string(),
        };
        match (&self.subject, &self.object) {
            (Subject::Cgroup(cgroup), Object::Any) => cgroup.to_string(),
            (Subject::Cgroup(cgroup), _) => format!("{cgroup} {object}"),
            // The slash tells a directory from a file.
            (Subject::Executable(executable), Object::Dir(dir)) if dir != Path::new("/") => {
                format!("{} {object}/", executable.display())
            }
            (Subject::Executable(executable), _) => format!("{} {object}", executable.display()),
            (_, Object::Any) => format!("[{}]", self.section()),
            _ => object,
        }
    }

    /// The section that the rule is written in.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.kind().name()
    }

    pub(super) fn kind(&self) -> Kind {
        match (self.effect, &self.subject, self.operation, &self.object) {
            (Effect::Allow, Subject::Executable(_), ..) => Kind::AllowExec,
            (Effect::Allow, _, _, Object::Hash(_)) => Kind::AllowBinaryHash,
            (_, _, _, Object::ImaHash(_)) => Kind::TrustedExecHash,
            (Effect::Allow, ..) => Kind::AllowCgroup,
            (_, Subject::Unverified, _, Object::Any) => Kind::ProtectConnect,
            (_, Subject::Unverified, ..) => Kind::ProtectPath,
            (_, Subject::Cgroup(_), _, Object::Address(_)) => Kind::CgroupDenyIp,
            (_, Subject::Cgroup(_), _, Object::Port { .. }) => Kind::CgroupDenyPort,
            (_, Subject::Cgroup(_), ..) => Kind::CgroupDenyInode,
            (.., Object::Path(_)) => Kind::DenyPath,
            (.., Object::Inode(_)) => Kind::DenyInode,
            (.., Object::Dir(_)) => Kind::DenyDir,
            (.., Object::Name(_)) => Kind::DenyComm,
            (.., Object::Hash(_)) => Kind::DenyBinaryHash,
            (.., Object::Address(_)) => Kind::DenyIp,
            (.., Object::Prefix(_)) => Kind::DenyCidr,
            (.., Object::Port { .. }) => Kind::DenyPort,
            (.., Object::Endpoint { .. }) => Kind::DenyIpPort,
            (_, _, Operation::ModuleLoad, Object::Any) => Kind::DenyModuleLoad,
            (_, _, Operation::Bpf, Object::Any) => Kind::DenyBpf,
            (.., Object::Any) => Kind::DenyPtrace,
        }
    }

    /// The rule's own text.
    pub(crate) fn span(&self) -> Span {
        Span {
            origin: self.origin.clone(),
            length: self.length,
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
