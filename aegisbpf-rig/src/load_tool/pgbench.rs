//! pgbench: transactions on PostgreSQL. It logs each transaction, so its whole distribution is known.

use std::{collections::BTreeMap, ffi::OsString, fs, path::PathBuf, time::Duration};

use super::{LoadTool, ToolError, Wanted, Yield, histogram, missing, seconds, without};

#[derive(Debug)]
pub(super) struct Pgbench;

const PREFIX: &str = "pgbench-transactions";

impl LoadTool for Pgbench {
    fn name(&self) -> &'static str {
        "pgbench"
    }

    fn offers_rate(&self) -> bool {
        true
    }

    fn command(&self, user: &[OsString], wanted: &Wanted<'_>) -> Result<Vec<OsString>, ToolError> {
        for log in logs(wanted) {
            fs::remove_file(&log).map_err(|source| ToolError::File {
                tool: self.name(),
                path: log.display().to_string(),
                source,
            })?;
        }
        let ours = [
            "-T",
            "--time",
            "-t",
            "--transactions",
            "-R",
            "--rate",
            "--log-prefix",
            "--random-seed",
        ];
        let mut command = without(user, &ours);
        let prefix = wanted.scratch.join(PREFIX);
        let mut added = vec![
            OsString::from(format!("--time={}", seconds(wanted.window))),
            "--log".into(),
            format!("--log-prefix={}", prefix.display()).into(),
            format!("--random-seed={}", wanted.seed % (1 << 31)).into(),
        ];
        if let Some(rate) = wanted.rate {
            added.push(format!("--rate={rate:.3}").into());
        }
        let at = 1.min(command.len());
        command.splice(at..at, added);
        Ok(command)
    }

    /// A line of the log: client, number, time in microseconds (from the scheduled start), script, epoch, microseconds, and with
    /// a rate the lag.
    fn read(&self, output: &str, wanted: &Wanted<'_>) -> Result<Yield, ToolError> {
        let number = |key: &str| {
            let line = output.lines().find_map(|line| line.strip_prefix(key))?;
            line.split([' ', '/', '('])
                .find(|word| !word.is_empty())?
                .parse::<u64>()
                .ok()
        };
        let operations = number("number of transactions actually processed:")
            .ok_or_else(|| missing("pgbench", "the number of transactions", output))?;
        let mut latency = histogram();
        for log in logs(wanted) {
            let text = fs::read_to_string(&log).map_err(|source| ToolError::File {
                tool: self.name(),
                path: log.display().to_string(),
                source,
            })?;
            let times = text
                .lines()
                .filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok());
            for micros in times {
                latency.saturating_record((1_000 * micros).max(1));
            }
        }
        // Its vacuum and its connections come before, and are no time in which transactions are done.
        let rate = output
            .lines()
            .filter_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
            .next_back()
            .filter(|rate: &f64| *rate > 0.0);
        #[expect(
            clippy::cast_precision_loss,
            reason = "transactions of seconds stay far below 2^52"
        )]
        let wall = rate.and_then(|rate| Duration::try_from_secs_f64(operations as f64 / rate).ok());
        let failed = number("number of failed transactions:").unwrap_or(0);
        let errors = if failed > 0 {
            BTreeMap::from([("failed transaction".to_owned(), failed)])
        } else {
            BTreeMap::new()
        };
        Ok(Yield {
            operations,
            wall,
            latency: (!latency.is_empty()).then_some(latency),
            errors,
        })
    }
}

/// A log for each thread.
fn logs(wanted: &Wanted<'_>) -> Vec<PathBuf> {
    let entries = fs::read_dir(wanted.scratch).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{wanted, words},
        *,
    };

    /// Printed by pgbench 15.18, shortened to three transactions and one that failed.
    const PRINTED: &str = "\
pgbench (15.18 (Debian 15.18-0+deb12u1))
starting vacuum...end.
transaction type: <builtin: TPC-B (sort of)>
scaling factor: 1
query mode: simple
number of clients: 2
number of threads: 2
maximum number of tries: 1
duration: 1 s
number of transactions actually processed: 3
number of failed transactions: 1 (0.025%)
latency average = 5.025 ms
latency stddev = 7.196 ms
rate limit schedule lag: avg 2.939 (max 40.352) ms
initial connection time = 13.137 ms
tps = 224.169988 (without initial connection time)
";

    #[test]
    fn counts_and_each_transactions_time_are_read() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(
            scratch.path().join("pgbench-transactions.77"),
            "0 1 412 0 1770422400 500 78\n1 1 981 0 1770422400 700 26728\n",
        )
        .unwrap();
        fs::write(
            scratch.path().join("pgbench-transactions.77.1"),
            "0 2 40000 0 1770422400 900\n",
        )
        .unwrap();
        let found = Pgbench
            .read(PRINTED, &wanted(scratch.path(), None))
            .unwrap();
        assert_eq!(found.operations, 3);
        // Without vacuum and connecting: three at 224.169988 a second.
        let wall = found.wall.unwrap().as_secs_f64();
        assert!((wall - 3.0 / 224.169_988).abs() < 1e-6, "{wall}");
        let latency = found.latency.unwrap();
        assert_eq!((latency.len(), latency.max() / 1_000_000), (3, 40));
        assert_eq!(found.errors["failed transaction"], 1);
    }

    #[test]
    fn a_rate_and_a_window_replace_the_users_and_old_logs_go() {
        let scratch = tempfile::tempdir().unwrap();
        let old = scratch.path().join("pgbench-transactions.1");
        fs::write(&old, "").unwrap();
        let wanted = wanted(scratch.path(), Some(250.0));
        let command = Pgbench
            .command(&words("pgbench -c 2 -t 10000 db"), &wanted)
            .unwrap();
        let text = crate::shell::quoted(&command);
        assert!(
            text.starts_with("pgbench --time=2 --log ")
                && text.ends_with("--random-seed=7 --rate=250.000 -c 2 db"),
            "{text}"
        );
        assert!(!old.exists());
    }

    #[test]
    fn a_refused_connection_is_shown() {
        let scratch = tempfile::tempdir().unwrap();
        let error = Pgbench
            .read(
                "pgbench: error: connection to server failed",
                &wanted(scratch.path(), None),
            )
            .unwrap_err();
        assert!(
            error.to_string().contains("connection to server failed"),
            "{error}"
        );
    }
}
