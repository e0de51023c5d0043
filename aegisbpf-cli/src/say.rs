//! Words for people, on standard error.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Writes a line. Unlike `eprintln!` it does not panic if nobody reads: words that go unread change no exit code,
/// and end no audit.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
