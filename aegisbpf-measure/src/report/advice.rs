//! What to do about what was found, with the command to type.
//!
//! These are the remedies of the project's list of common patterns; each is told only where the figures call for it.

use serde::Serialize;

use super::words::{grouped, one_line, signed, time};
use crate::{
    attribution::Attribution,
    metric::Metric,
    record::Record,
    verdict::{MetricResult, Verdict},
};

/// Steal and run-queue wait above this share: others want the CPUs.
const CONTENDED: f64 = 0.20;
/// One match in so many operations is no longer a rare event.
const FREQUENT: f64 = 1e-3;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What to do, as a short order.
    pub action: String,
    /// Why: what was seen.
    pub why: String,
    /// Commands to type, in order; none if there is nothing to type.
    pub commands: Vec<String>,
}

/// All that applies, the most urgent first. Never empty.
#[must_use]
pub fn advise(record: &Record) -> Vec<Advice> {
    let judgement = &record.judgement;
    let mut all = Vec::new();
    if judgement.verdict == Verdict::Invalid {
        all.push(mend(record));
    }
    all.extend(new_errors(record));
    all.extend(drops(record));
    if judgement.verdict == Verdict::Inconclusive {
        all.extend(contention(record));
        all.push(more_time(record));
    }
    all.extend(matches(record));
    if judgement.verdict == Verdict::Fail || (judgement.verdict == Verdict::Pass && dear(record)) {
        all.extend(cost(record));
    }
    if all.is_empty() {
        all.push(nothing(record));
    }
    all
}

fn advice(action: impl Into<String>, why: impl Into<String>, commands: Vec<String>) -> Advice {
    Advice {
        action: action.into(),
        why: why.into(),
        commands,
    }
}

/// Whether the remedies of our own enforcer apply; another product's are not ours to tell.
fn is_ours(record: &Record) -> bool {
    record.plan.guard.name == "aegisbpf"
}

fn ours(record: &Record, commands: Vec<String>) -> Vec<String> {
    if is_ours(record) {
        commands
    } else {
        Vec::new()
    }
}

/// Some judged metric is above its limit, or above the half of it.
fn dear(record: &Record) -> bool {
    let is_dear = |result: &MetricResult| {
        let estimate = result.estimate.map(|estimate| estimate.overhead);
        result.metric.is_judged(&record.plan)
            && result.verdict.is_some()
            && matches!((estimate, result.limit), (Some(estimate), Some(limit)) if estimate > limit / 2.0)
    };
    record.judgement.metrics.iter().any(is_dear)
}

fn mend(record: &Record) -> Advice {
    let reasons = &record.judgement.reasons;
    let says = |word: &str| reasons.iter().any(|reason| reason.contains(word));
    let first = reasons.first().map(one_line).unwrap_or_default();
    let again = again(record, record.plan.budget.as_secs_f64());
    if says("treatment") {
        return advice(
            "Do not use these figures: find out why the guard was not in force as planned",
            first,
            ours(record, vec!["aegisbpf doctor".to_owned()]),
        );
    }
    if says("generator") {
        return advice(
            "Do not use these figures: give the load generator more CPU, or offer less load",
            first,
            again,
        );
    }
    if says("could not be used") || says("changed during the run") {
        return advice(
            "Do not use these figures: measure on a machine that others leave alone, then run it again",
            first,
            again,
        );
    }
    advice(
        "Do not use these figures: remove the cause and run it again",
        first,
        again,
    )
}

fn new_errors(record: &Record) -> Option<Advice> {
    let failing: Vec<String> = record
        .judgement
        .errors
        .iter()
        .filter(|class| class.fails)
        .map(|class| {
            format!(
                "{} ({} bare, {} guarded)",
                class.class,
                grouped(class.bare),
                grouped(class.guarded)
            )
        })
        .collect();
    (!failing.is_empty()).then(|| {
        advice(
            "Find the rule that breaks the workload, and allow what is legitimate",
            format!(
                "Errors that only the guard explains: {}.",
                failing.join(", ")
            ),
            ours(
                record,
                vec!["aegisbpf stats --detailed".to_owned(), allow(record)],
            ),
        )
    })
}

