//! The Markdown report: the sections of the project's reporting template, in its order, the verdict sentence first.

mod evidence;

use std::fmt::Write as _;

use super::words::{date, errors, grouped, grouped_f, time};
use crate::{
    metric::Metric,
    record::{Calibration, Ended, Record},
    verdict::{Estimate, MetricResult, Verdict},
    workload::Kind,
};

/// The report of one run.
#[must_use]
pub fn report(record: &Record) -> String {
    let mut text = String::new();
    write(record, &mut text).expect("writing to a string does not fail");
    text
}

fn write(record: &Record, to: &mut String) -> std::fmt::Result {
    let judgement = &record.judgement;
    let machine = &record.fingerprint;
    let guard = &record.plan.guard;
    writeln!(to, "# AegisBPF Real Workload Performance Test Report\n")?;
    writeln!(to, "**{}**\n", judgement.sentence())?;
    writeln!(to, "**Date:** {}", date(record.unix_time))?;
    writeln!(
        to,
        "**Tester:** aegisbpf-measure {}",
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(
        to,
        "**System:** {}, {} CPUs, {} RAM, Kernel {}\n",
        machine.hard("cpu"),
        machine.hard("cpus"),
        machine.soft("memory"),
        machine.hard("kernel")
    )?;
    writeln!(to, "## Workload: {}\n", record.plan.workload)?;
    let calibration = &record.observed.calibration;
    writeln!(to, "{}\n", conditions(record))?;

    writeln!(to, "**Baseline (loaded, nothing attached):**")?;
    levels(
        to,
        calibration,
        judgement
            .metrics
            .iter()
            .map(|result| (result.metric, result.bare)),
    )?;
    writeln!(
        to,
        "\n**With {} {} ({} mode, {} backend):**",
        guard.name, guard.version, guard.mode, guard.backend
    )?;
    levels(
        to,
        calibration,
        judgement
            .metrics
            .iter()
            .map(|result| (result.metric, result.guarded)),
    )?;

    writeln!(to, "\n**Overhead** (above zero is worse):\n")?;
    overheads(to, &judgement.metrics)?;
    for class in &judgement.errors {
        writeln!(to, "- Errors {}", errors(class))?;
    }
    if judgement.errors.is_empty() {
        writeln!(to, "- Errors: none in either arm")?;
    }

    let totals = judgement.totals;
    writeln!(to, "\n**{} Stats:**", guard.name)?;
    writeln!(to, "- Blocks ({}): {}", guard.mode, grouped(totals.blocks))?;
    writeln!(
        to,
        "- Ring buffer drops: {} of {} events",
        grouped(totals.drops),
        grouped(totals.events + totals.drops)
    )?;
    match &judgement.memory {
        Some(memory) => {
            let mb = |bytes: u64| bytes as f64 / 1e6;
            writeln!(
                to,
                "- Memory usage: {:.1} MB (process {:.1}, kernel {:.1}), limit {:.1} MB: {}; slope {:+.1} kB a minute",
                mb(memory.most),
                mb(memory.process),
                mb(memory.kernel),
                mb(memory.limit),
                memory.verdict,
                memory.slope * 60.0 / 1e3
            )?;
        }
        None => writeln!(to, "- Memory usage: not read")?,
    }

    writeln!(to, "\n**Verdict:** {}\n", judgement.sentence())?;
    notes(to, record)?;
    to.push_str(&evidence::all(record));
    writeln!(
        to,
        "\n**Machine** (hard keys; records are comparable only if all agree):\n\n| key | value |\n|---|---|"
    )?;
    for (key, value) in &record.fingerprint.hard {
        writeln!(to, "| {key} | {value} |")?;
    }
    let soft: Vec<String> = record
        .fingerprint
        .soft
        .iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    writeln!(to, "\nAlso: {}.", soft.join("; "))?;
    writeln!(to, "\nPlan SHA-256: `{}`", record.plan_sha256)
}

fn conditions(record: &Record) -> String {
    let calibration = &record.observed.calibration;
    let load = match calibration.rate {
        Some(rate) => format!(
            "offered {} operations a second (half of the bare capacity), latency from the intended send time",
            grouped_f(rate)
        ),
        None => "one fixed unit of work a block".to_owned(),
    };
    let ended = match record.observed.ended {
        Ended::Decided => "ended when all was decided",
        Ended::Budget => "ended with the budget",
        Ended::Stopped => "stopped from outside",
    };
    format!(
        "{} quads of four blocks, order by a seeded coin (seed {}); {load}; settle {} before each window; {ended}.",
        record.judgement.quads,
        record.plan.seed,
        time(calibration.settle.as_nanos() as f64)
    )
}

fn levels(
    to: &mut String,
    calibration: &Calibration,
    levels: impl Iterator<Item = (Metric, Option<f64>)>,
) -> std::fmt::Result {
    for (metric, level) in levels {
        let Some(level) = level else { continue };
        let line = match metric {
            Metric::Throughput if calibration.kind == Kind::Service => {
                format!("- Requests/sec: {}", grouped_f(level))
            }
            Metric::Throughput => format!("- Operations/sec: {}", grouped_f(level)),
            Metric::WallTime => format!("- Wall time: {}", time(level * 1e9)),
            Metric::CpuThroughput => format!("- Operations/CPU second: {}", grouped_f(level)),
            Metric::P50 => format!("- Latency p50: {}", time(level)),
            Metric::P95 => format!("- Latency p95: {}", time(level)),
            Metric::P99 => format!("- Latency p99: {}", time(level)),
            Metric::Cpu => format!("- CPU usage: {level:.1}% of the machine"),
            Metric::CpuPerOperation => format!("- CPU per operation: {}", time(level * 1e9)),
        };
        writeln!(to, "{line}")?;
    }
    Ok(())
}

fn overheads(to: &mut String, metrics: &[MetricResult]) -> std::fmt::Result {
    writeln!(
        to,
        "| metric | overhead | interval decided on | 95 % interval | resolves | limit | verdict |\n|---|---|---|---|---|---|---|"
    )?;
    for result in metrics {
        let unit = if result.metric == Metric::Cpu {
            " points"
        } else {
            " %"
        };
        let range = |interval: Option<(f64, f64)>| {
            interval.map_or("–".to_owned(), |(lower, upper)| {
                format!("{lower:+.2} … {upper:+.2}")
            })
        };
        let decided = |estimate: &Estimate| match estimate.interval {
            Some(_) => format!(
                "{} (at {:.1} %)",
                range(estimate.interval),
                100.0 * (1.0 - 2.0 * estimate.level)
            ),
            None => "–".to_owned(),
        };
        let dash = || "–".to_owned();
        let estimate = result.estimate.as_ref();
        let verdict = match (result.verdict, result.metric, &result.remark) {
            (Some(_), Metric::CpuThroughput, _) => "beside the wall clock".to_owned(),
            (Some(verdict), _, None) => verdict.to_string(),
            (Some(verdict), _, Some(remark)) => format!("{verdict} ({remark})"),
            (None, _, Some(remark)) => remark.clone(),
            (None, _, None) => "shown only".to_owned(),
        };
        writeln!(
            to,
            "| {} | {} | {} | {} | {} | {} | {verdict} |",
            result.metric,
            estimate.map_or_else(dash, |e| format!("{:+.2}{unit}", e.overhead)),
            estimate.map_or_else(dash, decided),
            estimate.map_or_else(dash, |e| range(e.interval95)),
            estimate
                .and_then(|e| e.resolvable)
                .map_or_else(dash, |r| format!("±{r:.2}{unit}")),
            result
                .limit
                .map_or_else(dash, |limit| format!("< {limit}{unit}")),
        )?;
    }
    writeln!(to)
}

fn notes(to: &mut String, record: &Record) -> std::fmt::Result {
    let judgement = &record.judgement;
    writeln!(to, "**Notes:**")?;
    if judgement.verdict == Verdict::Inconclusive {
        match judgement.time_needed_ns {
            Some(ns) => writeln!(
                to,
                "- About {} more would decide it, if the estimates are near the truth",
                time(ns as f64)
            )?,
            None => writeln!(
                to,
                "- More time would hardly decide it: an estimate is too close to its limit for this noise"
            )?,
        }
    }
    if let Some(placebo) = judgement.placebo {
        writeln!(
            to,
            "- Placebo (bare against bare): {placebo:+.2} % of throughput"
        )?;
    }
    let (bare, guarded) = judgement.contention;
    writeln!(
        to,
        "- CPU contention (steal and run-queue wait): {:.0} % bare, {:.0} % guarded",
        100.0 * bare,
        100.0 * guarded
    )?;
    match judgement.excluded.as_slice() {
        [] => writeln!(to, "- No quad was excluded")?,
        excluded => {
            writeln!(
                to,
                "- {} of {} quads excluded:",
                excluded.len(),
                judgement.quads
            )?;
            for (quad, why) in excluded.iter().take(5) {
                writeln!(to, "  - quad {quad}: {why}")?;
            }
        }
    }
    for note in judgement.notes.iter().chain(&record.notes) {
        writeln!(to, "- {note}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fake::{self, Fake, Truth};

    fn fixed(truth: Truth) -> Record {
        let mut plan = fake::plan("web::fake");
        plan.budget = Duration::from_secs(60);
        let mut record = Fake::new(truth).run(&plan).unwrap();
        record.unix_time = 1_770_422_400;
        record
    }

    #[test]
    fn a_pass_in_the_templates_order() {
        insta::assert_snapshot!(report(&fixed(Truth::default())));
    }

    #[test]
    fn a_failure_with_errors() {
        let errors = [("EPERM".to_owned(), 3)].into();
        insta::assert_snapshot!(report(&fixed(Truth {
            kind: Kind::Batch,
            effect: 0.15,
            errors,
            ..Truth::default()
        })));
    }
}
