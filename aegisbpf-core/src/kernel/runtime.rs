//! What the kernel tells about running programs and maps: run counts, time, memory.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use aya::sys::{Stats, enable_stats};

use crate::error::{Error, Result};

/// Keeps the kernel's run statistics on while it lives (`BPF_ENABLE_STATS`, Linux 5.8). They cost every BPF
/// program on the machine some tens of nanoseconds a run.
pub(crate) struct StatsSwitch {
    _on: OwnedFd,
}

impl StatsSwitch {
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn on() -> Result<Self> {
        let fd = enable_stats(Stats::RunTime)
            .map_err(|e| Error::kernel("counting the runs of BPF programs", e))?;
        Ok(Self { _on: fd })
    }
}

/// `/proc/self/fdinfo` of a program.
pub(super) struct ProgramFdInfo {
    /// `run_cnt`.
    pub(super) runs: u64,
    /// `run_time_ns`.
    pub(super) nanos: u64,
    /// `memlock`, bytes.
    pub(super) memory: u64,
    /// `recursion_misses`: runs that the kernel skipped.
    pub(super) missed: u64,
}

impl ProgramFdInfo {
    pub(super) fn read(fd: &impl AsFd) -> Result<Self> {
        let text = fdinfo(fd)?;
        Ok(Self {
            runs: field(&text, "run_cnt:"),
            nanos: field(&text, "run_time_ns:"),
            memory: field(&text, "memlock:"),
            missed: field(&text, "recursion_misses:"),
        })
    }
}

/// Bytes that a map holds, as the kernel tells: exact since Linux 6.4; before that the bound that its size allows.
pub(super) fn map_memory(fd: &impl AsFd) -> Result<u64> {
    Ok(field(&fdinfo(fd)?, "memlock:"))
}

fn fdinfo(fd: &impl AsFd) -> Result<String> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    fs::read_to_string(&path).map_err(|e| Error::kernel(format!("reading {path}"), e))
}

/// A field that this kernel does not print counts as zero.
fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}
