//! What a process holds.

use std::fs;

/// Bytes of the process that are in memory; none if it has gone.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_has_some_and_a_dead_one_none() {
        let own = resident(std::process::id());
        assert!(own.is_some_and(|bytes| bytes > 100 << 10), "{own:?}");
        assert_eq!(resident(u32::MAX), None);
    }
}
