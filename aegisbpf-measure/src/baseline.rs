//! Recorded baselines: what a workload looked like on a machine, to be compared with a later run.
//!
//! A recorded absolute value is never subtracted from today's run: machines move by more than an enforcer costs. What
//! is compared is the *overhead*, as a difference of log ratios with both standard errors.

mod compare;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::compare::{Comparison, MetricComparison};
use crate::{
    attribution::HookShare,
    decide,
    fingerprint::Fingerprint,
    metric::Metric,
    record::{Purpose, Record},
    schedule::Arm,
    verdict::{MetricResult, Verdict},
};

/// Version of the JSON form of [`Baseline`].
pub const SCHEMA_VERSION: u32 = 1;

/// One workload on one machine, recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Unix time of the run, in seconds.
    pub unix_time: u64,
    /// Name of the workload.
    pub workload: String,
    /// Hash of the plan.
    pub plan_sha256: String,
    /// On what machine, and with which enforcer.
    pub fingerprint: Fingerprint,
    /// What came out of the run.
    pub verdict: Verdict,
    /// Quads that were kept.
    pub quads: u32,
    /// Each metric that was measured.
    pub metrics: BTreeMap<Metric, BaselineMetric>,
    /// What each hook cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookShare>,
}

/// One metric, recorded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BaselineMetric {
    /// Levels of the bare blocks: smallest, quartiles, largest; in the metric's unit.
    pub bare: [f64; 5],
    /// Overhead in percent, or points for CPU.
    pub overhead: f64,
    /// Its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// The estimate among the differences: a logarithm, or points for CPU.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Smallest overhead that the run could resolve.
    pub resolvable: Option<f64>,
}

/// The hard keys that say which machine it is, and nothing of enforcer and workload.
const MACHINE: [&str; 8] = [
    "kernel",
    "kernel build",
    "cpu",
    "cpus",
    "mitigations",
    "lsm",
    "jit",
    "virtualised",
];
/// A baseline that cannot be recorded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// An invalid run says nothing.
    #[error("not recorded: the run is {0}")]
    Invalid(String),
    /// A file could not be read or written.
    #[error("baseline {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a baseline.
    #[error("baseline {}: {source}; record it anew with AEGIS_RECORD=1", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// It was written by another version.
    #[error("baseline {} has schema version {found}, this is version {SCHEMA_VERSION}; record it anew with AEGIS_RECORD=1", path.display())]
    Version {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

/// A name for this machine: kernel, CPUs, and a hash of all that makes it this one.
#[must_use]
pub fn machine(fingerprint: &Fingerprint) -> String {
    let mut hash = Sha256::new();
    for key in MACHINE {
        hash.update(key);
        hash.update([0]);
        hash.update(fingerprint.hard(key));
        hash.update([0]);
    }
    let hex: String = hash
        .finalize()
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let release: Vec<&str> = fingerprint
        .hard("kernel")
        .split(['.', '-'])
        .take(2)
        .collect();
    format!(
        "{}-{}cpu-{hex}",
        release.join("."),
        fingerprint.hard("cpus")
    )
}

/// Where a workload's baseline lies: `<dir>/<machine>/<workload>.json`.
#[must_use]
pub fn path(dir: &Path, fingerprint: &Fingerprint, workload: &str) -> PathBuf {
    let file = format!("{}.json", workload.replace("::", "-"));
    dir.join(machine(fingerprint)).join(file)
}

/// The baseline of a workload on this machine, or else on any other (it is then shown and not compared), with its name
/// below `dir`. `None` if there is none at all.
///
/// # Errors
/// If one cannot be read.
pub fn find(
    dir: &Path,
    fingerprint: &Fingerprint,
    workload: &str,
) -> Result<Option<(String, Baseline)>, BaselineError> {
    let own = path(dir, fingerprint, workload);
    let file = own.file_name().unwrap_or_default();
    let mut others: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|machine| machine.path().join(file))
        .collect();
    others.sort();
    for place in [&own].into_iter().chain(&others) {
        if let Some(baseline) = Baseline::read(place)? {
            let name = place.strip_prefix(dir).unwrap_or(place);
            return Ok(Some((name.display().to_string(), baseline)));
        }
    }
    Ok(None)
}

impl Baseline {
    /// What of a run is worth keeping.
    ///
    /// # Errors
    /// If the run is INVALID.
    pub fn of(record: &Record) -> Result<Self, BaselineError> {
        let judgement = &record.judgement;
        if judgement.verdict == Verdict::Invalid {
            return Err(BaselineError::Invalid(judgement.sentence()));
        }
        let metrics = judgement
            .metrics
            .iter()
            .filter_map(|result| Some((result.metric, recorded(record, result)?)))
            .collect();
        let attribution = judgement.attribution.as_ref();
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            unix_time: record.unix_time,
            workload: record.plan.workload.clone(),
            plan_sha256: record.plan_sha256.clone(),
            fingerprint: record.fingerprint.clone(),
            verdict: judgement.verdict,
            quads: judgement.quads - u32::try_from(judgement.excluded.len()).unwrap_or(0),
            metrics,
            hooks: attribution.map_or(Vec::new(), |attribution| attribution.hooks.clone()),
        })
    }

    /// Reads one. `None` if there is no such file.
    ///
    /// # Errors
    /// If it cannot be read, or is no baseline of this version.
    pub fn read(path: &Path) -> Result<Option<Self>, BaselineError> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|source| BaselineError::File {
                path: path.to_owned(),
                source,
            })?,
        };
        let syntax = |source| BaselineError::Syntax {
            path: path.to_owned(),
            source,
        };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(syntax)?;
        let found = value
            .get("schema_version")
            .and_then(serde_json::Value::as_u64);
        match found.and_then(|found| u32::try_from(found).ok()) {
            Some(found) if found != SCHEMA_VERSION => Err(BaselineError::Version {
                path: path.to_owned(),
                found,
            }),
            _ => serde_json::from_value(value).map(Some).map_err(syntax),
        }
    }

    /// Writes it, with its directory: whole or not at all.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn write(&self, path: &Path) -> Result<(), BaselineError> {
        let text = serde_json::to_string_pretty(self).map_err(|source| BaselineError::Syntax {
            path: path.to_owned(),
            source,
        })?;
        let beside = path.with_extension("json.new");
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            fs::write(&beside, text + "\n")?;
            fs::rename(&beside, path)
        };
        write().map_err(|source| BaselineError::File {
            path: path.to_owned(),
            source,
        })
    }
}

/// One metric of a run in the recorded form. `None` if it was not measured.
fn recorded(record: &Record, result: &MetricResult) -> Option<BaselineMetric> {
    let (metric, estimate) = (result.metric, result.estimate?);
    let observed = &record.observed;
    let mut bare: Vec<f64> = decide::quads(&observed.blocks, Purpose::Quad)
        .into_iter()
        .flatten()
        .filter(|block| block.arm == Arm::Bare)
        .filter_map(|block| metric.level(&observed.calibration, &[block]))
        .collect();
    bare.sort_by(f64::total_cmp);
    let last = bare.len().checked_sub(1)?;
    let resolvable = estimate.resolvable?;
    Some(BaselineMetric {
        bare: [0, 1, 2, 3, 4].map(|quarter| bare[last * quarter / 4]),
        overhead: estimate.overhead,
        interval: estimate.interval95,
        difference: metric.difference(estimate.overhead),
        // The resolvable effect is 2.49 of them.
        standard_error: metric.difference(resolvable).abs() / 2.49,
        resolvable: Some(resolvable),
    })
}
