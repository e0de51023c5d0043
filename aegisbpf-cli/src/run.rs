//! `aegisbpf run`: attach, tell events until told to stop, and leave or remove what is pinned.

mod feed;
mod journal;
mod service;
mod sink;
mod sweeper;

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use aegisbpf_core::{
    Applied, Control, Enforcer, EnforcerBuilder, Error, Events, Mode, Policy, RULE_CAPACITY,
};

pub(crate) use self::sweeper::swept;
use self::{feed::Feed, service::Service, sink::Sink, sweeper::Sweeper};
use crate::{
    args::{EnforceGate, RunArgs},
    exit::Failure,
    online::{supported, tell},
    out::{self, say},
    signals::Signals,
};

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    let signals = Signals::catch()?;
    let policy = read_policy(args)?;
    let mut sink = Sink::open(args)?;
    let earlier = Control::open(&args.pins.pin_dir).ok();
    let mut aegis = load(args, policy.as_ref())?;
    let keep = args.pin || (!args.no_pin && aegis.mode() == Mode::Enforce);
    let sweeper = (!keep && aegis.daemon().is_some()).then(|| Sweeper::start(&args.pins.pin_dir));
    if let Err(failure) = start(args, policy.as_ref(), &mut aegis) {
        // What was pinned before us stays as it was; what we made goes.
        if earlier.is_none() {
            aegis.unpin()?;
        }
        return Err(failure);
    }
    let outcome = serve(args, &mut aegis, &mut sink, &signals);
    // A closed pipe ends the run like a signal: the summary is still told, and the hooks still go.
    let ended = end(args, aegis, keep);
    drop(sweeper);
    outcome.and(ended)
}

fn read_policy(args: &RunArgs) -> Result<Option<Policy>, Failure> {
    let policy = args.policy.as_ref().map(Policy::from_path).transpose();
    Ok(policy.map_err(Error::from)?)
}

/// Loads the programs, or takes up those that are pinned.
fn load(args: &RunArgs, policy: Option<&Policy>) -> Result<Enforcer, Failure> {
    let builder = || builder(args, policy);
    if !args.enforce {
        return Ok(reachable(args, || match args.audit {
            true => builder().mode(Mode::Audit),
            // What is taken up goes on as it was.
            false => builder(),
        })?);
    }
    match reachable(args, || builder().mode(Mode::Enforce)) {
        Err(refusal @ Error::Unsupported { .. })
            if args.enforce_gate == EnforceGate::AuditFallback =>
        {
            say(format_args!(
                "aegisbpf: AUDIT ONLY, nothing is refused: {}",
                refusal.chain()
            ));
            Ok(reachable(args, || builder().mode(Mode::Audit))?)
        }
        loaded => Ok(loaded?),
    }
}

/// Other processes reach what is pinned. Where nothing can be pinned, whoever did not ask for it can still be served.
fn reachable(args: &RunArgs, builder: impl Fn() -> EnforcerBuilder) -> Result<Enforcer, Error> {
    let pinned = builder().pin(&args.pins.pin_dir).load();
    let Err(refusal @ Error::Unsupported { .. }) = pinned else {
        return pinned;
    };
    if args.pin || (args.enforce && !args.no_pin) {
        return Err(refusal);
    }
    let alone = builder().load()?;
    say(format_args!(
        "aegisbpf: other commands cannot reach this run: {}",
        refusal.chain()
    ));
    Ok(alone)
}

fn builder(args: &RunArgs, policy: Option<&Policy>) -> EnforcerBuilder {
    let rules = policy.map_or(0, |policy| policy.rules().len());
    let mut builder = Enforcer::builder()
        .rule_capacity(RULE_CAPACITY.max(u32::try_from(rules).unwrap_or(u32::MAX)));
    if let Some(one_in) = args.event_sample_rate {
        builder = builder.event_sample_rate(one_in);
    }
    if let Some(name) = args.backend {
        builder = builder.backend(name.into());
    }
    if let Some(seconds) = args.deadman {
        builder = builder.dead_man(Duration::from_secs(seconds.into()));
    }
    if let Some(bytes) = args.ringbuf_bytes {
        builder = builder.ring_buffer_bytes(bytes);
    }
    builder
}

