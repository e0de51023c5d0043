//! Text to entries: header, sections and lines, each with its place. What an entry means is `lower`'s business.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::problem::{Problems, Span, quote};
use super::rule::Origin;
use super::section::{self, Kind, NEWEST, Section};
use super::text::{chars, is_address, is_blank, number, split_note};

/// A policy's text, taken apart.
pub(super) struct Document<'a> {
    /// `None` if there is no valid version, which is reported.
    pub(super) version: Option<u8>,
    /// The lines of the sections that this build enforces.
    pub(super) entries: Vec<Entry<'a>>,
}

/// A line of a section.
pub(super) struct Entry<'a> {
    pub(super) section: Section,
    pub(super) text: &'a str,
    /// What follows ` # ` in version 7.
    pub(super) note: Option<&'a str>,
    pub(super) span: Span,
}

/// Takes `text` apart, and adds to `problems` what stands in the way.
pub(super) fn parse<'a>(text: &'a str, source: &Arc<str>, problems: &mut Problems) -> Document<'a> {
    let mut parser = Parser {
        source,
        problems,
        version: Version::Missing,
        state: State::Header,
        reported: BTreeSet::new(),
        entries: Vec::new(),
    };
    for (index, text) in text.split('\n').enumerate() {
        parser.line(index, text);
    }
    parser.finish()
}

/// The problem of a text whose byte at `offset` is not UTF-8.
pub(super) fn not_utf8(bytes: &[u8], offset: usize, source: &Arc<str>) -> Problems {
    let before = String::from_utf8_lossy(&bytes[..offset]);
    let line = before.matches('\n').count();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let origin = Origin::new(
        source.clone(),
        number(line + 1),
        chars(&before[start..]) + 1,
    );
    let mut problems = Problems::default();
    problems.error(
        Span { origin, length: 1 },
        format!(
            "the text is not UTF-8: byte 0x{:02x} at offset {offset}",
            bytes[offset]
        ),
        "save the file as UTF-8, for instance by `iconv -f latin1 -t utf-8`",
    );
    problems
}

struct Parser<'a, 'p> {
    source: &'p Arc<str>,
    problems: &'p mut Problems,
    version: Version,
    state: State,
    /// Unknown and refused sections that have had their error.
    reported: BTreeSet<&'a str>,
    entries: Vec<Entry<'a>>,
}

#[derive(Clone, Copy)]
enum Version {
    Missing,
    /// Given, but not as a version that we know. This is reported.
    Invalid,
    Known {
        version: u8,
        line: u32,
    },
}

/// What a line is taken for.
#[derive(Clone, Copy)]
enum State {
    Header,
    Entries(Section),
    /// Nothing is expected below a flag; the first entry gets a warning.
    Flag(Section),
    /// Below a section that was reported.
    Skip,
}

/// A line without the blanks around it.
#[derive(Clone, Copy)]
struct Line<'a> {
    text: &'a str,
    number: u32,
    column: u32,
}

