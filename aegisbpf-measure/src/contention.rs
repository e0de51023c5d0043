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
    /// Time in which some runnable task waited for a CPU (`/proc/pressure/cpu`, "some").
    pub waited: Option<Duration>,
}

/// The same, over one block. Parts per million, so that a record replays bit for bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contention {
    /// Share of the CPU time that the hypervisor gave to others.
    pub steal_ppm: Option<u32>,
    /// Share of the time in which some runnable task waited for a CPU.
    pub wait_ppm: Option<u32>,
}

impl Counters {
    /// Reads `/proc`. Never fails: a missing file is a `None`.
    #[must_use]
    pub fn read() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let pressure = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
        let (steal, ticks) = parse_stat(&stat).unzip();
        Self {
            steal,
            ticks,
            waited: parse_pressure(&pressure),
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

/// Steal and total of the first line: user nice system idle iowait irq softirq steal; guest time is part of user.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find(|line| line.starts_with("cpu "))?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map_while(|field| field.parse().ok())
        .collect();
    Some((*fields.get(7)?, fields.iter().sum()))
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
        let at = |stat: &str, pressure: &str| {
            let (steal, ticks) = parse_stat(stat).unzip();
            Counters {
                steal,
                ticks,
                waited: parse_pressure(pressure),
            }
        };
        let before = at(
            "cpu  10 0 10 70 5 0 0 5 0 0\ncpu0 …",
            "some avg10=0.00 total=1000\nfull …",
        );
        let after = at(
            "cpu  20 0 20 140 10 0 0 10 7 0",
            "some avg10=0.00 total=101000",
        );
        let found = after.since(before, Duration::from_secs(1));
        assert_eq!(
            found,
            Contention {
                steal_ppm: Some(50_000),
                wait_ppm: Some(100_000)
            }
        );
        assert!((found.share() - 0.15).abs() < 1e-9);
    }

    #[test]
    fn a_kernel_without_these_files_gives_nothing_and_no_error() {
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_pressure("full total=1"), None);
        assert_eq!(
            Counters::default().since(Counters::default(), Duration::ZERO),
            Contention::default()
        );
    }
}
