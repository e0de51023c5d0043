//! The verdict of one case as a small table, for a terminal or a log.

use std::{fmt::Write, time::Duration};

use super::words;
use crate::{
    metric::Metric,
    plan::Plan,
    record::Record,
    verdict::{Estimate, MetricResult},
};

const HEAD: [&str; 7] = [
    "metric", "bare", "guarded", "overhead", "interval", "limit", "verdict",
];

/// Who was measured, every metric, memory and what the enforcer did.
#[must_use]
pub fn verdict_block(record: &Record) -> String {
    let (plan, judgement) = (&record.plan, &record.judgement);
    let guard = &plan.guard;
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(judgement.metrics.iter().map(|result| row(plan, result)));
    if let Some(memory) = judgement.memory {
        rows.push([
            "memory".to_owned(),
            "-".to_owned(),
            megabytes(memory.most),
            format!("process {}", megabytes(memory.process)),
            format!("kernel {}", megabytes(memory.kernel)),
            megabytes(memory.limit),
            memory.verdict.to_string(),
        ]);
    }
    let totals = judgement.totals;
    let (backend, mode, policy) = (&guard.backend, &guard.mode, &guard.policy);
    let mut text = format!(
        "{}: {} {} ({backend}, {mode}, {policy})\n",
        plan.workload, guard.name, guard.version
    );
    text += &aligned(&rows);
    let (hits, blocks, events, drops, quads) = (
        totals.hits,
        totals.blocks,
        totals.events,
        totals.drops,
        judgement.quads,
    );
    let _ = writeln!(
        text,
        "  {quads} quads; enforcer: {hits} hits, {blocks} blocks, {events} events, {drops} dropped"
    );
    for class in &judgement.errors {
        let _ = writeln!(text, "  errors {}", words::errors(class));
    }
    let _ = writeln!(text, "  {}", judgement.sentence());
    text
}

/// The interval of every judged metric that is not decided and the time still needed: why a case is inconclusive.
#[must_use]
pub fn undecided(record: &Record) -> String {
    let judgement = &record.judgement;
    let open = judgement.metrics.iter().filter(|result| {
        result.verdict == Some(crate::Verdict::Inconclusive)
            && result.metric.is_judged(&record.plan)
    });
    let mut parts: Vec<String> = open
        .map(|result| {
            format!(
                "{} {} against a limit of {}",
                result.metric,
                interval(result),
                limit(result)
            )
        })
        .collect();
    parts.push(judgement.time_needed_ns.map_or_else(
        || "no time would decide it at this noise; see the report".to_owned(),
        |nanos| {
            format!(
                "about {} more would decide it: give it a larger budget",
                time(nanos)
            )
        },
    ));
    parts.join("; ")
}

fn row(plan: &Plan, result: &MetricResult) -> [String; 7] {
    let level = |value: Option<f64>| value.map_or_else(dash, |value| level(result.metric, value));
    [
        result.metric.to_string(),
        level(result.bare),
        level(result.guarded),
        result
            .estimate
            .map_or_else(dash, |estimate| overhead(result.metric, estimate.overhead)),
        interval(result),
        limit(result),
        match result.verdict {
            Some(verdict) if result.metric.is_judged(plan) => verdict.to_string(),
            // It can only help a metric to pass.
            Some(_) => "beside the wall clock".to_owned(),
            None => "not judged".to_owned(),
        },
    ]
}

fn level(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Throughput | Metric::CpuThroughput => format!("{value:.0}/s"),
        Metric::WallTime => format!("{value:.3} s"),
        Metric::Cpu => format!("{value:.2} %"),
        Metric::CpuPerOperation => format!("{:.2} µs", value * 1e6),
        Metric::P50 | Metric::P95 | Metric::P99 => format!("{:.1} µs", value / 1e3),
    }
}

fn overhead(metric: Metric, value: f64) -> String {
    format!("{value:+.2}{}", unit(metric))
}

fn unit(metric: Metric) -> &'static str {
    if metric == Metric::Cpu { " pts" } else { " %" }
}

fn interval(result: &MetricResult) -> String {
    let chosen = |estimate: Estimate| estimate.interval.or(estimate.interval95);
    let interval = result.estimate.and_then(chosen);
    interval.map_or_else(dash, |(low, high)| format!("{low:+.2} … {high:+.2}"))
}

fn limit(result: &MetricResult) -> String {
    result
        .limit
        .map_or_else(dash, |limit| format!("{limit}{}", unit(result.metric)))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes of memory stay far below 2^52"
)]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn time(nanos: u64) -> String {
    let seconds = Duration::from_nanos(nanos).as_secs();
    if seconds < 120 {
        format!("{} s", seconds + 1)
    } else {
        format!("{} min", seconds / 60 + 1)
    }
}

fn dash() -> String {
    "-".to_owned()
}

/// Columns as wide as their widest cell: text to the left, figures to the right.
fn aligned(rows: &[[String; 7]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = match column {
                0 => write!(text, "  {cell:<width$}"),
                6 => writeln!(text, "  {cell}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake, Truth};

    #[test]
    fn columns_line_up_whatever_their_script() {
        let row = |cells: [&str; 7]| cells.map(str::to_owned);
        let text = aligned(&[
            row(["a", "1 µs", "b", "c", "d", "e", "PASS"]),
            row(["abc", "10 ms", "b", "c", "d", "e", "FAIL"]),
        ]);
        let columns: Vec<usize> = text
            .lines()
            .map(|line| line.chars().position(|c| c == 'b').unwrap_or_default())
            .collect();
        assert!(
            text.lines()
                .next()
                .is_some_and(|line| line.starts_with("  a     1 µs  b")),
            "{text}"
        );
        assert_eq!(columns.len(), 2);
    }

    /// It can help another metric to pass and never decides by itself, so no verdict of its own stands beside it.
    #[test]
    fn throughput_per_cpu_second_has_no_verdict_of_its_own() {
        let truth = Truth {
            wait: 0.5,
            ..Truth::default()
        };
        let record = Fake::new(truth).run(&fake::plan("web::fake")).unwrap();
        let text = verdict_block(&record);
        let line = |name: &str| {
            text.lines()
                .find(|line| line.trim_start().starts_with(name))
        };
        let (wall, cpu) = (line("throughput  "), line("throughput per CPU second"));
        assert!(wall.is_some_and(|line| line.ends_with("PASS")), "{text}");
        assert!(
            cpu.is_some_and(|line| line.ends_with("beside the wall clock")),
            "{text}"
        );
        assert!(!undecided(&record).contains("per CPU second"));
    }

    #[test]
    fn a_time_is_rounded_up_to_what_people_wait() {
        assert_eq!(time(90_500_000_000), "91 s");
        assert_eq!(time(600_000_000_000), "11 min");
    }
}
