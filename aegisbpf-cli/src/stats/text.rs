//! The report for people.

use std::io::{self, Write};

use aegisbpf_core::{State, stats::RuleStats};

use super::report::{Detail, Report, Runs};
use crate::{
    out::printable,
    table::{
        Column::{Left, Right},
        Table, grouped, megabytes,
    },
};

pub(super) fn write(out: &mut impl Write, report: &Report) -> io::Result<()> {
    summary(out, report)?;
    if let Some(detail) = &report.detail {
        details(out, report, detail)?;
    }
    if let Some(runs) = &report.runs {
        hooks(out, runs)?;
    }
    Ok(())
}

fn summary(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let by = match report.pid {
        Some(pid) => format!("process {pid}"),
        None => "no process: pinned, and nobody reads the events".to_owned(),
    };
    let (events, counts) = (&report.events, report.counts);
    let network = if report.network_backend == report.backend {
        String::new()
    } else {
        format!(", the network by {}", report.network_backend)
    };
    writeln!(
        out,
        "Mode: {} by {}{network} ({by})",
        report.mode, report.backend
    )?;
    brakes(out, report)?;
    writeln!(
        out,
        "Rules: {}, {} of them unresolved here; policy number {}",
        grouped(report.rules as u64),
        grouped(report.unresolved as u64),
        report.generation
    )?;
    writeln!(out, "Blocks (audit): {}", grouped(counts.audited))?;
    writeln!(out, "Blocks (denied): {}", grouped(counts.denied))?;
    writeln!(out, "Exempt: {}", grouped(counts.exempted))?;
    writeln!(
        out,
        "Events: {} reported, {} sampled out",
        grouped(events.emitted),
        grouped(events.sampled_out)
    )?;
    writeln!(out, "Ring buffer drops: {}", grouped(events.dropped))?;
    writeln!(out, "Faults: {}", grouped(events.faults()))?;
    let process = report.memory.process.unwrap_or_default();
    writeln!(
        out,
        "Memory usage: {} (kernel {}, process {})",
        megabytes(report.memory.kernel + process),
        megabytes(report.memory.kernel),
        report.memory.process.map_or("-".to_owned(), megabytes)
    )
}

/// What makes every refusal an audit, whatever the mode says.
fn brakes(out: &mut impl Write, report: &Report) -> io::Result<()> {
    if report.emergency.active {
        let why = report
            .emergency
            .last
            .as_ref()
            .map(|last| last.reason.as_str());
        let why = why.unwrap_or("no reason was given");
        writeln!(
            out,
            "EMERGENCY: everything passes ({}); {} accesses did",
            printable(why),
            grouped(report.events.passed_by_emergency)
        )?;
    }
    match report.dead_man {
        Some(timer) if timer.expired => writeln!(
            out,
            "DEAD MAN: everything passes, since nothing was heard for {} s; {} accesses did",
            timer.patience.as_secs_f64(),
            grouped(report.events.passed_by_dead_man)
        ),
        _ => Ok(()),
    }
}

fn details(out: &mut impl Write, report: &Report, detail: &Detail) -> io::Result<()> {
    writeln!(
        out,
        "\nHooks: {}",
        match detail.links.as_slice() {
            [] => "none attached".to_owned(),
            links => links.join(", "),
        }
    )?;
    writeln!(out, "\nRules")?;
    let mut table = Table::new([
        Right("rule"),
        Right("audited"),
        Right("denied"),
        Right("exempt"),
        Left("effect"),
        Left("operation"),
        Left("where and what"),
    ]);
    for rule in &detail.by_rule {
        table.row([
            rule.rule.to_string(),
            grouped(rule.audited),
            grouped(rule.denied),
            grouped(rule.exempted),
            rule.effect.to_string(),
            rule.operation.to_string(),
            with_state(rule),
        ]);
    }
    table.write(out, "none")?;

    writeln!(out, "\nTop blocked files")?;
    let mut table = Table::new([
        Right("blocks"),
        Right("exempt"),
        Left("dev:ino"),
        Left("file"),
    ]);
    for file in &detail.by_file {
        table.row([
            grouped(file.counts.blocks()),
            grouped(file.counts.exempted),
            file.file.map_or("-".to_owned(), |id| id.to_string()),
            file.object.clone(),
        ]);
    }
    table.write(out, "none was accessed")?;

    writeln!(out, "\nTop blocked cgroups")?;
    let mut table = Table::new([
        Right("blocks"),
        Right("exempt"),
        Right("id"),
        Left("cgroup"),
    ]);
    for row in &detail.by_cgroup {
        let path = row.path.as_ref().map(|path| path.display().to_string());
        table.row([
            grouped(row.counts.blocks()),
            grouped(row.counts.exempted),
            row.cgroup.to_string(),
            path.unwrap_or("(gone)".to_owned()),
        ]);
    }
    table.write(out, "none met a rule")?;

    writeln!(out, "\nOperations")?;
    let mut table = Table::new([
        Right("blocks"),
        Right("exempt"),
        Right("rules"),
        Left("operation"),
    ]);
    for row in &detail.by_operation {
        table.row([
            grouped(row.counts.blocks()),
            grouped(row.counts.exempted),
            row.rules.to_string(),
            row.operation.to_string(),
        ]);
    }
    table.write(out, "no rule")?;

    writeln!(out, "\nFaults, each of which let an access pass")?;
    let mut table = Table::new([Right("times"), Left("cause")]);
    for (cause, count) in report.events.causes() {
        if count > 0 {
            table.row([grouped(count), cause.to_owned()]);
        }
    }
    table.write(out, "none")?;

    writeln!(out, "\nMemory in the kernel")?;
    let mut table = Table::new([Right("bytes"), Left("of")]);
    for memory in &detail.memory_of {
        table.row([grouped(memory.bytes), memory.of.clone()]);
    }
    table.write(out, "none")
}

/// The rule's label, with what became of it here if that is not the plain thing.
fn with_state(rule: &RuleStats) -> String {
    match &rule.state {
        State::Same(other) => format!("{} (counted with rule {other})", rule.label),
        State::Unresolved(reason) => format!("{} (unresolved: {reason})", rule.label),
        _ => rule.label.clone(),
    }
}

fn hooks(out: &mut impl Write, runs: &[Runs]) -> io::Result<()> {
    let seconds = runs.first().map_or(0.0, |hook| hook.seconds);
    writeln!(out, "\nRuns of hooks in {seconds} s")?;
    let mut table = Table::new([Right("runs"), Right("ns"), Right("ns each"), Left("hook")]);
    for hook in runs {
        table.row([
            grouped(hook.runs),
            grouped(hook.nanos),
            hook.nanos_each.map_or("-".to_owned(), grouped),
            hook.hook.clone(),
        ]);
    }
    table.write(out, "no hook is attached")
}