/// The command that allows the control group that met most rules.
fn allow(record: &Record) -> String {
    let busiest = record
        .matches
        .cgroups
        .iter()
        .find(|cgroup| cgroup.what != "/" && cgroup.blocks > 0);
    let cgroup = busiest.map_or("/system.slice/SERVICE", |cgroup| &cgroup.what);
    format!("aegisbpf allow add {cgroup}")
}

fn drops(record: &Record) -> Option<Advice> {
    let totals = record.judgement.totals;
    (totals.drops > 0).then(|| {
        advice(
            "Make the ring buffer larger, or report fewer events",
            format!(
                "{} of {} events were lost because the ring buffer was full. The counters are exact all the same.",
                grouped(totals.drops),
                grouped(totals.drops + totals.events)
            ),
            ours(
                record,
                vec![
                    "aegisbpf run --audit --ringbuf-bytes=2097152".to_owned(),
                    "aegisbpf run --audit --event-sample-rate=100".to_owned(),
                ],
            ),
        )
    })
}

/// Legitimate work that meets rules: false positives, to be seen before anything is enforced.
fn matches(record: &Record) -> Option<Advice> {
    let rules: Vec<_> = record
        .matches
        .rules
        .iter()
        .filter(|rule| rule.blocks > 0)
        .collect();
    let busiest = rules.first()?;
    let shown: Vec<String> = rules
        .iter()
        .take(3)
        .map(|rule| format!("{} ({})", rule.what, grouped(rule.blocks)))
        .collect();
    let operations: u64 = record
        .observed
        .blocks
        .iter()
        .map(|block| {
            block.closed.operations + block.open.as_ref().map_or(0, |open| open.operations)
        })
        .sum();
    let frequent = busiest.blocks as f64 > FREQUENT * operations as f64;
    let broad = if busiest.what.ends_with('/') || busiest.what.contains("deny_dir") {
        " A rule for a whole directory is often too broad."
    } else {
        ""
    };
    let mut commands = vec!["aegisbpf stats --detailed".to_owned()];
    if record
        .matches
        .cgroups
        .iter()
        .any(|cgroup| cgroup.what != "/" && cgroup.blocks > 0)
    {
        commands.push(allow(record));
    }
    Some(advice(
        "Look for false positives: this workload meets rules",
        format!(
            "Most often met: {}.{broad}{}",
            shown.join(", "),
            if frequent {
                " Each match is counted and reported, which costs far more than an access that meets no rule."
            } else {
                " Enforced, these accesses would be refused."
            }
        ),
        ours(record, commands),
    ))
}

/// Where the time goes, and the remedy for that.
fn cost(record: &Record) -> Vec<Advice> {
    let Some(attribution) = &record.judgement.attribution else {
        return vec![inodes(
            record,
            "How the cost splits up was not seen in this run.".to_owned(),
        )];
    };
    let hooks: f64 = attribution.hooks.iter().map(|hook| hook.percent).sum();
    if attribution.process_percent > hooks {
        return vec![advice(
            "Report fewer events: the enforcer's own process costs more than its hooks",
            format!(
                "Of a CPU second of work, the process takes {} %, all hooks together {} %.",
                signed(attribution.process_percent),
                signed(hooks)
            ),
            ours(
                record,
                vec!["aegisbpf run --audit --event-sample-rate=100".to_owned()],
            ),
        )];
    }
    unexplained(attribution)
        .into_iter()
        .chain(attribution.hooks.first().map(|hook| {
            inodes(
                record,
                format!(
                    "The dearest hook is {}: it runs {:.1} times an operation, {} each, {} % of the work's CPU time.",
                    hook.hook,
                    hook.runs_per_operation,
                    time(hook.ns_per_run),
                    signed(hook.percent)
                ),
            )
        }))
        .collect()
}

