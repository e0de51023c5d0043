//! CSV as the project's scripts wrote it: one line for the bare arm, one for the guarded one; and one line a block.
//!
//! Those scripts read their own file with `float(row["rps"])` and print latencies as the load tools do; the names of
//! rows and columns are theirs, so that whatever reads those files reads these.

use std::fmt::Write as _;

use super::words::time;
use crate::{
    metric::Metric,
    record::{Purpose, Record},
    schedule::Arm,
};

/// The scripts' names for the arms.
const ROWS: [&str; 2] = ["baseline", "with-aegisbpf"];

/// `test,rps,p50,p99`; for a database `test,tps,latency_ms`.
#[must_use]
pub fn results(record: &Record) -> String {
    let level = |metric, guarded: bool| {
        let result = record.judgement.metric(metric)?;
        if guarded { result.guarded } else { result.bare }
    };
    let database = ["database::", "db::"]
        .iter()
        .any(|prefix| record.plan.workload.starts_with(prefix));
    let mut text = if database {
        "test,tps,latency_ms\n"
    } else {
        "test,rps,p50,p99\n"
    }
    .to_owned();
    for (row, guarded) in ROWS.into_iter().zip([false, true]) {
        let rate =
            throughput(record, guarded).map_or_else(String::new, |rate| format!("{rate:.2}"));
        let latency = |metric| level(metric, guarded);
        let line = if database {
            let milliseconds =
                latency(Metric::P50).map_or_else(String::new, |ns| format!("{:.3}", ns / 1e6));
            format!("{row},{rate},{milliseconds}")
        } else {
            let shown = |metric| latency(metric).map_or_else(String::new, time);
            format!("{row},{rate},{},{}", shown(Metric::P50), shown(Metric::P99))
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Operations a wall second, also where the wall time is what is judged.
fn throughput(record: &Record, guarded: bool) -> Option<f64> {
    if let Some(result) = record.judgement.metric(Metric::Throughput) {
        return if guarded { result.guarded } else { result.bare };
    }
    let arm = if guarded { Arm::Guarded } else { Arm::Bare };
    let blocks: Vec<_> = record
        .observed
        .blocks
        .iter()
        .filter(|block| block.purpose == Purpose::Quad && block.arm == arm)
        .collect();
    (!blocks.is_empty())
        .then(|| Metric::Throughput.level(&record.observed.calibration, &blocks))
        .flatten()
}

/// One line a block: when, why, which arm, and its figures in plain units.
#[must_use]
pub fn blocks(record: &Record) -> String {
    let mut text = "begin_s,purpose,quad,position,arm,operations,wall_s,cpu_s,guard_cpu_s,p50_ns,p95_ns,p99_ns,errors,steal_ppm,wait_ppm\n".to_owned();
    let seconds = |ns: u64| ns as f64 / 1e9;
    for block in &record.observed.blocks {
        let steady = block.steady();
        let [p50, p95, p99] = steady
            .latency
            .as_ref()
            .map_or([const { String::new() }; 3], |latency| {
                latency.p50_p95_p99.map(|ns| ns.to_string())
            });
        let errors: u64 = block
            .closed
            .errors
            .values()
            .chain(block.open.iter().flat_map(|open| open.errors.values()))
            .sum();
        let ppm = |value: Option<u32>| value.map_or_else(String::new, |value| value.to_string());
        let _ = writeln!(
            text,
            "{:.3},{},{},{},{},{},{:.6},{:.6},{:.6},{p50},{p95},{p99},{errors},{},{}",
            seconds(block.begin_ns),
            word(&block.purpose),
            block.quad,
            block.position,
            word(&block.arm),
            block.closed.operations,
            seconds(block.closed.wall_ns),
            seconds(block.closed.cpu_ns),
            seconds(block.closed.guard_cpu_ns),
            ppm(block.contention.steal_ppm),
            ppm(block.contention.wait_ppm),
        );
    }
    text
}

/// The word that the JSON has for it.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake, Truth};

    #[test]
    fn the_scripts_columns_and_rows_are_kept() {
        let record = Fake::new(Truth::default())
            .run(&fake::plan("web::fake"))
            .unwrap();
        let text = results(&record);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines[0], ["test", "rps", "p50", "p99"]);
        assert_eq!((lines[1][0], lines[2][0]), ("baseline", "with-aegisbpf"));
        let rate: f64 = lines[1][1].parse().unwrap();
        let bare = record
            .judgement
            .metric(Metric::Throughput)
            .unwrap()
            .bare
            .unwrap();
        assert!((rate - bare).abs() < 0.01, "{rate} {bare}");
        assert!(lines[1][2].ends_with("ms"), "{text}");
    }

    #[test]
    fn a_databases_file_has_the_other_scripts_columns() {
        let record = Fake::new(Truth::default())
            .run(&fake::plan("database::fake"))
            .unwrap();
        assert!(results(&record).starts_with("test,tps,latency_ms\nbaseline,"));
    }

    #[test]
    fn there_is_a_line_for_every_block() {
        let record = Fake::new(Truth::default())
            .run(&fake::plan("web::fake"))
            .unwrap();
        let text = blocks(&record);
        assert_eq!(text.lines().count(), 1 + record.observed.blocks.len());
        let columns: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert!(columns.iter().all(|count| *count == columns[0]), "{text}");
        assert!(text.contains(",quad,0,0,"));
    }
}
