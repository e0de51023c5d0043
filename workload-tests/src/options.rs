//! What people choose by environment variables, read once and before anything starts.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use aegisbpf_core::{Backend, Mode};
use aegisbpf_rig::guard::PolicyText;

use crate::{
    budget::{Budget, UnknownBudget},
    thresholds::{ThresholdsError, ThresholdsFile},
    workload::target_directory,
};

/// Environment variable: `1` fails what is only inconclusive.
pub const STRICT_VARIABLE: &str = "AEGIS_STRICT";
/// Environment variable: where reports go.
pub const REPORT_VARIABLE: &str = "AEGIS_REPORT_DIR";
/// Environment variable: `1` records what was measured as the new baseline.
pub const RECORD_VARIABLE: &str = "AEGIS_RECORD";
/// Environment variable: where the recorded baselines lie.
pub const BASELINES_VARIABLE: &str = "AEGIS_BASELINES";
/// Environment variable: the policy under test.
pub const POLICY_VARIABLE: &str = "AEGIS_POLICY";
/// Environment variable: `audit` (default) or `enforce`.
pub const MODE_VARIABLE: &str = "AEGIS_MODE";
/// Environment variable: `lsm` or `tracepoint`; default the first that works.
pub const BACKEND_VARIABLE: &str = "AEGIS_BACKEND";

/// The policy that is tested if none is named.
const SHIPPED_POLICY: (&str, &str) = (
    "policies/production.conf",
    include_str!("../../policies/production.conf"),
);

/// All choices.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time for each case.
    pub budget: Budget,
    /// Whether inconclusive is a failure.
    pub strict: bool,
    /// Where reports go.
    pub report_dir: PathBuf,
    /// Whether this run becomes the baseline.
    pub record: bool,
    /// Where baselines lie.
    pub baselines: PathBuf,
    /// The policy under test.
    pub policy: PolicyText,
    /// What becomes of denied accesses.
    pub mode: Mode,
    /// How the enforcer hooks into the kernel.
    pub backend: Option<Backend>,
    /// The limits.
    pub thresholds: ThresholdsFile,
}

/// A choice that makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The budget.
    #[error(transparent)]
    Budget(#[from] UnknownBudget),
    /// The thresholds.
    #[error(transparent)]
    Thresholds(#[from] ThresholdsError),
    /// The policy cannot be read.
    #[error("reading the policy {}: {source}; {POLICY_VARIABLE} names the file", path.display())]
    Policy {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A word that is none of the allowed ones.
    #[error("{variable}={value:?} is not known: use {allowed}")]
    Word {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
}

impl Options {
    /// Reads the environment. `workloads` are the names that the thresholds may speak of.
    ///
    /// # Errors
    /// If a variable is set to something that makes no sense.
    pub fn from_env(workloads: &[&str]) -> Result<Self, OptionsError> {
        let mode = word(
            MODE_VARIABLE,
            "audit or enforce",
            &[("audit", Mode::Audit), ("enforce", Mode::Enforce)],
        )?;
        let backend = word(
            BACKEND_VARIABLE,
            "lsm or tracepoint",
            &[("lsm", Backend::Lsm), ("tracepoint", Backend::Tracepoint)],
        )?;
        Ok(Self {
            budget: Budget::from_env()?,
            strict: word(STRICT_VARIABLE, "0 or 1", &[("0", false), ("1", true)])?.unwrap_or(false),
            record: word(RECORD_VARIABLE, "0 or 1", &[("0", false), ("1", true)])?.unwrap_or(false),
            baselines: env::var_os(BASELINES_VARIABLE)
                .map_or_else(default_baselines, PathBuf::from),
            report_dir: env::var_os(REPORT_VARIABLE).map_or_else(default_report_dir, PathBuf::from),
            policy: policy()?,
            mode: mode.unwrap_or_default(),
            backend,
            thresholds: ThresholdsFile::from_env(workloads)?,
        })
    }
}

fn policy() -> Result<PolicyText, OptionsError> {
    let Some(path) = env::var_os(POLICY_VARIABLE).map(PathBuf::from) else {
        let (name, text) = SHIPPED_POLICY;
        return Ok(PolicyText {
            name: name.to_owned(),
            text: text.to_owned(),
        });
    };
    match fs::read_to_string(&path) {
        Ok(text) => Ok(PolicyText {
            name: path.display().to_string(),
            text,
        }),
        Err(source) => Err(OptionsError::Policy { path, source }),
    }
}

fn word<T: Copy>(
    variable: &'static str,
    allowed: &'static str,
    words: &[(&str, T)],
) -> Result<Option<T>, OptionsError> {
    let Ok(value) = env::var(variable) else {
        return Ok(None);
    };
    match words.iter().find(|(word, _)| *word == value) {
        Some((_, meaning)) => Ok(Some(*meaning)),
        None => Err(OptionsError::Word {
            variable,
            value,
            allowed,
        }),
    }
}

/// `fixtures/baselines` of the sources that this program was built from.
fn default_baselines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/baselines")
}

/// `aegis-reports` in the target directory that this program was built in.
fn default_report_dir() -> PathBuf {
    target_directory()
        .unwrap_or_else(|| PathBuf::from("."))
        .join("aegis-reports")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_go_to_the_target_directory() {
        let directory = default_report_dir();
        assert!(directory.ends_with("aegis-reports"));
        assert!(
            directory.parent().unwrap().join("CACHEDIR.TAG").exists(),
            "{}",
            directory.display()
        );
    }
}
