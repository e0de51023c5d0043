//! The figures that were measured before: `fixtures/icount.json`.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, rows::Row};

/// A row may take this much more than it was recorded with.
const TOLERATED: f64 = 1.02;
/// And this many instructions, where 2 % is less than what one boot differs from another.
const REPEATABLE: f64 = 2.0;

/// The rows of each kernel.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Record(pub(super) BTreeMap<String, Vec<Row>>);

impl Record {
    pub(super) fn path() -> PathBuf {
        root().join("fixtures/icount.json")
    }

    /// None yet is an empty one.
    pub(super) fn read() -> Result<Self, Error> {
        let path = Self::path();
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| Error::Record { path, source })
            }
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    pub(super) fn write(&self) -> Result<(), Error> {
        let path = Self::path();
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        fs::write(&path, text).map_err(|source| Error::File { path, source })
    }

    pub(super) fn set(&mut self, kernel: &str, rows: Vec<Row>) {
        self.0.insert(kernel.to_owned(), rows);
    }

    /// Takes what was measured now; rows that were not measured stay.
    pub(super) fn take(&mut self, now: &Self) {
        for (kernel, rows) in &now.0 {
            let kept = self.0.entry(kernel.clone()).or_default();
            for row in rows {
                match kept.iter_mut().find(|old| old.row == row.row) {
                    Some(old) => *old = row.clone(),
                    None => kept.push(row.clone()),
                }
            }
        }
    }

    /// Rows of `now` that take over 2 % more than here, and those that are here no more.
    pub(super) fn dearer(&self, now: &Self) -> Vec<String> {
        let mut dearer = Vec::new();
        for (kernel, rows) in &now.0 {
            for row in rows {
                let old = self
                    .0
                    .get(kernel)
                    .and_then(|rows| rows.iter().find(|old| old.row == row.row));
                match old {
                    None => dearer.push(format!("{kernel}: {}: not recorded", row.row)),
                    Some(old) if row.added > most(old) => dearer.push(format!(
                        "{kernel}: {}: {:.1}, recorded {:.1}",
                        row.row, row.added, old.added
                    )),
                    Some(_) => {}
                }
            }
        }
        dearer
    }
}

/// What a row may take.
fn most(recorded: &Row) -> f64 {
    (recorded.added * TOLERATED).max(recorded.added + REPEATABLE)
}

/// The workspace's directory.
pub(super) fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map_or_else(|| own.clone(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(added: f64) -> Record {
        let row = Row {
            row: "open".into(),
            base: 6_503.0,
            empty: None,
            added,
        };
        Record(BTreeMap::from([("6.12".to_owned(), vec![row])]))
    }

    #[test]
    fn more_than_two_percent_is_too_much() {
        let before = record(1_000.0);
        assert!(before.dearer(&record(1_020.0)).is_empty());
        assert_eq!(
            before.dearer(&record(1_021.0)),
            ["6.12: open: 1021.0, recorded 1000.0"]
        );
        assert!(before.dearer(&record(10.0)).is_empty());
    }

    #[test]
    fn nothing_may_not_become_something() {
        assert!(record(0.0).dearer(&record(2.0)).is_empty());
        assert_eq!(record(0.0).dearer(&record(3.0)).len(), 1);
    }

    #[test]
    fn what_was_never_recorded_is_no_pass() {
        let dearer = Record::default().dearer(&record(0.0));
        assert_eq!(dearer, ["6.12: open: not recorded"]);
    }

    #[test]
    fn rows_that_were_not_measured_stay() {
        let mut kept = record(1.0);
        let mut now = record(2.0);
        now.0.entry("6.12".into()).or_default()[0].row = "exec".into();
        kept.take(&now);
        assert_eq!(kept.0["6.12"].len(), 2);
        kept.take(&record(3.0));
        assert_eq!(kept.0["6.12"][0].added, 3.0);
    }
}
