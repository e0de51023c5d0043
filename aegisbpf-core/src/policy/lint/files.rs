//! Files that are denied twice, denied and protected, or excepted from nothing.

use std::collections::HashMap;
use std::path::Path;

use super::super::object::Object;
use super::super::problem::Problems;
use super::super::rule::Rule;
use super::super::section::Kind;
use super::{at, warn};

pub(super) fn lint(rules: &[Rule], problems: &mut Problems) {
    let of = |kind: Kind| rules.iter().filter(move |rule| rule.kind() == kind);
    let dirs: HashMap<&Path, &Rule> = of(Kind::DenyDir)
        .filter_map(|rule| Some((path(rule)?, rule)))
        .collect();
    protected(of(Kind::DenyPath), of(Kind::ProtectPath), problems);
    if !dirs.is_empty() {
        for rule in rules.iter().filter(|rule| {
            matches!(
                rule.kind(),
                Kind::DenyPath | Kind::DenyDir | Kind::ProtectPath
            )
        }) {
            covered(rule, &dirs, problems);
        }
    }
    exceptions(rules, &dirs, problems);
    inodes(rules, problems);
}

fn protected<'r>(
    denied: impl Iterator<Item = &'r Rule>,
    protected: impl Iterator<Item = &'r Rule>,
    problems: &mut Problems,
) {
    let protected: HashMap<&Path, &Rule> = protected
        .filter_map(|rule| Some((path(rule)?, rule)))
        .collect();
    if protected.is_empty() {
        return;
    }
    for deny in denied {
        if let Some(protect) = path(deny).and_then(|path| protected.get(path)) {
            warn(
                problems,
                protect,
                format!(
                    "the path is denied too, {}: deny wins, verified executables included",
                    at(deny, protect)
                ),
                "remove one of the two",
            );
        }
    }
}

/// Rules about what a directory rule holds.
fn covered(rule: &Rule, dirs: &HashMap<&Path, &Rule>, problems: &mut Problems) {
    let Some(path) = path(rule) else {
        return;
    };
    // A file is below a directory that has its own path only in name: one of the two is not there.
    let Some(dir) = path.ancestors().skip(1).find_map(|above| dirs.get(above)) else {
        return;
    };
    let message = if rule.kind() == Kind::ProtectPath {
        format!(
            "the path is below a directory that is denied, {}: deny wins, verified executables included",
            at(dir, rule)
        )
    } else {
        format!(
            "denied already: [deny_dir] {} holds it, {}",
            dir.entry(),
            at(dir, rule)
        )
    };
    warn(
        problems,
        rule,
        message,
        "remove this line, unless you want its own label and counters",
    );
}

/// Exceptions from what nothing denies. A rule by identity may deny any file, so then nobody can tell.
fn exceptions(rules: &[Rule], dirs: &HashMap<&Path, &Rule>, problems: &mut Problems) {
    let mut excepted = rules
        .iter()
        .filter(|rule| rule.kind() == Kind::AllowExec)
        .peekable();
    let unknown = |rule: &Rule| matches!(rule.kind(), Kind::DenyInode | Kind::CgroupDenyInode);
    if excepted.peek().is_none() || rules.iter().any(unknown) {
        return;
    }
    let denied: std::collections::BTreeSet<&Path> = rules
        .iter()
        .filter(|rule| {
            matches!(
                rule.kind(),
                Kind::DenyPath | Kind::DenyDir | Kind::ProtectPath
            )
        })
        .filter_map(path)
        .collect();
    for rule in excepted {
        let Some(path) = path(rule) else {
            continue;
        };
        let below = denied
            .range(path..)
            .next()
            .is_some_and(|next| next.starts_with(path));
        if !below && !path.ancestors().any(|above| dirs.contains_key(above)) {
            warn(
                problems,
                rule,
                format!(
                    "excepted from nothing: no rule denies {} by this path",
                    path.display()
                ),
                "write the path as the deny rule has it, or remove the line",
            );
        }
    }
}

/// Identities that are denied to a cgroup and to everyone. (The rule of the cgroup alone holds before `[allow_cgroup]`.)
fn inodes(rules: &[Rule], problems: &mut Problems) {
    let mut scoped = rules
        .iter()
        .filter(|rule| rule.kind() == Kind::CgroupDenyInode)
        .peekable();
    if scoped.peek().is_none() || rules.iter().any(|rule| rule.kind() == Kind::AllowCgroup) {
        return;
    }
    let denied: HashMap<&Object, &Rule> = rules
        .iter()
        .filter(|rule| rule.kind() == Kind::DenyInode)
        .map(|rule| (&rule.object, rule))
        .collect();
    for rule in scoped {
        if let Some(deny) = denied.get(&rule.object) {
            let message = format!("the file is denied to everyone, {}", at(deny, rule));
            warn(problems, rule, message, "remove one of the two");
        }
    }
}

fn path(rule: &Rule) -> Option<&Path> {
    match &rule.object {
        Object::Path(path) | Object::Dir(path) => Some(path),
        _ => None,
    }
}
