//! The figures that were measured before: `fixtures/icount.json`.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, rows::Row};

/// A row may take this much more than it was recorded with.
const TOLERATED: f64 = 1.02;
/// And this many instructions, where 2 % is less than what one boot differs from another.
const REPEATABLE: f64 = 2.0;
/// Or this share of a long operation: what a program start adds differed by 700 instructions of 1.1 million between two
/// runs of the same code.
const WANDERS: f64 = 0.005;
/// What two processes do in turn depends on when each has its turn: events printed as JSON took 4,284 to 4,396 in four runs
/// of the same code.
const IN_TURN: f64 = 1.05;
/// An operation that takes so much more or less without any program is another kernel's, or another C library's.
const OTHER: f64 = 0.005;

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

    fn find(&self, kernel: &str, row: &Row) -> Option<&Row> {
        self.0.get(kernel)?.iter().find(|old| old.row == row.row)
    }

    /// Rows of `now` whose operation is another one without any program: what is added to it says nothing then.
    pub(super) fn of_others(&self, now: &Self) -> Vec<String> {
        let mut others = Vec::new();
        for (kernel, rows) in &now.0 {
            for row in rows {
                if let Some(old) = self.find(kernel, row).filter(|old| is_other(old, row)) {
                    others.push(format!(
                        "{kernel}: {}: {:.0} without any program, recorded {:.0}",
                        row.row, row.base, old.base
                    ));
                }
            }
        }
        others
    }

    /// Rows of `now` that take over 2 % more than here, or over what else is tolerated, and those that are not here.
    pub(super) fn dearer(&self, now: &Self) -> Vec<String> {
        let mut dearer = Vec::new();
        for (kernel, rows) in &now.0 {
            for row in rows {
                match self.find(kernel, row) {
                    None => dearer.push(format!("{kernel}: {}: not recorded", row.row)),
                    Some(old) if !is_other(old, row) && row.added > most(old) => {
                        dearer.push(format!(
                            "{kernel}: {}: {:.1}, recorded {:.1}",
                            row.row, row.added, old.added
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        dearer
    }
}

/// What a row may take.
fn most(recorded: &Row) -> f64 {
    let wanders = if recorded.base < 100_000.0 {
        REPEATABLE
    } else {
        recorded.base * WANDERS
    };
    let tolerated = if recorded.row.ends_with("printed as JSON") {
        IN_TURN
    } else {
        TOLERATED
    };
    (recorded.added * tolerated).max(recorded.added + wanders)
}

fn is_other(recorded: &Row, now: &Row) -> bool {
    let empty = |row: &Row| row.empty.unwrap_or_default();
    (now.base - recorded.base).abs() > recorded.base * OTHER
        || (empty(now) - empty(recorded)).abs() > REPEATABLE
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
    fn another_kernel_is_not_compared_and_that_is_said() {
        let (before, mut now) = (record(100.0), record(200.0));
        assert!(before.of_others(&now).is_empty());
        if let Some(row) = now.0.get_mut("6.12").and_then(|rows| rows.first_mut()) {
            row.base += 100.0;
        }
        assert!(before.dearer(&now).is_empty());
        assert_eq!(
            before.of_others(&now),
            ["6.12: open: 6603 without any program, recorded 6503"]
        );
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
