//! One file that says how all cases ended, for machines: was anything measured at all?

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseEnd {
    /// `pass`, `fail`, `inconclusive`, `invalid`, `missing` (a requirement) or `error`.
    pub verdict: String,
    /// Whether the enforcer's hooks were really attached while the workload ran.
    pub attached: bool,
    /// One line for people.
    pub reason: String,
}

/// The file's content: grows case by case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many cases were run with the hooks attached.
    pub attached: usize,
    /// All cases of this run.
    pub cases: BTreeMap<String, CaseEnd>,
}

impl Summary {
    /// Adds a case and writes the file, so that it is there also if the next case is killed.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, directory: &Path, case: &str, end: CaseEnd) -> io::Result<PathBuf> {
        self.cases.insert(case.to_owned(), end);
        self.attached = self.cases.values().filter(|end| end.attached).count();
        fs::create_dir_all(directory)?;
        let path = directory.join("summary.json");
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_the_cases_that_attached() {
        let directory = tempfile::tempdir().unwrap();
        let end = |attached| CaseEnd {
            verdict: "pass".to_owned(),
            attached,
            reason: String::new(),
        };
        let mut summary = Summary::default();
        summary.add(directory.path(), "a", end(true)).unwrap();
        let path = summary.add(directory.path(), "b", end(false)).unwrap();
        let read: Summary = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!((read.attached, read.cases.len()), (1, 2));
    }
}
