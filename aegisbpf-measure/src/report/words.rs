//! How numbers are written, everywhere the same.

use std::{fmt::Display, time::Duration};

use crate::{errors::ErrorClass, metric::Metric, workload::Kind};

pub(super) fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0}ns"),
        ns if ns < 1e6 => format!("{:.1}µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2}ms", ns / 1e6),
        ns if ns < 120e9 => format!("{:.2}s", ns / 1e9),
        ns if ns < 7_200e9 => format!("{:.0}min", ns / 60e9),
        ns => format!("{:.1}h", ns / 3_600e9),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^53"
)]
pub(super) fn grouped_f(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.2}")
    } else {
        grouped(value.round() as u64)
    }
}

pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Day of a Unix time, in UTC: the Gregorian calendar counted from 1 March of year 0.
pub(super) fn date(unix_time: u64) -> String {
    let days = unix_time / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + carry)
}

/// What an overhead of this metric is counted in, with the space before it.
pub(super) fn unit(metric: Metric) -> &'static str {
    if metric == Metric::Cpu {
        " points"
    } else {
        " %"
    }
}

/// `+1.25 %`
pub(super) fn overhead(metric: Metric, value: f64) -> String {
    format!("{}{}", signed(value), unit(metric))
}

/// `+1.25`; never `-0.00`.
pub(super) fn signed(value: f64) -> String {
    let text = format!("{value:+.2}");
    if text == "-0.00" {
        "+0.00".to_owned()
    } else {
        text
    }
}

/// `-0.25 … +1.25`
pub(super) fn range((lower, upper): (f64, f64)) -> String {
    format!("{} … {}", signed(lower), signed(upper))
}

/// A round value on an axis.
pub(super) fn tick(metric: Metric, value: f64) -> String {
    // What binary fractions leave over is cut off.
    let value = (value * 1e6).round() / 1e6;
    format!(
        "{value:+}{}",
        if metric == Metric::Cpu { " pts" } else { " %" }
    )
}

/// A limit as it was typed: `5 %`, `2 points`.
pub(super) fn limit(metric: Metric, limit: f64) -> String {
    format!("{limit}{}", unit(metric))
}

/// The level of one arm.
pub(super) fn level(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Throughput => format!("{} /s", grouped_f(value)),
        Metric::CpuThroughput => format!("{} /CPU s", grouped_f(value)),
        Metric::Cpu => format!("{value:.1} %"),
        Metric::WallTime | Metric::CpuPerOperation => time(value * 1e9),
        Metric::P50 | Metric::P95 | Metric::P99 => time(value),
    }
}

/// What the level of this metric is called, for people who see it for the first time.
pub(super) fn level_name(metric: Metric, kind: Kind) -> &'static str {
    match metric {
        Metric::Throughput if kind == Kind::Batch => "Operations a second",
        Metric::Throughput => "Requests a second",
        Metric::WallTime => "Time of one unit of work",
        Metric::CpuThroughput => "Operations a CPU second",
        Metric::Cpu => "CPU in use, of the whole machine",
        Metric::CpuPerOperation => "CPU time of an operation",
        Metric::P50 => "Median latency",
        Metric::P95 => "Latency that 95 % stay below (p95)",
        Metric::P99 => "Latency that 99 % stay below (p99)",
    }
}

/// What its overhead is called.
pub(super) fn overhead_name(metric: Metric) -> &'static str {
    match metric {
        Metric::Throughput => "Throughput lost",
        Metric::WallTime => "Wall time added",
        Metric::CpuThroughput => "Throughput lost, per CPU second",
        Metric::Cpu => "CPU added, in points of the machine",
        Metric::CpuPerOperation => "CPU time added to an operation",
        Metric::P50 => "Latency added at the median",
        Metric::P95 => "Latency added at p95",
        Metric::P99 => "Latency added at p99",
    }
}

/// `p99`, `p99.9`
pub(super) fn quantile(q: f64) -> String {
    format!("p{}", (q * 1_000.0).round() / 10.0)
}

/// A budget as it is typed: `10m`, `90s`.
pub(super) fn budget(budget: Duration) -> String {
    match budget.as_secs() {
        seconds if seconds >= 60 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

/// Megabytes of 10⁶ bytes.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A class of errors, and what came of it.
pub(super) fn errors(class: &ErrorClass) -> String {
    let verdict = if class.fails {
        "FAIL"
    } else {
        "no significant rise"
    };
    format!(
        "`{}`: {} bare, {} guarded (p = {:.3}): {verdict}",
        class.class, class.bare, class.guarded, class.p
    )
}

/// Text in one line.
pub(super) fn one_line(text: impl Display) -> String {
    text.to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_numbers_are_readable() {
        for (time, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_770_422_400, "2026-02-07"),
            (1_798_761_599, "2026-12-31"),
        ] {
            assert_eq!(date(time), day);
        }
        assert_eq!(grouped(25_432), "25,432");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
        assert_eq!(time(12_300_000.0), "12.30ms");
    }

    #[test]
    fn quantiles_and_signs_read_well() {
        assert_eq!(
            [0.01, 0.5, 0.975, 0.999].map(quantile),
            ["p1", "p50", "p97.5", "p99.9"]
        );
        assert_eq!(signed(-0.001), "+0.00");
        assert_eq!(range((-0.254, 1.0)), "-0.25 … +1.00");
    }
}
