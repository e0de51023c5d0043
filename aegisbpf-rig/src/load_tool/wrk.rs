//! wrk: a closed loop over HTTP. A small script makes it print its whole histogram instead of four percentiles.

use std::{collections::BTreeMap, ffi::OsString, fs, time::Duration};

use super::{LoadTool, ToolError, Wanted, Yield, histogram, missing, seconds, without};

#[derive(Debug)]
pub(super) struct Wrk;

/// Called by wrk at its end: a script of one's own that ends with this is read as well as ours. Latencies are in
/// microseconds. wrk's histogram holds more of them than there were requests: it adds those that a slow answer kept it
/// from sending (its own correction of coordinated omission).
pub const HISTOGRAM: &str = r#"done = function(summary, latency, requests)
	local e = summary.errors
	io.write(string.format("aegis requests %d duration_us %d\n", summary.requests, summary.duration))
	io.write(string.format("aegis errors %d %d %d %d %d\n", e.connect, e.read, e.write, e.status, e.timeout))
	for i = 1, #latency do
		local value, count = latency(i)
		io.write(string.format("aegis latency %d %d\n", value, count))
	end
end
"#;

const CLASSES: [&str; 5] = ["connect", "read", "write", "http status", "timeout"];

impl LoadTool for Wrk {
    fn name(&self) -> &'static str {
        "wrk"
    }

    fn offers_rate(&self) -> bool {
        false
    }

    fn command(&self, user: &[OsString], wanted: &Wanted<'_>) -> Result<Vec<OsString>, ToolError> {
        let script = wanted.scratch.join("histogram.lua");
        fs::write(&script, HISTOGRAM).map_err(|source| ToolError::File {
            tool: self.name(),
            path: script.display().to_string(),
            source,
        })?;
        let mut command = without(user, &["-d", "--duration"]);
        let at = 1.min(command.len());
        let has_script = command.iter().any(|word| {
            let word = word.to_string_lossy();
            word == "--script"
                || word.starts_with("--script=")
                || (word.starts_with("-s") && !word.starts_with("--"))
        });
        let duration = format!("-d{}s", seconds(wanted.window));
        let mut ours = vec![OsString::from(duration)];
        if !has_script {
            ours.extend(["-s".into(), script.into_os_string()]);
        }
        command.splice(at..at, ours);
        Ok(command)
    }

    fn read(&self, output: &str, _: &Wanted<'_>) -> Result<Yield, ToolError> {
        let fields = |key: &str| {
            output
                .lines()
                .find_map(|line| line.strip_prefix("aegis ")?.strip_prefix(key))
                .map(|rest| {
                    rest.split_whitespace()
                        .filter_map(|word| word.parse().ok())
                        .collect::<Vec<u64>>()
                })
        };
        let Some(counts) = fields("requests").filter(|counts| counts.len() == 2) else {
            return plain(output);
        };
        let mut latency = histogram();
        for line in output
            .lines()
            .filter_map(|line| line.strip_prefix("aegis latency "))
        {
            let mut words = line.split(' ').filter_map(|word| word.parse::<u64>().ok());
            if let (Some(micros), Some(count)) = (words.next(), words.next()) {
                latency.saturating_record_n((1_000 * micros).max(1), count);
            }
        }
        let errors: BTreeMap<String, u64> = CLASSES
            .into_iter()
            .map(str::to_owned)
            .zip(fields("errors").unwrap_or_default())
            .filter(|(_, count)| *count > 0)
            .collect();
        let failed = errors.get("http status").copied().unwrap_or(0);
        Ok(Yield {
            operations: counts[0].saturating_sub(failed),
            wall: Some(Duration::from_micros(counts[1])),
            latency: Some(latency),
            errors,
        })
    }
}

/// With a script of the user's own: only what wrk always prints.
fn plain(output: &str) -> Result<Yield, ToolError> {
    let line = output
        .lines()
        .find(|line| line.contains(" requests in "))
        .ok_or_else(|| missing("wrk", "the number of requests", output))?;
    let operations: u64 = line
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| missing("wrk", "the number of requests", output))?;
    let failed = output
        .lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("Non-2xx or 3xx responses: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0_u64);
    let errors = if failed > 0 {
        BTreeMap::from([("http status".to_owned(), failed)])
    } else {
        BTreeMap::new()
    };
    Ok(Yield {
        operations: operations.saturating_sub(failed),
        wall: None,
        latency: None,
        errors,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{wanted, words},
        *,
    };

    /// Printed by wrk 4.1.0, shortened.
    const PRINTED: &str = "\
Running 1s test @ http://127.0.0.1:8099/log
  1 threads and 2 connections
    Latency     2.31ms    3.29ms  27.95ms   88.90%
  1354 requests in 1.00s, 5.54MB read
  Non-2xx or 3xx responses: 4
Requests/sec:   1348.79
aegis requests 1354 duration_us 1003862
aegis errors 0 0 0 4 1
aegis latency 161 1000
aegis latency 257 300
aegis latency 27950 54
";

    #[test]
    fn the_whole_histogram_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let found = Wrk.read(PRINTED, &wanted(scratch.path(), None)).unwrap();
        assert_eq!(found.operations, 1_350);
        assert_eq!(found.wall, Some(Duration::from_micros(1_003_862)));
        let latency = found.latency.unwrap();
        assert_eq!(latency.len(), 1_354);
        assert!(latency.value_at_quantile(0.99) > 27_000_000);
        assert_eq!(
            found.errors,
            BTreeMap::from([("http status".to_owned(), 4), ("timeout".to_owned(), 1)])
        );
    }

    #[test]
    fn the_users_duration_gives_way_and_the_users_script_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let command = Wrk
            .command(
                &words("wrk -t2 -d 60s -c4 http://x"),
                &wanted(scratch.path(), None),
            )
            .unwrap();
        let text = crate::shell::quoted(&command);
        assert!(
            text.starts_with("wrk -d2s -s ") && text.ends_with("histogram.lua -t2 -c4 http://x"),
            "{text}"
        );
        let command = Wrk
            .command(
                &words("wrk -s mine.lua http://x"),
                &wanted(scratch.path(), None),
            )
            .unwrap();
        assert_eq!(command, words("wrk -d2s -s mine.lua http://x"));
        let found = Wrk
            .read(
                &PRINTED.replace("aegis", "mine"),
                &wanted(scratch.path(), None),
            )
            .unwrap();
        assert_eq!((found.operations, found.latency.is_none()), (1_350, true));
    }

    #[test]
    fn output_without_figures_is_an_error_that_shows_it() {
        let scratch = tempfile::tempdir().unwrap();
        let error = Wrk
            .read(
                "unable to connect to 127.0.0.1:1 Connection refused",
                &wanted(scratch.path(), None),
            )
            .unwrap_err();
        assert!(error.to_string().contains("Connection refused"), "{error}");
    }
}
