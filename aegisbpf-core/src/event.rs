//! One access that met a rule, as the kernel reported it.

mod json;
mod record;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use serde::{Serialize, Serializer};

pub(crate) use self::record::Label;
pub use self::{
    json::JsonLines,
    record::{DecodeError, Record},
};
use crate::{
    FileId,
    policy::{Origin, Proto, RuleId},
};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Access {
    /// The file was opened.
    Open,
    /// The file was executed.
    Exec,
    /// A peer was connected to.
    Connect,
    /// A port or an address was bound.
    Bind,
    /// A socket was made to listen.
    Listen,
    /// A connection was accepted.
    Accept,
    /// Something was sent.
    #[serde(rename = "sendmsg")]
    SendMsg,
    /// Something was received.
    #[serde(rename = "recvmsg")]
    RecvMsg,
    /// Another process was traced.
    Ptrace,
    /// A kernel module was loaded.
    #[serde(rename = "module_load")]
    ModuleLoad,
    /// bpf(2) was called.
    Bpf,
    /// An open file was mapped into memory.
    Mmap,
    /// The file was cut or grown.
    Truncate,
    /// Its permissions were changed.
    Chmod,
    /// Its owner was changed.
    Chown,
    /// One of its extended attributes or its access list was changed.
    Setxattr,
    /// It was given one more name, or a denied name.
    Link,
    /// A name of it was removed.
    Unlink,
    /// A name of it was moved, or something was moved to its name.
    Rename,
    /// Something was made under a denied name.
    Create,
    /// Something was mounted over it.
    Mount,
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Exec => "exec",
            Self::Mmap => "mmap",
            Self::Truncate => "truncate",
            Self::Chmod => "chmod",
            Self::Chown => "chown",
            Self::Setxattr => "setxattr",
            Self::Link => "link",
            Self::Unlink => "unlink",
            Self::Rename => "rename",
            Self::Create => "create",
            Self::Mount => "mount",
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::Listen => "listen",
            Self::Accept => "accept",
            Self::SendMsg => "sendmsg",
            Self::RecvMsg => "recvmsg",
            Self::Ptrace => "ptrace",
            Self::ModuleLoad => "module_load",
            Self::Bpf => "bpf",
        })
    }
}

/// One end of a communication: the peer, or ourselves where a socket is bound, listens or accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Endpoint {
    /// The address; an IPv4 one is shown as such, whatever the socket calls it.
    pub addr: IpAddr,
    /// The port; 0 if there is none yet.
    pub port: u16,
    /// The protocol; absent if it is neither TCP nor UDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<Proto>,
}

/// `tcp 127.0.0.1:80`
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(proto) = self.proto {
            write!(f, "{proto} ")?;
        }
        SocketAddr::new(self.addr, self.port).fmt(f)
    }
}

/// Another process, to which something is done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct OtherProcess {
    /// Process id.
    pub tgid: u32,
    /// Its name, at most 15 bytes.
    pub comm: String,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// No rule stood against it, or an exception allowed it.
    Allow,
    /// A rule denies it; the mode, or a hook that comes too late, let it pass.
    Audit,
    /// It was refused with EPERM.
    Deny,
}

/// A reported access. Events may be sampled or lost; counters are exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// When, by the wall clock.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// What became of it.
    pub decision: Decision,
    /// What was done.
    pub operation: Access,
    /// The rule that it met.
    pub rule: RuleId,
    /// Where that rule is written; absent if the policy was replaced more than once since.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "origin_text"
    )]
    pub origin: Option<Origin>,
    /// The path or identity that the rule names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Arc<str>>,
    /// The path by which the file is known to the accessing process's kernel view, where it can be had.
    /// Bytes that are not UTF-8 are serialised as U+FFFD.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossy")]
    pub path: Option<PathBuf>,
    /// Is `path` only its last components?
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub path_is_partial: bool,
    /// The file's identity; zero if the access is about no file.
    #[serde(skip_serializing_if = "is_no_file")]
    pub file: FileId,
    /// The other end, or our own, if the access is about the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The process that is traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<OtherProcess>,
    /// Thread id.
    pub pid: u32,
    /// Process id.
    pub tgid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// The task's name, at most 15 bytes.
    pub comm: String,
    /// cgroup id.
    pub cgroup: u64,
}

fn is_no_file(file: &FileId) -> bool {
    file.ino == 0
}

fn rfc3339<S: Serializer>(time: &SystemTime, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&humantime::format_rfc3339_micros(*time))
}

/// A name that is not UTF-8 must not end the audit of whoever writes JSON.
fn lossy<S: Serializer>(path: &Option<PathBuf>, s: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => s.collect_str(&path.display()),
        None => s.serialize_none(),
    }
}

fn origin_text<S: Serializer>(origin: &Option<Origin>, s: S) -> Result<S::Ok, S::Error> {
    match origin {
        Some(origin) => as_text(origin, s),
        None => s.serialize_none(),
    }
}

fn as_text<S: Serializer>(origin: &Origin, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(origin)
}

/// The path of an event, or else what its rule names: something to print.
impl Event {
    /// The best name there is for the file.
    #[must_use]
    pub fn name(&self) -> Option<&Path> {
        self.path
            .as_deref()
            .or(self.object.as_deref().map(Path::new))
    }
}

#[cfg(test)]
impl Event {
    /// An event for tests of what reads events.
    pub(crate) fn sample() -> Self {
        Self {
            time: SystemTime::UNIX_EPOCH,
            decision: Decision::Audit,
            operation: Access::Open,
            rule: RuleId::new(1).expect("one is a rule"),
            origin: None,
            object: Some("/etc/shadow".into()),
            path: Some("/etc/shadow".into()),
            path_is_partial: false,
            file: FileId::from_parts(8, 1, 42),
            endpoint: None,
            process: None,
            pid: 10,
            tgid: 10,
            uid: 0,
            gid: 0,
            comm: "cat".into(),
            cgroup: 1,
        }
    }
}

/// For people: one line.
impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let decision = match self.decision {
            Decision::Allow => "allow",
            Decision::Audit => "audit",
            Decision::Deny => "deny",
        };
        write!(
            f,
            "{} {decision} {} ",
            humantime::format_rfc3339_micros(self.time),
            self.operation
        )?;
        match (&self.endpoint, &self.process, self.name()) {
            (Some(endpoint), _, _) => write!(f, "{endpoint}")?,
            (_, Some(process), _) => write!(f, "{}[{}]", process.comm, process.tgid)?,
            (_, _, Some(path)) => write!(f, "{}", path.display())?,
            _ => write!(f, "{}", self.file)?,
        }
        write!(
            f,
            " by {}[{}] uid {} rule {}",
            self.comm, self.tgid, self.uid, self.rule
        )?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}
