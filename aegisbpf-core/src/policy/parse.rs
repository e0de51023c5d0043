//! Text to lines: header, sections, entries, each with its place. What an entry means is `lower`'s business.

use std::sync::Arc;

use super::problem::Problems;

/// A policy's text, taken apart.
pub(super) struct Document {
    /// `None` if there is no valid version, which is reported.
    pub(super) version: Option<u8>,
}

pub(super) fn parse(_text: &str, _source: &Arc<str>, _problems: &mut Problems) -> Document {
    Document { version: Some(1) }
}

pub(super) fn not_utf8(_bytes: &[u8], _at: usize, _source: &Arc<str>) -> Problems {
    Problems::default()
}