/// Applies the policy and attaches the hooks.
fn start(args: &RunArgs, policy: Option<&Policy>, aegis: &mut Enforcer) -> Result<(), Failure> {
    if let Some(policy) = policy {
        tell(&apply(args, aegis, policy)?);
    }
    Ok(aegis.attach()?)
}

/// From ready to the signal that ends it.
fn serve(
    args: &RunArgs,
    aegis: &mut Enforcer,
    sink: &mut Sink,
    signals: &Signals,
) -> Result<(), Failure> {
    if aegis.daemon().is_some() {
        sink.offer(Feed::open(&args.pins.pin_dir)?);
    }
    let mut events = aegis.events()?;
    let mut service = Service::find();
    introduce(aegis)?;
    service.ready(&status(aegis));
    let outcome = watch(args, aegis, &mut events, sink, &mut service, signals);
    service.stopping();
    outcome
}

fn apply(args: &RunArgs, control: &mut Control, policy: &Policy) -> Result<Applied, Error> {
    if !args.skip_unsupported {
        return control.apply(policy);
    }
    let (policy, mut dropped) = supported(control, policy);
    let mut applied = control.apply(&policy)?;
    dropped.append(&mut applied.warnings);
    applied.warnings = dropped;
    Ok(applied)
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
    // From this loop alone: a process that lives but no longer reads events is as good as dead.
    let pulse = args
        .deadman
        .map(|seconds| Duration::from_secs(seconds.into()) / 4);
    let mut last_pulse = Instant::now();
    loop {
        if pulse.is_some_and(|pulse| last_pulse.elapsed() >= pulse) {
            aegis.heartbeat()?;
            last_pulse = Instant::now();
        }
        // Asked before reading, so that what was there when the signal came is still told.
        let stopped = signals.stop.load(Ordering::Acquire);
        while let Some(record) = events.try_next_record()? {
            sink.take(record)?;
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
        .and_then(|policy| apply(args, aegis, &policy));
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
    format!(
        "{} by {}, {}",
        aegis.mode(),
        aegis.backend(),
        out::rules(rules)
    )
}

fn introduce(aegis: &Enforcer) -> Result<(), Failure> {
    if aegis.policy()?.rules().is_empty() {
        say(
            "aegisbpf: no rule, so nothing is watched (--policy FILE, or `aegisbpf policy apply FILE`)",
        );
    }
    let (mode, backend) = (aegis.mode(), aegis.backend());
    match aegis.links() {
        links if links.is_empty() => say(format_args!(
            "aegisbpf: {mode} by {backend}, no hook attached"
        )),
        links => say(format_args!(
            "aegisbpf: {mode} by {backend}: {}",
            links.join(", ")
        )),
    }
    Ok(())
}

/// Sums up; then enforcement stays, and audit goes, unless something else was asked for.
fn end(args: &RunArgs, mut aegis: Enforcer, keep: bool) -> Result<(), Failure> {
    if !keep {
        aegis.detach()?;
    }
    let summed = summarise(&aegis);
    if keep {
        say(format_args!(
            "aegisbpf: still {} by {}, pinned at {}; `aegisbpf run` takes it up",
            aegis.mode(),
            aegis.backend(),
            args.pins.pin_dir.display()
        ));
    } else {
        aegis.unpin()?;
    }
    summed
}

fn summarise(aegis: &Enforcer) -> Result<(), Failure> {
    let stats = aegis.stats()?;
    let (counts, health) = (stats.counts(), stats.health);
    say(format_args!(
        "aegisbpf: {} blocks ({}), {} exempt; events: {} reported, {} sampled out, {} dropped; faults: {}",
        stats.blocks(),
        stats.mode,
        counts.exempted,
        health.emitted,
        health.sampled_out,
        health.dropped,
        health.faults(),
    ));
    for rule in stats.rules.iter().filter(|rule| rule.counts().hits() > 0) {
        say(format_args!(
            "  {:>8} audited {:>8} denied {:>8} exempt  {}",
            rule.audited, rule.denied, rule.exempted, rule.label
        ));
    }
    Ok(())
}
