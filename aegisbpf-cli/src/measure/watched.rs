//! What people see of a measurement, and the signals that stop it.

use std::{fs, thread};

use aegisbpf_measure::{Progress, progress::Live};
use aegisbpf_rig::{interrupt::Interrupt, terminal::Terminal};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{exit::Failure, out::say};

/// Passes signals on, from now to the end of the process: the first asks to stop, and asks the command that is
/// waited for to end; one more kills it.
pub(super) fn listen() -> Result<Interrupt, Failure> {
    let failed = |error| Failure::said(format!("listening for signals: {error}"));
    let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hang_up)).map_err(failed)?;
    let interrupt = Interrupt::default();
    let asked = interrupt.clone();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                asked.ask();
                say("aegisbpf: stopping; once more kills the command under way");
            }
        })
        .map_err(failed)?;
    Ok(interrupt)
}

/// Whether a signal was ignored when we were started, as `nohup` does: a handler of ours would undo that.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// The terminal, and whether to stop.
pub(super) struct Watched {
    terminal: Terminal,
    interrupt: Interrupt,
}

impl Watched {
    pub(super) fn new(name: &str, interrupt: &Interrupt) -> Self {
        Self {
            terminal: Terminal::on_stderr(name),
            interrupt: interrupt.clone(),
        }
    }
}

impl Progress for Watched {
    fn phase(&mut self, name: &str) {
        self.terminal.phase(name);
    }

    fn quad(&mut self, n: u32, n_max: u32, live: &Live) {
        self.terminal.quad(n, n_max, live);
    }

    fn note(&mut self, text: &str) {
        self.terminal.note(text);
    }

    fn stopped(&mut self) -> bool {
        self.interrupt.is_asked()
    }
}
