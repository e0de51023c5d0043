//! How an error is told in one line.

use aegisbpf_measure::workload::BoxError;

/// An error with all its causes, `: ` between them.
#[must_use]
pub fn chain(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Some errors repeat their source in their own text.
        if !text.contains(&cause.to_string()) {
            text = format!("{text}: {cause}");
        }
        source = cause.source();
    }
    text
}
