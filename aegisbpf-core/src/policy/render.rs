//! A policy as canonical text.

use std::fmt;

use super::Policy;
use super::rule::{Meaning, Rule};
use super::section::{self, NEWEST};
use super::tags::Tags;
use super::text::is_blank;

/// What a rule says, without where it says so.
type Content<'a> = (Meaning<'a>, Option<&'a str>, Tags);

/// The contents of `rules` in canonical order.
pub(super) fn canonical(rules: &[Rule]) -> Vec<Content<'_>> {
    let mut contents: Vec<_> = rules.iter().map(content).collect();
    contents.sort_unstable();
    contents
}

fn content(rule: &Rule) -> Content<'_> {
    (rule.meaning(), rule.note.as_deref(), rule.tags)
}

/// The rules in the order of canonical text.
pub(super) fn sorted(policy: &Policy) -> Vec<&Rule> {
    let mut rules: Vec<&Rule> = policy.rules().iter().collect();
    rules.sort_unstable_by(|a, b| {
        let key = |rule| (section::rank(rule), content(rule));
        key(a).cmp(&key(b))
    });
    rules
}

pub(super) fn render(policy: &Policy, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "version={}", policy.version())?;
    let mut current = None;
    for rule in sorted(policy) {
        let section = rule.section();
        if current != Some(section) {
            writeln!(f, "\n[{section}]")?;
            current = Some(section);
        }
        let entry = rule.entry();
        let slash = if needs_slash(&entry, policy.version()) {
            "/"
        } else {
            ""
        };
        writeln!(f, "{entry}{slash}{}", rule.comment())?;
    }
    Ok(())
}

/// Whether a path needs a slash behind it to be read back whole: a blank there would be trimmed, and a `#` would begin
/// an empty note. Such a path was written with a slash in the first place.
fn needs_slash(entry: &str, version: u8) -> bool {
    entry.ends_with(is_blank) || version >= NEWEST && entry.ends_with('#')
}
