//! The instrument must not add to what it weighs: the empty program is measured in the enforcer's own process, whose
//! memory is then read in every guarded block. Alone in this file: it is the memory of the whole process.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use aegisbpf_core::Backend;
use aegisbpf_rig::guard::empty;

/// Pages of this process that are nobody else's, in bytes.
fn own() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kilobytes << 10
}

#[test]
fn measuring_an_empty_program_leaves_next_to_no_memory_behind() {
    if !nix::unistd::Uid::effective().is_root() || !Path::new("/sys/kernel/btf/vmlinux").exists() {
        eprintln!("ignored: needs root and /sys/kernel/btf/vmlinux");
        return;
    }
    // Once more with one heap for all threads, as the enforcer has it: its main thread measures.
    const ARENAS: &str = "MALLOC_ARENA_MAX";
    if env::var_os(ARENAS).is_none() {
        let test = "measuring_an_empty_program_leaves_next_to_no_memory_behind";
        let mut again = Command::new(env::current_exe().unwrap());
        again.args([test, "--exact", "--nocapture"]);
        again.env(ARENAS, "1").stdin(Stdio::null());
        assert!(again.status().unwrap().success(), "see above");
        return;
    }
    // The C library keeps more for later once it has seen large pieces freed: an enforcer has read the kernel's types
    // before, for its own programs.
    empty::measure(Backend::Tracepoint).unwrap();
    let before = own();
    let measured = empty::measure(Backend::Tracepoint).unwrap();
    assert!(measured.is_some());
    let left = own().saturating_sub(before);
    // The kernel's types alone take more than 10 MB.
    assert!(left < 4_000_000, "{left} bytes are left");
}
