//! A run that is killed in the middle leaves nothing that the next run does not find and remove.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use workload_tests::{
    budget::Budget,
    leftovers,
    scratch::{SCRATCH_VARIABLE, Scratch},
    service::has_ended,
    workload::missing,
    workloads,
};

/// Set for the process that is to be killed; names its workload.
const VICTIM_VARIABLE: &str = "AEGIS_TEST_VICTIM";

/// Not a test: what the victim does. It prepares a workload, says so, and waits to be killed.
#[test]
fn victim() {
    let Ok(name) = env::var(VICTIM_VARIABLE) else {
        return;
    };
    let all = workloads::all(Budget::Smoke);
    let workload = all.iter().find(|workload| workload.name() == name).unwrap();
    let scratch = Scratch::new().unwrap();
    let data = scratch.path().join("workload");
    fs::create_dir(&data).unwrap();
    let _prepared = workload.prepare(&data).unwrap();
    println!("\nprepared");
    thread::sleep(Duration::from_secs(600));
}

/// All processes with an id, its parent's id and its command line.
fn processes() -> Vec<(Pid, Pid, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter_map(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let parent = stat[stat.rfind(')')? + 1..]
            .split_ascii_whitespace()
            .nth(1)?;
        let words = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&words).replace('\0', " ");
        Some((
            Pid::from_raw(id),
            Pid::from_raw(parent.parse().ok()?),
            command,
        ))
    })
    .collect()
}

/// What is there of a run in this scratch directory: processes that were started with its paths, mounts, cgroups.
fn traces(parent: &Path, victim: u32) -> Vec<String> {
    let parent = parent.display().to_string();
    let mut traces: Vec<String> = processes()
        .into_iter()
        .filter(|(id, _, command)| command.contains(&parent) && !has_ended(*id))
        .map(|(id, _, command)| format!("process {id}: {command}"))
        .collect();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    traces.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&parent))
            .map(str::to_owned),
    );
    for kind in ["cgroup2", "cgroup"] {
        for mount in aegisbpf_rig::cgroup::mounts(kind) {
            let names = fs::read_dir(mount)
                .unwrap()
                .flatten()
                .map(|entry| entry.path());
            let ours = format!("aegis-wl-{victim}-");
            traces.extend(
                names
                    .map(|path| path.display().to_string())
                    .filter(|path| path.contains(&ours)),
            );
        }
    }
    traces.extend(
        fs::read_dir(&parent)
            .unwrap()
            .flatten()
            .map(|entry| entry.path().display().to_string()),
    );
    traces
}

fn prepare_victim(name: &str, parent: &Path) -> Child {
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM_VARIABLE, name)
        .env(SCRATCH_VARIABLE, parent)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let prepared = lines.any(|line| line.unwrap() == "prepared");
    assert!(prepared, "{name} was not prepared: {:?}", victim.wait());
    victim
}

#[track_caller]
fn is_swept(name: &str) {
    let all = workloads::all(Budget::Smoke);
    let workload = all.iter().find(|workload| workload.name() == name).unwrap();
    let missing = missing(workload.requires());
    if !missing.is_empty() || !Uid::effective().is_root() {
        eprintln!("ignored: {name}: {missing:?}");
        return;
    }
    let directory = tempfile::Builder::new().prefix("swept").tempdir().unwrap();
    let parent: PathBuf = directory.path().canonicalize().unwrap();
    fs::set_permissions(&parent, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let mut victim = prepare_victim(name, &parent);
    let id = victim.id();
    assert!(!traces(&parent, id).is_empty());
    // The watchdogs first, who would end the servers: the worst that can happen.
    for (watchdog, parent, command) in processes() {
        if parent.as_raw() == id.cast_signed() && command.contains("watchdog") {
            kill(watchdog, Signal::SIGKILL).unwrap();
        }
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    let removed = leftovers::remove(&parent).unwrap();
    assert!(!removed.is_empty());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left = traces(&parent, id);
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{name} left {left:#?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_nginx_run_is_swept() {
    is_swept("web::nginx_static");
}

#[test]
fn a_killed_postgres_run_is_swept() {
    is_swept("db::postgres");
}

#[test]
fn a_killed_build_with_its_tmpfs_is_swept() {
    is_swept("build::embedded");
}

#[test]
fn a_killed_container_engine_is_swept() {
    is_swept("container::engine");
}

#[test]
fn the_watchdog_alone_ends_what_a_killed_run_left() {
    let name = "web::nginx_static";
    let all = workloads::all(Budget::Smoke);
    let workload = all.iter().find(|workload| workload.name() == name).unwrap();
    if !missing(workload.requires()).is_empty() {
        eprintln!("ignored: {:?}", missing(workload.requires()));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let parent = directory.path().canonicalize().unwrap();
    let mut victim = prepare_victim(name, &parent);
    let id = victim.id();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while traces(&parent, id)
        .iter()
        .any(|trace| trace.starts_with("process") || trace.contains("cgroup"))
    {
        assert!(Instant::now() < deadline, "{:#?}", traces(&parent, id));
        thread::sleep(Duration::from_millis(50));
    }
    leftovers::remove(&parent).unwrap();
    assert!(traces(&parent, id).is_empty());
}
