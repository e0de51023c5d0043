//! How things are written: words for people on standard error, results on standard output.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, Write},
};

use serde::Serialize;

/// Writes a line to standard error. Unlike `eprintln!` it does not panic if nobody reads: words that go unread change
/// no exit code, and end no audit.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes `value` to standard output as JSON for machines that people may read too.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// `text` without control characters, which a terminal would obey: whoever may name a file must not be able to
/// repaint the screen of who reads about it.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    Cow::Owned(text.chars().map(escape).collect())
}

/// How many rules, in words.
pub(crate) fn rules(count: usize) -> String {
    match count {
        1 => "1 rule".into(),
        count => format!("{count} rules"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(printable("/tmp/\u{1b}[2Jx\ny"), "/tmp/\\u{1b}[2Jx\\ny");
        assert!(matches!(printable("/tmp/ä x"), Cow::Borrowed(_)));
    }
}
