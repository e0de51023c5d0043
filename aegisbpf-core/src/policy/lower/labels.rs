//! Labels: the words behind an entry, and the tags among them.

use std::sync::Arc;

use super::super::problem::{Problems, quote};
use super::super::tags::{RuleSeverity, Tags};
use super::super::text::{Part, is_blank};

/// What follows ` # ` on a line.
#[derive(Default)]
pub(super) struct Label {
    /// The words that are no tags, one blank between them.
    pub(super) note: Option<Arc<str>>,
    pub(super) tags: Tags,
}

pub(super) fn read(part: Option<Part<'_>>, problems: &mut Problems) -> Label {
    let Some(part) = part else {
        return Label::default();
    };
    let mut tags = Tags::default();
    let mut note = String::new();
    for word in part.text.split(is_blank).filter(|word| !word.is_empty()) {
        match tag(word) {
            Some((name, value)) => {
                set(&mut tags, name, value, part.narrow(word), problems);
            }
            None => {
                if !note.is_empty() {
                    note.push(' ');
                }
                note.push_str(word);
            }
        }
    }
    Label {
        note: (!note.is_empty()).then(|| note.into()),
        tags,
    }
}

/// `@name=value`, taken apart. The names that we know are tags without a value too, since that is surely a mistake.
fn tag(word: &str) -> Option<(&str, &str)> {
    let tag = word.strip_prefix('@')?;
    match tag.split_once('=') {
        Some((name, value))
            if name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') =>
        {
            Some((name, value))
        }
        None if NAMES.contains(&tag) => Some((tag, "")),
        _ => None,
    }
}

const NAMES: [&str; 2] = ["severity", "mitre"];

fn set(tags: &mut Tags, name: &str, value: &str, part: Part<'_>, problems: &mut Problems) {
    let again = match name {
        "severity" => tags.severity.is_some(),
        "mitre" => tags.mitre.is_some(),
        _ => {
            let near = NAMES
                .into_iter()
                .find(|known| strsim::damerau_levenshtein(known, &name.to_lowercase()) <= 2);
            let remedy = match near {
                Some(near) => format!("did you mean `@{near}={value}`?"),
                None => "the tags are `@severity=…` and `@mitre=…`; write other words without `@`"
                    .to_owned(),
            };
            return problems.error(
                part.span(),
                format!("unknown tag {}", quote(part.text)),
                remedy,
            );
        }
    };
    if again {
        let message = format!("`@{name}` is given twice");
        return problems.error(part.span(), message, "keep one of the two");
    }
    let outcome = if name == "severity" {
        value
            .parse()
            .map(|severity| tags.severity = Some(severity))
            .map_err(|error| {
                (
                    error.to_string(),
                    format!("write `@severity={}`", meant(value)),
                )
            })
    } else {
        value
            .parse()
            .map(|technique| tags.mitre = Some(technique))
            .map_err(|error| {
                (
                    error.to_string(),
                    "write it as `@mitre=T1003.008`".to_owned(),
                )
            })
    };
    if let Err((error, remedy)) = outcome {
        problems.error(
            part.span(),
            format!("{}: {error}", quote(part.text)),
            remedy,
        );
    }
}

/// The severity that was probably meant.
fn meant(value: &str) -> RuleSeverity {
    if value.is_empty() {
        return RuleSeverity::High;
    }
    let value = value.to_lowercase();
    let distance =
        |severity: &RuleSeverity| strsim::damerau_levenshtein(&severity.to_string(), &value);
    RuleSeverity::ALL
        .into_iter()
        .min_by_key(distance)
        .unwrap_or(RuleSeverity::High)
}
