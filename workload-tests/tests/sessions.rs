//! Every workload, short and without an enforcer: it does its work, proves it, and cleans up.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, time::Duration};

use aegisbpf_measure::workload::{Block, Kind, Load, Sample};
use workload_tests::{
    scratch::Scratch,
    workload::{Prepared, Workload, missing},
    workloads::{
        build_cpp_make::{CppMake, Tree},
        build_embedded, container_embedded,
        container_engine::ContainerEngine,
        db_embedded,
        db_mysql::Mysql,
        db_postgres::Postgres,
        files_awk_sum::AwkSum,
        files_backup::Backup,
        files_grep_large::GrepLarge,
        files_many_small::ManySmall,
        web_embedded,
        web_nginx_static::NginxStatic,
        web_node_api::NodeApi,
    },
};

/// Runs a closed-loop window, and for services an open-loop one at half of that rate.
fn samples(workload: &dyn Workload) -> Vec<Sample> {
    let missing = missing(workload.requires());
    if !missing.is_empty() {
        eprintln!("{}: ignored: {missing:?}", workload.name());
        return Vec::new();
    }
    let scratch = Scratch::new().unwrap();
    let Prepared {
        mut session,
        sensitive,
    } = workload.prepare(scratch.path()).unwrap();
    for path in &sensitive {
        assert!(path.is_file(), "{}", path.display());
    }
    assert!(session.opens_per_operation() > 0.0);
    // A spike-in must be possible; of no time at all, it is none.
    assert!(session.hold_up(Duration::ZERO), "{}", workload.name());
    let closed = Block {
        seed: 1,
        settle: Duration::from_millis(50),
        window: Duration::from_millis(500),
        load: Load::Closed,
    };
    let mut samples = vec![session.run(&closed).unwrap()];
    if session.kind() == Kind::Service {
        let rate = samples[0].operations as f64 / samples[0].wall.as_secs_f64() / 2.0;
        let open = Block {
            load: Load::Open { rate },
            ..closed
        };
        samples.push(session.run(&open).unwrap());
    }
    drop(session);
    let path = scratch.path().to_owned();
    drop(scratch);
    assert!(!fs::exists(path).unwrap());
    samples
}

#[track_caller]
fn check(workload: &dyn Workload) {
    for sample in samples(workload) {
        println!(
            "{}: {} operations in {:.0?}, cpu {:.0?}, generator {:.0?}, lag p99 {:?}, p50 {:?} ns",
            workload.name(),
            sample.operations,
            sample.wall,
            sample.cpu,
            sample.generator_cpu,
            sample.lag_p99,
            sample
                .latency
                .as_ref()
                .map(|latency| latency.value_at_quantile(0.5)),
        );
        assert!(sample.errors.is_empty(), "{:?}", sample.errors);
        assert!(sample.operations > 0);
        assert!(sample.cpu > Duration::ZERO);
    }
}

#[test]
fn web_embedded_answers_with_verified_files() {
    check(&web_embedded::Embedded);
}

#[test]
fn web_nginx_static_answers_with_verified_files() {
    check(&NginxStatic);
}

#[test]
fn files_many_small_finds_every_needle() {
    check(&ManySmall);
}

#[test]
fn files_grep_large_finds_every_needle() {
    check(&GrepLarge { mebibytes: 16 });
}

#[test]
fn files_awk_sum_adds_up() {
    check(&AwkSum);
}

#[test]
fn files_backup_archives_every_file() {
    check(&Backup);
}

#[test]
fn db_embedded_keeps_its_books_balanced() {
    check(&db_embedded::Embedded);
}

#[test]
fn db_postgres_keeps_its_books_balanced() {
    check(&Postgres);
}

#[test]
fn db_mysql_puts_every_row_back() {
    check(&Mysql);
}

#[test]
fn web_node_api_answers_with_verified_documents() {
    check(&NodeApi);
}

#[test]
fn container_embedded_lives_and_leaves_nothing() {
    check(&container_embedded::Embedded);
}

#[test]
fn build_embedded_makes_the_same_objects_each_time() {
    let unit = Duration::from_millis(500);
    check(&build_embedded::Embedded { unit });
}

#[test]
fn build_cpp_make_makes_the_same_objects_each_time() {
    let (tree, unit) = (Tree::LevelDb, Duration::from_millis(500));
    check(&CppMake { tree, unit });
}

#[test]
fn container_engine_lives_and_leaves_nothing() {
    check(&ContainerEngine);
}
