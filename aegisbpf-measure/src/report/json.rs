//! The whole record as JSON, with [`SCHEMA_VERSION`](crate::record::SCHEMA_VERSION).

use std::io::{self, Write};

use crate::record::Record;

/// Writes the record, indented.
///
/// # Errors
/// If the writer fails.
pub fn write(record: &Record, to: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, record)?;
    to.write_all(b"\n")
}
