//! What we write is what the published schema says.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use aegisbpf_measure::{Record, fake::Truth, record::SCHEMA_VERSION, workload::Kind};
use serde_json::{Value, json};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/schema/report-v2.schema.json")).unwrap()
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
