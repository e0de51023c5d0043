//! Being a service: what the service manager is told. Without one, nothing is said.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

pub(super) struct Service {
    /// How often the service manager wants a sign of life, halved.
    pulse: Option<Duration>,
    last: Instant,
}

impl Service {
    pub(super) fn find() -> Self {
        Self {
            pulse: sd_notify::watchdog_enabled().map(|period| period / 2),
            last: Instant::now(),
        }
    }

    /// Hooks are attached: whoever waited for us may start.
    pub(super) fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    pub(super) fn reloading(&self) {
        // `Type=notify-reload` wants the time, so that it can tell this reload from an older one.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// To be called from the loop that reads events: if that hangs, the service manager is to know.
    pub(super) fn beat(&mut self) {
        if self.pulse.is_some_and(|pulse| self.last.elapsed() >= pulse) {
            self.last = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// A service manager that does not listen changes nothing for us.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}
