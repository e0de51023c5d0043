//! A record of the ring buffer: checked, but its texts are not made yet.

use std::{
    ffi::OsString,
    net::IpAddr,
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aegisbpf_bpf::abi;
use bytemuck::AnyBitPattern;
use serde::Serialize;

use super::{Access, Decision, Endpoint, Event, OtherProcess, as_text};
use crate::{
    FileId,
    policy::{Origin, Proto, Rule, RuleId},
};

/// What an event says of its rule: made once for a rule, not once for an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Label {
    #[serde(serialize_with = "as_text")]
    pub(super) origin: Origin,
    pub(super) object: Arc<str>,
}

impl Label {
    pub(crate) fn of(rule: &Rule) -> Self {
        Self {
            origin: rule.origin.clone(),
            object: rule.entry().into(),
        }
    }
}

/// One access that met a rule, as the kernel wrote it: all that an [`Event`] says, checked, but its texts are not made
/// yet. It is small, and had by one allocation, for whoever writes many events ([`JsonLines`](crate::JsonLines)) or
/// looks at few of those that it keeps.
#[derive(Debug, Clone)]
pub struct Record {
    pub(super) raw: Box<abi::Event>,
    pub(super) time: SystemTime,
    pub(super) decision: Decision,
    pub(super) operation: Access,
    pub(super) rule: RuleId,
    pub(super) label: Option<Label>,
    pub(super) target: Target,
}

/// What is in the place of the path.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Nothing,
    /// The path.
    Whole,
    /// Names with a NUL between them, the last component first; the first ones lack if it is partial.
    Names {
        partial: bool,
    },
    Endpoint(Endpoint),
    Process(OtherProcess),
}

impl Record {
    /// Checks a record. `boot` is the wall-clock time at which `CLOCK_BOOTTIME` was zero.
    pub(crate) fn read(
        bytes: &[u8],
        boot: SystemTime,
        label_of: impl FnOnce(RuleId) -> Option<Label>,
    ) -> Result<Self, DecodeError> {
        let raw: Box<abi::Event> = Box::new(bytemuck::try_pod_read_unaligned(bytes).map_err(
            |_| DecodeError::Size {
                found: bytes.len(),
                expected: size_of::<abi::Event>(),
            },
        )?);
        let unknown = |field, value| DecodeError::Value { field, value };
        let rule = RuleId::new(raw.rule).ok_or(unknown("rule", raw.rule))?;
        Ok(Self {
            time: boot + Duration::from_nanos(raw.boot_ns),
            decision: match raw.decision {
                abi::DECISION_AUDIT => Decision::Audit,
                abi::DECISION_DENY => Decision::Deny,
                other => return Err(unknown("decision", other.into())),
            },
            operation: Access::decode(raw.operation)
                .ok_or(unknown("operation", raw.operation.into()))?,
            rule,
            target: target_of(&raw)?,
            label: label_of(rule),
            raw,
        })
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> Event {
        let (endpoint, process) = self.other_end();
        Event {
            time: self.time,
            decision: self.decision,
            operation: self.operation,
            rule: self.rule,
            origin: self.label.as_ref().map(|label| label.origin.clone()),
            object: self.label.as_ref().map(|label| Arc::clone(&label.object)),
            path: self
                .path()
                .map(|bytes| PathBuf::from(OsString::from_vec(bytes))),
            path_is_partial: self.path_is_partial(),
            file: self.file(),
            endpoint,
            process,
            pid: self.raw.pid,
            tgid: self.raw.tgid,
            uid: self.raw.uid,
            gid: self.raw.gid,
            comm: text_of(&self.raw.comm),
            cgroup: self.raw.cgroup,
        }
    }

    pub(super) fn other_end(&self) -> (Option<Endpoint>, Option<OtherProcess>) {
        match &self.target {
            Target::Endpoint(endpoint) => (Some(*endpoint), None),
            Target::Process(process) => (None, Some(process.clone())),
            Target::Nothing | Target::Whole | Target::Names { .. } => (None, None),
        }
    }

    /// What stands in the place of the path.
    pub(super) fn used(&self) -> &[u8] {
        used(&self.raw).unwrap_or_default()
    }

    pub(super) fn file(&self) -> FileId {
        FileId::from_kernel(self.raw.dev, self.raw.ino)
    }

    pub(super) fn path_is_partial(&self) -> bool {
        matches!(self.target, Target::Names { partial: true })
    }

    /// The path, if there is one.
    pub(super) fn path(&self) -> Option<Vec<u8>> {
        match self.target {
            Target::Whole => Some(self.used().to_vec()),
            Target::Names { partial } => Some(join(self.used(), partial)),
            _ => None,
        }
    }
}

/// As `PathBuf::push` does. The root of a file system is a name with a slash.
fn join(names: &[u8], partial: bool) -> Vec<u8> {
    let mut path = Vec::with_capacity(names.len() + 1);
    if !partial {
        path.push(b'/');
    }
    for name in names.rsplit(|&b| b == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"/") {
            path.clear();
        } else if !path.is_empty() && !path.ends_with(b"/") {
            path.push(b'/');
        }
        path.extend_from_slice(name);
    }
    path
}

