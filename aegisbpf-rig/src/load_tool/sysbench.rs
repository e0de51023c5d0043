//! sysbench: OLTP mixes on MySQL and others. It can print its histogram.

use std::{ffi::OsString, time::Duration};

use super::{LoadTool, ToolError, Wanted, Yield, histogram, missing, seconds, without};

#[derive(Debug)]
pub(super) struct Sysbench;

impl LoadTool for Sysbench {
    fn name(&self) -> &'static str {
        "sysbench"
    }

    fn offers_rate(&self) -> bool {
        true
    }

    fn command(&self, user: &[OsString], wanted: &Wanted<'_>) -> Result<Vec<OsString>, ToolError> {
        let ours = [
            "--time",
            "--events",
            "--rate",
            "--histogram",
            "--rand-seed",
            "--report-interval",
        ];
        let mut command = without(user, &ours);
        let mut added: Vec<OsString> = vec![
            format!("--time={}", seconds(wanted.window)).into(),
            "--events=0".into(),
            "--histogram=on".into(),
            format!("--rand-seed={}", 1 + wanted.seed % (1 << 30)).into(),
        ];
        if let Some(rate) = wanted.rate {
            // Whole events a second is all that it understands.
            added.push(format!("--rate={:.0}", rate.max(1.0)).into());
        }
        let at = 1.min(command.len());
        command.splice(at..at, added);
        Ok(command)
    }

    fn read(&self, output: &str, _: &Wanted<'_>) -> Result<Yield, ToolError> {
        let after = |key: &str| {
            let line = output
                .lines()
                .find_map(|line| line.trim().strip_prefix(key))?;
            line.split_whitespace()
                .next()
                .map(|word| word.trim_end_matches('s').to_owned())
        };
        let operations = after("total number of events:")
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| missing("sysbench", "the total number of events", output))?;
        let wall = after("total time:")
            .and_then(|word| word.parse().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let mut latency = histogram();
        // "   0.412 |****    12": milliseconds, a bar, and the count.
        for (value, rest) in output.lines().filter_map(|line| line.split_once('|')) {
            let count = rest
                .split_whitespace()
                .last()
                .and_then(|word| word.parse::<u64>().ok());
            let time = value
                .trim()
                .parse::<f64>()
                .ok()
                .and_then(|milliseconds| Duration::try_from_secs_f64(milliseconds / 1e3).ok());
            if let (Some(time), Some(count)) = (time, count) {
                let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                latency.saturating_record_n(nanos.max(1), count);
            }
        }
        if operations > 0 && latency.is_empty() {
            return Err(missing(
                "sysbench",
                "its histogram of latencies (--histogram, sysbench 1.0 or newer)",
                output,
            ));
        }
        let errors = [
            ("ignored error", "ignored errors:"),
            ("reconnect", "reconnects:"),
        ]
        .into_iter()
        .filter_map(|(class, key)| Some((class.to_owned(), after(key)?.parse().ok()?)))
        .filter(|(_, count): &(String, u64)| *count > 0)
        .collect();
        Ok(Yield {
            operations,
            wall,
            latency: (!latency.is_empty()).then_some(latency),
            errors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{wanted, words},
        *,
    };

    /// Printed by sysbench 1.0.20, shortened.
    const PRINTED: &str = "\
Running the test with following options:
Number of threads: 1

Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       0.384 |*                                        20
       0.391 |**************************************** 1500
      12.295 |                                         3

General statistics:
    total time:                          1.0005s
    total number of events:              1523

SQL statistics:
    ignored errors:                      2      (2.00 per sec.)
";

    #[test]
    fn counts_time_and_histogram_are_read() {
        let scratch = tempfile::tempdir().unwrap();
        let found = Sysbench
            .read(PRINTED, &wanted(scratch.path(), None))
            .unwrap();
        assert_eq!(found.operations, 1_523);
        assert_eq!(found.wall, Some(Duration::from_secs_f64(1.0005)));
        let latency = found.latency.unwrap();
        assert_eq!(latency.len(), 1_523);
        assert!((390_000..393_000).contains(&latency.value_at_quantile(0.5)));
        assert_eq!(found.errors["ignored error"], 2);
    }

    #[test]
    fn an_oltp_run_at_a_rate_is_read_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let printed = include_str!("../../fixtures/load_tools/sysbench-1.0.20-oltp_read_write.txt");
        let found = Sysbench
            .read(printed, &wanted(scratch.path(), Some(20.0)))
            .unwrap();
        assert_eq!(found.operations, 34);
        assert_eq!(found.wall, Some(Duration::from_secs_f64(2.0055)));
        let latency = found.latency.unwrap();
        assert_eq!((latency.len(), latency.max() / 1_000_000), (34, 161));
        assert!(found.errors.is_empty(), "{:?}", found.errors);
    }

    #[test]
    fn without_its_histogram_it_is_not_understood() {
        let scratch = tempfile::tempdir().unwrap();
        let (_, rest) = PRINTED.split_once("General").unwrap();
        let error = Sysbench
            .read(rest, &wanted(scratch.path(), None))
            .unwrap_err();
        assert!(error.to_string().contains("histogram"), "{error}");
    }

    #[test]
    fn our_window_replaces_the_users() {
        let scratch = tempfile::tempdir().unwrap();
        let command = Sysbench
            .command(
                &words("sysbench oltp_read_only --time=60 --threads=2 run"),
                &wanted(scratch.path(), Some(99.6)),
            )
            .unwrap();
        assert_eq!(
            crate::shell::quoted(&command),
            "sysbench --time=2 --events=0 --histogram=on --rand-seed=8 --rate=100 oltp_read_only --threads=2 run"
        );
    }
}
