//! What somebody does, as far as it is known, and what the host makes of rules.

use std::net::IpAddr;
use std::path::PathBuf;

use super::super::object::{Proto, canonical};
use super::super::rule::{Operation, RuleId};
use crate::file_id::FileId;

/// Something that somebody does or might do.
///
/// ```
/// use aegisbpf_core::policy::{Access, Effect, Policy, Written};
///
/// let text = "version=1\n[deny_path]\n/etc/shadow\n[allow_cgroup]\n/system.slice/ssh.service\n";
/// let policy = Policy::parse(text, "example.conf")?;
/// let access = Access::file("/etc/shadow");
/// assert_eq!(policy.explain(&access, &Written).effect, Effect::Deny);
/// let access = access.in_cgroup("/system.slice/ssh.service/worker");
/// assert_eq!(policy.explain(&access, &Written).effect, Effect::Allow);
/// # Ok::<(), aegisbpf_core::policy::Problems>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Access {
    /// What is done.
    pub operation: Operation,
    /// The paths of the file: as it was named, and where that leads.
    pub names: Vec<PathBuf>,
    /// The file, if it is there.
    pub file: Option<FileId>,
    /// The directories that it lies in, as far as they are known.
    pub directories: Vec<FileId>,
    /// The peer.
    pub peer: Option<IpAddr>,
    /// The port of the peer, or our own that is bound.
    pub port: Option<u16>,
    /// The protocol.
    pub proto: Proto,
    /// Who does it: the cgroup, and those above it.
    pub cgroups: Vec<CgroupName>,
    /// Who does it: the paths of the executable; none if nobody said.
    pub executables: Vec<PathBuf>,
    /// Whether the executable is verified.
    pub verified: bool,
}

/// A cgroup, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CgroupName {
    /// Its path from the cgroup root.
    pub path: Option<PathBuf>,
    /// Its id.
    pub id: Option<u64>,
}

impl Access {
    fn new(operation: Operation) -> Self {
        Self {
            operation,
            names: Vec::new(),
            file: None,
            directories: Vec::new(),
            peer: None,
            port: None,
            proto: Proto::Any,
            cgroups: Vec::new(),
            executables: Vec::new(),
            verified: false,
        }
    }

    /// The file at `path` is accessed: opened, and all else but executed.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Operation::Open).at(path)
    }

    /// The file at `path` is executed.
    #[must_use]
    pub fn exec(path: impl Into<PathBuf>) -> Self {
        Self::new(Operation::Exec).at(path)
    }

    /// A peer is connected to, or sent something.
    #[must_use]
    pub fn connect(peer: IpAddr, port: u16, proto: Proto) -> Self {
        Self {
            peer: Some(canonical(peer)),
            port: Some(port),
            proto,
            ..Self::new(Operation::Connect)
        }
    }

    /// A port is bound.
    #[must_use]
    pub fn bind(port: u16, proto: Proto) -> Self {
        Self {
            port: Some(port),
            proto,
            ..Self::new(Operation::Bind)
        }
    }

    /// What has no object: [`Operation::Ptrace`], [`Operation::ModuleLoad`], [`Operation::Bpf`].
    #[must_use]
    pub fn of(operation: Operation) -> Self {
        Self::new(operation)
    }

    /// The file has this path too.
    #[must_use]
    pub fn at(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        if !self.names.contains(&path) {
            self.names.push(path);
        }
        self
    }

    /// The file is this one.
    #[must_use]
    pub fn identity(mut self, file: FileId) -> Self {
        self.file = Some(file);
        self
    }

    /// The file lies in this directory, or in one below it.
    #[must_use]
    pub fn below(mut self, directory: FileId) -> Self {
        self.directories.push(directory);
        self
    }

    /// Somebody in this cgroup does it, and so in all above it.
    #[must_use]
    pub fn in_cgroup(mut self, path: impl Into<PathBuf>) -> Self {
        let path: PathBuf = path.into();
        self.cgroups.extend(path.ancestors().map(|path| CgroupName {
            path: Some(path.to_owned()),
            id: None,
        }));
        self
    }

    /// A cgroup in which it is done, or one above it, has this id.
    #[must_use]
    pub fn in_cgroup_id(mut self, path: Option<PathBuf>, id: u64) -> Self {
        let known = self
            .cgroups
            .iter_mut()
            .find(|cgroup| path.is_some() && cgroup.path == path);
        match known {
            Some(cgroup) => cgroup.id = Some(id),
            None => self.cgroups.push(CgroupName { path, id: Some(id) }),
        }
        self
    }

    /// This executable does it. More than once: it has these paths.
    #[must_use]
    pub fn by(mut self, executable: impl Into<PathBuf>) -> Self {
        self.executables.push(executable.into());
        self
    }

    /// Whether the executable's identity is verified.
    #[must_use]
    pub fn verified(mut self, verified: bool) -> Self {
        self.verified = verified;
        self
    }
}

/// What a host makes of the rules of a policy. [`Resolution`](crate::resolve::Resolution) is one.
pub trait Facts {
    /// The file that the rule stands for.
    fn file(&self, rule: RuleId) -> Option<FileId>;
    /// The cgroup that the rule stands for.
    fn cgroup(&self, rule: RuleId) -> Option<u64>;
}

/// No host: rules stand for what is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written;

impl Facts for Written {
    fn file(&self, _rule: RuleId) -> Option<FileId> {
        None
    }

    fn cgroup(&self, _rule: RuleId) -> Option<u64> {
        None
    }
}
