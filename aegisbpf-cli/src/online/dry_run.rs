//! `aegisbpf policy apply --dry-run`: what a policy would do on this host.

use std::io::{self, Write};

use aegisbpf_core::{
    Backend, Control, Error, Policy, capability,
    policy::{Effect, Object, Problem, Rule},
    resolve::{Resolved, resolve},
};
use serde::Serialize;

use super::apply::read;
use crate::{
    args::ApplyArgs,
    exit::{Failure, Told},
    out::{self, printable},
};

#[derive(Default, Serialize)]
struct Report {
    /// Whether `apply` would take it.
    valid: bool,
    /// The backend that it would meet; none where no enforcer runs.
    backend: Option<Backend>,
    denied: Vec<Row>,
    exempt: Vec<Row>,
    unresolved: Vec<Row>,
    /// Refusals, drops and warnings.
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Row {
    rule: String,
    section: &'static str,
    /// What it stands for here, or why for nothing.
    here: String,
}

pub(super) fn dry_run(args: &ApplyArgs) -> Result<(), Failure> {
    let policy = read(args)?;
    // Without an enforcer the language and the host can still be asked.
    let control = match Control::open(&args.pins.pin_dir) {
        Ok(control) => Some(control),
        Err(Error::NotRunning { .. } | Error::Unsupported { .. }) => None,
        Err(other) => return Err(other.into()),
    };
    let report = report(args, &policy, control.as_ref());
    if args.json.json {
        out::json(&report)?;
    } else {
        text(&mut io::stdout().lock(), args, &report)?;
    }
    match report.valid {
        true => Ok(()),
        false => Err(Failure::Told(Told::Policy)),
    }
}

fn report(args: &ApplyArgs, policy: &Policy, control: Option<&Control>) -> Report {
    let mut report = Report {
        valid: true,
        backend: control.map(Control::backend),
        problems: policy.warnings().iter().cloned().collect(),
        ..Report::default()
    };
    let mut policy = policy.clone();
    if let Some(control) = control {
        let supports = |class| capability::supports(control.backend(), control.mode(), class);
        if args.skip_unsupported {
            let (rest, dropped) = policy.without_unsupported(supports);
            report.problems.extend(dropped.iter().cloned());
            policy = rest;
        } else {
            let refusals = policy.refusals(supports);
            report.valid &= refusals.is_empty();
            report.problems.extend(refusals.iter().cloned());
        }
    }
    match resolve(&policy) {
        Err(problems) => {
            report.valid = false;
            report.problems.extend(problems.iter().cloned());
        }
        Ok(resolution) => {
            report
                .problems
                .extend(resolution.warnings().iter().cloned());
            for (id, resolved) in resolution.iter() {
                let Some(rule) = policy.rule(id) else {
                    continue;
                };
                let rows = match (resolved, rule.effect) {
                    (Resolved::Unresolved(_), _) => &mut report.unresolved,
                    (_, Effect::Deny) => &mut report.denied,
                    (_, Effect::Allow) => &mut report.exempt,
                };
                rows.push(row(rule, resolved));
            }
        }
    }
    report
}

fn row(rule: &Rule, resolved: &Resolved) -> Row {
    Row {
        rule: rule.label(),
        section: rule.section(),
        here: match resolved {
            Resolved::File(directory) if matches!(rule.object, Object::Dir(_)) => {
                format!("directory {directory} and all below")
            }
            Resolved::File(file) => format!("file {file}"),
            Resolved::Cgroup(id) => format!("cgroup {id}"),
            Resolved::Unresolved(reason) => reason.to_string(),
            _ => "as it is written".to_owned(),
        },
    }
}

fn text(out: &mut impl Write, args: &ApplyArgs, report: &Report) -> io::Result<()> {
    for problem in &report.problems {
        writeln!(out, "{problem}")?;
    }
    for (what, rows) in [
        ("denied", &report.denied),
        ("exempt", &report.exempt),
        ("unresolved", &report.unresolved),
    ] {
        for Row {
            rule,
            section,
            here,
        } in rows
        {
            let rule = printable(rule);
            writeln!(out, "{what}: {rule} ({section}): {here}")?;
        }
    }
    let by = match report.backend {
        Some(backend) => format!("the running enforcer ({backend})"),
        None => {
            "no enforcer, since none is running: what its backend lacks is not known".to_owned()
        }
    };
    writeln!(
        out,
        "{}: {} for {by}: {} denied, {} exempt, {} unresolved; nothing was applied",
        args.file.display(),
        if report.valid { "good" } else { "refused" },
        report.denied.len(),
        report.exempt.len(),
        report.unresolved.len()
    )
}
