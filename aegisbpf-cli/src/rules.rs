//! `aegisbpf block|allow|network deny|cgroup deny`: single rules of a running enforcer. Each is an entry of a section of
//! the policy language.

use std::{io, net::IpAddr};

use aegisbpf_core::{
    Control, FileId, Policy,
    policy::{Problem, Problems, Rule},
    resolve::{Resolved, resolve},
    stats::RuleStats,
};

use crate::{
    args::{
        AllowVerb, BlockVerb, CgroupDenyArgs, CgroupDenyVerb, ClearArgs, FileArgs, ListArgs,
        NetworkDenyVerb, PinArgs,
    },
    exit::Failure,
    out::{self, say},
    table::{
        Column::{Left, Right},
        Table, grouped,
    },
};

const FILES: &[&str] = &["deny_path", "deny_inode", "deny_dir"];
const EXEMPT: &[&str] = &["allow_cgroup"];
const NETWORK: &[&str] = &["deny_ip", "deny_cidr", "deny_port", "deny_ip_port"];
const CGROUPS: &[&str] = &["cgroup_deny_inode", "cgroup_deny_ip", "cgroup_deny_port"];

pub(crate) fn block(verb: &BlockVerb) -> Result<(), Failure> {
    match verb {
        BlockVerb::Add(args) => add(&args.pins, &file(args, "block add")?),
        BlockVerb::Del(args) => delete(&args.pins, &file(args, "block del")?),
        BlockVerb::List(args) => list(args, FILES),
        BlockVerb::Clear(args) => clear(args, FILES),
    }
}

pub(crate) fn allow(verb: &AllowVerb) -> Result<(), Failure> {
    let cgroup = |cgroup: &str, by| entry("allow_cgroup", cgroup, by);
    match verb {
        AllowVerb::Add(args) => add(&args.pins, &cgroup(&args.cgroup, "allow add")?),
        AllowVerb::Del(args) => delete(&args.pins, &cgroup(&args.cgroup, "allow del")?),
        AllowVerb::List(args) => list(args, EXEMPT),
        AllowVerb::Clear(args) => clear(args, EXEMPT),
    }
}

pub(crate) fn network(verb: &NetworkDenyVerb) -> Result<(), Failure> {
    let peer = |what: &str, by| entry(network_section(what), what, by);
    match verb {
        NetworkDenyVerb::Add(args) => add(&args.pins, &peer(&args.what, "network deny add")?),
        NetworkDenyVerb::Del(args) => delete(&args.pins, &peer(&args.what, "network deny del")?),
        NetworkDenyVerb::List(args) => list(args, NETWORK),
        NetworkDenyVerb::Clear(args) => clear(args, NETWORK),
    }
}

pub(crate) fn cgroup(verb: &CgroupDenyVerb) -> Result<(), Failure> {
    match verb {
        CgroupDenyVerb::Add(args) => add(&args.pins, &scoped(args, "cgroup deny add")?),
        CgroupDenyVerb::Del(args) => delete(&args.pins, &scoped(args, "cgroup deny del")?),
        CgroupDenyVerb::List(args) => list(args, CGROUPS),
        CgroupDenyVerb::Clear(args) => clear(args, CGROUPS),
    }
}

fn file(args: &FileArgs, by: &str) -> Result<Policy, Failure> {
    match (args.inode, args.dir) {
        (true, _) => entry("deny_inode", &identity(&args.path)?, by),
        (_, true) => entry("deny_dir", &args.path, by),
        _ => entry("deny_path", &args.path, by),
    }
}

/// `dev:ino` of the file at `path`, as the kernel knows it, or what already is one.
fn identity(path: &str) -> Result<String, Failure> {
    if !path.starts_with('/') {
        return Ok(path.to_owned());
    }
    let policy = entry("deny_path", path, "--inode")?;
    let resolution = resolve(&policy).map_err(|problems| usage(&problems))?;
    match resolution.iter().next() {
        Some((_, Resolved::File(file))) => Ok(file.to_string()),
        Some((_, Resolved::Unresolved(reason))) => {
            Err(Failure::said(format!("looking at {path}: {reason}")))
        }
        _ => Err(Failure::said(format!("{path} names no file"))),
    }
}

/// The section whose entries look like `what`. What looks like none is for the language to refuse.
fn network_section(what: &str) -> &'static str {
    let number = what.split(':').next().unwrap_or_default();
    if what.parse::<IpAddr>().is_ok() {
        "deny_ip"
    } else if what.contains('/') {
        "deny_cidr"
    } else if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        "deny_port"
    } else if what.contains(':') {
        "deny_ip_port"
    } else {
        "deny_ip"
    }
}

