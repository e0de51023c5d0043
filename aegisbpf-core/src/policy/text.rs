//! What text is made of: parts with their places, blanks, labels, addresses, and counting them.

use std::net::IpAddr;
use std::sync::Arc;

use super::problem::Span;
use super::rule::Origin;

/// A stretch of a line, with its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    pub(super) source: &'a Arc<str>,
    /// From 1.
    pub(super) line: u32,
    /// From 1, in characters.
    pub(super) column: u32,
}

impl<'a> Part<'a> {
    pub(super) fn origin(self) -> Origin {
        Origin::new(self.source.clone(), self.line, self.column)
    }

    pub(super) fn span(self) -> Span {
        Span {
            origin: self.origin(),
            length: chars(self.text),
        }
    }

    /// The place of `text`, which is a part of this one.
    pub(super) fn narrow(self, text: &'a str) -> Self {
        let offset = (text.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let before = self.text.get(..offset).unwrap_or_default();
        Self {
            text,
            column: self.column + chars(before),
            ..self
        }
    }

    /// Without blanks at both ends.
    pub(super) fn trimmed(self) -> Self {
        self.narrow(self.text.trim_matches(is_blank))
    }

    /// What stands before the first blanks, and what behind them.
    pub(super) fn split_at_blank(self) -> Option<(Self, Self)> {
        let (first, rest) = self.text.split_once(is_blank)?;
        Some((self.narrow(first), self.narrow(rest).trimmed()))
    }
}

/// Splits `entry # label` at the first `#` that stands between blanks, or between a blank and the end.
pub(super) fn split_label(text: &str) -> (&str, Option<&str>) {
    for (at, _) in text.match_indices('#') {
        let (before, after) = (&text[..at], &text[at + 1..]);
        if before.ends_with(is_blank) && (after.is_empty() || after.starts_with(is_blank)) {
            let label = after.trim_matches(is_blank);
            return (
                before.trim_end_matches(is_blank),
                (!label.is_empty()).then_some(label),
            );
        }
    }
    (text, None)
}

/// `isspace` of C without the line feed. What else Unicode calls white space is part of a name.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

/// Whether a name in brackets is rather an address or a prefix.
pub(super) fn is_address(name: &str) -> bool {
    name.split('/')
        .next()
        .is_some_and(|address| address.parse::<IpAddr>().is_ok())
}

pub(super) fn chars(text: &str) -> u32 {
    number(text.chars().count())
}

pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
