//! Journals that were cut, emptied or altered: an error or a verdict, never a panic, and no report that breaks.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use aegisbpf_measure::{
    Record,
    fake::{self, Fake, Truth},
    journal,
    report::{csv, github, html, json, junit, markdown, table},
    workload::Kind,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

fn lines(kind: Kind) -> Vec<String> {
    let mut plan = fake::plan("web::fake");
    plan.max_quads = 8;
    plan.min_quads = 2;
    let truth = Truth {
        kind,
        errors_everywhere: [("timeout".to_owned(), 2)].into(),
        ..Truth::default()
    };
    let record = Fake::new(truth).run(&plan).unwrap();
    let mut text = Vec::new();
    journal::write(&record, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// All that is written of a record.
fn reports(record: &Record) {
    let mut sink = Vec::new();
    json::write(record, &mut sink).unwrap();
    for text in [
        html::page(record),
        markdown::report(record),
        csv::results(record),
        csv::blocks(record),
        junit::report([junit::suite(record, true)]),
        table::verdict_block(record),
        table::undecided(record),
        github::annotations(record, true).concat(),
    ] {
        assert!(!text.is_empty());
    }
}

#[test]
fn a_journal_that_was_cut_says_what_is_missing() {
    let lines = lines(Kind::Service);
    assert_eq!(
        journal::replay(&b""[..]).unwrap_err().to_string(),
        "the journal has no run line; was the run cut short?"
    );
    for kept in 0..lines.len() {
        let whole = lines[..kept].join("\n");
        let error = journal::replay(whole.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("cut short"), "{kept} lines: {error}");
        // In the middle of a line.
        let half = format!("{whole}\n{}", &lines[kept][..lines[kept].len() / 2]);
        let error = journal::replay(half.trim_start().as_bytes())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("line {} of the journal", kept + 1)),
            "{kept} lines and a half: {error}"
        );
    }
}

#[test]
fn a_figure_that_nobody_measured_is_refused_with_its_line() {
    let lines = lines(Kind::Batch);
    let altered = lines
        .join("\n")
        .replacen("\"wall_ns\":", "\"wall_ns\":9", 1);
    // Nine thousand seconds may be; nine million years may not.
    assert!(journal::replay(altered.as_bytes()).is_ok());
    let altered = altered.replacen("\"wall_ns\":9", "\"wall_ns\":9000000000", 1);
    let error = journal::replay(altered.as_bytes()).unwrap_err().to_string();
    assert!(
        error.starts_with("line 4 of the journal: 9000000000"),
        "{error}"
    );
}

#[test]
fn blocks_that_are_missing_make_no_verdict() {
    let lines = lines(Kind::Batch);
    let without = |kind: &str| -> Record {
        let tag = format!("{{\"line\":\"{kind}\"");
        let kept: Vec<&str> = lines
            .iter()
            .map(String::as_str)
            .filter(|line| !line.starts_with(&tag))
            .collect();
        journal::replay(kept.join("\n").as_bytes()).unwrap()
    };
    for kind in ["block", "check"] {
        let record = without(kind);
        assert_eq!(
            record.judgement.verdict,
            aegisbpf_measure::Verdict::Invalid,
            "{kind}: {}",
            record.judgement.sentence()
        );
        reports(&record);
    }
}

/// Pointers to all numbers and lists below.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) | Value::Null => found.push(at.to_owned()),
        Value::Array(items) => {
            found.push(at.to_owned());
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                places(item, &format!("{at}/{}", name.replace('/', "~1")), found);
            }
        }
        Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn whatever_number_was_altered_nothing_panics() {
    let mut rng = ChaCha8Rng::seed_from_u64(27);
    let odd = [
        Value::from(0),
        Value::from(1),
        Value::from(u64::MAX),
        Value::from(1_u64 << 53),
        Value::from(u32::MAX),
        Value::from(-1),
        Value::from(1e300),
        Value::Null,
        Value::Array(Vec::new()),
    ];
    let mut replayed = 0;
    for kind in [Kind::Service, Kind::Batch, Kind::Timed] {
        let lines = lines(kind);
        for (number, line) in lines.iter().enumerate() {
            let whole: Value = serde_json::from_str(line).unwrap();
            let mut all = Vec::new();
            places(&whole, "", &mut all);
            for _ in 0..4.min(all.len()) {
                let place = &all[rng.random_range(0..all.len())];
                let with = &odd[rng.random_range(0..odd.len())];
                let mut altered = whole.clone();
                *altered.pointer_mut(place).unwrap() = with.clone();
                let mut lines = lines.clone();
                lines[number] = altered.to_string();
                println!("line {}: {place} becomes {with}", number + 1);
                if let Ok(record) = journal::replay(lines.join("\n").as_bytes()) {
                    replayed += 1;
                    reports(&record);
                }
            }
        }
    }
    assert!(replayed > 100, "only {replayed} could be replayed at all");
}
