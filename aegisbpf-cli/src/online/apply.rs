//! `aegisbpf policy apply` and `rollback`.

use std::{fs, path::Path};

use aegisbpf_core::{
    Applied, Control, Error, Policy, PolicyFileError, capability,
    policy::{Problem, Sha256},
};
use serde::Serialize;

use super::dry_run::dry_run;
use crate::{
    args::{ApplyArgs, RollbackArgs},
    exit::{Failure, Told},
    out::{self, say},
};

/// What became of a policy, for machines.
#[derive(Serialize)]
struct Report {
    applied: bool,
    rules: usize,
    unresolved: Vec<Unresolved>,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Unresolved {
    rule: String,
    reason: String,
}

pub(crate) fn apply(args: &ApplyArgs) -> Result<(), Failure> {
    if args.dry_run {
        return dry_run(args);
    }
    let outcome = read(args).and_then(|policy| {
        let mut control = Control::open(&args.pins.pin_dir)?;
        let (policy, mut dropped) = match args.skip_unsupported {
            true => supported(&control, &policy),
            false => (policy, Vec::new()),
        };
        let mut applied = if args.reset {
            control.apply_anew(&policy)?
        } else {
            control.apply(&policy)?
        };
        dropped.append(&mut applied.warnings);
        applied.warnings = dropped;
        Ok(applied)
    });
    report(args.json.json, outcome)
}

pub(crate) fn rollback(args: &RollbackArgs) -> Result<(), Failure> {
    let outcome = Control::open(&args.pins.pin_dir)
        .and_then(|mut control| control.rollback())
        .map_err(Failure::Core);
    report(args.json.json, outcome)
}

/// The policy without what this enforcer cannot do, and a warning for each rule that it lost.
pub(crate) fn supported(control: &Control, policy: &Policy) -> (Policy, Vec<Problem>) {
    let (backend, mode) = (control.backend(), control.mode());
    let (policy, dropped) =
        policy.without_unsupported(|class| capability::supports(backend, mode, class));
    (policy, dropped.iter().cloned().collect())
}

/// The file, if it is trusted and is the one that was asked for.
pub(super) fn read(args: &ApplyArgs) -> Result<Policy, Failure> {
    let policy = match checksum(args)? {
        Some(expected) => Policy::from_path_with_sha256(&args.file, expected),
        None => Policy::from_path(&args.file),
    };
    policy.map_err(|e| Failure::Core(Error::from(e)))
}

fn checksum(args: &ApplyArgs) -> Result<Option<Sha256>, Failure> {
    if let Some(text) = &args.sha256 {
        return parse(text, "--sha256").map(Some);
    }
    args.sha256_file.as_deref().map(from_file).transpose()
}

/// The first word of the file, as `sha256sum` writes it.
fn from_file(file: &Path) -> Result<Sha256, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|e| Failure::said(format!("reading the checksum {}: {e}", file.display())))?;
    let word = text.split_whitespace().next().unwrap_or_default();
    parse(word, &file.display().to_string())
}

fn parse(text: &str, place: &str) -> Result<Sha256, Failure> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    format!("sha256:{digits}").parse().map_err(|_| {
        Failure::Usage(format!(
            "{place}: {text:?} is no SHA-256, which has 64 hexadecimal digits\nhelp: write what `sha256sum FILE` prints"
        ))
    })
}

/// Tells an outcome. Errors go to standard error; with `--json` those of the policy go to standard output.
fn report(json: bool, outcome: Result<Applied, Failure>) -> Result<(), Failure> {
    let applied = match outcome {
        Ok(applied) => applied,
        Err(Failure::Core(
            Error::Policy(problems) | Error::PolicyFile(PolicyFileError::Invalid(problems)),
        )) if json => {
            out::json(&Report {
                applied: false,
                rules: 0,
                unresolved: Vec::new(),
                problems: problems.iter().cloned().collect(),
            })?;
            return Err(Failure::Told(Told::Policy));
        }
        Err(failure) => return Err(failure),
    };
    if json {
        let unresolved = applied
            .unresolved
            .iter()
            .map(|(_, rule, reason)| Unresolved {
                rule: rule.clone(),
                reason: reason.to_string(),
            });
        return Ok(out::json(&Report {
            applied: true,
            rules: applied.rules,
            unresolved: unresolved.collect(),
            problems: applied.warnings,
        })?);
    }
    tell(&applied);
    Ok(())
}

/// For people, on standard error: warnings, and what is in force now.
pub(crate) fn tell(applied: &Applied) {
    for warning in &applied.warnings {
        say(warning);
    }
    say(format_args!(
        "aegisbpf: {}, {} of them unresolved here",
        out::rules(applied.rules),
        applied.unresolved.len()
    ));
    for (_, label, reason) in &applied.unresolved {
        say(format_args!("  unresolved: {label}: {reason}"));
    }
}
