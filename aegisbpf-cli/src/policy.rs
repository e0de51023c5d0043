//! `aegisbpf policy check`: every mistake at once, and what the policy means on this host.

use std::io::{self, Write};

use aegisbpf_core::{
    Error, Policy, PolicyFileError,
    policy::{Problem, Problems},
    resolve::{Resolution, Resolved, resolve},
};
use serde::Serialize;

use crate::{
    args::CheckArgs,
    exit::{Failure, Told},
    out::{self, say},
};

/// What is printed, for people and for machines.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    rules: usize,
    problems: Vec<&'a Problem>,
    unresolved: Vec<Unresolved>,
}

#[derive(Serialize)]
struct Unresolved {
    rule: String,
    reason: String,
}

pub(crate) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let policy = match Policy::from_path(&args.file) {
        Ok(policy) => policy,
        Err(PolicyFileError::Invalid(problems)) => return refuse(args.json, &problems),
        Err(error) => return Err(Failure::Core(Error::from(error))),
    };
    match resolve(&policy) {
        Err(problems) => refuse(args.json, &problems),
        Ok(resolution) => accept(args, &policy, &resolution),
    }
}

fn refuse(json: bool, problems: &Problems) -> Result<(), Failure> {
    if json {
        let report = Report {
            valid: false,
            rules: 0,
            problems: problems.iter().collect(),
            unresolved: Vec::new(),
        };
        out::json(&report)?;
    } else {
        say(problems);
    }
    Err(Failure::Told(Told::Policy))
}

fn accept(args: &CheckArgs, policy: &Policy, resolution: &Resolution) -> Result<(), Failure> {
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
    let problems: Vec<_> = policy
        .warnings()
        .iter()
        .chain(resolution.warnings())
        .collect();
    let report = Report {
        valid: true,
        rules: policy.rules().len(),
        problems,
        unresolved,
    };
    if args.json {
        return Ok(out::json(&report)?);
    }
    let mut out = io::stdout().lock();
    for problem in &report.problems {
        writeln!(out, "{problem}")?;
    }
    for Unresolved { rule, reason } in &report.unresolved {
        writeln!(out, "unresolved here: {rule}: {reason}")?;
    }
    writeln!(
        out,
        "{}: valid, {} rules, {} of them unresolved on this host",
        args.file.display(),
        report.rules,
        report.unresolved.len()
    )?;
    Ok(())
}
