//! What a policy says as a whole that its author perhaps did not mean: settings without what they need, rules that
//! contradict or shadow one another, rules that break the system that they should protect.

mod files;
mod network;
mod system;

use super::object::Object;
use super::problem::{Problems, Span};
use super::rule::{CgroupRef, Operation, Rule, Subject};
use super::section::Kind;
use super::settings::Settings;

pub(super) fn lint(rules: &[Rule], settings: &Settings, problems: &mut Problems) {
    let has = |kind: Kind| rules.iter().any(|rule| rule.kind() == kind);
    needs(&has, settings, problems);
    if problems.has_errors() {
        // What is missing may stand on a line that is wrong.
        return;
    }
    contents(rules, settings, problems);
    modules(rules, &has, problems);
    files::lint(rules, problems);
    network::lint(rules, problems);
    cgroups(rules, problems);
    system::lint(rules, problems);
}

/// Settings that mean nothing without a rule.
fn needs(has: &impl Fn(Kind) -> bool, settings: &Settings, problems: &mut Problems) {
    let mut need = |set: &Option<super::Origin>, kind: Kind, needed: &[Kind]| {
        if let Some(origin) = set
            && !needed.iter().any(|kind| has(*kind))
        {
            let names: Vec<_> = needed
                .iter()
                .map(|kind| format!("[{}]", kind.name()))
                .collect();
            let span = Span {
                origin: origin.clone(),
                length: header_length(kind),
            };
            problems.error(
                span,
                format!("[{}] needs {}", kind.name(), names.join(" or ")),
                format!("add a section {}, or remove this one", names[0]),
            );
        }
    };
    need(
        &settings.protect_runtime_deps,
        Kind::ProtectRuntimeDeps,
        &[Kind::ProtectConnect, Kind::ProtectPath],
    );
    need(
        &settings.ima_fail_closed,
        Kind::ImaFailClosed,
        &[Kind::TrustedExecHash],
    );
}

fn header_length(kind: Kind) -> u32 {
    u32::try_from(kind.name().len() + 2).unwrap_or(u32::MAX)
}

/// Hashes both denied and allowed; directories that nobody scans.
fn contents(rules: &[Rule], settings: &Settings, problems: &mut Problems) {
    let hashes = |kind: Kind| {
        rules.iter().filter_map(move |rule| match &rule.object {
            Object::Hash(hash) if rule.kind() == kind => Some((*hash, rule)),
            _ => None,
        })
    };
    let denied: std::collections::HashMap<_, _> = hashes(Kind::DenyBinaryHash).collect();
    for (hash, rule) in hashes(Kind::AllowBinaryHash) {
        if let Some(deny) = denied.get(&hash) {
            warn(
                problems,
                rule,
                format!("this content is denied too, {}: deny wins", at(deny, rule)),
                "remove one of the two",
            );
        }
    }
    let scanned = rules
        .iter()
        .any(|rule| matches!(rule.object, Object::Hash(_)));
    if let Some(scan) = settings.scan_paths.first().filter(|_| !scanned) {
        let span = Span {
            origin: scan.origin.clone(),
            length: super::text::chars(&scan.path.to_string_lossy()),
        };
        problems.warning(
            span,
            "[scan_paths] does nothing without a hash to search for",
            "add [deny_binary_hash] or [allow_binary_hash], or remove the section",
        );
    }
}

/// A module does what bpf(2) does, and more.
fn modules(rules: &[Rule], has: &impl Fn(Kind) -> bool, problems: &mut Problems) {
    let bpf = rules.iter().find(|rule| rule.kind() == Kind::DenyBpf);
    if let Some(rule) = bpf.filter(|_| !has(Kind::DenyModuleLoad)) {
        warn(
            problems,
            rule,
            "[deny_bpf] without [deny_module_load]: whoever may load a module can do in the kernel what bpf(2) does".to_owned(),
            "add [deny_module_load]",
        );
    }
}

/// Cgroups that are exempt twice, or exempt and denied.
fn cgroups(rules: &[Rule], problems: &mut Problems) {
    let allowed: std::collections::HashMap<&CgroupRef, &Rule> = rules
        .iter()
        .filter(|rule| rule.kind() == Kind::AllowCgroup)
        .filter_map(|rule| Some((cgroup(rule)?, rule)))
        .collect();
    if allowed.is_empty() {
        return;
    }
    for rule in rules {
        let Some(own) = cgroup(rule) else {
            continue;
        };
        let allow = match own {
            CgroupRef::Path(path) => path.ancestors().find_map(|path| {
                allowed
                    .get(&CgroupRef::Path(path.to_owned()))
                    .filter(|allow| **allow != rule)
            }),
            CgroupRef::Id(_) => allowed.get(own).filter(|allow| **allow != rule),
        };
        let Some(allow) = allow else {
            continue;
        };
        let place = at(allow, rule);
        if rule.kind() == Kind::AllowCgroup {
            warn(
                problems,
                rule,
                format!(
                    "the cgroup is exempt already: {} holds it, {place}",
                    allow.entry()
                ),
                "remove this line, unless you want its own counters",
            );
        } else if rule.operation != Operation::Open {
            warn(
                problems,
                rule,
                format!(
                    "never denies: [allow_cgroup] {place} exempts this cgroup from all network rules"
                ),
                "remove one of the two; only file rules for a cgroup come before [allow_cgroup]",
            );
        }
    }
}

fn cgroup(rule: &Rule) -> Option<&CgroupRef> {
    match &rule.subject {
        Subject::Cgroup(cgroup) => Some(cgroup),
        _ => None,
    }
}

fn warn(problems: &mut Problems, rule: &Rule, message: String, remedy: &str) {
    problems.warning(rule.span(), message, remedy);
}

/// `on line 4`, or `at other.conf:4:1`, as seen from `here`.
fn at(rule: &Rule, here: &Rule) -> String {
    if rule.origin.source == here.origin.source {
        format!("on line {}", rule.origin.line)
    } else {
        format!("at {}", rule.origin)
    }
}
