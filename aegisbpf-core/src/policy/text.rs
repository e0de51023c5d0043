//! What text is made of: blanks, notes, addresses, and counting them.

use std::net::IpAddr;

/// Splits `entry # note` at the first `#` that stands between blanks, or between a blank and the end.
pub(super) fn split_note(text: &str) -> (&str, Option<&str>) {
    for (at, _) in text.match_indices('#') {
        let (before, after) = (&text[..at], &text[at + 1..]);
        if before.ends_with(is_blank) && (after.is_empty() || after.starts_with(is_blank)) {
            let note = after.trim_matches(is_blank);
            return (
                before.trim_end_matches(is_blank),
                (!note.is_empty()).then_some(note),
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
