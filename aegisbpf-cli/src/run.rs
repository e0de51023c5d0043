//! `aegisbpf run`: attach, report events until told to stop, detach.

mod journal;
mod service;
mod sink;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aegisbpf_core::{Applied, Enforcer, EnforcerBuilder, Error, Events, Mode, Policy};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::{service::Service, sink::Sink};
use crate::{
    args::{EnforceGate, RunArgs},
    exit::Failure,
    out::say,
};

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    let signals = Signals::catch()?;
    let policy = read_policy(args)?;
    let mut sink = Sink::open(args)?;
    let mut aegis = attach(args, policy)?;
    let mut service = Service::find();
    introduce(&aegis);
    service.ready(&status(&aegis));
    let mut events = aegis.events()?;
    // A closed pipe ends the run like a signal: the summary is still told, and the hooks still go.
    let outcome = watch(
        args,
        &mut aegis,
        &mut events,
        &mut sink,
        &mut service,
        &signals,
    );
    service.stopping();
    aegis.detach()?;
    summarise(&aegis)?;
    outcome
}

/// What was asked of us by signals, from here on instead of a sudden end.
struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    fn catch() -> Result<Self, Failure> {
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

fn read_policy(args: &RunArgs) -> Result<Option<Policy>, Failure> {
    let policy = args.policy.as_ref().map(Policy::from_path).transpose();
    Ok(policy.map_err(Error::from)?)
}

fn attach(args: &RunArgs, policy: Option<Policy>) -> Result<Enforcer, Failure> {
    if !args.enforce {
        return Ok(builder(args, policy).attach()?);
    }
    // Enforcement must outlive the process that asked for it, and so needs pinned programs.
    let refusal = Error::unsupported(
        "enforcing from the command",
        "a killed `run` would silently end the enforcement: this version cannot pin its programs yet",
        "use --audit, or embed aegisbpf-core and hold the Enforcer yourself",
    );
    if args.enforce_gate == EnforceGate::FailClosed {
        return Err(refusal.into());
    }
    say(format_args!(
        "aegisbpf: AUDIT ONLY, nothing is refused: {}",
        refusal.chain()
    ));
    Ok(builder(args, policy).attach()?)
}

fn builder(args: &RunArgs, policy: Option<Policy>) -> EnforcerBuilder {
    let builder = Enforcer::builder()
        .mode(Mode::Audit)
        .event_sample_rate(args.event_sample_rate)
        .ring_buffer_bytes(args.ringbuf_bytes);
    match policy {
        Some(policy) => builder.policy(policy),
        None => builder,
    }
}

/// Tells events, batch by batch, and does what signals ask for.
fn watch(
    args: &RunArgs,
    aegis: &mut Enforcer,
    events: &mut Events,
    sink: &mut Sink,
    service: &mut Service,
    signals: &Signals,
) -> Result<(), Failure> {
    loop {
        // Asked before reading, so that what was there when the signal came is still told.
        let stopped = signals.stop.load(Ordering::Acquire);
        while let Some(event) = events.try_next()? {
            sink.take(&event)?;
        }
        sink.flush()?;
        if stopped {
            return Ok(sink.finish()?);
        }
        if signals.reload.swap(false, Ordering::AcqRel) {
            service.reloading();
            reload(args, aegis);
            service.ready(&status(aegis));
        }
        service.beat();
        events.wait()?;
    }
}

/// Reads the policy file again. If it cannot be applied the old policy stands, whole.
fn reload(args: &RunArgs, aegis: &mut Enforcer) {
    let Some(file) = &args.policy else {
        say("aegisbpf: SIGHUP: there is no policy file to read again (--policy FILE)");
        return;
    };
    let applied = Policy::from_path(file)
        .map_err(Error::from)
        .and_then(|policy| aegis.apply(&policy));
    match applied {
        Ok(applied) => {
            say(format_args!("aegisbpf: {} is read again", file.display()));
            tell(&applied);
        }
        Err(error) => say(format_args!(
            "aegisbpf: the old policy stands: {}",
            error.chain()
        )),
    }
}

/// One line, as `systemctl status` shows it.
fn status(aegis: &Enforcer) -> String {
    let rules = aegis.stats().map_or(0, |stats| stats.rules.len());
    format!("{} by {}, {rules} rules", aegis.mode(), aegis.backend())
}

fn introduce(aegis: &Enforcer) {
    match aegis.applied() {
        None => say("aegisbpf: no policy, so nothing is watched (--policy FILE)"),
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
