//! Whoever asked for hooks only while `run` lives gets that also when it is killed: a small process of its own waits for
//! our end and removes what is still pinned then.

use std::{
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
};

use aegisbpf_core::{Control, Enforcer};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{exit::Failure, out::say};

/// How the other process is told what it is; no verb, since nobody types it.
const SWEEP: &str = "--sweep-after-run";

/// The other process, for as long as this value lives; its standard input is the thread by which it hangs on us.
pub(super) struct Sweeper(Option<Child>);

impl Sweeper {
    /// Without one, a sudden end leaves pins behind; that is said, and no reason not to run.
    pub(super) fn start(pin_dir: &Path) -> Self {
        let child = Command::new("/proc/self/exe")
            .arg0("aegisbpf")
            .arg(SWEEP)
            .arg(pin_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What interrupts us from the terminal is not meant for it.
            .process_group(0)
            .spawn();
        Self(
            child
                .inspect_err(|e| {
                    say(format_args!(
                        "aegisbpf: if this process is killed, hooks stay pinned at {}: {e}",
                        pin_dir.display()
                    ));
                })
                .ok(),
        )
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // An orderly end: there is nothing left to sweep.
            if let Some(mut thread) = child.stdin.take() {
                let _ = thread.write_all(b"done");
            }
            let _ = child.wait();
        }
    }
}

/// What this process did as the other one; none if it is none.
pub(crate) fn swept() -> Option<Result<(), Failure>> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == SWEEP).then_some(())?;
    Some(sweep(Path::new(&args.next()?)))
}

/// Waits for the end of the process that started this one.
fn sweep(pin_dir: &Path) -> Result<(), Failure> {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        // Whoever ends a whole group of processes in order lets `run` clean up first; this one ends right after.
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
            .map_err(|e| Failure::said(format!("catching signal {signal}: {e}")))?;
    }
    let mut heard = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut heard)
        .map_err(|e| Failure::said(format!("waiting for the end of `aegisbpf run`: {e}")))?;
    if !heard.is_empty() {
        return Ok(());
    }
    // Another `run` may have taken it up meanwhile, which is then its own.
    if Control::open(pin_dir)?.daemon().is_some() {
        return Ok(());
    }
    Ok(Enforcer::builder().pin(pin_dir).load()?.unpin()?)
}
