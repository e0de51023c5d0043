//! Events in the system's journal, with a field for each property: `journalctl -t aegisbpf AEGISBPF_RULE=3`.

use std::{io, path::Path};

use aegisbpf_core::{Decision, Error, Event};
use log::{Level, Record};
use serde_json::Value;
use systemd_journal_logger::JournalLog;

use crate::{exit::Failure, out::say};

const SOCKET: &str = "/run/systemd/journal/socket";

pub(super) struct Journal {
    log: JournalLog,
    /// Said once: a journal that restarts must not fill standard error.
    silent: bool,
}

impl Journal {
    pub(super) fn connect() -> Result<Self, Failure> {
        let unsupported = |reason: String| {
            Error::unsupported(
                "logging to the journal",
                reason,
                "use --log stdout, or start systemd-journald",
            )
        };
        if !Path::new(SOCKET).exists() {
            return Err(unsupported(format!("{SOCKET} does not exist")).into());
        }
        let log = JournalLog::empty().map_err(|e| unsupported(e.to_string()))?;
        Ok(Self {
            log: log.with_syslog_identifier("aegisbpf".to_owned()),
            silent: false,
        })
    }

    /// A refused access is a warning (priority 4), an audited one a notice (5).
    pub(super) fn tell(&mut self, event: &Event, repeated: Option<u64>) {
        let level = match event.decision {
            Decision::Deny => Level::Warn,
            _ => Level::Info,
        };
        let fields = fields(event, repeated);
        let sent = self.send(level, &event.to_string(), &fields);
        self.note(sent);
    }

    fn send(&self, level: Level, message: &str, fields: &[(String, String)]) -> io::Result<()> {
        self.log.journal_send(
            &Record::builder()
                .level(level)
                .target("aegisbpf")
                .args(format_args!("{message}"))
                .key_values(&fields)
                .build(),
        )
    }

    fn note(&mut self, sent: io::Result<()>) {
        match sent {
            Ok(()) => self.silent = false,
            Err(_) if self.silent => {}
            Err(e) => {
                self.silent = true;
                say(format_args!(
                    "aegisbpf: the journal takes no events: {e}; counters stay exact"
                ));
            }
        }
    }
}

/// What the JSON line has, one field each: `AEGISBPF_PATH`, `AEGISBPF_RULE`, …
fn fields(event: &Event, repeated: Option<u64>) -> Vec<(String, String)> {
    let mut fields: Vec<_> = match serde_json::to_value(event) {
        Ok(Value::Object(map)) => map
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) => (name, text),
                other => (name, other.to_string()),
            })
            .map(|(name, value)| (format!("aegisbpf_{name}"), value))
            .collect(),
        _ => Vec::new(),
    };
    fields.extend(repeated.map(|n| ("aegisbpf_repeated".to_owned(), n.to_string())));
    fields
}
