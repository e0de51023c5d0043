//! Load tools that people already use: how to give one a window and a rate, and how to read what it found.
//!
//! A tool is known by the name of its program. Where it can offer a fixed rate, its latencies count from the intended
//! time and the whole method applies; where it cannot, its closed loop is measured alone.

mod oha;
mod pgbench;
mod sysbench;
mod wrk;

use std::{collections::BTreeMap, ffi::OsString, io, path::Path, time::Duration};

use hdrhistogram::Histogram;

pub use wrk::HISTOGRAM as WRK_HISTOGRAM;

/// What one run of a load tool found.
#[derive(Debug, Clone)]
pub struct Yield {
    /// Operations that succeeded.
    pub operations: u64,
    /// The time that it measured, if it tells.
    pub wall: Option<Duration>,
    /// Latencies in nanoseconds, if it tells them.
    pub latency: Option<Histogram<u64>>,
    /// Failed operations by class.
    pub errors: BTreeMap<String, u64>,
}

/// One run that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// How long.
    pub window: Duration,
    /// Operations a second to offer; `None`: as fast as it goes.
    pub rate: Option<f64>,
    /// Seed of keys and order, for tools that have one.
    pub seed: u64,
    /// Where files may be written.
    pub scratch: &'a Path,
}

/// Output that does not say what it must say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// A figure is missing.
    #[error("{tool} did not print {what}; it printed last: {output}")]
    Missing {
        /// Which tool.
        tool: &'static str,
        /// What is missing.
        what: &'static str,
        /// The end of its output.
        output: String,
    },
    /// It printed JSON, but not what we know.
    #[error(
        "{tool} printed JSON that is not known here: {source}; known is what {tool} {known} prints"
    )]
    Unknown {
        /// Which tool.
        tool: &'static str,
        /// Which of its versions are known.
        known: &'static str,
        /// What is different.
        source: serde_json::Error,
    },
    /// A file cannot be read or written.
    #[error("{tool}, {path}: {source}")]
    File {
        /// Which tool.
        tool: &'static str,
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// A known load tool.
pub trait LoadTool: std::fmt::Debug {
    /// File name of its program.
    fn name(&self) -> &'static str;

    /// Whether it can offer a fixed rate.
    fn offers_rate(&self) -> bool;

    /// The user's command, with this window and rate in place of the user's own.
    ///
    /// # Errors
    /// If a file that it needs cannot be written.
    fn command(&self, user: &[OsString], wanted: &Wanted<'_>) -> Result<Vec<OsString>, ToolError>;

    /// Reads what it printed, and the files that it wrote.
    ///
    /// # Errors
    /// If a figure is missing.
    fn read(&self, output: &str, wanted: &Wanted<'_>) -> Result<Yield, ToolError>;
}

/// The tool that a command starts, if it is a known one.
#[must_use]
pub fn of(command: &[OsString]) -> Option<Box<dyn LoadTool>> {
    let program = Path::new(command.first()?).file_name()?.to_str()?;
    let all: [Box<dyn LoadTool>; 4] = [
        Box::new(wrk::Wrk),
        Box::new(oha::Oha),
        Box::new(pgbench::Pgbench),
        Box::new(sysbench::Sysbench),
    ];
    all.into_iter().find(|tool| tool.name() == program)
}

/// Their names, for messages.
pub const KNOWN: &str = "wrk, oha, pgbench, sysbench";

/// Whole seconds, at least one: what these tools understand.
fn seconds(window: Duration) -> u64 {
    window.as_secs_f64().ceil().max(1.0) as u64
}

/// A copy of the command without options that we set ourselves. Each is given by its names; all take a value, as the
/// next word or after `=` (or stuck to a short name).
fn without(command: &[OsString], names: &[&str]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut skip = false;
    for word in command {
        if std::mem::take(&mut skip) {
            continue;
        }
        let text = word.to_string_lossy();
        if names.contains(&text.as_ref()) {
            skip = true;
            continue;
        }
        let stuck = names.iter().any(|name| match name.strip_prefix("--") {
            Some(_) => text.starts_with(&format!("{name}=")),
            None => text.starts_with(name) && !text.starts_with("--") && text.len() > name.len(),
        });
        if !stuck {
            kept.push(word.clone());
        }
    }
    kept
}

/// An empty histogram of a minute, three significant digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("these bounds are valid")
}

fn missing(tool: &'static str, what: &'static str, output: &str) -> ToolError {
    let lines: Vec<&str> = output
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(3)..].join(" | ");
    ToolError::Missing {
        tool,
        what,
        output: if last.is_empty() {
            "(nothing)".to_owned()
        } else {
            last
        },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn words(words: &str) -> Vec<OsString> {
        words.split(' ').map(OsString::from).collect()
    }

    pub(crate) fn wanted(scratch: &Path, rate: Option<f64>) -> Wanted<'_> {
        Wanted {
            window: Duration::from_millis(1_400),
            rate,
            seed: 7,
            scratch,
        }
    }

    #[test]
    fn a_tool_is_known_by_its_program() {
        assert_eq!(
            of(&words("/usr/bin/wrk -c 4 http://x")).unwrap().name(),
            "wrk"
        );
        assert_eq!(of(&words("pgbench db")).unwrap().name(), "pgbench");
        assert!(of(&words("curl http://x")).is_none());
        assert!(of(&[]).is_none());
    }

    #[test]
    fn our_options_replace_the_users() {
        let left = |command| without(&words(command), &["-d", "--duration"]);
        assert_eq!(left("wrk -d 60s -c 4 u"), words("wrk -c 4 u"));
        assert_eq!(left("wrk -d60s -c4 u"), words("wrk -c4 u"));
        assert_eq!(left("wrk --duration=60s u"), words("wrk u"));
        assert_eq!(left("wrk --debug u"), words("wrk --debug u"));
    }
}
