//! `aegisbpf policy show` and `export`.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
};

use aegisbpf_core::{Control, Policy, stats::RuleStats};
use serde::Serialize;

use crate::{
    args::{ExportArgs, ShowArgs},
    exit::Failure,
    out,
    table::{
        Column::{Left, Right},
        Table,
    },
};

/// The policy in force, for machines.
#[derive(Serialize)]
struct Shown<'a> {
    generation: u32,
    policy: &'a Policy,
    rules: &'a [RuleStats],
    /// Whether `policy rollback` has something to go back to.
    can_roll_back: bool,
}

pub(crate) fn show(args: &ShowArgs) -> Result<(), Failure> {
    let control = Control::open(&args.pins.pin_dir)?;
    let (policy, stats) = (control.policy()?, control.stats()?);
    let can_roll_back = control.previous()?.is_some();
    if args.json.json {
        return Ok(out::json(&Shown {
            generation: stats.generation,
            policy: &policy,
            rules: &stats.rules,
            can_roll_back,
        })?);
    }
    let mut table = Table::new([
        Right("rule"),
        Left("section"),
        Left("entry"),
        Left("where"),
        Left("here"),
    ]);
    for rule in &stats.rules {
        table.row([
            rule.rule.to_string(),
            rule.section.to_owned(),
            rule.entry.clone(),
            rule.origin.to_string(),
            rule.state.to_string(),
        ]);
    }
    let mut out = io::stdout().lock();
    table.write(&mut out, "no rule: nothing is denied")?;
    Ok(())
}

pub(crate) fn export(args: &ExportArgs) -> Result<(), Failure> {
    let text = Control::open(&args.pins.pin_dir)?.policy()?.to_string();
    let Some(file) = &args.file else {
        return Ok(io::stdout().lock().write_all(text.as_bytes())?);
    };
    // Never over another file, and as `policy apply` trusts it.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(file)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| Failure::said(format!("writing the policy to {}: {e}", file.display())))
}
