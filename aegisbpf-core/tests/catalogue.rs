//! The catalogue of attacks in docs/SECURITY.md: a row without a test is not a claim.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

const HEAD: &str = "| tried | outcome | test |";

#[test]
fn each_row_names_a_test_that_exists() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = home.join("../docs/SECURITY.md");
    if std::env::var_os("AEGIS_IN_VM").is_some() && !page.exists() {
        return; // the sources stay outside
    }
    let page = fs::read_to_string(page).unwrap();
    let sources: String = sources(&home.join("tests"))
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut rows = 0;
    for table in page.split(HEAD).skip(1) {
        // The line under the head, and then rows until something else comes.
        let lines = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        for row in lines {
            rows += 1;
            let cell = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
            let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            assert!(
                !named.is_empty() || cell.trim() == "the same",
                "no test: {row}"
            );
            for name in named {
                let function = format!("fn {}(", name.rsplit("::").next().unwrap());
                assert!(sources.contains(&function), "no such test: {name}");
            }
        }
    }
    assert!(rows > 60, "only {rows} rows were found");
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| match path.extension() {
            Some(extension) if extension == "rs" => vec![path],
            _ if path.is_dir() => sources(&path),
            _ => vec![],
        })
        .collect()
}
