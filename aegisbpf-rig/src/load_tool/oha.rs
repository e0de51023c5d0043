//! oha: HTTP at a fixed rate, with JSON. It tells its distribution as percentiles.

use std::{collections::BTreeMap, ffi::OsString, time::Duration};

use hdrhistogram::Histogram;
use serde::Deserialize;

use super::{LoadTool, ToolError, Wanted, Yield, histogram, missing, seconds, without};

#[derive(Debug)]
pub(super) struct Oha;

/// Its percentiles, ascending, with the share of requests up to each.
const PERCENTILES: [(&str, f64); 9] = [
    ("p10", 0.10),
    ("p25", 0.25),
    ("p50", 0.50),
    ("p75", 0.75),
    ("p90", 0.90),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];

/// Flags that we set ourselves; some may stand there only once.
const FLAGS: [&str; 6] = [
    "-j",
    "--json",
    "--no-tui",
    "--latency-correction",
    "-w",
    "--wait-ongoing-requests-after-deadline",
];

impl LoadTool for Oha {
    fn name(&self) -> &'static str {
        "oha"
    }

    fn offers_rate(&self) -> bool {
        true
    }

    fn command(&self, user: &[OsString], wanted: &Wanted<'_>) -> Result<Vec<OsString>, ToolError> {
        let ours = ["-z", "-n", "-q", "--output-format", "-o", "--output"];
        let mut command = without(user, &ours);
        command.retain(|word| !FLAGS.contains(&word.to_string_lossy().as_ref()));
        let mut added: Vec<OsString> = vec![
            "--no-tui".into(),
            "--output-format=json".into(),
            "-z".into(),
            format!("{}s", seconds(wanted.window)).into(),
        ];
        if let Some(rate) = wanted.rate {
            // Latency from the intended time, also of those that are under way when the window ends.
            added.extend([
                "--latency-correction".into(),
                "-w".into(),
                "-q".into(),
                format!("{:.0}", rate.max(1.0)).into(),
            ]);
        }
        let at = 1.min(command.len());
        command.splice(at..at, added);
        Ok(command)
    }

    fn read(&self, output: &str, _: &Wanted<'_>) -> Result<Yield, ToolError> {
        // Its warnings may stand before and after it.
        let json = output
            .match_indices('{')
            .find(|(at, _)| *at == 0 || output[..*at].ends_with('\n'))
            .map(|(at, _)| &output[at..])
            .ok_or_else(|| missing(self.name(), "JSON", output))?;
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Printed>();
        let found = values
            .next()
            .ok_or_else(|| missing(self.name(), "JSON", output))?
            .map_err(|source| ToolError::Unknown {
                tool: self.name(),
                known: "1.9 to 1.16",
                source,
            })?;
        let (good, bad): (BTreeMap<_, _>, BTreeMap<_, _>) = found
            .status_code_distribution
            .iter()
            .partition(|(code, _)| code.starts_with(['2', '3']));
        let operations = good.values().copied().sum();
        let mut errors: BTreeMap<String, u64> = bad
            .into_iter()
            .map(|(code, count)| (format!("http {code}"), *count))
            .collect();
        // What was under way when the time was over is no error of the service.
        let failed = found.error_distribution.iter();
        errors.extend(
            failed
                .filter(|(class, _)| !class.contains("deadline"))
                .map(|(class, count)| (class.clone(), *count)),
        );
        let latency = match operations {
            0 => None,
            _ => Some(
                found
                    .latency(operations)
                    .ok_or_else(|| missing(self.name(), "all of its percentiles", output))?,
            ),
        };
        Ok(Yield {
            operations,
            wall: Some(Duration::try_from_secs_f64(found.summary.total).unwrap_or_default()),
            latency,
            errors,
        })
    }
}

/// What we read of its JSON.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Printed {
    summary: Summary,
    /// Of all requests that were answered, whatever the status. Null where there is none.
    latency_percentiles: BTreeMap<String, Option<f64>>,
    status_code_distribution: BTreeMap<String, u64>,
    error_distribution: BTreeMap<String, u64>,
}

/// Times in seconds.
#[derive(Debug, Deserialize)]
struct Summary {
    total: f64,
    slowest: Option<f64>,
}

