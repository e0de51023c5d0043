//! What an open costs: guest instructions of one open and close, without any program, with an empty one, and with ours,
//! where no rule matches and where one does. Meaningful in a virtual machine that counts one nanosecond for each instruction:
//!
//! ```sh
//! cargo build --release -p aegisbpf-core --example open_cost
//! cargo xtask vm --icount -- target/release/examples/open_cost
//! ```
//!
//! With the argument `directories` it prints the rows about rules for all below a directory, and no other ones of ours.
//!
//! Method: 64 files, 101 opens and closes each, the median of each file, the mean of the medians. The reading of the clock is
//! in every row and cancels in the differences. A match is measured by another process, in audit mode, each with its event:
//! the enforcer itself is exempt.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use aegisbpf_core::{Backend, Enforcer, Mode, Policy, selftest::EmptyHook};

type Any = Box<dyn std::error::Error>;

const FILES: usize = 64;
const ROUNDS: usize = 101;

/// The first argument of the process that measures for us; files follow.
const ELSEWHERE: &str = "measure";
/// Room for the events of all opens: a full ring would make them cheaper.
const RING: u32 = 1 << 23;

fn main() -> Result<(), Any> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    if first.as_ref().is_some_and(|word| word == ELSEWHERE) {
        let files: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
        measure(&files)?;
        println!("{}", measure(&files)?);
        return Ok(());
    }
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
    if first.is_some_and(|word| word == "directories") {
        return below(folder.path(), empty);
    }
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
    below(folder.path(), empty)?;
    hits(folder.path(), &files, empty)
}

/// What an open costs where the policy has rules about all below a directory, and none above the file: a walk up to the root
/// of its file system, by how many directories there are.
fn below(folder: &Path, empty: f64) -> Result<(), Any> {
    let denied = folder.join("denied");
    fs::create_dir(&denied)?;
    let policy: Policy = format!("version=7\n[deny_dir]\n{}\n", denied.display()).parse()?;
    let mut directory = folder.to_owned();
    let first = directory.components().count() - mount_depth(folder)?;
    for levels in first..=8 {
        if levels > first {
            directory.push("d");
            fs::create_dir(&directory)?;
        }
        if ![first, 3, 5, 8].contains(&levels) {
            continue;
        }
        let files: Vec<PathBuf> = (0..FILES)
            .map(|n| directory.join(format!("below{n}")))
            .collect();
        for file in &files {
            fs::write(file, "")?;
        }
        measure(&files)?;
        let none = measure(&files)?;
        let mut aegis = Enforcer::builder()
            .backend(Backend::Lsm)
            .mode(Mode::Enforce)
            .policy(policy.clone())
            .load()?;
        aegis.attach()?;
        let cost = measure(&files)? - none;
        println!(
            "{:<38} {cost:>8.1} {:>10.3}",
            format!("aegis, directory rules, {levels} levels deep"),
            cost / empty
        );
    }
    Ok(())
}

/// How many components the path has of the mount that holds `path`, its root not counted as a level of its own.
fn mount_depth(path: &Path) -> Result<usize, Any> {
    use std::os::unix::fs::MetadataExt;
    let device = fs::metadata(path)?.dev();
    let same = |above: &&Path| fs::metadata(above).is_ok_and(|meta| meta.dev() == device);
    let root = path.ancestors().take_while(same).last().unwrap_or(path);
    Ok(root.components().count() - 1)
}

/// What an open costs that a rule matches: by the file's own identity, and as one that came to bear a rule's name.
fn hits(folder: &Path, files: &[PathBuf], empty: f64) -> Result<(), Any> {
    let none = measure_elsewhere(files)?;
    let entries: String = files
        .iter()
        .map(|file| format!("{}\n", file.display()))
        .collect();
    for what in ["aegis, a match, audited", "aegis, a match by name, audited"] {
        let mut aegis = Enforcer::builder()
            .backend(Backend::Lsm)
            .mode(Mode::Audit)
            .ring_buffer_bytes(RING)
            .policy(format!("version=1\n[deny_path]\n{entries}").parse()?)
            .load()?;
        aegis.attach()?;
        if what.contains("name") {
            for file in files {
                fs::write(folder.join("new"), "")?;
                fs::rename(folder.join("new"), file)?;
            }
        }
        let cost = measure_elsewhere(files)? - none;
        let stats = aegis.stats()?;
        assert_eq!(stats.health.dropped, 0, "each has its event");
        assert!(stats.hits() >= (FILES * ROUNDS) as u64);
        println!("{what:<38} {cost:>8.1} {:>10.3}", cost / empty);
    }
    Ok(())
}

fn measure_elsewhere(files: &[PathBuf]) -> Result<f64, Any> {
    let out = Command::new("/proc/self/exe")
        .arg(ELSEWHERE)
        .args(files)
        .output()?;
    Ok(String::from_utf8(out.stdout)?.trim().parse()?)
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
