//! What a policy sets once for all its rules.

use std::path::PathBuf;

use serde::Serialize;

use super::class::Class;
use super::rule::Origin;

/// The sections that are no rules but change what rules mean. Each knows where it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Settings {
    /// `[protect_runtime_deps]`: a verified process that maps unverified executable code loses its standing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect_runtime_deps: Option<Origin>,
    /// `[require_ima_appraisal]`: enforce only where IMA appraisal is active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_ima_appraisal: Option<Origin>,
    /// `[ima_fail_closed]`: deny executing what IMA cannot appraise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ima_fail_closed: Option<Origin>,
    /// `[scan_paths]`: directories that are searched for the files of the hash sections.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scan_paths: Vec<ScanPath>,
}

/// An entry of `[scan_paths]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScanPath {
    /// The directory.
    pub path: PathBuf,
    /// Where it is written.
    pub origin: Origin,
}

impl Settings {
    /// What is set: the section's name, what enforcing it takes, and where it is written.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Class, &Origin)> {
        let flags = [
            (
                "protect_runtime_deps",
                Class::Verified,
                &self.protect_runtime_deps,
            ),
            (
                "require_ima_appraisal",
                Class::Ima,
                &self.require_ima_appraisal,
            ),
            ("ima_fail_closed", Class::Ima, &self.ima_fail_closed),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(name, class, origin)| Some((name, class, origin.as_ref()?)));
        let scans = self
            .scan_paths
            .iter()
            .map(|scan| ("scan_paths", Class::Hash, &scan.origin));
        flags.chain(scans)
    }

    /// Without those for which `keep` is false.
    #[must_use]
    pub(super) fn retain(mut self, keep: impl Fn(Class) -> bool) -> Self {
        if !keep(Class::Verified) {
            self.protect_runtime_deps = None;
        }
        if !keep(Class::Ima) {
            self.require_ima_appraisal = None;
            self.ima_fail_closed = None;
        }
        if !keep(Class::Hash) {
            self.scan_paths.clear();
        }
        self
    }
}
