//! What can be typed after `aegisbpf measure`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use aegisbpf_measure::plan::Limits;
use clap::{ArgGroup, Args};

use super::PinArgs;

const EXAMPLES: &str = "\
Examples:
  aegisbpf measure -- make -j2                               a batch job under the shipped policy
  aegisbpf measure --prepare 'make clean' --limit wall-time=15% -- make -j2
  aegisbpf measure --serve 'nginx -g \"daemon off;\"' -- wrk -t2 -c8 http://127.0.0.1:8080/
  aegisbpf measure --running -- pgbench -c4 mydatabase       a service that runs already
  aegisbpf measure --guard-name auditd --guard-on 'auditctl -w /etc -p r -k x' \\
      --guard-off 'auditctl -D' --guard-ready 'auditctl -l | grep -q /etc' -- ls -R /etc
  aegisbpf measure --replay aegis-report/blocks.jsonl        the same verdict again, from the records

The verdict is the exit code: 0 PASS, 6 FAIL, 7 INCONCLUSIVE or INVALID.";

/// No longer budget or window makes sense, and the clock's arithmetic has an end.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

#[derive(Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("service").args(["serve", "running"]))]
pub(crate) struct MeasureArgs {
    /// The batch job; with --serve or --running the load command (wrk, oha, pgbench and sysbench are understood, any
    /// other is timed)
    #[arg(
        last = true,
        value_name = "COMMAND",
        required_unless_present = "replay",
        conflicts_with = "replay"
    )]
    pub(crate) command: Vec<OsString>,

    /// The policy under test; without one the shipped policies/production.conf
    #[arg(long, value_name = "FILE", conflicts_with_all = ["guard_on", "replay"])]
    pub(crate) policy: Option<PathBuf>,

    /// Refuse what the policy denies, instead of only auditing it
    #[arg(long, conflicts_with_all = ["guard_on", "replay"])]
    pub(crate) enforce: bool,

    /// Time for the whole measurement
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60s",
        value_parser = time,
        conflicts_with = "replay"
    )]
    pub(crate) budget: Duration,

    /// What is accepted: throughput, wall-time, p95, p99 in percent, cpu in points, memory in MB
    #[arg(long, value_name = "METRIC=VALUE", value_parser = limit, conflicts_with = "replay")]
    pub(crate) limit: Vec<Limit>,

    /// Run before each run of the batch job, and not counted
    #[arg(long, value_name = "LINE", conflicts_with_all = ["serve", "running", "replay"])]
    pub(crate) prepare: Option<String>,

    /// Start this service, which stays in the foreground; COMMAND is the load
    #[arg(long, value_name = "LINE", conflicts_with_all = ["running", "replay"])]
    pub(crate) serve: Option<String>,

    /// The service runs already; COMMAND is the load. Its CPU time is not known then
    #[arg(long, conflicts_with = "replay")]
    pub(crate) running: bool,

    /// Succeeds when the service answers; without it the load command is tried
    #[arg(long, value_name = "LINE", requires = "service")]
    pub(crate) ready: Option<String>,

    /// Counted time of a block of a service; load tools know whole seconds
    #[arg(long, value_name = "TIME", value_parser = time, requires = "service")]
    pub(crate) window: Option<Duration>,

    /// Measure another enforcer: this line switches it on
    #[arg(
        long,
        value_name = "LINE",
        requires_all = ["guard_off", "guard_ready"],
        conflicts_with = "replay"
    )]
    pub(crate) guard_on: Option<String>,

    /// Switches it off
    #[arg(long, value_name = "LINE", requires = "guard_on")]
    pub(crate) guard_off: Option<String>,

    /// Succeeds exactly while it is in force; best by provoking what it reacts to
    #[arg(long, value_name = "LINE", requires = "guard_on")]
    pub(crate) guard_ready: Option<String>,

    /// What the report calls it
    #[arg(
        long,
        value_name = "NAME",
        default_value = "guard",
        requires = "guard_on"
    )]
    pub(crate) guard_name: String,

    /// Its version, for the report
    #[arg(
        long,
        value_name = "VERSION",
        default_value = "of unknown version",
        requires = "guard_on"
    )]
    pub(crate) guard_version: String,

    /// A process of it (as `ps` names it): its CPU time and memory count as the guard's
    #[arg(long, value_name = "NAME", requires = "guard_on")]
    pub(crate) guard_process: Vec<String>,

    /// Decide again from the blocks of an earlier run; with --report write its reports again
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,

    /// Where the reports go [default: aegis-report; with --replay none are written without it]
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,

    /// What the report calls the workload; without it the program's name
    #[arg(long, value_name = "NAME", conflicts_with = "replay")]
    pub(crate) name: Option<String>,

    /// Seeds the coin that orders the blocks
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "replay")]
    pub(crate) seed: u64,

    /// Count only a PASS by wall clock as a PASS
    #[arg(long)]
    pub(crate) strict: bool,

    #[command(flatten)]
    pub(crate) pins: PinArgs,

    /// Print the record (with --replay: the judgement) as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// One accepted value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limit {
    metric: &'static str,
    value: f64,
}

