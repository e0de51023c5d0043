//! What was asked for and cannot be done, before anything is started: a limit that is never judged would be a silent
//! PASS.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aegisbpf_measure::workload::Kind;
use aegisbpf_rig::session::Served;
use nix::unistd::{AccessFlags, access};

use crate::{args::MeasureArgs, exit::Failure};

/// Refuses what would have no effect.
pub(super) fn check(args: &MeasureArgs) -> Result<(), Failure> {
    let serves = args.serve.is_some() || args.running;
    let kind = if serves {
        Served::kind_of(&args.command)
    } else {
        Kind::Batch
    };
    if args.window.is_some() && kind == Kind::Batch {
        return Err(Failure::Usage(format!(
            "--window is for load tools that are told how long to run (wrk, oha, pgbench, sysbench); this load command is timed, \
             and takes as long as it takes: {}",
            args.command[0].display()
        )));
    }
    limits(args, kind)
}

fn limits(args: &MeasureArgs, kind: Kind) -> Result<(), Failure> {
    let judged = judged(args, kind);
    let mut given: Vec<&str> = Vec::new();
    for limit in &args.limit {
        let metric = limit.metric();
        if !judged.contains(&metric) {
            return Err(Failure::Usage(format!(
                "--limit {metric}: {}; what can be limited here: {}",
                why_not(args, metric, kind),
                judged.join(", ")
            )));
        }
        if given.contains(&metric) {
            return Err(Failure::Usage(format!("--limit {metric} is given twice")));
        }
        given.push(metric);
    }
    if given.contains(&"throughput") && given.contains(&"wall-time") {
        return Err(Failure::Usage(
            "--limit wall-time is judged in place of throughput: give one of the two".to_owned(),
        ));
    }
    Ok(())
}

/// What is judged of such a workload and guard.
fn judged(args: &MeasureArgs, kind: Kind) -> Vec<&'static str> {
    let mut judged = vec!["throughput"];
    judged.extend(match kind {
        Kind::Batch => &["wall-time"][..],
        Kind::Service | Kind::Timed => &["p95", "p99"],
    });
    if kind != Kind::Timed && !args.running {
        judged.push("cpu");
    }
    if knows_memory(args) {
        judged.push("memory");
    }
    judged
}

fn knows_memory(args: &MeasureArgs) -> bool {
    args.guard_on.is_none() || !args.guard_process.is_empty()
}

fn why_not(args: &MeasureArgs, metric: &str, kind: Kind) -> &'static str {
    match metric {
        "memory" => "no --guard-process is named, so nobody knows which memory is the guard's",
        "cpu" if args.running => "the CPU time of a service that runs already is not known",
        "cpu" if kind == Kind::Timed => {
            "this load tool offers no fixed rate, at which alone CPU time can be compared"
        }
        "wall-time" => "a service has no wall time of its own",
        _ => "of this command only its time is known, not that of each operation",
    }
}

/// Fails now if the reports could not be written after minutes of measuring.
pub(super) fn can_write(directory: &Path) -> Result<(), Failure> {
    let refuse = |path: &Path, why: &dyn std::fmt::Display| {
        Failure::said(format!(
            "the reports cannot be written to {}: {}: {why}",
            directory.display(),
            path.display()
        ))
    };
    let mut there = PathBuf::from(directory);
    if there.is_relative() {
        there = Path::new(".").join(there);
    }
    // What is missing will be made, below what is there.
    while fs::symlink_metadata(&there)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        if !there.pop() {
            break;
        }
    }
    if !there.is_dir() {
        return Err(refuse(&there, &"it is no directory"));
    }
    access(&there, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|errno| refuse(&there, &errno.desc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_directory_that_cannot_be_is_told_before_and_nothing_is_made() {
        let scratch = tempfile::tempdir().unwrap();
        let below = scratch.path().join("a/b/c");
        assert!(can_write(&below).is_ok());
        assert!(!scratch.path().join("a").exists());
        fs::write(scratch.path().join("a"), "").unwrap();
        for path in [&below, &scratch.path().join("a")] {
            assert!(
                matches!(can_write(path), Err(Failure::Said(text)) if text.contains("reports"))
            );
        }
        assert!(can_write(Path::new("reports")).is_ok());
    }
}
