//! The HTML page, read as text: its numbers are the JSON's, its figures are all there, and it loads nothing.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use aegisbpf_measure::{Record, Verdict, fake::Truth, journal, report::html::page};
use serde_json::Value;

/// Every `data-at` of the page with its value and, where it has one, its text.
fn data(page: &str) -> Vec<(String, f64, Option<String>)> {
    let attribute = |tag: &str, name: &str| {
        let from = tag.find(&format!("{name}=\""))? + name.len() + 2;
        tag[from..].split('"').next().map(str::to_owned)
    };
    page.split('<')
        .filter_map(|piece| {
            let (tag, text) = piece.split_once('>')?;
            let at = attribute(tag, "data-at")?;
            let shown = tag.starts_with("data ");
            let value = attribute(tag, if shown { " value" } else { "data-value" })?;
            Some((at, value.parse().unwrap(), shown.then(|| text.to_owned())))
        })
        .collect()
}

/// The first number in a text, without its grouping.
fn number(text: &str) -> f64 {
    let digits: String = text
        .replace(',', "")
        .chars()
        .take_while(|c| c.is_ascii_digit() || "+-.".contains(*c))
        .collect();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("{text} is no number"))
}

#[track_caller]
fn agrees(record: &Record) {
    let json: Value = serde_json::from_slice(&serde_json::to_vec(record).unwrap()).unwrap();
    let page = page(record);
    let data = data(&page);
    assert!(data.len() > 40, "only {} numbers", data.len());
    for (at, value, text) in data {
        let there = json.pointer(&at).and_then(Value::as_f64);
        assert_eq!(there, Some(value), "{at}");
        let Some(text) = text else { continue };
        // Shown in the JSON's unit, or in a larger or smaller one.
        let shown = number(&text).abs();
        let close = (shown - value.abs()).abs() <= 0.051_f64.max(0.006 * value.abs());
        let scaled = [
            1e-9,
            1e-6,
            1e-3,
            1.0,
            1e3,
            1e6,
            1e9,
            1.0 / 60e9,
            1.0 / 3_600e9,
        ]
        .iter()
        .any(|scale| (shown - value.abs() * scale).abs() <= 0.051 * shown.max(0.2));
        assert!(close || scaled, "{at}: {value} is shown as {text}");
    }
}

#[test]
fn every_number_of_the_page_is_the_jsons() {
    agrees(&common::full(Truth::default()));
    agrees(&common::full(Truth {
        effect: 0.15,
        ..Truth::default()
    }));
}

#[test]
fn verdict_interval_and_next_step_come_first() {
    for (truth, verdict, says) in [
        (Truth::default(), Verdict::Pass, "stays within every limit"),
        (
            Truth {
                effect: 0.2,
                ..Truth::default()
            },
            Verdict::Fail,
            "costs web::fake more than is allowed",
        ),
        (
            Truth {
                noise: 0.4,
                cpu_noise: 0.4,
                ..Truth::default()
            },
            Verdict::Inconclusive,
            "It is still open",
        ),
        (
            Truth {
                attaches: false,
                ..Truth::default()
            },
            Verdict::Invalid,
            "failed its own checks",
        ),
    ] {
        let record = common::full(truth);
        assert_eq!(record.judgement.verdict, verdict);
        let page = page(&record);
        let top = page.split("</header>").next().unwrap();
        let places: Vec<usize> = [verdict.to_string().as_str(), says, "<b>Next: </b>"]
            .iter()
            .map(|text| {
                top.rfind(text)
                    .unwrap_or_else(|| panic!("{text} is not in the header of {verdict}"))
            })
            .collect();
        assert!(places.is_sorted(), "{verdict}: {places:?}");
        assert!(
            top.contains("data-at=\"/judgement/metrics/"),
            "{verdict}: no interval"
        );
    }
}

#[test]
fn every_figure_is_there_and_holds_every_block() {
    let record = common::full(Truth::default());
    let page = page(&record);
    for id in [
        "forest",
        "advice",
        "blocks",
        "quads",
        "shift",
        "attribution",
        "checks",
        "conditions",
        "machine",
    ] {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}");
    }
    let judged = record
        .judgement
        .metrics
        .iter()
        .filter(|result| result.metric.is_judged(&record.plan));
    let blocks: usize = judged
        .clone()
        .map(|result| common::blocks(&record, result.metric))
        .sum();
    let series = page.split("<section id=\"blocks\"").nth(1).unwrap();
    let series = series.split("</section>").next().unwrap();
    const LEGEND: usize = 3;
    assert_eq!(series.matches("class=\"mark ").count(), blocks + LEGEND);
    let dots: usize = judged.map(|result| result.differences.len()).sum();
    assert_eq!(page.matches("/differences/").count(), dots);
    assert_eq!(
        page.matches("data-at=\"/judgement/shift/").count(),
        record.judgement.shift.len()
    );
    assert_eq!(page.matches("class=\"step hook\"").count(), 2);
}

#[test]
fn the_committed_example_is_what_its_blocks_give() {
    let blocks = include_bytes!("../../docs/examples/blocks.jsonl");
    let record = journal::replay(&blocks[..]).unwrap();
    assert!(!record.fingerprint.hard.is_empty());
    assert!(
        page(&record) == include_str!("../../docs/examples/report.html"),
        "run `cargo run -p aegisbpf-measure --example report` and commit docs/examples"
    );
}

#[test]
fn the_page_stands_alone() {
    let page = page(&common::full(Truth::default()));
    for foreign in ["http://", "https://", "<script", " src=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
}

#[test]
fn names_from_outside_cannot_become_markup() {
    let mut record = common::full(Truth::default());
    record.plan.workload = "<script>alert(1)</script>".to_owned();
    record.judgement.notes.push("\"><img onerror=x>".to_owned());
    let page = page(&record);
    assert!(!page.contains("<script>") && !page.contains("<img"));
    assert!(page.contains("&lt;script&gt;"));
}
