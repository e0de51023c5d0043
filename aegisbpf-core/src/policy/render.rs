//! A policy as canonical text.

use std::fmt;

use super::Policy;
use super::object::Object;
use super::rule::{Meaning, Rule, Subject};
use super::section::{Kind, NEWEST, SECTIONS};
use super::settings::Settings;
use super::tags::Tags;
use super::text::is_blank;

/// What a rule says, without where it says so.
type Content<'a> = (Meaning<'a>, Option<&'a str>, Tags);

fn content(rule: &Rule) -> Content<'_> {
    (rule.meaning(), rule.note.as_deref(), rule.tags)
}

/// Whether two policies have the same canonical text.
pub(super) fn same(a: &Policy, b: &Policy) -> bool {
    a.version() == b.version()
        && a.rules().len() == b.rules().len()
        && canonical(a.rules()) == canonical(b.rules())
        && SECTIONS
            .iter()
            .all(|section| set(a.settings(), section.kind) == set(b.settings(), section.kind))
}

/// The contents of `rules` in canonical order.
fn canonical(rules: &[Rule]) -> Vec<Content<'_>> {
    let mut contents: Vec<_> = rules.iter().map(content).collect();
    contents.sort_unstable();
    contents
}

/// The rules in the order of canonical text.
pub(super) fn sorted(policy: &Policy) -> Vec<&Rule> {
    by_kind(policy).into_iter().flatten().collect()
}

/// The rules of each section in canonical order.
fn by_kind(policy: &Policy) -> Vec<Vec<&Rule>> {
    let mut by_kind: Vec<Vec<&Rule>> = vec![Vec::new(); SECTIONS.len()];
    for rule in policy.rules() {
        by_kind[rule.kind() as usize].push(rule);
    }
    for rules in &mut by_kind {
        rules.sort_unstable_by(|a, b| content(a).cmp(&content(b)));
    }
    by_kind
}

pub(super) fn render(policy: &Policy, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "version={}", policy.version())?;
    for (section, rules) in SECTIONS.iter().zip(by_kind(policy)) {
        let entries = set(policy.settings(), section.kind);
        if section.kind.is_flag() {
            match (rules.first(), entries) {
                (Some(rule), _) => writeln!(f, "\n[{}]{}", section.name, rule.comment())?,
                (None, Some(_)) => writeln!(f, "\n[{}]", section.name)?,
                (None, None) => {}
            }
            continue;
        }
        if rules.is_empty() && entries.is_none() {
            continue;
        }
        writeln!(f, "\n[{}]", section.name)?;
        for rule in rules {
            writeln!(f, "{}{}", line(rule, policy.version()), rule.comment())?;
        }
        for entry in entries.unwrap_or_default() {
            let slash = if needs_slash(&entry, policy.version()) {
                "/"
            } else {
                ""
            };
            writeln!(f, "{entry}{slash}")?;
        }
    }
    Ok(())
}

/// The entries of a section that makes no rules, if it is set.
fn set(settings: &Settings, kind: Kind) -> Option<Vec<String>> {
    let flag = |set: bool| set.then(Vec::new);
    match kind {
        Kind::ProtectRuntimeDeps => flag(settings.protect_runtime_deps.is_some()),
        Kind::RequireImaAppraisal => flag(settings.require_ima_appraisal.is_some()),
        Kind::ImaFailClosed => flag(settings.ima_fail_closed.is_some()),
        Kind::ScanPaths => {
            let paths = settings.scan_paths.iter();
            let mut paths: Vec<_> = paths.map(|scan| scan.path.display().to_string()).collect();
            paths.sort_unstable();
            (!paths.is_empty()).then_some(paths)
        }
        _ => None,
    }
}

/// The rule's entry, so that it is read back whole.
fn line(rule: &Rule, version: u8) -> String {
    let entry = rule.entry();
    match &rule.subject {
        Subject::Executable(executable) => {
            let executable = executable.display().to_string();
            let object = &entry[executable.len()..];
            // A slash at the end of the object would make it a directory.
            let slash = if needs_slash(&executable, version) {
                "/"
            } else {
                ""
            };
            let dot = if needs_slash(object, version) && matches!(rule.object, Object::Path(_)) {
                "/."
            } else {
                ""
            };
            format!("{executable}{slash}{object}{dot}")
        }
        _ if is_path(rule) && needs_slash(&entry, version) => entry + "/",
        _ => entry,
    }
}

/// Whether the entry is a path, so that a slash at its end changes nothing.
fn is_path(rule: &Rule) -> bool {
    match &rule.object {
        Object::Path(_) | Object::Dir(_) => true,
        Object::Any => matches!(rule.subject, Subject::Cgroup(_)),
        _ => false,
    }
}

/// Whether a path needs a slash behind it to be read back whole: a blank there would be trimmed, and a `#` would begin
/// an empty label. Such a path was written with a slash in the first place.
fn needs_slash(path: &str, version: u8) -> bool {
    let sign = |path: &str| {
        path.strip_suffix('#')
            .is_some_and(|before| before.ends_with(is_blank))
    };
    path.ends_with(is_blank) || version >= NEWEST && sign(path)
}
