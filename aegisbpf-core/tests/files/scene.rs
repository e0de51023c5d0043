//! The files that a fact is about, and the one enforcer that all facts share.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use aegisbpf_core::{Enforcer, FileId, Mode, Policy};
use tempfile::TempDir;

/// A folder with a file to deny and one to leave alone.
pub(crate) struct Scene(TempDir);

impl Scene {
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// In a folder below `directory`, which tells the file system.
    pub(crate) fn below(directory: &Path) -> Self {
        let scene = Self(tempfile::tempdir_in(directory).unwrap());
        fs::write(scene.secret(), "secret\n").unwrap();
        fs::write(scene.plain(), "plain\n").unwrap();
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn secret(&self) -> PathBuf {
        self.path("secret")
    }

    pub(crate) fn plain(&self) -> PathBuf {
        self.path("plain")
    }

    pub(crate) fn id(&self, path: &Path) -> FileId {
        let meta = fs::metadata(path).unwrap();
        FileId::from_stat(meta.dev(), meta.ino())
    }

    /// A policy against these paths.
    pub(crate) fn deny(&self, paths: &[&Path]) -> String {
        let lines = paths.iter().map(|path| format!("{}\n", path.display()));
        format!("version=1\n[deny_path]\n{}", lines.collect::<String>())
    }
}

/// The enforcer, which each fact gives another policy. Loading it takes the verifier seconds under emulation.
pub(crate) struct Stage {
    aegis: Enforcer,
}

impl Stage {
    pub(crate) fn new(mut aegis: Enforcer) -> Self {
        aegis.attach().unwrap_or_else(|e| panic!("{}", e.chain()));
        Self { aegis }
    }

    #[track_caller]
    pub(crate) fn enforce(&mut self, policy: &str) {
        self.aegis.set_mode(Mode::Enforce).unwrap();
        self.apply(policy);
    }

    #[track_caller]
    pub(crate) fn audit(&mut self, policy: &str) {
        self.aegis.set_mode(Mode::Audit).unwrap();
        self.apply(policy);
    }

    #[track_caller]
    pub(crate) fn apply(&mut self, policy: &str) {
        let policy: Policy = policy.parse().unwrap();
        self.aegis
            .apply(&policy)
            .unwrap_or_else(|e| panic!("{}", e.chain()));
    }

    #[track_caller]
    pub(crate) fn add(&mut self, rules: &str) {
        let rules: Policy = rules.parse().unwrap();
        self.aegis
            .add(&rules)
            .unwrap_or_else(|e| panic!("{}", e.chain()));
    }

    #[track_caller]
    pub(crate) fn remove(&mut self, rules: &str) {
        let rules: Policy = rules.parse().unwrap();
        self.aegis
            .remove(&rules)
            .unwrap_or_else(|e| panic!("{}", e.chain()));
    }

    pub(crate) fn links(&self) -> Vec<String> {
        self.aegis.links()
    }

    pub(crate) fn has_hook(&self, name: &str) -> bool {
        self.links().iter().any(|link| link.ends_with(name))
    }

    /// Audited, denied and exempted accesses of all rules.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let stats = self.aegis.stats().unwrap();
        stats.rules.iter().fold((0, 0, 0), |sum, rule| {
            (
                sum.0 + rule.audited,
                sum.1 + rule.denied,
                sum.2 + rule.exempted,
            )
        })
    }

    /// Denied accesses of the rule for `path`.
    #[track_caller]
    pub(crate) fn denied(&self, path: &Path) -> u64 {
        let stats = self.aegis.stats().unwrap();
        let mut rules = stats.rules.iter();
        let rule = rules.find(|rule| Path::new(&rule.entry) == path);
        rule.expect("a rule for it").denied
    }

    pub(crate) fn health(&self) -> aegisbpf_core::stats::Health {
        self.aegis.stats().unwrap().health
    }

    /// Runs of programs that the kernel skipped.
    pub(crate) fn missed_runs(&self) -> u64 {
        self.aegis.stats().unwrap().missed_runs
    }

    /// What was reported since, and what each is about.
    pub(crate) fn aegis(&mut self) -> &mut Enforcer {
        &mut self.aegis
    }

    /// Nothing of a fact may stay: no rule, no hook.
    #[track_caller]
    pub(crate) fn clear(&mut self) {
        self.apply("version=1\n");
        assert!(self.links().is_empty(), "{:?}", self.links());
    }
}