impl Limit {
    /// What is limited, as it is typed.
    pub(crate) fn metric(self) -> &'static str {
        self.metric
    }

    pub(crate) fn set(self, limits: &mut Limits) {
        let Self { metric, value } = self;
        match metric {
            "throughput" => limits.throughput_percent = value,
            "wall-time" => limits.wall_time_percent = Some(value),
            "p95" => limits.p95_percent = value,
            "p99" => limits.p99_percent = value,
            "cpu" => limits.cpu_points = value,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be above 0, and saturates"
            )]
            _ => limits.memory_bytes = (value * 1e6) as u64,
        }
    }
}

/// The metrics that can be limited, with the unit that may stand behind the value.
const METRICS: [(&str, &str); 6] = [
    ("throughput", "%"),
    ("wall-time", "%"),
    ("p95", "%"),
    ("p99", "%"),
    ("cpu", "points"),
    ("memory", "MB"),
];

fn limit(text: &str) -> Result<Limit, String> {
    let names = METRICS.map(|(name, _)| name).join(", ");
    let (name, value) = text.split_once('=').ok_or_else(|| {
        format!("write METRIC=VALUE, as in throughput=5%; the metrics are {names}")
    })?;
    let (metric, unit) = METRICS
        .into_iter()
        .find(|(metric, _)| *metric == name.trim())
        .ok_or_else(|| format!("there is no metric `{name}`; the metrics are {names}"))?;
    let value = value.trim();
    let number = value.strip_suffix(unit).unwrap_or(value).trim_end();
    let parsed = number.parse().unwrap_or(f64::NAN);
    if !(parsed.is_finite() && parsed > 0.0) {
        return Err(format!("`{value}` is not a number of {unit} above 0"));
    }
    if metric == "throughput" && parsed >= 100.0 {
        return Err(format!(
            "`{value}` is all of the throughput: write how much of it may be lost, less than 100 %"
        ));
    }
    Ok(Limit {
        metric,
        value: parsed,
    })
}

/// A time as people write it.
fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("it must be above 0".to_owned()),
        Ok(time) if time > LONGEST => Err("a year is the longest".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_in_their_units() {
        let mut limits = Limits::default();
        for text in [
            "throughput=3%",
            "wall-time=15",
            "p95=4 %",
            "cpu=1.5points",
            "memory=20MB",
        ] {
            limit(text).unwrap().set(&mut limits);
        }
        assert_eq!(limits.throughput_percent, 3.0);
        assert_eq!(limits.wall_time_percent, Some(15.0));
        assert_eq!((limits.p95_percent, limits.cpu_points), (4.0, 1.5));
        assert_eq!(limits.memory_bytes, 20_000_000);
    }

    #[test]
    fn a_time_has_bounds() {
        assert_eq!(time("1m 30s"), Ok(Duration::from_secs(90)));
        for (text, says) in [
            ("0s", "above 0"),
            ("580000000000years", "a year"),
            ("soon", "number"),
        ] {
            let error = time(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_wrong_limit_names_what_is_right() {
        for (text, says) in [
            ("5%", "METRIC=VALUE"),
            ("speed=5%", "throughput, wall-time, p95, p99, cpu, memory"),
            ("cpu=-1", "above 0"),
            ("cpu=many", "number of points"),
            ("p95=5%%", "number of %"),
            ("p95=nan", "number of %"),
            ("p95=inf", "above 0"),
            ("memory=0", "above 0"),
            ("throughput=100%", "less than 100 %"),
        ] {
            let error = limit(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
