//! Lines to rules.

use super::parse::Document;
use super::problem::Problems;
use super::rule::Rule;

pub(super) fn lower(_document: &Document, _problems: &mut Problems) -> Vec<Rule> {
    Vec::new()
}
