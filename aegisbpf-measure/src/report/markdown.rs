//! The Markdown report.

use crate::record::Record;

/// The report of one run.
#[must_use]
pub fn report(record: &Record) -> String {
    record.judgement.sentence()
}
