//! A policy as canonical text.

use std::fmt;

use super::Policy;
use super::rule::{Effect, Meaning, Object, Rule, Subject};
use super::section::NEWEST;
use super::text::is_blank;

/// What a rule says, without where it says so.
type Content<'a> = (Meaning<'a>, Option<&'a str>);

/// The contents of `rules` in canonical order.
pub(super) fn canonical(rules: &[Rule]) -> Vec<Content<'_>> {
    let mut contents: Vec<_> = rules
        .iter()
        .map(|rule| (rule.meaning(), rule.note.as_deref()))
        .collect();
    contents.sort_unstable();
    contents
}

pub(super) fn render(policy: &Policy, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "version={}", policy.version())?;
    let mut rules: Vec<&Rule> = policy.rules().iter().collect();
    rules.sort_unstable_by(|a, b| {
        (section(a), a.meaning(), &a.note).cmp(&(section(b), b.meaning(), &b.note))
    });
    let mut current = None;
    for rule in rules {
        let section = section(rule);
        if current != Some(section) {
            writeln!(f, "\n[{}]", section.1)?;
            current = Some(section);
        }
        let entry = rule.entry();
        let slash = if needs_slash(&entry, policy.version()) {
            "/"
        } else {
            ""
        };
        match &rule.note {
            Some(note) => writeln!(f, "{entry}{slash} # {note}")?,
            None => writeln!(f, "{entry}{slash}")?,
        }
    }
    Ok(())
}

/// Whether a path needs a slash behind it to be read back whole: a blank there would be trimmed, and a `#` would begin
/// an empty note. Such a path was written with a slash in the first place.
fn needs_slash(entry: &str, version: u8) -> bool {
    entry.ends_with(is_blank) || version >= NEWEST && entry.ends_with('#')
}

/// The section that a rule is written in, with its rank in canonical text.
fn section(rule: &Rule) -> (u8, &'static str) {
    match (rule.effect, &rule.subject, &rule.object) {
        (Effect::Deny, _, Object::Path(_)) => (0, "deny_path"),
        (Effect::Deny, _, Object::Inode(_) | Object::Any) => (1, "deny_inode"),
        (Effect::Allow, Subject::Cgroup(_) | Subject::Any, _) => (2, "allow_cgroup"),
    }
}
