//! One access that met a rule, as the kernel reported it.

use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use aegisbpf_bpf::abi;
use bytemuck::AnyBitPattern;
use serde::{Serialize, Serializer};

use crate::{
    FileId,
    policy::{Origin, Proto, Rule, RuleId},
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

impl Access {
    fn decode(number: u8) -> Option<Self> {
        Some(match number {
            abi::OPERATION_OPEN => Self::Open,
            abi::OPERATION_EXEC => Self::Exec,
            abi::OPERATION_MMAP => Self::Mmap,
            abi::OPERATION_TRUNCATE => Self::Truncate,
            abi::OPERATION_CHMOD => Self::Chmod,
            abi::OPERATION_CHOWN => Self::Chown,
            abi::OPERATION_SETXATTR => Self::Setxattr,
            abi::OPERATION_LINK => Self::Link,
            abi::OPERATION_UNLINK => Self::Unlink,
            abi::OPERATION_RENAME => Self::Rename,
            abi::OPERATION_CREATE => Self::Create,
            abi::OPERATION_MOUNT => Self::Mount,
            abi::OPERATION_CONNECT => Self::Connect,
            abi::OPERATION_BIND => Self::Bind,
            abi::OPERATION_LISTEN => Self::Listen,
            abi::OPERATION_ACCEPT => Self::Accept,
            abi::OPERATION_SENDMSG => Self::SendMsg,
            abi::OPERATION_RECVMSG => Self::RecvMsg,
            abi::OPERATION_PTRACE => Self::Ptrace,
            abi::OPERATION_MODULE_LOAD => Self::ModuleLoad,
            abi::OPERATION_BPF => Self::Bpf,
            _ => return None,
        })
    }
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
    pub object: Option<String>,
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

/// Why a record of the ring buffer is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It has another size.
    #[error(
        "an event has {found} bytes, not {expected}: the program in the kernel is of another version"
    )]
    Size {
        /// Bytes of the record.
        found: usize,
        /// Bytes of an event.
        expected: usize,
    },
    /// A field has a value that this version does not know.
    #[error("an event's {field} is {value}, which this version does not know")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
    },
}

impl Event {
    /// Reads one record. `boot` is the wall-clock time at which `CLOCK_BOOTTIME` was zero.
    pub(crate) fn decode(
        record: &[u8],
        boot: SystemTime,
        rule_of: impl FnOnce(RuleId) -> Option<Arc<Rule>>,
    ) -> Result<Self, DecodeError> {
        let raw: abi::Event =
            bytemuck::try_pod_read_unaligned(record).map_err(|_| DecodeError::Size {
                found: record.len(),
                expected: size_of::<abi::Event>(),
            })?;
        let unknown = |field, value| DecodeError::Value { field, value };
        let id = RuleId::new(raw.rule).ok_or(unknown("rule", raw.rule))?;
        let rule = rule_of(id);
        let (path, path_is_partial) = path_of(&raw)?;
        Ok(Self {
            time: boot + Duration::from_nanos(raw.boot_ns),
            decision: match raw.decision {
                abi::DECISION_AUDIT => Decision::Audit,
                abi::DECISION_DENY => Decision::Deny,
                other => return Err(unknown("decision", other.into())),
            },
            operation: Access::decode(raw.operation)
                .ok_or(unknown("operation", raw.operation.into()))?,
            rule: id,
            origin: rule.as_ref().map(|r| r.origin.clone()),
            object: rule.map(|r| r.entry()),
            path,
            path_is_partial,
            file: FileId::from_kernel(raw.dev, raw.ino),
            endpoint: endpoint_of(&raw)?,
            process: process_of(&raw)?,
            pid: raw.pid,
            tgid: raw.tgid,
            uid: raw.uid,
            gid: raw.gid,
            comm: text_of(&raw.comm),
            cgroup: raw.cgroup,
        })
    }
}

fn path_of(raw: &abi::Event) -> Result<(Option<PathBuf>, bool), DecodeError> {
    let used = raw
        .path
        .get(..usize::from(raw.path_len))
        .ok_or(DecodeError::Value {
            field: "path_len",
            value: raw.path_len.into(),
        })?;
    let partial = raw.path_form == abi::PATH_PARTIAL;
    match raw.path_form {
        abi::PATH_NONE | abi::PATH_ADDRESS | abi::PATH_TASK => Ok((None, false)),
        abi::PATH_ABSOLUTE => Ok((Some(to_path(used.to_vec())), false)),
        abi::PATH_PARTIAL if used.is_empty() => Ok((None, false)),
        abi::PATH_COMPONENTS | abi::PATH_PARTIAL => {
            let names = used
                .split(|&b| b == 0)
                .filter(|name| !name.is_empty())
                .rev();
            let mut path = PathBuf::from(if partial { "" } else { "/" });
            path.extend(names.map(|name| to_path(name.to_vec())));
            Ok((Some(path), partial))
        }
        other => Err(DecodeError::Value {
            field: "path_form",
            value: other.into(),
        }),
    }
}

/// What stands in place of a path, if it is of the form `form`.
fn record_of<T: AnyBitPattern>(raw: &abi::Event, form: u8) -> Result<Option<T>, DecodeError> {
    if raw.path_form != form {
        return Ok(None);
    }
    let used = raw.path.get(..usize::from(raw.path_len));
    used.and_then(|bytes| bytemuck::try_pod_read_unaligned(bytes).ok())
        .map(Some)
        .ok_or(DecodeError::Value {
            field: "path_len",
            value: raw.path_len.into(),
        })
}

