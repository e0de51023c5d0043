//! What the no-match path costs: guest instructions of one open and close, without any program, with an empty one,
//! and with ours. Meaningful in a virtual machine that counts one nanosecond for each instruction:
//!
//! ```sh
//! cargo build --release -p aegisbpf-core --example open_cost
//! cargo xtask vm --icount -- target/release/examples/open_cost
//! ```
//!
//! Method: 64 files, 101 opens and closes each, the median of each file, the mean of the medians. The reading of the clock is
//! in every row and cancels in the differences.

use std::{
    fs::{self, File},
    path::PathBuf,
    time::Instant,
};

use aegisbpf_core::{Backend, Enforcer, Mode, Policy, selftest::EmptyHook};

type Any = Box<dyn std::error::Error>;

const FILES: usize = 64;
const ROUNDS: usize = 101;

fn main() -> Result<(), Any> {
    let folder = tempfile::tempdir()?;
    let files: Vec<PathBuf> = (0..FILES)
        .map(|n| folder.path().join(format!("file{n}")))
        .collect();
    for file in &files {
        fs::write(file, "")?;
    }
    measure(&files)?; // the first round warms caches and lazy paths
    let none = measure(&files)?;
    let empty = {
        let _hook = EmptyHook::attach()?;
        measure(&files)? - none
    };
    println!("open+close, no program: {none:.1} instructions");
    println!("{:<38} {:>8} {:>10}", "above that", "", "x empty");
    println!("{:<38} {empty:>8.1} {:>10.3}", "empty lsm/file_open", 1.0);
    let modify_return = {
        let _hook = EmptyHook::modify_return(std::path::Path::new("/sys/fs/bpf"))?;
        measure(&files)? - none
    };
    println!(
        "{:<38} {modify_return:>8.1} {:>10.3}",
        "empty modify_return/security_file_open",
        modify_return / empty
    );
    for rules in [1, 10, 1_000, 10_000] {
        let mut aegis = Enforcer::builder()
            .backend(Backend::Lsm)
            .mode(Mode::Enforce)
            .policy(policy(rules)?)
            .load()?;
        aegis.attach()?;
        let cost = measure(&files)? - none;
        println!(
            "{:<38} {cost:>8.1} {:>10.3}",
            format!("aegis, no match, {rules} rules"),
            cost / empty
        );
    }
    Ok(())
}

/// Rules for inodes that no file here has.
fn policy(rules: usize) -> Result<Policy, Any> {
    let entries: String = (0..rules)
        .map(|n| format!("1:{}\n", 1_000_000 + n * 7))
        .collect();
    Ok(format!("version=1\n[deny_inode]\n{entries}").parse()?)
}

fn measure(files: &[PathBuf]) -> Result<f64, Any> {
    let mut sum = 0.0;
    for file in files {
        let mut times = [0; ROUNDS];
        for time in &mut times {
            let start = Instant::now();
            drop(File::open(file)?);
            *time = start.elapsed().as_nanos();
        }
        times.sort_unstable();
        sum += times[ROUNDS / 2] as f64;
    }
    Ok(sum / files.len() as f64)
}
