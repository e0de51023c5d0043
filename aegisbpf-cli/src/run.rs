//! `aegisbpf run`: attach, report events until told to stop, detach.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aegisbpf_core::{Applied, Enforcer, Error, Event, Events, Mode, Policy};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{args::RunArgs, exit::Failure, say::say};

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    if args.enforce {
        // Enforcement must outlive the process that asked for it, and so needs pinned programs.
        return Err(Failure::Core(Error::unsupported(
            "enforcing from the command",
            "a killed `run` would silently end the enforcement: this version cannot pin its programs yet",
            "use --audit, or embed aegisbpf-core and hold the Enforcer yourself",
        )));
    }
    let stop = stop_on_signals()?;
    let policy = args
        .policy
        .as_ref()
        .map(Policy::from_path)
        .transpose()
        .map_err(Error::from)?;
    let mut builder = Enforcer::builder()
        .mode(Mode::Audit)
        .event_sample_rate(args.event_sample_rate)
        .ring_buffer_bytes(args.ringbuf_bytes);
    if let Some(policy) = policy {
        builder = builder.policy(policy);
    }
    let mut aegis = builder.attach()?;
    introduce(&aegis);
    let mut events = aegis.events()?;
    // A closed pipe ends the run like a signal: the summary is still told, and the hooks still go.
    let outcome = report(&mut events, &stop);
    aegis.detach()?;
    summarise(&aegis)?;
    outcome
}

/// From here on these signals ask for an orderly end, instead of a sudden one.
fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// One JSON line for each event, flushed after each batch.
fn report(events: &mut Events, stop: &AtomicBool) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    loop {
        // Asked before reading, so that what was there when the signal came is still told.
        let stopped = stop.load(Ordering::Acquire);
        while let Some(event) = events.try_next()? {
            serde_json::to_writer(&mut out, &printable(event)).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        if stopped {
            return Ok(());
        }
        events.wait()?;
    }
}

/// JSON is UTF-8, names of files need not be. Whoever may name a file must not be able to end the audit by it.
fn printable(mut event: Event) -> Event {
    event.path = event
        .path
        .map(|path| match path.into_os_string().into_string() {
            Ok(path) => path.into(),
            Err(path) => path.to_string_lossy().into_owned().into(),
        });
    event
}

fn introduce(aegis: &Enforcer) {
    match aegis.applied() {
        None => say(format_args!(
            "aegisbpf: no policy, so nothing is watched (--policy FILE)"
        )),
        Some(applied) => tell(applied),
    }
    match aegis.links() {
        links if links.is_empty() => say(format_args!(
            "aegisbpf: {} by {}, no hook attached",
            aegis.mode(),
            aegis.backend()
        )),
        links => say(format_args!(
            "aegisbpf: {} by {}: {}",
            aegis.mode(),
            aegis.backend(),
            links.join(", ")
        )),
    }
}

fn tell(applied: &Applied) {
    for warning in &applied.warnings {
        say(warning);
    }
    say(format_args!(
        "aegisbpf: {} rules, {} of them unresolved here",
        applied.rules,
        applied.unresolved.len()
    ));
    for (_, label, reason) in &applied.unresolved {
        say(format_args!("  unresolved: {label}: {reason}"));
    }
}

fn summarise(aegis: &Enforcer) -> Result<(), Failure> {
    let stats = aegis.stats()?;
    let health = stats.health;
    say(format_args!(
        "aegisbpf: {} blocks (audit), {} exempt; events: {} reported, {} sampled out, {} dropped; faults: {}",
        stats.blocks(),
        stats.hits() - stats.blocks(),
        health.emitted,
        health.sampled_out,
        health.dropped,
        health.faults(),
    ));
    for rule in stats.rules.iter().filter(|r| r.audited + r.exempted > 0) {
        say(format_args!(
            "  {:>8} audited {:>8} exempt  {}",
            rule.audited, rule.exempted, rule.label
        ));
    }
    Ok(())
}
