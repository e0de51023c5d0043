//! What one policy says and another does not, in rules: neither order nor spelling, comments or files matter.

use std::collections::HashMap;

use serde::Serialize;

use super::rule::Meaning;
use super::{Policy, Rule};

/// The difference between two policies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Diff<'a> {
    /// Rules of the first that the second lacks.
    pub removed: Vec<&'a Rule>,
    /// Rules of the second that the first lacks.
    pub added: Vec<&'a Rule>,
    /// Rules that both have, under another label or with other tags.
    pub relabelled: Vec<(&'a Rule, &'a Rule)>,
    /// Settings of the first that the second lacks: `[section]`, or `[section] entry`.
    pub unset: Vec<String>,
    /// Settings of the second that the first lacks.
    pub set: Vec<String>,
}

impl<'a> Diff<'a> {
    /// What becomes of `old` if it is replaced by `new`.
    #[must_use]
    pub fn between(old: &'a Policy, new: &'a Policy) -> Self {
        let (before, after) = (index(old), index(new));
        let lacks = |rules: &'a [Rule], other: &HashMap<Meaning<'_>, &Rule>| {
            rules
                .iter()
                .filter(|rule| !other.contains_key(&rule.meaning()))
                .collect()
        };
        let relabelled = old.rules().iter().filter_map(|rule| {
            let other = *after.get(&rule.meaning())?;
            (rule.note != other.note || rule.tags != other.tags).then_some((rule, other))
        });
        let (set_before, set_after) = (settings(old), settings(new));
        let without = |all: &[String], other: &[String]| {
            all.iter()
                .filter(|setting| !other.contains(setting))
                .cloned()
                .collect()
        };
        Self {
            removed: lacks(old.rules(), &after),
            added: lacks(new.rules(), &before),
            relabelled: relabelled.collect(),
            unset: without(&set_before, &set_after),
            set: without(&set_after, &set_before),
        }
    }

    /// Whether the two decide the same, under the same labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn index(policy: &Policy) -> HashMap<Meaning<'_>, &Rule> {
    policy
        .rules()
        .iter()
        .map(|rule| (rule.meaning(), rule))
        .collect()
}

fn settings(policy: &Policy) -> Vec<String> {
    let settings = policy.settings();
    let flags = settings
        .iter()
        .filter(|(section, ..)| *section != "scan_paths")
        .map(|(section, ..)| format!("[{section}]"));
    let scans = settings.scan_paths.iter();
    flags
        .chain(scans.map(|scan| format!("[scan_paths] {}", scan.path.display())))
        .collect()
}