fn target_of(raw: &abi::Event) -> Result<Target, DecodeError> {
    let is_empty = used(raw)?.is_empty();
    Ok(match raw.path_form {
        abi::PATH_NONE => Target::Nothing,
        abi::PATH_ABSOLUTE => Target::Whole,
        abi::PATH_PARTIAL if is_empty => Target::Nothing,
        abi::PATH_COMPONENTS => Target::Names { partial: false },
        abi::PATH_PARTIAL => Target::Names { partial: true },
        abi::PATH_ADDRESS => Target::Endpoint(endpoint_of(raw)?),
        abi::PATH_TASK => Target::Process(process_of(raw)?),
        other => {
            return Err(DecodeError::Value {
                field: "path_form",
                value: other.into(),
            });
        }
    })
}

fn used(raw: &abi::Event) -> Result<&[u8], DecodeError> {
    let used = raw.path.get(..usize::from(raw.path_len));
    used.ok_or(path_len_of(raw))
}

fn path_len_of(raw: &abi::Event) -> DecodeError {
    DecodeError::Value {
        field: "path_len",
        value: raw.path_len.into(),
    }
}

/// What stands in place of a path.
fn in_place_of_path<T: AnyBitPattern>(raw: &abi::Event) -> Result<T, DecodeError> {
    bytemuck::try_pod_read_unaligned(used(raw)?).map_err(|_| path_len_of(raw))
}

fn endpoint_of(raw: &abi::Event) -> Result<Endpoint, DecodeError> {
    let record: abi::AddressRecord = in_place_of_path(raw)?;
    Ok(Endpoint {
        addr: IpAddr::from(record.addr).to_canonical(),
        port: record.port,
        proto: match record.proto {
            abi::PROTOCOL_TCP => Some(Proto::Tcp),
            abi::PROTOCOL_UDP => Some(Proto::Udp),
            _ => None,
        },
    })
}

fn process_of(raw: &abi::Event) -> Result<OtherProcess, DecodeError> {
    let record: abi::TaskRecord = in_place_of_path(raw)?;
    Ok(OtherProcess {
        tgid: record.tgid,
        comm: text_of(&record.comm),
    })
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

/// The text of a task's name, which ends before the first NUL.
pub(super) fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
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

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        Record::read(bytemuck::bytes_of(raw), SystemTime::UNIX_EPOCH, |_| None)
            .map(|record| record.event())
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
        let error = Record::read(&bytes, SystemTime::UNIX_EPOCH, |_| None).unwrap_err();
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

    proptest::proptest! {
        #[test]
        fn names_are_joined_as_the_standard_library_does(
            names in "[ab/\\x00]{0,12}",
            partial in proptest::bool::ANY,
        ) {
            let path = join(names.as_bytes(), partial);
            let mut expected = PathBuf::from(if partial { "" } else { "/" });
            expected.extend(names.rsplit('\0').filter(|name| !name.is_empty()));
            proptest::prop_assert_eq!(PathBuf::from(OsString::from_vec(path)).into_os_string(), expected.into_os_string());
        }
    }
}
