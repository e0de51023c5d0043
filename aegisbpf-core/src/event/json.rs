//! Events as lines of JSON, for whoever writes many: what does not change from one to the next is made once.

use std::{
    fmt::{self, Write},
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};

use super::{
    Access, Decision, Endpoint, OtherProcess, is_no_file,
    record::{Label, Record, text_of},
};
use crate::{FileId, policy::RuleId};

/// Rules, objects and threads whose part of the line is kept.
const KEPT: usize = 64;

/// Writes events as lines of JSON: byte for byte what `serde_json` makes of [`Record::event`], for a fraction of the
/// instructions.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut aegis = aegisbpf_core::Enforcer::builder().load()?;
/// # let mut events = aegis.events()?;
/// let (mut json, mut lines) = (aegisbpf_core::JsonLines::default(), Vec::new());
/// while let Some(record) = events.try_next_record()? {
///     json.append(&record, &mut lines)?;
/// }
/// std::io::Write::write_all(&mut std::io::stdout(), &lines)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct JsonLines {
    second: Second,
    met: Kept<Met>,
    objects: Kept<Object>,
    doers: Kept<Doer>,
}

impl JsonLines {
    /// Appends the line of an event.
    ///
    /// # Errors
    /// If its time is not in the years 1970 to 9999; then nothing is appended.
    pub fn append(&mut self, record: &Record, lines: &mut Vec<u8>) -> fmt::Result {
        self.second.put(record.time, lines)?;
        let raw = &record.raw;
        let met = self
            .met
            .text(raw.rule, |met| met.is_in(record), || Met::of(record))?;
        lines.extend_from_slice(met);
        // Files that are next to one another have places next to one another.
        let object = self.objects.text(
            raw.ino as u32,
            |object| object.is_in(record),
            || Object::of(record),
        )?;
        lines.extend_from_slice(object);
        let doer = Doer::of(record);
        let doer = self.doers.text(doer.pid, |kept| *kept == doer, || doer)?;
        lines.extend_from_slice(doer);
        lines.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// The second of the last event, as far as the fraction: `{"time":"2026-11-25T18:00:00.`
#[derive(Debug, Default)]
struct Second {
    /// Since 1970.
    number: u64,
    text: String,
}

impl Second {
    /// From the brace that opens the line to the mark that closes the time.
    fn put(&mut self, time: SystemTime, line: &mut Vec<u8>) -> fmt::Result {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| fmt::Error)?;
        if self.text.is_empty() || self.number != since.as_secs() {
            self.begin(since.as_secs())?;
        }
        line.extend_from_slice(self.text.as_bytes());
        // One digit more, which is left out: the zeros behind it stay.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(1_000_000 + since.subsec_micros());
        line.extend_from_slice(&digits.as_bytes()[1..]);
        line.extend_from_slice(b"Z\"");
        Ok(())
    }

    fn begin(&mut self, number: u64) -> fmt::Result {
        self.number = number;
        self.text.clear();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(number);
        let time = humantime::format_rfc3339_seconds(time);
        let begun = write!(self.text, r#"{{"time":"{time}"#);
        match begun {
            Ok(()) => {
                self.text.pop();
                self.text.push('.');
            }
            Err(_) => self.text.clear(),
        }
        begun
    }
}

/// Some fields of an event, and their text behind a comma; each has one place, by its number.
#[derive(Debug)]
struct Kept<T>(Box<[Place<T>; KEPT]>);

type Place<T> = Option<(T, Vec<u8>)>;

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Box::new([const { None }; KEPT]))
    }
}