impl<'a> Parser<'a, '_> {
    fn line(&mut self, index: usize, raw: &'a str) {
        let number = number(index + 1);
        let (raw, skipped) = match raw.strip_prefix('\u{feff}') {
            Some(rest) if index == 0 => {
                self.byte_order_mark();
                (rest, 1)
            }
            _ => (raw, 0),
        };
        let start = raw.trim_start_matches(is_blank);
        let column = chars(raw) - chars(start) + skipped + 1;
        let text = start.trim_end_matches(is_blank);
        let line = Line {
            text,
            number,
            column,
        };
        if text.is_empty() || text.starts_with('#') {
            return;
        }
        if text.starts_with('[') && !self.takes_brackets(text) {
            return self.section(line);
        }
        match self.state {
            State::Header => self.header(line),
            State::Entries(section) => self.entry(section, line),
            State::Flag(section) => {
                self.problems.warning(
                    self.span(line),
                    format!(
                        "[{}] takes no entries, its header alone sets it",
                        section.name
                    ),
                    "remove the lines below the header",
                );
                self.state = State::Skip;
            }
            State::Skip => {}
        }
    }

    fn byte_order_mark(&mut self) {
        let span = Span {
            origin: Origin::new(self.source.clone(), 1, 1),
            length: 1,
        };
        self.problems.error(
            span,
            "the file begins with a byte-order mark",
            "save it as UTF-8 without one, or run `sed -i '1s/^\\xEF\\xBB\\xBF//'` on it",
        );
    }

    /// Whether `text`, which begins with `[`, is an entry like `[::1]:443`.
    fn takes_brackets(&self, text: &str) -> bool {
        matches!(
            self.state,
            State::Entries(Section {
                kind: Kind::RefusedAddress,
                ..
            })
        ) && !text.ends_with(']')
    }

    fn header(&mut self, line: Line<'a>) {
        let Some((key, value)) = line.text.split_once('=') else {
            let remedy = if line.text.starts_with('/') {
                "write `[deny_path]` on a line above the path".to_owned()
            } else {
                match section::nearest(line.text) {
                    Some(name) => format!("a section is written in brackets: `[{name}]`"),
                    None => {
                        "only `version=1` and comments stand above the first `[section]`".to_owned()
                    }
                }
            };
            let message = format!(
                "{} is neither `key=value` nor `[section]`",
                quote(line.text)
            );
            return self.problems.error(self.span(line), message, remedy);
        };
        let (key, value) = (key.trim_matches(is_blank), value.trim_matches(is_blank));
        if key == "version" {
            self.version(line, value);
        } else {
            self.problems.error(
                self.span(line),
                format!("unknown key {} in the header", quote(key)),
                "the only key is `version`; remove the line",
            );
        }
    }

    fn version(&mut self, line: Line<'a>, value: &str) {
        if let Version::Known { line: first, .. } = self.version {
            self.problems.warning(
                self.span(line),
                format!("`version` is given again, after line {first}; the last one holds"),
                "keep one of the two lines",
            );
        }
        let digits = value.strip_prefix('+').unwrap_or(value);
        let parsed: Option<u8> = digits.parse().ok().filter(|v| (1..=NEWEST).contains(v));
        self.version = match parsed {
            // `parse` takes a sign of its own, so `++1` would pass.
            Some(version) if !digits.starts_with('+') => Version::Known {
                version,
                line: line.number,
            },
            _ => {
                let message = if value.is_empty() {
                    "`version` has no value".to_owned()
                } else if !crate::file_id::is_decimal(digits) {
                    format!("the version {} is not a decimal number", quote(value))
                } else {
                    format!("there is no format version {}", quote(value))
                };
                let remedy = format!("write a version from 1 to {NEWEST}, as `version=1`");
                self.problems.error(self.span(line), message, remedy);
                Version::Invalid
            }
        };
    }

    fn section(&mut self, line: Line<'a>) {
        let inner = &line.text[1..];
        let Some(close) = inner.rfind(']') else {
            return self.malformed(line, inner, "the section header is not closed");
        };
        let name = inner[..close].trim_matches(is_blank);
        if is_address(name) {
            let message = format!("{} reads as a section header", quote(line.text));
            let remedy = format!("write an address without brackets: `{name}`");
            return self.problems.error(self.span(line), message, remedy);
        }
        if close + 1 != inner.len() {
            return self.malformed(line, name, "there is text after the section header");
        }
        self.expect_version(line);
        match section::find(name) {
            Some(section) => self.known(section, line),
            None => self.unknown(name, line),
        }
    }

    fn known(&mut self, section: Section, line: Line<'a>) {
        let Section { name, since, kind } = section;
        self.state = match kind {
            Kind::RefusedFlag => State::Flag(section),
            _ => State::Entries(section),
        };
        if !kind.is_refused() || !self.reported.insert(name) {
            return;
        }
        let message = match self.version {
            Version::Known { version, .. } if version < since => format!(
                "[{name}] needs version={since}, this file says version={version}; nor is it enforced by this build"
            ),
            _ => format!("[{name}] is not enforced by this build"),
        };
        self.problems.error(
            self.span(line),
            message,
            "remove the section; this build enforces [deny_path], [deny_inode] and [allow_cgroup]",
        );
    }

    fn unknown(&mut self, name: &'a str, line: Line<'a>) {
        self.state = State::Skip;
        if !self.reported.insert(name) {
            return;
        }
        let remedy = match section::nearest(name) {
            Some(near) => format!("did you mean `[{near}]`? Names are case-sensitive"),
            None => "see docs/POLICY.md for the sections, or remove this one".to_owned(),
        };
        let message = format!("unknown section {}", quote(line.text));
        self.problems.error(self.span(line), message, remedy);
    }

    /// Reports a header that is none, and goes on as if it were the one that was probably meant, so that its entries
    /// are not reported as those of the section before it.
    fn malformed(&mut self, line: Line<'a>, name: &str, message: &str) {
        self.expect_version(line);
        let name = name.trim_matches(is_blank);
        self.state = section::find(name).map_or(State::Skip, State::Entries);
        let remedy = match section::find(name)
            .map(|section| section.name)
            .or(section::nearest(name))
        {
            Some(name) => format!("write `[{name}]` on a line of its own"),
            None => "write `[section]` on a line of its own".to_owned(),
        };
        self.problems.error(
            self.span(line),
            format!("{message}: {}", quote(line.text)),
            remedy,
        );
    }

    /// At the first section: the header is over, so the version should be known.
    fn expect_version(&mut self, line: Line<'a>) {
        if matches!(
            (self.state, self.version),
            (State::Header, Version::Missing)
        ) {
            self.problems.error(
                Span {
                    length: 0,
                    ..self.span(line)
                },
                "there is no `version` above the first section",
                "write `version=1` above it",
            );
            self.version = Version::Invalid;
        }
    }

    fn entry(&mut self, section: Section, line: Line<'a>) {
        if section.kind.is_refused() {
            return;
        }
        if line
            .text
            .split_once('=')
            .is_some_and(|(key, _)| key.trim_matches(is_blank) == "version")
        {
            return self.problems.error(
                self.span(line),
                format!("`version` stands below [{}]", section.name),
                "move it above the first section",
            );
        }
        let (text, note) = match self.version {
            Version::Known { version, .. } if version < NEWEST => (line.text, None),
            _ => split_note(line.text),
        };
        let span = self.span(Line { text, ..line });
        self.entries.push(Entry {
            section,
            text,
            note,
            span,
        });
    }

    fn span(&self, line: Line<'_>) -> Span {
        let origin = Origin::new(self.source.clone(), line.number, line.column);
        Span {
            origin,
            length: chars(line.text),
        }
    }

    fn finish(self) -> Document<'a> {
        let version = match self.version {
            Version::Known { version, .. } => Some(version),
            Version::Invalid => None,
            Version::Missing => {
                let origin = Origin::new(self.source.clone(), 1, 1);
                self.problems.error(
                    Span { origin, length: 0 },
                    "the policy has no `version`",
                    "begin it with `version=1`",
                );
                None
            }
        };
        Document {
            version,
            entries: self.entries,
        }
    }
}