fn scoped(args: &CgroupDenyArgs, by: &str) -> Result<Policy, Failure> {
    let what = args.what.as_str();
    let section = if what.parse::<IpAddr>().is_ok() {
        "cgroup_deny_ip"
    } else if what.parse::<FileId>().is_ok() {
        "cgroup_deny_inode"
    } else {
        "cgroup_deny_port"
    };
    entry(section, &format!("{} {what}", args.cgroup), by)
}

/// The rule that is meant; what is wrong with the argument is wrong usage.
fn entry(section: &str, text: &str, by: &str) -> Result<Policy, Failure> {
    Policy::of_entry(section, text, by).map_err(|problems| usage(&problems))
}

fn usage(problems: &Problems) -> Failure {
    let lines = problems.iter().map(|problem| match &problem.remedy {
        Some(remedy) => format!("{}\nhelp: {remedy}", problem.message),
        None => problem.message.clone(),
    });
    Failure::Usage(lines.collect::<Vec<_>>().join("\n"))
}

fn add(pins: &PinArgs, more: &Policy) -> Result<(), Failure> {
    let mut control = Control::open(&pins.pin_dir)?;
    let before = control.policy()?;
    let applied = control.add(more)?;
    for rule in more.rules() {
        let unresolved = applied
            .unresolved
            .iter()
            .find(|(_, label, _)| *label == rule.label());
        match unresolved {
            Some((_, _, reason)) => say(format_args!(
                "aegisbpf: {}: {} holds for nothing yet: {reason}",
                rule.section(),
                rule.entry()
            )),
            None if before.rules().iter().any(|other| other.means(rule)) => {
                say(format_args!("aegisbpf: {} was there already", rule.entry()));
            }
            None => {}
        }
    }
    // Of the host's warnings only those that the new rule gave rise to.
    let new = |warning: &&Problem| warning.origin.source == *more.source();
    for warning in more
        .warnings()
        .iter()
        .chain(applied.warnings.iter().filter(new))
    {
        say(warning);
    }
    Ok(())
}

fn delete(pins: &PinArgs, gone: &Policy) -> Result<(), Failure> {
    Control::open(&pins.pin_dir)?.remove(gone)?;
    Ok(())
}

fn clear(args: &ClearArgs, sections: &[&str]) -> Result<(), Failure> {
    let mut control = Control::open(&args.pins.pin_dir)?;
    let gone = |rule: &Rule| sections.contains(&rule.section());
    let removed = control
        .policy()?
        .rules()
        .iter()
        .filter(|rule| gone(rule))
        .count();
    control.retain(|rule| !gone(rule))?;
    say(format_args!("aegisbpf: {} removed", out::rules(removed)));
    Ok(())
}

fn list(args: &ListArgs, sections: &[&str]) -> Result<(), Failure> {
    let stats = Control::open(&args.pins.pin_dir)?.stats()?;
    let rules: Vec<&RuleStats> = stats
        .rules
        .iter()
        .filter(|rule| sections.contains(&rule.section))
        .collect();
    if args.json.json {
        return Ok(out::json(&rules)?);
    }
    let mut table = Table::new([
        Right("rule"),
        Right("hits"),
        Left("section"),
        Left("entry"),
        Left("here"),
        Left("where"),
    ]);
    for rule in rules {
        table.row([
            rule.rule.to_string(),
            grouped(rule.counts().hits()),
            rule.section.to_owned(),
            rule.entry.clone(),
            rule.state.to_string(),
            rule.origin.short(),
        ]);
    }
    Ok(table.write(&mut io::stdout().lock(), "none")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_finds_its_section() {
        for (what, section) in [
            ("192.0.2.1", "deny_ip"),
            ("::1", "deny_ip"),
            ("192.0.2.0/24", "deny_cidr"),
            ("2001:db8::/32", "deny_cidr"),
            ("22", "deny_port"),
            ("22:tcp", "deny_port"),
            ("53:udp:bind", "deny_port"),
            ("192.0.2.1:443", "deny_ip_port"),
            ("[2001:db8::1]:443:tcp", "deny_ip_port"),
            ("localhost", "deny_ip"),
        ] {
            assert_eq!(network_section(what), section, "{what}");
        }
    }
}