impl<T: Serialize> Kept<T> {
    /// The text of what `is_it` knows. It is made if something else has its place.
    fn text(
        &mut self,
        number: u32,
        is_it: impl FnOnce(&T) -> bool,
        it: impl FnOnce() -> T,
    ) -> Result<&[u8], fmt::Error> {
        let place = &mut self.0[number as usize % KEPT];
        if !place.as_ref().is_some_and(|(kept, _)| is_it(kept)) {
            let it = it();
            let mut text = place.take().map_or_else(Vec::new, |(_, text)| text);
            text.clear();
            serde_json::to_writer(&mut text, &it).map_err(|_| fmt::Error)?;
            // `{"a":1}` is `,"a":1` in the middle of a line, and `{}` is nothing.
            text.pop();
            match text.len() {
                1 => text.clear(),
                _ => text[0] = b',',
            }
            *place = Some((it, text));
        }
        place
            .as_ref()
            .map(|(_, text)| text.as_slice())
            .ok_or(fmt::Error)
    }
}

/// What was done, what became of it, and the rule that it met.
#[derive(Debug, Serialize)]
struct Met {
    decision: Decision,
    operation: Access,
    rule: RuleId,
    #[serde(flatten)]
    label: Option<Label>,
}

impl Met {
    fn of(record: &Record) -> Self {
        Self {
            decision: record.decision,
            operation: record.operation,
            rule: record.rule,
            label: record.label.clone(),
        }
    }

    /// The same rule can be written elsewhere in the next policy. A text that is shared is found equal by its address.
    fn is_in(&self, record: &Record) -> bool {
        self.decision == record.decision
            && self.operation == record.operation
            && self.rule == record.rule
            && self.label == record.label
    }
}

/// What it was done to.
#[derive(Debug, Serialize)]
struct Object {
    /// All that the fields below are made of.
    #[serde(skip)]
    from: (u8, u32, u64, Box<[u8]>),
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    path_is_partial: bool,
    #[serde(skip_serializing_if = "is_no_file")]
    file: FileId,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<OtherProcess>,
}

impl Object {
    fn of(record: &Record) -> Self {
        let raw = &record.raw;
        let path = record.path();
        let (endpoint, process) = record.other_end();
        Self {
            from: (raw.path_form, raw.dev, raw.ino, record.used().into()),
            path: path.map(|path| String::from_utf8_lossy(&path).into_owned()),
            path_is_partial: record.path_is_partial(),
            file: record.file(),
            endpoint,
            process,
        }
    }

