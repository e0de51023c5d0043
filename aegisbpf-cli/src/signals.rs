//! What a verb that goes on until interrupted is asked by signals.

use std::sync::{Arc, atomic::AtomicBool};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::Failure;

/// Set by signals, from [`Signals::catch`] on, instead of a sudden end.
pub(crate) struct Signals {
    /// End in order.
    pub(crate) stop: Arc<AtomicBool>,
    /// Read what was given once more.
    pub(crate) reload: Arc<AtomicBool>,
}

impl Signals {
    pub(crate) fn catch() -> Result<Self, Failure> {
        let signals = Self {
            stop: Arc::default(),
            reload: Arc::default(),
        };
        for (signal, flag) in [
            (SIGINT, &signals.stop),
            (SIGTERM, &signals.stop),
            (SIGHUP, &signals.reload),
        ] {
            signal_hook::flag::register(signal, Arc::clone(flag))
                .map_err(|e| Failure::said(format!("catching signal {signal}: {e}")))?;
        }
        Ok(signals)
    }
}
