//! Does the enforcer let real software work? For function, not for overhead: each workload does the same small block
//! bare, audited and enforced, with rules for some of its own files.
//!
//! - bare: no error;
//! - audit: no error of any class, the same work, and the rules hit;
//! - enforce: errors exactly where the policy says, and none after it is gone;
//! - at the end nothing is left.
//!
//! Runs wherever root and BPF are; enforcing needs the `lsm` backend, which the virtual machine has (docs/VM.md). The
//! whole file is one ordered check of a workload, so it is a harness of its own: the enforcer is this program, started
//! again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, path::Path, process::ExitCode, time::Duration};

use aegisbpf_core::Mode;
use aegisbpf_measure::{
    guard::Guard,
    workload::{Block, Kind, Load, Sample, Session},
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use workload_tests::{
    alone::Alone,
    guard::{self, GuardError, PolicyText, RemoteGuard, enforcer},
    scratch::Scratch,
    workload::{Prepared, Requirement, Workload, missing},
    workloads::{
        build_cpp_make::{CppMake, Tree},
        container_engine::ContainerEngine,
        db_postgres::Postgres,
        files_many_small::ManySmall,
        web_nginx_static::NginxStatic,
    },
};

/// What a workload does when an open of one of its sensitive files is refused.
#[derive(Debug, Clone, Copy)]
enum Refused {
    /// Each refused open is one failed operation, of one of these classes.
    Each(&'static [&'static str]),
    /// Whatever fails is of a class that ends so.
    Some(&'static str),
    /// It does without the file.
    Nothing,
}

/// The workloads, and the rate at which services are asked: an emulated machine does hundreds of requests a second, but
/// tens of transactions.
fn cases() -> Vec<(Box<dyn Workload>, f64, Refused)> {
    let make = CppMake {
        tree: Tree::LevelDb,
        unit: Duration::from_millis(1),
    };
    vec![
        (
            Box::new(NginxStatic),
            100.0,
            Refused::Each(&["http 403", "http 500"]),
        ),
        (
            Box::new(ManySmall),
            0.0,
            Refused::Each(&["permission denied"]),
        ),
        // A new connection cannot read the relation: insufficient_privilege, or a broken connection before that.
        (Box::new(Postgres), 20.0, Refused::Some("SQLSTATE 42501")),
        (
            Box::new(make),
            0.0,
            Refused::Some("Operation not permitted"),
        ),
        (Box::new(ContainerEngine), 0.0, Refused::Nothing),
    ]
}

fn main() -> ExitCode {
    if let Some(code) = enforcer::main_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = cases().into_iter().map(|(workload, rate, refused)| {
        Trial::ignorable_test(workload.name(), move || {
            works(workload.as_ref(), rate, refused)
        })
        // On the host they are asked for: they take a minute, and the machine for themselves.
        .with_ignored_flag(std::env::var_os("AEGIS_IN_VM").is_none())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn works(workload: &dyn Workload, rate: f64, refused: Refused) -> Result<Completion, Failed> {
    let needed = [&[Requirement::Root, Requirement::Btf], workload.requires()].concat();
    let absent = missing(&needed);
    if !absent.is_empty() {
        let reasons: Vec<String> = absent.iter().map(ToString::to_string).collect();
        return Ok(Completion::ignored_with(reasons.join("; ")));
    }
    let _alone = Alone::new()?;
    let scratch = Scratch::new()?;
    let data = scratch.path().join("workload");
    fs::create_dir(&data)?;
    let Prepared {
        mut session,
        sensitive,
    } = workload.prepare(&data)?;
    let session = session.as_mut();

    let bare = run(session, rate);
    assert!(
        bare.operations > 0 && bare.errors.is_empty(),
        "bare: {:?}",
        bare.errors
    );

    let mut ends = Vec::new();
    for mode in [Mode::Audit, Mode::Enforce] {
        let home = scratch.path().join(mode.to_string());
        fs::create_dir(&home)?;
        let mut guard = match start(&home, &sensitive, mode) {
            Ok(guard) => guard,
            Err(error) if matches!(error.downcast_ref(), Some(GuardError::Unsupported(_))) => {
                ends.push(format!("{mode} ignored: {error}"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        guard.protect()?;
        let before = guard.evidence()?;
        let sample = run(session, rate);
        let after = guard.evidence()?;
        guard.release()?;
        let blocks = after.blocks - before.blocks;
        let backend = guard.identity().backend;
        assert!(blocks > 0, "{mode}: the rules for {sensitive:?} never hit");
        match mode {
            Mode::Audit => {
                assert!(sample.errors.is_empty(), "audit: {:?}", sample.errors);
                assert_eq!(
                    sample.operations, bare.operations,
                    "audit: another amount of work"
                );
            }
            _ => check_refused(&sample, blocks, refused),
        }
        ends.push(format!(
            "{mode} ({backend}): {} operations, {blocks} hits, errors {:?}",
            sample.operations, sample.errors
        ));
        drop(guard);
    }

    let again = run(session, rate);
    assert!(
        again.errors.is_empty(),
        "after the enforcer: {:?}",
        again.errors
    );
    println!(
        "\n{}: bare: {} operations; {}",
        workload.name(),
        bare.operations,
        ends.join("; ")
    );
    Ok(Completion::Completed)
}

/// The failed operations are those that the policy refused, no more and no fewer.
#[track_caller]
fn check_refused(sample: &Sample, blocks: u64, refused: Refused) {
    let Sample { errors, .. } = sample;
    match refused {
        Refused::Each(classes) => {
            assert!(
                errors.keys().all(|class| classes.contains(&class.as_str())),
                "{errors:?}"
            );
            assert_eq!(errors.values().sum::<u64>(), blocks, "{errors:?}");
        }
        Refused::Some(end) => {
            assert!(!errors.is_empty(), "nothing was refused");
            assert!(
                errors.keys().all(|class| class.ends_with(end)),
                "{errors:?}"
            );
        }
        Refused::Nothing => assert_eq!(errors, &BTreeMap::new()),
    }
}

fn run(session: &mut dyn Session, rate: f64) -> Sample {
    let load = match session.kind() {
        Kind::Batch => Load::Closed,
        _ => Load::Open { rate },
    };
    let block = Block {
        seed: 7,
        // None: what is hit must be what is counted.
        settle: Duration::ZERO,
        window: Duration::from_secs(10),
        load,
    };
    session.run(&block).unwrap()
}

fn start(
    home: &Path,
    sensitive: &[std::path::PathBuf],
    mode: Mode,
) -> Result<RemoteGuard, Box<dyn std::error::Error + Send + Sync>> {
    let policy = PolicyText {
        name: "function".to_owned(),
        text: "version=1\n".to_owned(),
    };
    guard::start_with_hits(home, &policy, sensitive, mode, None)
}