    fn is_in(&self, record: &Record) -> bool {
        let (form, dev, ino, bytes) = &self.from;
        let raw = &record.raw;
        (*form, *dev, *ino) == (raw.path_form, raw.dev, raw.ino) && **bytes == *record.used()
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Doer {
    pid: u32,
    tgid: u32,
    uid: u32,
    gid: u32,
    #[serde(serialize_with = "name")]
    comm: [u8; 16],
    cgroup: u64,
}

impl Doer {
    fn of(Record { raw, .. }: &Record) -> Self {
        Self {
            pid: raw.pid,
            tgid: raw.tgid,
            uid: raw.uid,
            gid: raw.gid,
            comm: raw.comm,
            cgroup: raw.cgroup,
        }
    }
}

fn name<S: Serializer>(comm: &[u8; 16], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&text_of(comm))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aegisbpf_bpf::abi;
    use bytemuck::Zeroable;
    use proptest::{collection::vec, option, prelude::*, sample::select};

    use super::*;
    use crate::policy::Origin;

    /// Text with all that JSON writes otherwise, with what it does not, and with what is not UTF-8.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "[ -~]{0,20}".prop_map(String::into_bytes),
            "[\"\\\\\u{1}-\u{20}\u{7f}é]{0,9}".prop_map(String::into_bytes),
            vec(any::<u8>(), 0..20),
        ]
    }

    /// The form of what stands in the path's place, and its bytes.
    fn target() -> impl Strategy<Value = (u8, Vec<u8>)> {
        let path = (
            select(&[
                abi::PATH_NONE,
                abi::PATH_ABSOLUTE,
                abi::PATH_COMPONENTS,
                abi::PATH_PARTIAL,
            ]),
            vec(text(), 0..5).prop_map(|names| names.join(&0)),
        );
        let address = vec(any::<u8>(), size_of::<abi::AddressRecord>());
        let task = vec(any::<u8>(), size_of::<abi::TaskRecord>());
        prop_oneof![
            4 => path,
            1 => address.prop_map(|bytes| (abi::PATH_ADDRESS, bytes)),
            1 => task.prop_map(|bytes| (abi::PATH_TASK, bytes)),
        ]
    }

    /// Each number may mean another rule in the next policy.
    fn label() -> impl Strategy<Value = Label> {
        let origin = (select(&["a.conf", "b \"1\""]), 1..3_u32, 1..3_u32);
        let origin = origin.prop_map(|(source, line, column)| Origin::new(source, line, column));
        let object = text().prop_map(|bytes| Arc::from(String::from_utf8_lossy(&bytes)));
        (origin, object).prop_map(|(origin, object)| Label { origin, object })
    }

    /// Few rules, threads and seconds, some of which share their place: what is kept is used, and driven out.
    fn place() -> impl Strategy<Value = u32> {
        select(&[1, 2, 1 + KEPT as u32, u32::MAX])
    }

    prop_compose! {
        fn raw()(
            boot_ns in prop_oneof![1_800_000_000..1_803_000_000_u64, any::<u64>()],
            (rule, pid) in (place(), place()),
            (tgid, uid, gid, dev) in (0..3_u32, 0..3_u32, 0..3_u32, any::<u32>()),
            (cgroup, ino) in (0..3_u64, prop_oneof![Just(0), any::<u64>()]),
            operation in select(&[abi::OPERATION_OPEN, abi::OPERATION_SENDMSG, abi::OPERATION_MODULE_LOAD]),
            decision in select(&[abi::DECISION_AUDIT, abi::DECISION_DENY]),
            (path_form, target) in target(),
            name in text(),
        ) -> abi::Event {
            let mut raw = abi::Event {
                boot_ns, rule, pid, tgid, uid, gid, dev, cgroup, ino, operation, decision, path_form,
                path_len: target.len() as u16,
                ..abi::Event::zeroed()
            };
            raw.path[..target.len()].copy_from_slice(&target);
            let length = name.len().min(raw.comm.len() - 1);
            raw.comm[..length].copy_from_slice(&name[..length]);
            raw
        }
    }

    fn read(raw: &abi::Event, boot: SystemTime, label: Option<Label>) -> Record {
        Record::read(bytemuck::bytes_of(raw), boot, |_| label).unwrap()
    }

    proptest! {
        #[test]
        fn a_line_is_what_serde_makes_of_the_event(
            events in vec((raw(), option::of(label())), 1..9)
        ) {
            let mut json = JsonLines::default();
            let (mut lines, mut expected) = (Vec::new(), String::new());
            for (raw, label) in events {
                let record = read(&raw, SystemTime::UNIX_EPOCH, label);
                json.append(&record, &mut lines).unwrap();
                expected += &serde_json::to_string(&record.event()).unwrap();
                expected.push('\n');
            }
            prop_assert_eq!(String::from_utf8(lines).unwrap(), expected);
        }
    }

    #[test]
    fn a_time_that_cannot_be_written_leaves_nothing_behind() {
        let (mut json, mut lines) = (JsonLines::default(), Vec::new());
        let raw = abi::Event {
            rule: 1,
            operation: abi::OPERATION_OPEN,
            decision: abi::DECISION_AUDIT,
            ..abi::Event::zeroed()
        };
        let epoch = SystemTime::UNIX_EPOCH;
        let before = epoch - Duration::from_secs(1);
        let after = epoch + Duration::from_secs(253_402_300_800);
        for boot in [before, after] {
            let record = read(&raw, boot, None);
            assert!(json.append(&record, &mut lines).is_err());
            assert!(lines.is_empty());
        }
        json.append(&read(&raw, epoch, None), &mut lines).unwrap();
        assert!(lines.starts_with(b"{\"time\":\"1970-01-01T00:00:00.000000Z\","));
    }
}
