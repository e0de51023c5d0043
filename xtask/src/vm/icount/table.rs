//! The table: for the terminal, for machines, and for docs/PERFORMANCE.md.

use std::fs;

use serde::Serialize;

use super::{
    Error,
    record::{self, Record},
    rows::{Bar, Row},
};

const BEGIN: &str = "<!-- written by `cargo xtask vm icount --record` -->";
const END: &str = "<!-- until here -->";

/// A row with its verdict.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    kernel: String,
    #[serde(flatten)]
    row: Row,
    /// `added / empty`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bar: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

/// Rows in the order in which they are measured, the kernels side by side.
pub(super) fn lines(record: &Record) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    // 6.12, which the bars are about, before 6.1.
    for (kernel, rows) in record.0.iter().rev() {
        for row in rows {
            let bar = row.bar(kernel);
            lines.push(Line {
                kernel: kernel.clone(),
                ratio: row.empty.map(|_| row.ratio()),
                bar: bar.map(Bar::text),
                met: bar.map(|bar| bar.is_met(row)),
                row: row.clone(),
            });
        }
    }
    lines
}

impl Line {
    fn cells(&self) -> [String; 7] {
        let empty = self.row.empty.map_or(String::new(), |n| format!("{n:.0}"));
        let ratio = match self.ratio {
            Some(ratio) => format!("{ratio:.3} ×"),
            None => format!("{:+.2} %", self.row.percent()),
        };
        [
            self.row.row.clone(),
            self.kernel.clone(),
            format!("{:.0}", self.row.base),
            empty,
            format!("{:+.1}", self.row.added),
            ratio,
            match (&self.bar, self.met) {
                (Some(bar), Some(true)) => format!("{bar}: met"),
                (Some(bar), _) => format!("{bar}: MISSED"),
                (None, _) => String::new(),
            },
        ]
    }
}

const HEAD: [&str; 7] = [
    "operation",
    "kernel",
    "without",
    "empty",
    "added",
    "of empty, or of all",
    "bar",
];

pub(super) fn text(lines: &[Line]) -> String {
    let mut table = vec![HEAD.map(str::to_owned)];
    table.extend(lines.iter().map(Line::cells));
    let width = |column: usize| {
        let widths = table.iter().map(|cells| cells[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for cells in &table {
        let padded = cells
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(at, (cell, width))| match at {
                0 | 1 | 6 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
        let line: Vec<String> = padded.collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn markdown(lines: &[Line]) -> String {
    let mut text = format!("| {} |\n|---|---|--:|--:|--:|--:|---|\n", HEAD.join(" | "));
    for line in lines {
        text.push_str(&format!("| {} |\n", line.cells().join(" | ")));
    }
    text
}

/// Writes the recorded table between its marks.
pub(super) fn write_into_docs(record: &Record) -> Result<(), Error> {
    let path = record::root().join("docs/PERFORMANCE.md");
    let failed = |source| Error::File {
        path: path.clone(),
        source,
    };
    let text = fs::read_to_string(&path).map_err(failed)?;
    let written = place(&text, record).ok_or_else(|| Error::NoPlace {
        path: path.clone(),
        begin: BEGIN.into(),
        end: END.into(),
    })?;
    fs::write(&path, written).map_err(failed)
}

fn place(text: &str, record: &Record) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let table = markdown(&lines(record));
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_the_recorded_one() {
        let record = Record::read().unwrap();
        let text = fs::read_to_string(record::root().join("docs/PERFORMANCE.md")).unwrap();
        assert!(!record.0.is_empty());
        assert_eq!(place(&text, &record).unwrap(), text);
    }

    #[test]
    fn a_row_beyond_its_bar_says_so() {
        let row = |added| Row {
            row: "open, no match, 10 rules".into(),
            base: 6_503.0,
            empty: Some(184.0),
            added,
        };
        let record = |added| Record([("6.12".to_owned(), vec![row(added)])].into());
        assert!(text(&lines(&record(194.0))).contains("≤ 1.06 × empty: met"));
        assert!(text(&lines(&record(196.0))).contains("≤ 1.06 × empty: MISSED"));
    }
}
