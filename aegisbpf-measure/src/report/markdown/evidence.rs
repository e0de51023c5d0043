//! The second half of the report: what to do, where the cost comes from, and why to believe it.

use std::fmt::Write as _;

use crate::{
    record::Record,
    report::{
        advice::advise,
        words::{grouped, range, signed, time},
    },
    treatment::Proofs,
};

pub(super) fn all(record: &Record) -> String {
    let mut text = String::new();
    write(record, &mut text).expect("writing to a string does not fail");
    text
}

fn write(record: &Record, to: &mut String) -> std::fmt::Result {
    writeln!(to, "\n**What to do:**")?;
    for (number, advice) in (1..).zip(advise(record)) {
        writeln!(to, "{number}. **{}.** {}", advice.action, advice.why)?;
        for command in advice.commands {
            writeln!(to, "   `{command}`")?;
        }
    }
    if let Some(baseline) = &record.baseline {
        writeln!(
            to,
            "\n**Against the recorded baseline:** {}",
            baseline.sentence
        )?;
    }
    attribution(to, record)?;
    self_checks(to, record)?;
    treatment(to, record)
}

fn attribution(to: &mut String, record: &Record) -> std::fmt::Result {
    let Some(attribution) = &record.judgement.attribution else {
        return Ok(());
    };
    writeln!(
        to,
        "\n**Where the cost comes from** (in percent of the bare arm's CPU time per operation):\n\n| what | runs an operation | each | overhead |\n|---|---|---|---|"
    )?;
    for hook in &attribution.hooks {
        writeln!(
            to,
            "| {} | {:.2} | {} | {} % |",
            hook.hook,
            hook.runs_per_operation,
            time(hook.ns_per_run),
            signed(hook.percent)
        )?;
    }
    writeln!(
        to,
        "| the enforcer's process | – | – | {} % |",
        signed(attribution.process_percent)
    )?;
    let interval = |interval: Option<(f64, f64)>| {
        interval.map_or_else(String::new, |interval| format!(" ({})", range(interval)))
    };
    writeln!(
        to,
        "| hooks and process | – | – | {} %{} |",
        signed(attribution.direct_percent),
        interval(attribution.direct_interval)
    )?;
    if let Some(paired) = attribution.paired_percent {
        writeln!(
            to,
            "| paired estimate, beside it | – | – | {} %{} |",
            signed(paired),
            interval(attribution.paired_interval)
        )?;
    }
    if let Some(z) = attribution.z {
        let word = if z.abs() <= 2.58 { "agree" } else { "disagree" };
        writeln!(to, "\nThe two estimates {word} (z = {}).", signed(z))?;
    }
    for note in &attribution.notes {
        writeln!(to, "- {note}")?;
    }
    Ok(())
}

fn self_checks(to: &mut String, record: &Record) -> std::fmt::Result {
    let checks = &record.judgement.self_checks;
    if checks.is_empty() {
        return Ok(());
    }
    writeln!(to, "\n**Self-checks:**")?;
    for check in checks {
        writeln!(
            to,
            "- {}: {}: {}",
            check.check, check.status, check.sentence
        )?;
    }
    Ok(())
}

fn treatment(to: &mut String, record: &Record) -> std::fmt::Result {
    let checks = &record.observed.checks;
    let Proofs {
        sound,
        runs,
        operations,
    } = Proofs::of(checks);
    writeln!(
        to,
        "\n**Treatment evidence:** {sound} of {} checks sound (a denied file touched once: one hit guarded, none bare).",
        checks.len()
    )?;
    writeln!(
        to,
        "Hooks planned: {}. In the untimed probes they ran {} times in {} operations.",
        record.plan.guard.hooks.join(", "),
        grouped(runs),
        grouped(operations)
    )
}
