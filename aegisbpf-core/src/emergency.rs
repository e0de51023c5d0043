//! The big red button: every decision becomes an audit at once, whoever else is changing something, and it is recorded
//! who pressed it and why.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aegisbpf_bpf::abi;
use nix::unistd::{Uid, User};
use serde::Serialize;

use crate::{
    control::find,
    error::{Error, Result},
    kernel::{Brakes, Source, pins::Pins},
};

/// Where emergencies are recorded unless something else is said.
pub const EMERGENCY_LOG: &str = "/var/log/aegisbpf/emergency.jsonl";

/// The emergency switch of a pinned enforcer. Opening it waits for nobody and needs no daemon.
pub struct Emergency {
    brakes: Brakes,
    log: PathBuf,
}

/// Whether there is an emergency, and who changed that last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EmergencyStatus {
    /// Is every refusal an audit?
    pub active: bool,
    /// The last change; none if there never was one.
    pub last: Option<EmergencyChange>,
}

/// One change of the switch: a line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EmergencyChange {
    /// When, RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// `disable` or `enable`, the verb of the command.
    pub action: &'static str,
    /// Why.
    pub reason: String,
    /// By which user.
    pub uid: u32,
    /// By which process.
    pub pid: u32,
}

/// What the log has besides.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    change: &'a EmergencyChange,
    user: Option<String>,
    /// Who logged in, where the session is audited; sudo does not change it.
    login_uid: Option<u32>,
    command: Option<String>,
}

impl Emergency {
    /// The switch of the enforcer that is pinned in `dir` ([`PIN_DIR`](crate::PIN_DIR) by default).
    ///
    /// # Errors
    /// As [`Control::open`](crate::Control::open).
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let pins = Pins::new(dir.as_ref());
        find(&pins)?;
        Ok(Self {
            brakes: Brakes::take(&mut Source::Pins(&pins))?,
            log: EMERGENCY_LOG.into(),
        })
    }

    /// Records changes in this file; [`EMERGENCY_LOG`] by default. It is only ever appended to.
    #[must_use]
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = path.into();
        self
    }

    /// From now on every refusal is an audit, in all hooks at once, whatever policy and mode say and whoever applies
    /// what, until [`Emergency::enable`].
    ///
    /// # Errors
    /// If the kernel refuses; then nothing has changed. [`Error::Unrecorded`] comes after the change: it is made, and
    /// the log lacks it.
    pub fn disable(&mut self, reason: &str) -> Result<EmergencyStatus> {
        self.change(true, reason)
    }

    /// Ends the emergency: policy and mode count again.
    ///
    /// # Errors
    /// As [`Emergency::disable`].
    pub fn enable(&mut self, reason: &str) -> Result<EmergencyStatus> {
        self.change(false, reason)
    }

    /// How the switch stands.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn status(&self) -> Result<EmergencyStatus> {
        self.brakes.emergency().map(|raw| status(&raw))
    }

    fn change(&mut self, on: bool, reason: &str) -> Result<EmergencyStatus> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut raw = abi::Emergency {
            since_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            on: u32::from(on),
            uid: Uid::current().as_raw(),
            pid: std::process::id(),
            pad: 0,
            reason: [0; abi::REASON_BYTES],
        };
        let kept = &reason[..reason.floor_char_boundary(abi::REASON_BYTES - 1)];
        raw.reason[..kept.len()].copy_from_slice(kept.as_bytes());
        // First what matters, then the record of it.
        self.brakes.set_emergency(raw)?;
        let status = status(&raw);
        if let Some(change) = &status.last {
            let whole = EmergencyChange {
                reason: reason.to_owned(),
                ..change.clone()
            };
            record(&self.log, &whole).map_err(|source| Error::Unrecorded {
                action: whole.action,
                log: self.log.clone(),
                source,
            })?;
        }
        Ok(status)
    }
}

pub(crate) fn status(raw: &abi::Emergency) -> EmergencyStatus {
    let active = raw.on != 0;
    let text = raw.reason.split(|byte| *byte == 0).next();
    let last = (raw.since_ns != 0).then(|| EmergencyChange {
        time: UNIX_EPOCH + Duration::from_nanos(raw.since_ns),
        action: if active { "disable" } else { "enable" },
        reason: String::from_utf8_lossy(text.unwrap_or_default()).into_owned(),
        uid: raw.uid,
        pid: raw.pid,
    });
    EmergencyStatus { active, last }
}

/// Appends a line, in one write, and has it on the disk before it returns.
fn record(log: &Path, change: &EmergencyChange) -> io::Result<()> {
    let own = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
    let line = Line {
        change,
        user: User::from_uid(Uid::from_raw(change.uid))
            .ok()
            .flatten()
            .map(|user| user.name),
        login_uid: own("loginuid")
            .and_then(|uid| uid.trim().parse().ok())
            .filter(|uid| *uid != u32::MAX),
        command: own("cmdline").map(|line| line.trim_end_matches('\0').replace('\0', " ")),
    };
    let mut text = serde_json::to_string(&line)?;
    text.push('\n');
    if let Some(parent) = log.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(parent)?;
    }
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(log)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

fn rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_more() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("new/emergency.jsonl");
        let change = |reason: &str| EmergencyChange {
            time: UNIX_EPOCH + Duration::from_millis(1_500),
            action: "disable",
            reason: reason.into(),
            uid: 0,
            pid: 7,
        };
        record(&log, &change("a \"quoted\"\nreason")).unwrap();
        record(&log, &change("another")).unwrap();
        let text = fs::read_to_string(&log).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["reason"], "a \"quoted\"\nreason");
        assert_eq!(lines[0]["time"], "1970-01-01T00:00:01.500Z");
        assert_eq!(lines[1]["action"], "disable");
        assert_eq!(lines[1]["user"], "root");
    }
}
