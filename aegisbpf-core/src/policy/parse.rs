//! Text to entries: header, sections and lines, each with its place. What an entry means is `lower`'s business.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::problem::{Problems, Span, quote};
use super::rule::Origin;
use super::section::{self, Kind, NEWEST, Section};
use super::text::{Part, chars, is_address, is_blank, number, split_label};

/// A line of a section, or the header of a section that takes none.
pub(super) struct Entry<'a> {
    pub(super) kind: Kind,
    pub(super) part: Part<'a>,
    /// What follows ` # ` in version 7.
    pub(super) label: Option<Part<'a>>,
}

/// Takes a text apart, one entry after another, so that a long text needs no second copy of itself.
pub(super) struct Parser<'a> {
    lines: std::iter::Enumerate<std::str::Split<'a, char>>,
    source: &'a Arc<str>,
    version: Version,
    state: State,
    /// Sections that are unknown or above the version, and have had their error.
    reported: BTreeSet<&'a str>,
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

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, source: &'a Arc<str>) -> Self {
        Self {
            lines: text.split('\n').enumerate(),
            source,
            version: Version::Missing,
            state: State::Header,
            reported: BTreeSet::new(),
        }
    }

    /// The version that the header states; `None` if it states none that we know, which is reported.
    pub(super) fn version(&self) -> Option<u8> {
        match self.version {
            Version::Known { version, .. } => Some(version),
            Version::Missing | Version::Invalid => None,
        }
    }

    /// The next entry; adds to `problems` what stands in the way.
    pub(super) fn next(&mut self, problems: &mut Problems) -> Option<Entry<'a>> {
        while let Some((index, raw)) = self.lines.next() {
            if let Some(entry) = self.line(index, raw, problems) {
                return Some(entry);
            }
        }
        self.finish(problems);
        None
    }

    fn line(&mut self, index: usize, raw: &'a str, problems: &mut Problems) -> Option<Entry<'a>> {
        let (raw, skipped) = match raw.strip_prefix('\u{feff}') {
            Some(rest) if index == 0 => {
                self.byte_order_mark(problems);
                (rest, 1)
            }
            _ => (raw, 0),
        };
        let whole = Part {
            text: raw,
            source: self.source,
            line: number(index + 1),
            column: skipped + 1,
        };
        let line = whole.trimmed();
        if line.text.is_empty() || line.text.starts_with('#') {
            return None;
        }
        if line.text.starts_with('[') && !self.takes_brackets(line.text) {
            return self.section(line, problems);
        }
        match self.state {
            State::Header => self.header(line, problems),
            State::Entries(section) => return self.entry(section, line, problems),
            State::Flag(section) => {
                problems.warning(
                    line.span(),
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
        None
    }

    fn byte_order_mark(&self, problems: &mut Problems) {
        let span = Span {
            origin: Origin::new(self.source.clone(), 1, 1),
            length: 1,
        };
        problems.error(
            span,
            "the file begins with a byte-order mark",
            "save it as UTF-8 without one, or run `sed -i '1s/^\\xEF\\xBB\\xBF//'` on it",
        );
    }

    /// Whether `text`, which begins with `[`, is an entry like `[::1]:443`.
    fn takes_brackets(&self, text: &str) -> bool {
        matches!(self.state, State::Entries(section) if section.kind == Kind::DenyIpPort)
            && text
                .split_once(']')
                .is_some_and(|(_, rest)| rest.starts_with(':'))
    }

    fn header(&mut self, line: Part<'a>, problems: &mut Problems) {
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
            return problems.error(line.span(), message, remedy);
        };
        let (key, value) = (key.trim_matches(is_blank), value.trim_matches(is_blank));
        if key == "version" {
            self.take_version(line, value, problems);
        } else {
            problems.error(
                line.span(),
                format!("unknown key {} in the header", quote(key)),
                "the only key is `version`; remove the line",
            );
        }
    }

    fn take_version(&mut self, line: Part<'a>, value: &str, problems: &mut Problems) {
        if let Version::Known { line: first, .. } = self.version {
            problems.warning(
                line.span(),
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
                line: line.line,
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
                problems.error(line.span(), message, remedy);
                Version::Invalid
            }
        };
    }

    fn section(&mut self, line: Part<'a>, problems: &mut Problems) -> Option<Entry<'a>> {
        let (text, label) = self.split(line);
        // Only a section that takes no entries has a label at its header.
        let flag = |name| section::find(name).filter(|section| section.kind.is_flag());
        let header = |text: &'a str| {
            Some(
                text.strip_prefix('[')?
                    .strip_suffix(']')?
                    .trim_matches(is_blank),
            )
        };
        if let Some(section) = header(text.text).and_then(flag) {
            self.expect_version(line, problems);
            self.known(section, text, problems);
            return Some(Entry {
                kind: section.kind,
                part: text,
                label,
            });
        }
        let inner = &line.text[1..];
        let Some(close) = inner.rfind(']') else {
            self.malformed(line, inner, "the section header is not closed", problems);
            return None;
        };
        let name = inner[..close].trim_matches(is_blank);
        if is_address(name) {
            let message = format!("{} reads as a section header", quote(line.text));
            let rest = inner[close + 1..].trim_matches(is_blank);
            let remedy = if matches!(self.state, State::Entries(section) if section.kind == Kind::DenyIpPort)
            {
                format!("write the port behind it: `[{name}]:443`")
            } else if rest.starts_with(':') {
                "put an address with a port under [deny_ip_port]".to_owned()
            } else if rest.starts_with('/') {
                format!("write an address without brackets: `{name}{rest}`")
            } else {
                format!("write an address without brackets: `{name}`")
            };
            problems.error(line.span(), message, remedy);
            return None;
        }
        if close + 1 != inner.len() {
            self.malformed(
                line,
                name,
                "there is text after the section header",
                problems,
            );
            return None;
        }
        self.expect_version(line, problems);
        match section::find(name) {
            Some(section) => self.known(section, line, problems),
            None => self.unknown(name, line, problems),
        }
        None
    }

    fn known(&mut self, section: Section, line: Part<'a>, problems: &mut Problems) {
        let Section { name, since, kind } = section;
        self.state = if kind.is_flag() {
            State::Flag(section)
        } else {
            State::Entries(section)
        };
        let Version::Known {
            version,
            line: given,
        } = self.version
        else {
            return;
        };
        if version < since && self.reported.insert(name) {
            problems.error(
                line.span(),
                format!("[{name}] needs version={since}, this file says version={version}"),
                format!("write `version={since}` on line {given}, or remove the section"),
            );
        }
    }

    fn unknown(&mut self, name: &'a str, line: Part<'a>, problems: &mut Problems) {
        self.state = State::Skip;
        if !self.reported.insert(name) {
            return;
        }
        let remedy = match section::nearest(name) {
            Some(near) => format!("did you mean `[{near}]`? Names are case-sensitive"),
            None => "see docs/POLICY.md for the sections, or remove this one".to_owned(),
        };
        let message = format!("unknown section {}", quote(line.text));
        problems.error(line.span(), message, remedy);
    }

    /// Reports a header that is none, and goes on as if it were the one that was probably meant, so that its entries
    /// are not reported as those of the section before it.
    fn malformed(&mut self, line: Part<'a>, name: &str, message: &str, problems: &mut Problems) {
        self.expect_version(line, problems);
        let name = name.trim_matches(is_blank);
        self.state = section::find(name)
            .filter(|section| !section.kind.is_flag())
            .map_or(State::Skip, State::Entries);
        let remedy = match section::find(name)
            .map(|section| section.name)
            .or(section::nearest(name))
        {
            Some(name) => format!("write `[{name}]` on a line of its own"),
            None => "write `[section]` on a line of its own".to_owned(),
        };
        problems.error(
            line.span(),
            format!("{message}: {}", quote(line.text)),
            remedy,
        );
    }

    /// At the first section: the header is over, so the version should be known.
    fn expect_version(&mut self, line: Part<'a>, problems: &mut Problems) {
        if matches!(
            (self.state, self.version),
            (State::Header, Version::Missing)
        ) {
            problems.error(
                Span {
                    length: 0,
                    ..line.span()
                },
                "there is no `version` above the first section",
                "write `version=1` above it",
            );
            self.version = Version::Invalid;
        }
    }

    fn entry(
        &self,
        section: Section,
        line: Part<'a>,
        problems: &mut Problems,
    ) -> Option<Entry<'a>> {
        if line
            .text
            .split_once('=')
            .is_some_and(|(key, _)| key.trim_matches(is_blank) == "version")
        {
            problems.error(
                line.span(),
                format!("`version` stands below [{}]", section.name),
                "move it above the first section",
            );
            return None;
        }
        let (part, label) = self.split(line);
        Some(Entry {
            kind: section.kind,
            part,
            label,
        })
    }

    /// The entry, and its label where the version has labels.
    fn split(&self, line: Part<'a>) -> (Part<'a>, Option<Part<'a>>) {
        match self.version() {
            Some(version) if version < NEWEST => (line, None),
            _ => {
                let (entry, label) = split_label(line.text);
                (line.narrow(entry), label.map(|label| line.narrow(label)))
            }
        }
    }

    fn finish(&mut self, problems: &mut Problems) {
        if matches!(self.version, Version::Missing) {
            // Once: the next call finds it said.
            self.version = Version::Invalid;
            let origin = Origin::new(self.source.clone(), 1, 1);
            problems.error(
                Span { origin, length: 0 },
                "the policy has no `version`",
                "begin it with `version=1`",
            );
        }
    }
}
