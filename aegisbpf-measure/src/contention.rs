//! Who else wanted the CPUs: covariates that the treatment cannot influence, so quads may be excluded by them.

use std::{fs, time::Duration};

use serde::{Deserialize, Serialize};

/// Counters of the machine at one moment. `None` where the kernel does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ticks that the hypervisor gave to others, all CPUs (`/proc/stat`).
    pub steal: Option<u64>,
    /// All ticks, all CPUs (`/proc/stat`).
    pub ticks: Option<u64>,
    /// Ticks in which a CPU worked, all CPUs (`/proc/stat`).
    pub busy: Option<u64>,
    /// Time in which some runnable task waited for a CPU (`/proc/pressure/cpu`, "some").
    pub waited: Option<Duration>,
    /// Time since the boot, with that in which the machine was suspended (`/proc/uptime`).
    pub uptime: Option<Duration>,
}

/// The same, over one block. Parts per million, so that a record replays bit for bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contention {
    /// Share of the CPU time that the hypervisor gave to others.
    pub steal_ppm: Option<u32>,
    /// Share of the time in which some runnable task waited for a CPU.
    pub wait_ppm: Option<u32>,
    /// Share of the CPU time in which somebody worked: the workload or others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_ppm: Option<u32>,
    /// Time in which the machine was suspended, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_ms: Option<u64>,
}

impl Counters {
    /// Reads `/proc`. Never fails: a missing file is a `None`.
    #[must_use]
    pub fn read() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let pressure = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        Self {
            waited: parse_pressure(&pressure),
            uptime: parse_uptime(&uptime),
            ..parse_stat(&stat).unwrap_or_default()
        }
    }

    /// What happened since `earlier`, `wall` ago.
    #[must_use]
    pub fn since(self, earlier: Self, wall: Duration) -> Contention {
        let gone = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        let steal = gone(self.steal, earlier.steal);
        let ticks = gone(self.ticks, earlier.ticks);
        let waited = |(now, then): (Duration, Duration)| now.saturating_sub(then).as_secs_f64();
        Contention {
            steal_ppm: steal
                .zip(ticks)
                .and_then(|(steal, ticks)| ppm(steal as f64, ticks as f64)),
            wait_ppm: self
                .waited
                .zip(earlier.waited)
                .and_then(|pair| ppm(waited(pair), wall.as_secs_f64())),
            busy_ppm: gone(self.busy, earlier.busy)
                .zip(ticks)
                .and_then(|(busy, ticks)| ppm(busy as f64, ticks as f64)),
            suspended_ms: self.uptime.zip(earlier.uptime).map(|(now, then)| {
                let asleep = now.saturating_sub(then).saturating_sub(wall);
                u64::try_from(asleep.as_millis()).unwrap_or(u64::MAX)
            }),
        }
    }
}

impl Contention {
    /// Steal and waiting together, as a share of one. Zero where nothing is known.
    #[must_use]
    pub fn share(self) -> f64 {
        let ppm = self.steal_ppm.unwrap_or(0) + self.wait_ppm.unwrap_or(0);
        f64::from(ppm) / 1e6
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0 ..= 1,000,000"
)]
fn ppm(part: f64, whole: f64) -> Option<u32> {
    (whole > 0.0).then(|| (1e6 * part / whole).round().clamp(0.0, 1e6) as u32)
}

/// The first line: user nice system idle iowait irq softirq steal; guest time is part of user.
fn parse_stat(text: &str) -> Option<Counters> {
    let line = text.lines().find(|line| line.starts_with("cpu "))?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map_while(|field| field.parse().ok())
        .collect();
    let &[user, nice, system, idle, iowait, irq, softirq, steal] = fields.as_slice() else {
        return None;
    };
    let busy = user + nice + system + irq + softirq;
    Some(Counters {
        steal: Some(steal),
        ticks: Some(busy + idle + iowait + steal),
        busy: Some(busy),
        ..Counters::default()
    })
}

fn parse_uptime(text: &str) -> Option<Duration> {
    let seconds = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn parse_pressure(text: &str) -> Option<Duration> {
    let line = text.lines().find(|line| line.starts_with("some"))?;
    let total = line
        .split_whitespace()
        .find_map(|field| field.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_and_waiting_become_shares_of_the_block() {
        let at = |stat: &str, pressure: &str, uptime: &str| Counters {
            waited: parse_pressure(pressure),
            uptime: parse_uptime(uptime),
            ..parse_stat(stat).unwrap()
        };
        let before = at(
            "cpu  10 0 10 70 5 0 0 5 0 0\ncpu0 …",
            "some avg10=0.00 total=1000\nfull …",
            "100.00 50.00",
        );
        let after = at(
            "cpu  20 0 20 140 10 0 0 10 7 0",
            "some avg10=0.00 total=101000",
            "103.50 50.00",
        );
        let found = after.since(before, Duration::from_secs(1));
        assert_eq!(
            found,
            Contention {
                steal_ppm: Some(50_000),
                wait_ppm: Some(100_000),
                busy_ppm: Some(200_000),
                suspended_ms: Some(2_500),
            }
        );
        assert!((found.share() - 0.15).abs() < 1e-9);
    }

    #[test]
    fn a_kernel_without_these_files_gives_nothing_and_no_error() {
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("cpu  1 2 3"), None);
        assert_eq!(parse_uptime(""), None);
        assert_eq!(parse_pressure("full total=1"), None);
        assert_eq!(
            Counters::default().since(Counters::default(), Duration::ZERO),
            Contention::default()
        );
    }
}
