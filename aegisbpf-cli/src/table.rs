//! Aligned columns for people.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use crate::out::printable;

/// How a column is aligned. The last column is never padded.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [Column; N]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, row: [String; N]) {
        self.rows.push(row.map(|cell| match printable(&cell) {
            Cow::Borrowed(_) => cell,
            Cow::Owned(safe) => safe,
        }));
    }

    /// Writes the heads and the rows, each behind two blanks; `nothing` instead if there is no row.
    pub(crate) fn write(&self, out: &mut impl Write, nothing: &str) -> io::Result<()> {
        if self.rows.is_empty() {
            return writeln!(out, "  {nothing}");
        }
        let head = self.columns.map(|column| match column {
            Column::Left(name) | Column::Right(name) => name.to_owned(),
        });
        let lines = || std::iter::once(&head).chain(&self.rows);
        let width = |at: usize| lines().map(|row| row[at].chars().count()).max();
        let widths: [usize; N] = std::array::from_fn(|at| width(at).unwrap_or_default());
        for row in lines() {
            let mut line = String::from(" ");
            for (at, cell) in row.iter().enumerate() {
                let width = widths[at];
                line += &match self.columns[at] {
                    Column::Right(_) => format!(" {cell:>width$}"),
                    Column::Left(_) => format!(" {cell:<width$}"),
                };
                line.push(' ');
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// `1,234,567`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `8.2 MB`
pub(crate) fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let megabytes = bytes as f64 / 1e6;
    format!("{megabytes:.1} MB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new([
            Column::Right("blocks"),
            Column::Left("file"),
            Column::Left("rule"),
        ]);
        table.row(["7".into(), "/a\n".into(), "a.conf:3".into()]);
        table.row(["12,345".into(), "/etc/shadow".into(), String::new()]);
        let mut text = Vec::new();
        table.write(&mut text, "none").unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "  blocks  file         rule\n       7  /a\\n         a.conf:3\n  12,345  /etc/shadow\n"
        );
    }

    #[test]
    fn an_empty_table_says_so() {
        let mut text = Vec::new();
        Table::new([Column::Left("file")])
            .write(&mut text, "none")
            .unwrap();
        assert_eq!(text, b"  none\n");
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
