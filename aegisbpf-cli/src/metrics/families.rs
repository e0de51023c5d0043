//! Which metrics there are.

use aegisbpf_core::{
    Mode, State, Stats,
    policy::Effect,
    stats::{Counts, RuleStats},
};
use prometheus_client::{
    encoding,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

use crate::memory::resident;

/// In which text they are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exposition {
    /// OpenMetrics 1.0, which Prometheus asks for.
    OpenMetrics,
    /// Prometheus's older format 0.0.4, the only one that the textfile collector reads.
    Prometheus,
}

impl Exposition {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => encoding::prometheus_text::CONTENT_TYPE,
        }
    }

    pub(super) fn text(self, registry: &Registry) -> String {
        let mut text = String::new();
        let done = match self {
            Self::OpenMetrics => encoding::text::encode(&mut text, registry),
            Self::Prometheus => encoding::prometheus_text::encode(&mut text, registry),
        };
        debug_assert!(done.is_ok(), "a String takes everything");
        text
    }
}

type Labels<const N: usize> = [(&'static str, String); N];

/// The metrics of this moment.
pub(super) fn registry(stats: &Stats, pid: Option<u32>) -> Registry {
    let mut all = Registry::with_prefix("aegisbpf");
    let info = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("backend", stats.backend.to_string()),
        ("mode", stats.mode.to_string()),
    ];
    all.register("enforcer", "What is running", Info::new(info.to_vec()));
    let gauge = |all: &mut Registry, name, help, value: u64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        all.register(name, help, gauge);
    };
    let enforcing = u64::from(stats.mode == Mode::Enforce);
    gauge(
        &mut all,
        "enforcing",
        "1 if denied accesses are refused",
        enforcing,
    );
    gauge(
        &mut all,
        "running",
        "1 if a process reads the events",
        u64::from(pid.is_some()),
    );
    gauge(
        &mut all,
        "hooks",
        "Hooks that are attached",
        stats.links.len() as u64,
    );
    gauge(
        &mut all,
        "policy_generation",
        "How often a policy was applied",
        stats.generation.into(),
    );
    gauge(
        &mut all,
        "emergency",
        "1 if everything passes because of an emergency",
        stats.emergency.active.into(),
    );
    gauge(
        &mut all,
        "dead_man_expired",
        "1 if everything passes because the enforcer's process was not heard of",
        stats.dead_man.is_some_and(|timer| timer.expired).into(),
    );
    memory(&mut all, stats, pid);
    rules(&mut all, stats);
    accesses(&mut all, stats);
    health(&mut all, stats);
    all
}

fn memory(all: &mut Registry, stats: &Stats, pid: Option<u32>) {
    let memory = Family::<Labels<1>, Gauge>::default();
    let set = |of: &str, bytes: u64| {
        memory
            .get_or_create(&[("of", of.to_owned())])
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    };
    set("kernel", stats.kernel_memory);
    if let Some(bytes) = pid.and_then(resident) {
        set("process", bytes);
    }
    all.register_with_unit(
        "memory",
        "Held by maps and programs, and by the process",
        Unit::Bytes,
        memory,
    );
}

fn rules(all: &mut Registry, stats: &Stats) {
    let rules = Family::<Labels<2>, Gauge>::default();
    for rule in &stats.rules {
        let state = match rule.state {
            State::Unresolved(_) => "unresolved",
            _ => "in_force",
        };
        let labels = [
            ("effect", rule.effect.to_string()),
            ("state", state.to_owned()),
        ];
        rules.get_or_create(&labels).inc();
    }
    all.register("rules", "Rules of the policy", rules);
}

/// For all rules together, and for each that was met: a policy may have more rules than a Prometheus wants series.
fn accesses(all: &mut Registry, stats: &Stats) {
    let total = Family::<Labels<1>, Counter>::default();
    for (outcome, count) in outcomes(stats.counts()) {
        total
            .get_or_create(&[("outcome", outcome.to_owned())])
            .inc_by(count);
    }
    all.register("accesses", "Accesses that met a rule", total);

    let each = Family::<Labels<5>, Counter>::default();
    let met = |rule: &&RuleStats| rule.effect == Effect::Deny && rule.counts().hits() > 0;
    for rule in stats.rules.iter().filter(met) {
        for (outcome, count) in outcomes(rule.counts()) {
            let labels = [
                ("rule", rule.rule.to_string()),
                ("origin", rule.origin.short()),
                ("operation", rule.operation.to_string()),
                ("object", rule.entry.clone()),
                ("outcome", outcome.to_owned()),
            ];
            each.get_or_create(&labels).inc_by(count);
        }
    }
    all.register(
        "rule_accesses",
        "Accesses that met this rule, once there was one",
        each,
    );
}

fn outcomes(counts: Counts) -> [(&'static str, u64); 3] {
    [
        ("audited", counts.audited),
        ("denied", counts.denied),
        ("exempted", counts.exempted),
    ]
}

fn health(all: &mut Registry, stats: &Stats) {
    let events = Family::<Labels<1>, Counter>::default();
    for (fate, count) in [
        ("reported", stats.health.emitted),
        ("sampled_out", stats.health.sampled_out),
        ("dropped", stats.health.dropped),
    ] {
        events
            .get_or_create(&[("fate", fate.to_owned())])
            .inc_by(count);
    }
    all.register("events", "Events by what became of them", events);

    let passed = Family::<Labels<1>, Counter>::default();
    for (cause, count) in [
        ("emergency", stats.health.passed_by_emergency),
        ("dead_man", stats.health.passed_by_dead_man),
    ] {
        passed
            .get_or_create(&[("cause", cause.to_owned())])
            .inc_by(count);
    }
    all.register(
        "passed",
        "Accesses that would have been refused but for this",
        passed,
    );

    let faults = Family::<Labels<1>, Counter>::default();
    for (cause, count) in stats.health.causes() {
        faults
            .get_or_create(&[("cause", cause.to_owned())])
            .inc_by(count);
    }
    all.register("faults", "Faults, each of which let an access pass", faults);
}
