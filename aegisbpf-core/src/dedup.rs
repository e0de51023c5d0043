//! Telling an event that repeats once, and then how often it came.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use crate::{
    event::{Access, Decision, Event},
    file_id::FileId,
    policy::RuleId,
};

/// Beyond this many different events at once all are told: a flood must not make the teller grow.
const KEYS_MAX: usize = 4096;

/// Leaves out events that repeat one already told within a window of time. Counters are not touched by it: it makes
/// a log shorter.
///
/// Two events are alike if rule, decision, operation, file, cgroup, user and program's name are.
#[derive(Debug)]
pub struct Dedup {
    window: Duration,
    told: HashMap<Key, Told>,
}

/// The last of some events that were not told one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Repeated {
    /// The last one.
    #[serde(flatten)]
    pub event: Event,
    /// How many were left out, this one among them.
    pub repeated: u64,
}

type Key = (
    RuleId,
    Decision,
    Access,
    FileId,
    u64,
    u32,
    String,
    Option<std::path::PathBuf>,
);

#[derive(Debug)]
struct Told {
    until: SystemTime,
    last: Option<Event>,
    more: u64,
}

impl Dedup {
    /// Tells an event once in `window`.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            told: HashMap::new(),
        }
    }

    /// Whether to tell `event` now. If not it is kept, and told by [`Dedup::due`] when the window has passed.
    pub fn admit(&mut self, event: &Event) -> bool {
        let key = key(event);
        if let Some(told) = self.told.get_mut(&key) {
            told.more += 1;
            told.last = Some(event.clone());
            return false;
        }
        if self.told.len() < KEYS_MAX {
            self.told.insert(
                key,
                Told {
                    until: event.time + self.window,
                    last: None,
                    more: 0,
                },
            );
        }
        true
    }

    /// What was left out in windows that have passed at `now`, in the order of time. A window whose event repeated
    /// begins anew.
    pub fn due(&mut self, now: SystemTime) -> Vec<Repeated> {
        let window = self.window;
        let mut due = Vec::new();
        self.told.retain(|_, told| {
            // A clock that was set back far would keep a window open for ever.
            let open = told
                .until
                .duration_since(now)
                .is_ok_and(|left| !left.is_zero() && left <= window);
            if open {
                return true;
            }
            match told.last.take() {
                None => false,
                Some(event) => {
                    let repeated = std::mem::take(&mut told.more);
                    due.push(Repeated { event, repeated });
                    told.until = now + window;
                    true
                }
            }
        });
        due.sort_by_key(|repeated| repeated.event.time);
        due
    }

    /// What is left at the end, whatever the windows say.
    pub fn finish(&mut self) -> Vec<Repeated> {
        let mut rest: Vec<_> = std::mem::take(&mut self.told)
            .into_values()
            .filter_map(|told| {
                Some(Repeated {
                    event: told.last?,
                    repeated: told.more,
                })
            })
            .collect();
        rest.sort_by_key(|repeated| repeated.event.time);
        rest
    }
}

fn key(event: &Event) -> Key {
    (
        event.rule,
        event.decision,
        event.operation,
        event.file,
        event.cgroup,
        event.uid,
        event.comm.clone(),
        // Where an event has no file its object is told by its name.
        event.path.clone(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;
    const WINDOW: Duration = Duration::from_secs(10);

    fn event(rule: u32, seconds: u64) -> Event {
        let mut event = Event::sample();
        event.rule = RuleId::new(rule).unwrap();
        event.time = at(seconds);
        event
    }

    fn at(seconds: u64) -> SystemTime {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_repetition_is_told_once_with_its_number() {
        let mut dedup = Dedup::new(WINDOW);
        assert!(dedup.admit(&event(1, 100)));
        assert!(!dedup.admit(&event(1, 101)));
        assert!(!dedup.admit(&event(1, 102)));
        assert_eq!(dedup.due(at(109)), []);
        let due = dedup.due(at(110));
        assert_eq!(due.len(), 1);
        assert_eq!(
            (due[0].repeated, due[0].event.time),
            (2, at(102)),
            "the last one stands for all"
        );
        // It repeated, so the next window has begun.
        assert!(!dedup.admit(&event(1, 111)));
        assert_eq!(dedup.due(at(120))[0].repeated, 1);
        // It did not repeat any more: forgotten.
        assert_eq!(dedup.due(at(130)), []);
        assert!(dedup.admit(&event(1, 131)));
    }

    #[test]
    fn what_differs_is_told() {
        let mut dedup = Dedup::new(WINDOW);
        assert!(dedup.admit(&event(1, 100)));
        assert!(dedup.admit(&event(2, 100)));
        let mut other = event(1, 100);
        other.comm = "another".into();
        assert!(dedup.admit(&other));
    }

    #[test]
    fn nothing_is_lost_at_the_end() {
        let mut dedup = Dedup::new(WINDOW);
        for second in 0..5 {
            dedup.admit(&event(1, second));
            dedup.admit(&event(2, second));
        }
        let rest = dedup.finish();
        assert_eq!(rest.iter().map(|r| r.repeated).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(dedup.finish(), []);
    }

    #[test]
    fn a_flood_of_different_events_does_not_make_it_grow() {
        let mut dedup = Dedup::new(WINDOW);
        for rule in 1..=2 * KEYS_MAX as u32 {
            assert!(dedup.admit(&event(rule, 1)));
        }
        assert_eq!(dedup.told.len(), KEYS_MAX);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_a_window_open() {
        let mut dedup = Dedup::new(WINDOW);
        assert!(dedup.admit(&event(1, 1_000_000)));
        assert!(!dedup.admit(&event(1, 1_000_001)));
        assert_eq!(dedup.due(at(100)).len(), 1);
    }
}