fn endpoint_of(raw: &abi::Event) -> Result<Option<Endpoint>, DecodeError> {
    let record = record_of::<abi::AddressRecord>(raw, abi::PATH_ADDRESS)?;
    Ok(record.map(|record| Endpoint {
        addr: IpAddr::from(record.addr).to_canonical(),
        port: record.port,
        proto: match record.proto {
            abi::PROTOCOL_TCP => Some(Proto::Tcp),
            abi::PROTOCOL_UDP => Some(Proto::Udp),
            _ => None,
        },
    }))
}

fn process_of(raw: &abi::Event) -> Result<Option<OtherProcess>, DecodeError> {
    let record = record_of::<abi::TaskRecord>(raw, abi::PATH_TASK)?;
    Ok(record.map(|record| OtherProcess {
        tgid: record.tgid,
        comm: text_of(&record.comm),
    }))
}

fn is_no_file(file: &FileId) -> bool {
    file.ino == 0
}

fn to_path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
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
        Some(origin) => s.collect_str(origin),
        None => s.serialize_none(),
    }
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

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;

    use super::*;

    fn record() -> abi::Event {
        let mut raw = abi::Event::zeroed();
        raw.rule = 3;
        raw.boot_ns = 1_500_000_000;
        raw.decision = abi::DECISION_AUDIT;
        raw.operation = abi::OPERATION_OPEN;
        raw.ino = 42;
        raw.dev = 8 << 20 | 1;
        raw.comm[..4].copy_from_slice(b"cat\0");
        raw
    }

    fn decode(raw: &abi::Event) -> Result<Event, DecodeError> {
        Event::decode(bytemuck::bytes_of(raw), SystemTime::UNIX_EPOCH, |_| None)
    }

    #[test]
    fn components_are_joined_from_the_root() {
        let mut raw = record();
        raw.path_form = abi::PATH_COMPONENTS;
        raw.path[..11].copy_from_slice(b"shadow\0etc\0");
        raw.path_len = 11;
        let event = decode(&raw).unwrap();
        assert_eq!(event.path.as_deref(), Some(Path::new("/etc/shadow")));
        assert!(!event.path_is_partial);
        assert_eq!(event.comm, "cat");
        assert_eq!(
            event.time,
            SystemTime::UNIX_EPOCH + Duration::from_millis(1500)
        );
    }

    #[test]
    fn a_name_that_is_not_utf8_is_serialised_all_the_same() {
        let mut raw = record();
        raw.path_form = abi::PATH_ABSOLUTE;
        raw.path[..3].copy_from_slice(b"/\xff\0");
        raw.path_len = 2;
        let json = serde_json::to_value(decode(&raw).unwrap()).unwrap();
        assert_eq!(json["path"], "/\u{fffd}");
    }

    #[test]
    fn an_address_is_shown_as_it_is_meant() {
        let mut raw = record();
        raw.operation = abi::OPERATION_CONNECT;
        raw.ino = 0;
        raw.path_form = abi::PATH_ADDRESS;
        let mapped = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        let peer = abi::AddressRecord {
            addr: mapped.octets(),
            port: 80,
            family: 4,
            proto: abi::PROTOCOL_TCP,
            pad: 0,
        };
        raw.path_len = 24;
        raw.path[..24].copy_from_slice(bytemuck::bytes_of(&peer));
        let event = decode(&raw).unwrap();
        assert_eq!(event.endpoint.unwrap().to_string(), "tcp 127.0.0.1:80");
        assert!(
            event
                .to_string()
                .contains(" audit connect tcp 127.0.0.1:80 by cat[")
        );
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["endpoint"]["addr"], "127.0.0.1");
        assert!(json.get("file").is_none());
        raw.path_len = 23;
        assert!(matches!(decode(&raw), Err(DecodeError::Value { .. })));
    }

    #[test]
    fn a_cut_path_is_relative_and_says_so() {
        let mut raw = record();
        raw.path_form = abi::PATH_PARTIAL;
        raw.path[..4].copy_from_slice(b"b\0a\0");
        raw.path_len = 4;
        let event = decode(&raw).unwrap();
        assert_eq!(
            (event.path.as_deref(), event.path_is_partial),
            (Some(Path::new("a/b")), true)
        );
    }

    #[test]
    fn a_record_of_another_size_is_refused() {
        let bytes = bytemuck::bytes_of(&record())[1..].to_vec();
        let error = Event::decode(&bytes, SystemTime::UNIX_EPOCH, |_| None).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Size {
                found: 391,
                expected: 392
            }
        );
    }

    #[test]
    fn unknown_values_are_refused_not_guessed() {
        for spoil in [
            (|raw: &mut abi::Event| raw.decision = 9) as fn(&mut abi::Event),
            |raw| raw.operation = 0,
            |raw| raw.path_form = 7,
            |raw| raw.rule = 0,
            |raw| raw.path_len = 321,
        ] {
            let mut raw = record();
            spoil(&mut raw);
            assert!(matches!(decode(&raw), Err(DecodeError::Value { .. })));
        }
    }
}
