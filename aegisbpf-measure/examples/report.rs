//! Writes the page of `docs/examples` from the blocks of the run that is recorded beside it, and its picture if there is a
//! chromium: `cargo run -p aegisbpf-measure --example report`.
//!
//! To show another run: `aegisbpf measure --report DIR -- COMMAND`, and copy its `blocks.jsonl` there first.

use std::{
    fs::{self, File},
    io::BufReader,
    path::Path,
    process::{Command, Stdio},
};

use aegisbpf_measure::{journal, report::html};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/examples")
        .canonicalize()?;
    let blocks = File::open(directory.join("blocks.jsonl"))?;
    let record = journal::replay(BufReader::new(blocks))?;
    println!("{}", record.judgement.sentence());
    let page = directory.join("report.html");
    fs::write(&page, html::page(&record))?;

    let profile = std::env::temp_dir().join(format!("aegisbpf-picture-{}", std::process::id()));
    let browser = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--hide-scrollbars",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!(
            "--screenshot={}",
            directory.join("report.png").display()
        ))
        .arg("--window-size=1000,700")
        .arg(format!("file://{}", page.display()))
        .stderr(Stdio::null())
        .status();
    let _ = fs::remove_dir_all(profile);
    match browser {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(format!("chromium ended with {status}; the picture is the old one").into())
        }
        Err(error) => Err(format!("chromium: {error}; the picture is the old one").into()),
    }
}
