//! oha: HTTP at a fixed rate, with JSON. It tells its distribution as percentiles.

use std::{collections::BTreeMap, ffi::OsString, time::Duration};

use serde_json::Value;

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

impl LoadTool for Oha {
    fn name(&self) -> &'static str {
        "oha"
    }

    fn offers_rate(&self) -> bool {
        true
    }

    fn command(&self, user: &[OsString], wanted: &Wanted<'_>) -> Result<Vec<OsString>, ToolError> {
        let mut command = without(user, &["-z", "-n", "-q", "--output-format"]);
        command.retain(|word| {
            !["-j", "--json", "--no-tui", "--latency-correction"]
                .contains(&word.to_string_lossy().as_ref())
        });
        let mut added: Vec<OsString> = vec![
            "--no-tui".into(),
            "--output-format=json".into(),
            "-z".into(),
            format!("{}s", seconds(wanted.window)).into(),
        ];
        if let Some(rate) = wanted.rate {
            // Latency from the intended time.
            added.extend([
                "--latency-correction".into(),
                "-q".into(),
                format!("{:.0}", rate.max(1.0)).into(),
            ]);
        }
        let at = 1.min(command.len());
        command.splice(at..at, added);
        Ok(command)
    }

    fn read(&self, output: &str, _: &Wanted<'_>) -> Result<Yield, ToolError> {
        let found: Value = serde_json::from_str(output.trim()).map_err(|_| {
            missing(
                "oha",
                "JSON (it needs --output-format, oha 1.9 or newer)",
                output,
            )
        })?;
        let counts = |key: &str| -> BTreeMap<String, u64> {
            let object = found[key].as_object().cloned().unwrap_or_default();
            object
                .into_iter()
                .filter_map(|(name, count)| Some((name, count.as_u64()?)))
                .collect()
        };
        let (good, bad): (BTreeMap<_, _>, BTreeMap<_, _>) = counts("statusCodeDistribution")
            .into_iter()
            .partition(|(code, _)| code.starts_with(['2', '3']));
        let operations = good.values().sum();
        let mut errors: BTreeMap<String, u64> = bad
            .into_iter()
            .map(|(code, count)| (format!("http {code}"), count))
            .collect();
        // What was under way when the time was over is no error of the service.
        errors.extend(
            counts("errorDistribution")
                .into_iter()
                .filter(|(class, _)| !class.contains("deadline")),
        );
        let wall = found["summary"]["total"]
            .as_f64()
            .map(Duration::from_secs_f64);
        Ok(Yield {
            operations,
            wall,
            latency: latency(&found, operations),
            errors,
        })
    }
}

/// A histogram with these percentiles: exact at each of them, a step in between.
fn latency(found: &Value, operations: u64) -> Option<hdrhistogram::Histogram<u64>> {
    let nanos = |seconds: f64| {
        u64::try_from(Duration::from_secs_f64(seconds.max(0.0)).as_nanos())
            .unwrap_or(u64::MAX)
            .max(1)
    };
    let mut latency = histogram();
    let mut told = 0;
    for (name, share) in PERCENTILES {
        let value = found["latencyPercentiles"][name].as_f64()?;
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
        nanos(found["summary"]["slowest"].as_f64()?),
        operations.saturating_sub(told),
    );
    (operations > 0).then_some(latency)
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
            "oha --no-tui --output-format=json -z 2s --latency-correction -q 500 -c 4 http://x"
        );
    }
}
