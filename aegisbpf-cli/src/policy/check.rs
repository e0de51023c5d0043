//! `aegisbpf policy check`: every mistake at once, and what the policy means on this host.

use std::io::{self, Write};

use aegisbpf_core::{
    Backend, Mode, Policy, capability,
    policy::{Problem, Problems},
    resolve::{Resolution, Resolved, resolve},
};
use serde::Serialize;

use super::{Pictures, read, refuse};
use crate::{
    args::CheckArgs,
    exit::Failure,
    out::{self, printable},
};

/// What is printed, for people and for machines.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    pub(super) valid: bool,
    pub(super) rules: usize,
    pub(super) problems: Vec<&'a Problem>,
    unresolved: Vec<Unresolved>,
}

#[derive(Serialize)]
struct Unresolved {
    rule: String,
    reason: String,
}

impl<'a> Report<'a> {
    pub(super) fn refused(problems: &'a Problems) -> Self {
        Self {
            valid: false,
            rules: 0,
            problems: problems.iter().collect(),
            unresolved: Vec::new(),
        }
    }
}

pub(crate) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let policy = read(&args.file, args.json)?;
    match resolve(&policy) {
        Err(problems) => Err(refuse(&problems, args.json)?),
        Ok(resolution) => accept(args, &policy, &resolution),
    }
}

fn accept(args: &CheckArgs, policy: &Policy, resolution: &Resolution) -> Result<(), Failure> {
    // Without an enforcer, what the best one could do.
    let notes = policy.notes(|class| capability::supports(Backend::Lsm, Mode::Enforce, class));
    let unresolved: Vec<_> = resolution
        .iter()
        .filter_map(|(id, resolved)| match (policy.rule(id), resolved) {
            (Some(rule), Resolved::Unresolved(reason)) => Some(Unresolved {
                rule: rule.label(),
                reason: reason.to_string(),
            }),
            _ => None,
        })
        .collect();
    let problems = policy
        .warnings()
        .iter()
        .chain(resolution.warnings())
        .chain(&notes);
    let report = Report {
        valid: true,
        rules: policy.rules().len(),
        problems: problems.collect(),
        unresolved,
    };
    if args.json {
        return Ok(out::json(&report)?);
    }
    let mut out = io::stdout().lock();
    let mut pictures = Pictures::on(&out);
    for problem in &report.problems {
        writeln!(out, "{}\n", pictures.draw(problem))?;
    }
    for Unresolved { rule, reason } in &report.unresolved {
        writeln!(
            out,
            "unresolved here: {}: {}",
            printable(rule),
            printable(reason)
        )?;
    }
    writeln!(
        out,
        "{}: valid, {}, {} of them unresolved on this host{}",
        args.file.display(),
        out::rules(report.rules),
        report.unresolved.len(),
        match notes.len() {
            0 => String::new(),
            count => format!("; `policy apply` would refuse {count} of its sections"),
        }
    )?;
    Ok(())
}
