//! What we write is what the published schema says.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use aegisbpf_measure::{Record, fake::Truth, journal, record::SCHEMA_VERSION, workload::Kind};
use serde_json::{Value, json};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/schema/report-v2.schema.json")).unwrap()
}

/// The journal's schema refers to the record's for what both have.
fn journal_schema() -> Value {
    let text = include_str!("../../docs/schema/blocks-v3.schema.json")
        .replace("report-v2.schema.json#/", "#/");
    let mut whole: Value = serde_json::from_str(&text).unwrap();
    whole["$defs"] = schema()["$defs"].clone();
    whole
}

fn written(record: &Record) -> Value {
    let mut text = Vec::new();
    aegisbpf_measure::report::json::write(record, &mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn the_schema_is_of_this_version() {
    assert_eq!(
        schema()["properties"]["schema_version"]["const"],
        SCHEMA_VERSION
    );
}

#[test]
fn every_kind_of_record_is_valid() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for truth in [
        Truth::default(),
        Truth {
            kind: Kind::Batch,
            effect: 0.15,
            ..Truth::default()
        },
        Truth {
            kind: Kind::Timed,
            ..Truth::default()
        },
        Truth {
            attaches: false,
            ..Truth::default()
        },
        Truth {
            errors: [("EPERM".to_owned(), 3)].into(),
            noise: 0.3,
            ..Truth::default()
        },
    ] {
        let record = written(&common::full(truth));
        let errors: Vec<String> = validator
            .iter_errors(&record)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

#[test]
fn every_line_of_a_journal_is_valid_and_no_other() {
    let validator = jsonschema::validator_for(&journal_schema()).unwrap();
    let mut lines = Vec::new();
    for kind in [Kind::Batch, Kind::Service] {
        let truth = Truth {
            kind,
            ..Truth::default()
        };
        journal::write(&common::full(truth), &mut lines).unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    for line in String::from_utf8(lines).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&line)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let mut bad = line.clone();
        bad["line"] = json!("other");
        assert!(!validator.is_valid(&bad));
        seen.insert(line["line"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    let old = json!({"line": "run", "schema_version": 2, "unix_time": 0, "fingerprint": {"hard": {}, "soft": {}}, "invocation": null});
    assert!(!validator.is_valid(&old));
}

#[test]
fn a_record_with_another_word_or_without_a_member_is_not_valid() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let good = written(&common::full(Truth::default()));
    for (at, value) in [
        ("/judgement/verdict", json!("MAYBE")),
        ("/judgement/metrics/0/estimate/interval", json!([1.0])),
        ("/observed/blocks/0/arm", json!("guard")),
        ("/schema_version", json!(1)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(at).unwrap() = value;
        assert!(!validator.is_valid(&bad), "{at}");
    }
    let mut bad = good.clone();
    bad["judgement"].as_object_mut().unwrap().remove("totals");
    assert!(!validator.is_valid(&bad));
}
