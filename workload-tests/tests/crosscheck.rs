//! Our load generators against tools that others trust: wrk on the same nginx, pgbench on the same PostgreSQL.
//!
//! Both sides take turns on one server, so that what the machine does meets both; the table has medians over the rounds
//! and how far the rounds lie apart. docs/WORKLOADS.md has the tables that these printed. They want a quiet machine, so
//! they run when asked for:
//!
//! `cargo test --release -p workload-tests --test crosscheck -- --ignored --nocapture`
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    ffi::OsString,
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aegisbpf_measure::workload::{Block, Load, Sample, Session};
use aegisbpf_rig::{
    interrupt::Interrupt,
    session::{Served, Serving},
};
use workload_tests::{
    scratch::Scratch,
    workload::{Prepared, Workload, find_packaged, find_program, missing},
    workloads::{db_postgres::Postgres, web_nginx_static::NginxStatic},
};

const ROUNDS: u64 = 10;
const WINDOW: Duration = Duration::from_secs(3);

/// One load at a time: they would measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// By this wrk takes its pages at random, as ours does.
const PAGES: &str = r#"
local files = {}
for line in io.lines("@LIST@") do files[#files + 1] = line end
request = function() return wrk.format("GET", "/" .. files[math.random(#files)]) end
"#;

/// What one side measured in all rounds: a list for each figure.
#[derive(Debug, Default)]
struct Side {
    rate: Vec<f64>,
    quantiles: [Vec<f64>; 3],
    cpu: Vec<f64>,
}

const QUANTILES: [f64; 3] = [0.5, 0.95, 0.99];

impl Side {
    fn add(&mut self, sample: &Sample) {
        assert!(sample.errors.is_empty(), "{:?}", sample.errors);
        let operations = sample.operations as f64;
        self.rate.push(operations / sample.wall.as_secs_f64());
        if sample.cpu > Duration::ZERO {
            self.cpu.push(sample.cpu.as_secs_f64() * 1e6 / operations);
        }
        let latency = sample.latency.as_ref().unwrap();
        for (list, quantile) in self.quantiles.iter_mut().zip(QUANTILES) {
            list.push(latency.value_at_quantile(quantile) as f64 / 1e3);
        }
    }

    fn rows(&self) -> Vec<(&'static str, &[f64])> {
        vec![
            ("operations/s", &self.rate),
            ("p50 µs", &self.quantiles[0]),
            ("p95 µs", &self.quantiles[1]),
            ("p99 µs", &self.quantiles[2]),
            ("server CPU µs/operation", &self.cpu),
        ]
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Half of the distance between the quartiles, in percent of the median: how far one run lies from the next.
fn spread(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: usize| sorted.get(sorted.len() * share / 4).copied();
    let (low, high) = (at(1).unwrap_or(f64::NAN), at(3).unwrap_or(f64::NAN));
    (high - low) / 2.0 / median(values) * 100.0
}

fn print(title: &str, [ours, theirs]: [(&str, &Side); 2]) {
    println!(
        "\n{title}\n\n| figure | {} | {} | ratio |\n|---|---|---|---|",
        ours.0, theirs.0
    );
    for ((figure, own), (_, other)) in ours.1.rows().into_iter().zip(theirs.1.rows()) {
        if own.is_empty() || other.is_empty() {
            continue;
        }
        println!(
            "| {figure} | {:.0} ±{:.1} % | {:.0} ±{:.1} % | {:.3} |",
            median(own),
            spread(own),
            median(other),
            spread(other),
            median(own) / median(other)
        );
    }
}

fn block(seed: u64, load: Load) -> Block {
    Block {
        seed,
        settle: Duration::from_millis(300),
        window: WINDOW,
        load,
    }
}

/// Ours and theirs in turn, each first as often as the other.
fn turns(ours: &mut dyn Session, theirs: &mut dyn Session, load: Load) -> (Side, Side) {
    let (mut own, mut other) = (Side::default(), Side::default());
    for round in 0..ROUNDS {
        let block = block(round + 1, load);
        if round % 2 == 0 {
            own.add(&ours.run(&block).unwrap());
        }
        other.add(&theirs.run(&block).unwrap());
        if round % 2 == 1 {
            own.add(&ours.run(&block).unwrap());
        }
    }
    (own, other)
}

fn prepare(workload: &dyn Workload, scratch: &Path) -> Option<Box<dyn Session>> {
    let missing = missing(workload.requires());
    if !missing.is_empty() {
        println!("ignored: {missing:?}");
        return None;
    }
    let Prepared { session, .. } = workload.prepare(scratch).unwrap();
    Some(session)
}

/// A tool that loads a server which runs already.
fn tool(words: &[String], scratch: &Path) -> Served {
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    Served::start(&Serving::default(), words, scratch, &Interrupt::default()).unwrap()
}

/// A figure of ours is the tool's, but for what the tools do differently: the client's own time in a closed loop.
#[track_caller]
fn agree(own: &[f64], other: &[f64], factor: f64) {
    let ratio = median(own) / median(other);
    assert!(ratio < factor && ratio > 1.0 / factor, "ratio {ratio:.3}");
}

#[test]
#[ignore = "wants a quiet machine: run it alone"]
fn wrk_finds_what_our_generator_finds() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = Scratch::new().unwrap();
    let Some(mut ours) = prepare(&NginxStatic, scratch.path()) else {
        return;
    };
    let Some(wrk) = find_program("wrk") else {
        println!("ignored: wrk is missing: apt-get install wrk");
        return;
    };
    let other = tempfile::tempdir().unwrap();
    let list = other.path().join("pages");
    let names = fs::read_dir(scratch.path().join("www")).unwrap();
    let names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    fs::write(&list, names.join("\n")).unwrap();
    let pages = PAGES.replace("@LIST@", &list.display().to_string());
    let config = fs::read_to_string(scratch.path().join("nginx.conf")).unwrap();
    let address = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("listen ")?.strip_suffix(';'))
        .unwrap();
    let script = other.path().join("pages.lua");
    fs::write(&script, pages + aegisbpf_rig::load_tool::WRK_HISTOGRAM).unwrap();
    let words = [
        wrk.display().to_string(),
        "-t1".to_owned(),
        "-c8".to_owned(),
        "-s".to_owned(),
        script.display().to_string(),
        format!("http://{address}/"),
    ];
    let mut theirs = tool(&words, other.path());
    let (own, wrk) = turns(&mut *ours, &mut theirs, Load::Closed);
    print(
        "web::nginx_static, closed loop, 8 connections",
        [("ours", &own), ("wrk", &wrk)],
    );
    agree(&own.rate, &wrk.rate, 2.0);
    agree(&own.quantiles[0], &wrk.quantiles[0], 2.0);
}

#[test]
#[ignore = "wants a quiet machine: run it alone"]
fn pgbench_finds_what_our_client_finds() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = Scratch::new().unwrap();
    let Some(mut ours) = prepare(&Postgres, scratch.path()) else {
        return;
    };
    let pgbench = find_packaged("/usr/lib/postgresql/*/bin/pgbench").unwrap();
    let other = tempfile::tempdir().unwrap();
    let user = nix::unistd::Uid::effective();
    let user = if user.is_root() {
        "postgres".to_owned()
    } else {
        nix::unistd::User::from_uid(user).unwrap().unwrap().name
    };
    let words: Vec<String> = [
        &pgbench.display().to_string(),
        "--no-vacuum",
        "--protocol=prepared",
        "--client=4",
        "--jobs=2",
        "--host",
        &scratch.path().join("socket").display().to_string(),
        "--username",
        &user,
        "postgres",
    ]
    .map(str::to_owned)
    .into();
    let mut theirs = tool(&words, other.path());
    let (own, bench) = turns(&mut *ours, &mut theirs, Load::Closed);
    print(
        "db::postgres, closed loop, 4 connections",
        [("ours", &own), ("pgbench", &bench)],
    );
    agree(&own.rate, &bench.rate, 2.0);
    let rate = median(&own.rate).min(median(&bench.rate)) / 2.0;
    let (own, bench) = turns(&mut *ours, &mut theirs, Load::Open { rate });
    print(
        &format!("db::postgres, {rate:.0} transactions/s offered"),
        [("ours", &own), ("pgbench -R --log", &bench)],
    );
    agree(&own.quantiles[0], &bench.quantiles[0], 2.0);
}
