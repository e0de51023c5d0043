//! Opens of files that a rule denies, in audit mode: by another process, since the enforcer itself is exempt.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aegisbpf_core::selftest::EmptyHook;
use nix::time::{ClockId, clock_gettime};

use crate::{
    Any, Row, audit,
    opens::{Files, open_and_close},
};

/// The first argument of the process that opens for us; files follow.
pub(crate) const ELSEWHERE: &str = "elsewhere";
/// The command, where the runner puts it.
const AEGIS: &str = "/bin/aegisbpf";
/// Room for the events of all opens: a full ring would make them cheaper.
const RING: u32 = 1 << 23;
/// Opens of each file while the command prints what it hears of them.
const OPENS: usize = 100;
/// No instruction takes so long; an emulated machine may be slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the other process does: opens, and says what one took by the clock and by its own share of the CPU.
pub(crate) fn serve(files: &[String]) -> Result<(), Any> {
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    open_and_close(&files)?;
    println!("{}", open_and_close(&files)?);
    let start = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?);
    for file in &files {
        for _ in 0..OPENS {
            drop(File::open(file)?);
        }
    }
    let spent = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?) - start;
    println!("{}", spent.as_nanos() as f64 / (files.len() * OPENS) as f64);
    Ok(())
}

/// Both figures of [`serve`].
fn elsewhere(files: &[PathBuf]) -> Result<(f64, f64), Any> {
    let out = Command::new("/proc/self/exe")
        .arg(ELSEWHERE)
        .args(files)
        .output()?;
    let text = String::from_utf8(out.stdout)?;
    let mut figures = text.lines().map(str::parse);
    match (figures.next(), figures.next()) {
        (Some(median), Some(mean)) => Ok((median?, mean?)),
        _ => Err("the other process said nothing".into()),
    }
}

pub(crate) fn measure(files: &Files) -> Result<(), Any> {
    let (base, mean) = elsewhere(&files.paths)?;
    let entries: String = files
        .paths
        .iter()
        .map(|file| format!("{}\n", file.display()))
        .collect();
    let policy = format!("version=1\n[deny_path]\n{entries}");
    let empty = {
        let _hook = EmptyHook::attach()?;
        elsewhere(&files.paths)?.0 - base
    };
    for (row, one_in) in [
        ("open, a match, counted", 0),
        ("open, a match, with its event", 1),
    ] {
        let mut aegis = audit()
            .event_sample_rate(one_in)
            .ring_buffer_bytes(RING)
            .policy(policy.parse()?)
            .attach()?;
        let with = elsewhere(&files.paths)?.0;
        let stats = aegis.stats()?;
        if stats.health.dropped != 0 || stats.hits() == 0 {
            return Err("not each open has its event".into());
        }
        Row::new(row, base, Some(empty), with).print()?;
        aegis.detach()?;
    }
    let with = printed(&policy, files)?;
    Row::new("open, a match, its event printed as JSON", mean, None, with).print()
}

/// What an open and its line of JSON take: of the process that opens and of the command, all that both spent.
fn printed(policy: &str, files: &Files) -> Result<f64, Any> {
    let folder = tempfile::tempdir()?;
    let (rules, lines) = (folder.path().join("policy"), folder.path().join("lines"));
    fs::File::create(&rules)?.write_all(policy.as_bytes())?;
    let child = Command::new(AEGIS)
        .args(["run", "--audit", "--ringbuf-bytes", "1048576", "--policy"])
        .arg(&rules)
        .stdout(File::create(&lines)?)
        .stderr(Stdio::null())
        .spawn()?;
    let mut child = Ended(child);
    // It is there once somebody's open is in its output.
    let start = Instant::now();
    while fs::metadata(&lines)?.len() == 0 {
        let mut other = Command::new("/proc/self/exe")
            .arg(ELSEWHERE)
            .arg(&files.paths[0])
            .stdout(Stdio::null())
            .spawn()?;
        other.wait()?;
        thread::sleep(Duration::from_millis(200));
        if child.0.try_wait()?.is_some() || start.elapsed() > PATIENCE {
            return Err(format!("{AEGIS} run does not report").into());
        }
    }
    settled(&lines)?;
    let before = (spent(child.0.id())?, count(&lines)?);
    let (_, opener) = elsewhere(&files.paths)?;
    settled(&lines)?;
    let after = (spent(child.0.id())?, count(&lines)?);
    Ok(opener + (after.0 - before.0) / (after.1 - before.1) as f64)
}

/// The command, which ends with us.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until nothing more is written.
fn settled(lines: &Path) -> Result<(), Any> {
    let mut last = u64::MAX;
    loop {
        let length = fs::metadata(lines)?.len();
        if length == last {
            return Ok(());
        }
        last = length;
        thread::sleep(Duration::from_millis(300));
    }
}

fn count(lines: &Path) -> Result<usize, Any> {
    Ok(fs::read_to_string(lines)?.lines().count())
}

/// Nanoseconds of CPU that all threads of a process spent: the scheduler's figure, which is as fine as its clock.
fn spent(pid: u32) -> Result<f64, Any> {
    let mut sum = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text
            .split_whitespace()
            .next()
            .unwrap_or("0")
            .parse::<f64>()?;
    }
    Ok(sum)
}
