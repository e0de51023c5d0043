//! All reports of a run as files in one directory.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use super::{csv, html, json, junit, markdown};
use crate::{journal, record::Record};

/// What is written, in the order in which people look for it.
pub const NAMES: [&str; 7] = [
    "report.html",
    "report.md",
    "report.json",
    "blocks.jsonl",
    "results.csv",
    "blocks.csv",
    JUNIT,
];

/// The file for build servers.
pub const JUNIT: &str = "junit.xml";

/// Writes all files of [`NAMES`]; the directory is made. `strict`: only a PASS by wall clock counts (`junit.xml`).
///
/// # Errors
/// If one cannot be written; it is named.
pub fn write(record: &Record, directory: &Path, strict: bool) -> io::Result<()> {
    let named = |name: &str, error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("writing {}: {error}", directory.join(name).display()),
        )
    };
    fs::create_dir_all(directory).map_err(|error| named("", error))?;
    let text = |name: &str, text: String| {
        fs::write(directory.join(name), text).map_err(|error| named(name, error))
    };
    text("report.html", html::page(record))?;
    text("report.md", markdown::report(record))?;
    text("results.csv", csv::results(record))?;
    text("blocks.csv", csv::blocks(record))?;
    text(JUNIT, junit::report([junit::suite(record, strict)]))?;
    let stream = |name: &str, write: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        let file = File::create(directory.join(name)).map(BufWriter::new);
        file.and_then(|mut file| {
            write(&mut file)?;
            file.flush()
        })
        .map_err(|error| named(name, error))
    };
    stream("report.json", &|to| json::write(record, to))?;
    stream("blocks.jsonl", &|to| journal::write(record, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, Fake, Truth};

    #[test]
    fn every_named_file_is_written_and_no_other() {
        let record = Fake::new(Truth::default())
            .run(&fake::plan("web::fake"))
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        write(&record, &directory.path().join("a/b"), false).unwrap();
        let mut found: Vec<String> = fs::read_dir(directory.path().join("a/b"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let mut expected = NAMES.map(str::to_owned);
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let record = Fake::new(Truth::default())
            .run(&fake::plan("web::fake"))
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("results.csv")).unwrap();
        let error = write(&record, directory.path(), false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("results.csv"), "{error}");
    }
}
