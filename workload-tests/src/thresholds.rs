//! The limits that a verdict is judged by, per workload.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use aegisbpf_measure::plan::Limits;
use serde::Deserialize;

/// Environment variable that names another thresholds file.
pub const THRESHOLDS_VARIABLE: &str = "AEGIS_THRESHOLDS";

/// The file that is used if none is named.
const SHIPPED: &str = include_str!("../../fixtures/thresholds.toml");

/// The thresholds of all workloads.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdsFile {
    default: Limits,
    #[serde(default)]
    workloads: BTreeMap<String, Override>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Override {
    throughput_percent: Option<f64>,
    p95_percent: Option<f64>,
    p99_percent: Option<f64>,
    cpu_points: Option<f64>,
    memory_bytes: Option<u64>,
    wall_time_percent: Option<f64>,
}

/// A thresholds file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThresholdsError {
    /// It cannot be read.
    #[error("reading thresholds from {}: {source}; {THRESHOLDS_VARIABLE} names the file", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not say what it must; the source shows the line.
    #[error("thresholds in {}: {source}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where and what.
        source: toml::de::Error,
    },
    /// An override for a workload that is not there, which would silently not hold.
    #[error("thresholds in {}: there is no workload {name}; known are {known}", path.display())]
    UnknownWorkload {
        /// Which file.
        path: PathBuf,
        /// The name.
        name: String,
        /// The names that we know.
        known: String,
    },
}

impl ThresholdsFile {
    /// Reads `$AEGIS_THRESHOLDS`, or the shipped file.
    ///
    /// # Errors
    /// If the file cannot be read or is wrong.
    pub fn from_env(known: &[&str]) -> Result<Self, ThresholdsError> {
        match env::var_os(THRESHOLDS_VARIABLE).map(PathBuf::from) {
            Some(path) => {
                let text = fs::read_to_string(&path).map_err(|source| ThresholdsError::Read {
                    path: path.clone(),
                    source,
                })?;
                Self::parse(&text, &path, known)
            }
            None => Self::parse(SHIPPED, Path::new("fixtures/thresholds.toml"), known),
        }
    }

    /// Reads a text; `path` is for messages, `known` are the names that may be overridden.
    ///
    /// # Errors
    /// If it is wrong.
    pub fn parse(text: &str, path: &Path, known: &[&str]) -> Result<Self, ThresholdsError> {
        let file: Self = toml::from_str(text).map_err(|source| ThresholdsError::Syntax {
            path: path.to_owned(),
            source,
        })?;
        if let Some(name) = file
            .workloads
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            return Err(ThresholdsError::UnknownWorkload {
                path: path.to_owned(),
                name: name.clone(),
                known: known.join(", "),
            });
        }
        Ok(file)
    }

    /// The limits of a workload.
    #[must_use]
    pub fn of(&self, workload: &str) -> Limits {
        let default = self.default.clone();
        let Some(special) = self.workloads.get(workload) else {
            return default;
        };
        Limits {
            throughput_percent: special
                .throughput_percent
                .unwrap_or(default.throughput_percent),
            p95_percent: special.p95_percent.unwrap_or(default.p95_percent),
            p99_percent: special.p99_percent.unwrap_or(default.p99_percent),
            cpu_points: special.cpu_points.unwrap_or(default.cpu_points),
            memory_bytes: special.memory_bytes.unwrap_or(default.memory_bytes),
            wall_time_percent: special.wall_time_percent.or(default.wall_time_percent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{budget::Budget, workloads};

    fn parse(text: &str) -> Result<ThresholdsFile, ThresholdsError> {
        ThresholdsFile::parse(
            text,
            Path::new("t.toml"),
            &["web::embedded", "files::grep_large"],
        )
    }

    fn default() -> String {
        SHIPPED.to_owned()
    }

    #[test]
    fn the_shipped_file_holds_for_the_workloads_that_there_are() {
        let all = workloads::all(Budget::Quick);
        let names: Vec<&str> = all.iter().map(|workload| workload.name()).collect();
        let file =
            ThresholdsFile::parse(SHIPPED, Path::new("fixtures/thresholds.toml"), &names).unwrap();
        assert_eq!(file.of("web::embedded").memory_bytes, 50_000_000);
        assert_eq!(file.of("files::grep_large"), Limits::default());
    }

    #[test]
    fn an_override_changes_what_it_names_and_nothing_else() {
        let file = parse(&format!(
            "{}[workloads.\"web::embedded\"]\np99_percent = 20.0\n",
            default()
        ))
        .unwrap();
        let changed = Limits {
            p99_percent: 20.0,
            ..file.of("files::grep_large")
        };
        assert_eq!(file.of("web::embedded"), changed);
    }

    #[test]
    fn a_misspelt_limit_is_refused_with_its_line() {
        let text = default().replace("cpu_points", "cpu_point");
        let line = 1 + text
            .lines()
            .position(|line| line.starts_with("cpu_point"))
            .unwrap();
        let error = parse(&text).unwrap_err().to_string();
        assert!(
            error.contains("cpu_point") && error.contains(&format!("line {line}")),
            "{error}"
        );
    }

    #[test]
    fn an_override_of_an_unknown_workload_is_refused() {
        let error = parse(&format!("{}[workloads.\"web::nginx\"]\n", default()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no workload web::nginx") && error.contains("web::embedded"),
            "{error}"
        );
    }
}