impl Printed {
    /// A histogram with these percentiles: exact at each of them, a step in between. `None` if one is missing.
    fn latency(&self, operations: u64) -> Option<Histogram<u64>> {
        let nanos = |seconds: f64| {
            let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)
        };
        let mut latency = histogram();
        let mut told = 0;
        for (name, share) in PERCENTILES {
            let value = (*self.latency_percentiles.get(name)?)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a share of a count"
            )]
            let upto = (share * operations as f64).ceil() as u64;
            latency.saturating_record_n(nanos(value), upto - told);
            told = upto;
        }
        latency.saturating_record_n(
            nanos(self.summary.slowest?),
            operations.saturating_sub(told),
        );
        Some(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{wanted, words},
        *,
    };

    /// As oha prints it, shortened.
    const PRINTED: &str = r#"{"summary":{"successRate":0.999,"total":2.0004,"slowest":0.05,"fastest":0.0001,"requestsPerSec":999.8},
        "latencyPercentiles":{"p10":0.0002,"p25":0.0003,"p50":0.0005,"p75":0.0007,"p90":0.001,"p95":0.002,"p99":0.004,"p99.9":0.01,"p99.99":0.04},
        "statusCodeDistribution":{"200":1999,"503":1},"errorDistribution":{"aborted due to deadline":2,"connection refused":3}}"#;

    #[test]
    fn percentiles_are_exact_where_they_are_told() {
        let scratch = tempfile::tempdir().unwrap();
        let found = Oha.read(PRINTED, &wanted(scratch.path(), None)).unwrap();
        assert_eq!(found.operations, 1_999);
        let latency = found.latency.unwrap();
        assert_eq!(latency.len(), 1_999);
        for (q, ms) in [(0.5, 0.5), (0.95, 2.0), (0.99, 4.0)] {
            let ns = latency.value_at_quantile(q);
            assert!((ns as f64 / 1e6 - ms).abs() < 0.002 * ms, "{q}: {ns}");
        }
        assert_eq!(
            found.errors,
            BTreeMap::from([
                ("connection refused".to_owned(), 3),
                ("http 503".to_owned(), 1)
            ])
        );
    }

    #[test]
    fn json_is_found_among_warnings() {
        let scratch = tempfile::tempdir().unwrap();
        let wanted = wanted(scratch.path(), None);
        let printed = format!("DNS: no {{such}} file\n{PRINTED}\nbye\n");
        assert_eq!(Oha.read(&printed, &wanted).unwrap().operations, 1_999);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let scratch = tempfile::tempdir().unwrap();
        let wanted = wanted(scratch.path(), None);
        let says = |printed: &str| Oha.read(printed, &wanted).unwrap_err().to_string();
        // Its text form.
        let text = says("Summary:\n  Success rate:\t100.00%\n");
        assert!(
            text.contains("JSON") && text.contains("Success rate"),
            "{text}"
        );
        let text = says(&PRINTED.replace("statusCodeDistribution", "codes"));
        assert!(text.contains("`statusCodeDistribution`"), "{text}");
        let text = says(&PRINTED.replace("p99.9\"", "p999\""));
        assert!(text.contains("percentiles"), "{text}");
        // With no answer at all it has no percentiles.
        let refused = r#"{"summary":{"total":1.0,"slowest":null},"latencyPercentiles":{"p10":null},
            "statusCodeDistribution":{},"errorDistribution":{"connection refused":7}}"#;
        let found = Oha.read(refused, &wanted).unwrap();
        assert_eq!((found.operations, found.latency.is_none()), (0, true));
        assert_eq!(found.errors["connection refused"], 7);
    }

    #[test]
    fn a_rate_asks_for_latency_from_the_intended_time() {
        let scratch = tempfile::tempdir().unwrap();
        let command = Oha
            .command(
                &words("oha -n 100 -c 4 http://x"),
                &wanted(scratch.path(), Some(500.0)),
            )
            .unwrap();
        assert_eq!(
            crate::shell::quoted(&command),
            "oha --no-tui --output-format=json -z 2s --latency-correction -w -q 500 -c 4 http://x"
        );
    }
}
