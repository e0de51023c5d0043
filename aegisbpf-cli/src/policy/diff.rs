//! `aegisbpf policy diff`: two policies in rules, not in lines.

use std::io::{self, Write};

use aegisbpf_core::policy::{Diff, Rule};
use serde::Serialize;

use super::read;
use crate::{
    args::DiffArgs,
    exit::Failure,
    out::{self, printable},
};

#[derive(Serialize)]
struct Report<'a> {
    equal: bool,
    #[serde(flatten)]
    diff: Diff<'a>,
}

pub(crate) fn diff(args: &DiffArgs) -> Result<(), Failure> {
    let (old, new) = (read(&args.old, args.json)?, read(&args.new, args.json)?);
    let diff = Diff::between(&old, &new);
    if args.json {
        return Ok(out::json(&Report {
            equal: diff.is_empty(),
            diff,
        })?);
    }
    let mut out = io::stdout().lock();
    if diff.is_empty() {
        writeln!(out, "the two policies have the same rules")?;
        return Ok(());
    }
    for rule in &diff.removed {
        writeln!(out, "- {}", line(rule))?;
    }
    for setting in &diff.unset {
        writeln!(out, "- {}", printable(setting))?;
    }
    for rule in &diff.added {
        writeln!(out, "+ {}", line(rule))?;
    }
    for setting in &diff.set {
        writeln!(out, "+ {}", printable(setting))?;
    }
    for (old, new) in &diff.relabelled {
        writeln!(out, "~ {}, was {}", line(new), line(old))?;
    }
    Ok(())
}

/// `deny [deny_path] production.conf:14 /etc/shadow`
fn line(rule: &Rule) -> String {
    printable(&format!(
        "{} [{}] {}",
        rule.effect,
        rule.section(),
        rule.label()
    ))
    .into_owned()
}