fn unexplained(attribution: &Attribution) -> Option<Advice> {
    let z = attribution.z.filter(|z| z.abs() > 2.58)?;
    Some(advice(
        "Look for a second cause: hooks and process do not explain the difference",
        format!(
            "The paired estimate and the sum of what was seen differ by {} % (z = {z:+.1}): caches, locks, or something else that changes with the guard.",
            attribution
                .unexplained_percent
                .map_or_else(|| "?".to_owned(), signed)
        ),
        Vec::new(),
    ))
}

fn inodes(record: &Record, why: String) -> Advice {
    let path = record
        .matches
        .rules
        .first()
        .and_then(|rule| rule.what.split_once(' '))
        .map_or("/etc/shadow", |(_, path)| path);
    advice(
        "Make the rules cheaper: drop classes of rules that are not needed, and name files by inode where the name need not be followed",
        why,
        ours(
            record,
            vec![
                "aegisbpf stats --detailed".to_owned(),
                format!("aegisbpf block add --inode {path}"),
            ],
        ),
    )
}

fn more_time(record: &Record) -> Advice {
    let open: Vec<String> = record
        .judgement
        .metrics
        .iter()
        .filter(|result| {
            result.verdict == Some(Verdict::Inconclusive) && result.metric != Metric::CpuThroughput
        })
        .map(|result| result.metric.to_string())
        .collect();
    let open = open.join(", ");
    match record.judgement.time_needed_ns {
        Some(ns) => {
            // What it took, not what it was given: it may have been stopped, or the budget was too short for the least.
            let took = record
                .observed
                .blocks
                .last()
                .map_or(0, |block| block.begin_ns);
            let seconds = took.saturating_add(ns) as f64 / 1e9;
            advice(
                format!("Run it again for about {}", time(1e9 * seconds)),
                format!(
                    "The noise of this machine still hides the answer for: {open}. About {} more would show it, if the estimates are near the truth.",
                    time(ns as f64)
                ),
                again(record, seconds),
            )
        }
        None => advice(
            "Use a quieter machine, or accept a wider limit",
            format!(
                "For {open} the estimate is so close to the limit, or the noise so large, that more time would hardly help."
            ),
            Vec::new(),
        ),
    }
}

/// The command that ran this, with a budget of so many seconds.
fn again(record: &Record, seconds: f64) -> Vec<String> {
    let minutes = (seconds / 60.0).ceil().max(1.0);
    let Some(invocation) = &record.invocation else {
        return Vec::new();
    };
    let budget = if invocation.starts_with("AEGIS_BUDGET=") {
        match seconds {
            s if s <= 60.0 => "quick".to_owned(),
            s if s <= 300.0 => "standard".to_owned(),
            _ => "thorough".to_owned(),
        }
    } else {
        format!("{minutes:.0}m")
    };
    vec![invocation.replace("{budget}", &budget)]
}

fn contention(record: &Record) -> Option<Advice> {
    let (bare, guarded) = record.judgement.contention;
    (bare > CONTENDED && guarded > CONTENDED).then(|| {
        advice(
            "Measure on a quieter machine",
            format!(
                "Others wanted the CPUs: {:.0} % of the time something waited for one in the bare arm, {:.0} % in the guarded arm.",
                100.0 * bare,
                100.0 * guarded
            ),
            Vec::new(),
        )
    })
}

fn nothing(record: &Record) -> Advice {
    let mode = &record.plan.guard.mode;
    let (why, commands) = if is_ours(record) && mode == "audit" {
        (
            "Every limit is kept and the workload met no rule. Keep auditing for as long as your work has rhythms (days, month ends), then enforce.",
            vec!["aegisbpf stats --detailed".to_owned()],
        )
    } else {
        ("Every limit is kept.", Vec::new())
    };
    advice("Nothing to do", why, commands)
}
