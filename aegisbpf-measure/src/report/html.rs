//! One page that holds everything, for a phone, a wide screen and paper: no script, no network, no file beside it.
//!
//! The first thing to see is the verdict, the interval against the limit, and what to do next. Every number carries
//! the place where the same number stands in the JSON (`data-at`, a JSON pointer), which a test checks.

mod checks;
mod forest;
mod plot;
mod series;
mod shift;
mod waterfall;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::{
    forest::class,
    plot::{Scale, datum},
};
use super::{
    advice::{Advice, advise},
    words,
};
use crate::{
    metric::Metric,
    record::{Ended, Record},
    verdict::{MetricResult, Strength, Verdict},
};

const STYLE: &str = include_str!("html/style.css");

/// What the page may load: nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// The page of one run.
#[must_use]
pub fn page(record: &Record) -> String {
    let advice = advise(record);
    let title = format!("{} – {}", record.judgement.verdict, record.plan.workload);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="generator" content=(concat!("aegisbpf-measure ", env!("CARGO_PKG_VERSION")));
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (top(record, &advice))
                main { (sections(record, &advice)) }
                (foot(record))
            }
        }
    }
    .into_string()
}

/// What one sees first: the verdict, the interval against the limit, what to do next.
fn top(record: &Record, advice: &[Advice]) -> Markup {
    let judgement = &record.judgement;
    let class = class(judgement.verdict);
    html! {
        header class=(format!("top {class}")) {
            p.what { (record.plan.workload) span { (words::date(record.unix_time)) } }
            h1 { span.verdict { (judgement.verdict) } " " (headline(record)) }
            @if let Some((i, result)) = decisive(record) { (hero(record, i, result)) }
            @for reason in apart(record) { p.reason { (reason) } }
            @if let Some(next) = advice.first() {
                section.next aria-label="what to do next" {
                    p { b { "Next: " } (next.action) "." }
                    p.why { (next.why) }
                    (commands(&next.commands))
                }
            }
        }
    }
}

/// The verdict, in a sentence that needs no glossary.
fn headline(record: &Record) -> String {
    let guard = &record.plan.guard;
    let who = format!("{} ({} mode)", guard.name, guard.mode);
    let on = &record.plan.workload;
    match record.judgement.verdict {
        Verdict::Pass => match record.judgement.strength {
            Some(strength) => format!("{who} stays within every limit on {on}, {strength}."),
            None => format!("{who} stays within every limit on {on}."),
        },
        Verdict::Fail => format!("{who} costs {on} more than is allowed."),
        Verdict::Inconclusive => {
            format!("It is still open whether {who} stays within its limits on {on}.")
        }
        Verdict::Invalid => {
            format!(
                "This measurement failed its own checks, so it says nothing about {who} on {on}."
            )
        }
    }
}

/// The metric that the verdict hangs on: the first that is open, else the one that came closest to its limit or went
/// farthest beyond it.
fn decisive(record: &Record) -> Option<(usize, &MetricResult)> {
    let per_cpu = record.judgement.strength == Some(Strength::PerCpu);
    // A PASS shows an interval that passes: where the wall clock is inconclusive, the CPU's.
    let shows = |result: &MetricResult| {
        let judged = result.metric.is_judged(&record.plan)
            || (per_cpu && result.metric == Metric::CpuThroughput);
        let weak = result
            .strength
            .is_some_and(|strength| strength != Strength::WallClock);
        judged && !weak && result.verdict.is_some() && result.estimate.is_some()
    };
    let judged = || {
        record
            .judgement
            .metrics
            .iter()
            .enumerate()
            .filter(|(_, result)| shows(result))
    };
    let closeness = |result: &MetricResult| {
        let upper = result.estimate.map_or(0.0, |e| {
            e.interval
                .or(e.interval95)
                .map_or(e.overhead, |(_, upper)| upper)
        });
        upper / result.limit.unwrap_or(f64::INFINITY)
    };
    let closest = |all: &mut dyn Iterator<Item = (usize, &'_ MetricResult)>| {
        all.max_by(|(_, a), (_, b)| closeness(a).total_cmp(&closeness(b)))
            .map(|(i, _)| i)
    };
    let open = || {
        judged()
            .find(|(_, result)| result.verdict == Some(Verdict::Inconclusive))
            .map(|(i, _)| i)
    };
    let failed =
        || closest(&mut judged().filter(|(_, result)| result.verdict == Some(Verdict::Fail)));
    let first = match record.judgement.verdict {
        Verdict::Fail => failed(),
        Verdict::Inconclusive => open(),
        Verdict::Pass | Verdict::Invalid => None,
    };
    let i = first.or_else(|| closest(&mut judged()))?;
    Some((i, &record.judgement.metrics[i]))
}

fn hero(record: &Record, i: usize, result: &MetricResult) -> Markup {
    let (Some(estimate), Some(limit)) = (result.estimate, result.limit) else {
        return html! {};
    };
    let metric = result.metric;
    let at = |rest: &str| format!("/judgement/metrics/{i}/{rest}");
    let (interval, name, confidence) = match (estimate.interval, estimate.interval95) {
        (Some(interval), _) => (
            Some(interval),
            "interval",
            100.0 * (1.0 - 2.0 * estimate.level),
        ),
        (None, interval) => (interval, "interval95", 95.0),
    };
    let (lower, upper) = interval.unwrap_or((estimate.overhead, estimate.overhead));
    let scale = Scale::new(
        (lower / limit).clamp(-2.0, -0.6) - 0.1,
        (upper / limit).clamp(1.4, 4.0) + 0.1,
    );
    let which = match record.judgement.verdict {
        Verdict::Pass => "Closest to its limit",
        Verdict::Fail if result.verdict == Some(Verdict::Fail) => "Above its limit",
        Verdict::Inconclusive => "Still open",
        _ => "Seen",
    };
    html! {
        section.hero {
            p.label { (which) ": " b { (words::overhead_name(metric).to_lowercase()) } }
            p.figures {
                span.big { (datum(estimate.overhead, &at("estimate/overhead"), words::overhead(metric, estimate.overhead))) }
                @if interval.is_some() {
                    span {
                        (format!("{confidence:.0} % sure: between "))
                        b { (datum(lower, &at(&format!("estimate/{name}/0")), words::signed(lower))) }
                        " and "
                        b { (datum(upper, &at(&format!("estimate/{name}/1")), words::overhead(metric, upper))) }
                    }
                }
                span { "allowed: less than " b { (datum(limit, &at("limit"), words::limit(metric, limit))) } }
            }
            div role="img" aria-label=(format!("{metric}: {} against a limit of {}", words::range((lower, upper)), words::limit(metric, limit))) {
                (forest::strip(scale, true, Some(estimate.overhead / limit), interval.map(|(l, u)| (l / limit, u / limit)),
                    result.verdict.map_or("unjudged", class), 44))
                svg height="18" width="100%" {
                    text.tick.end x=(scale.x(0.0)) dx="4" y="13" { "no change" }
                    text.tick.limit-text x=(scale.x(1.0)) y="13" { "limit " (words::limit(metric, limit)) }
                }
            }
        }
    }
}

/// Reasons that the interval above does not show: errors, memory, failed checks.
fn apart(record: &Record) -> Vec<&String> {
    let judgement = &record.judgement;
    match judgement.verdict {
        Verdict::Invalid => judgement.reasons.iter().collect(),
        Verdict::Fail => judgement
            .reasons
            .iter()
            .filter(|reason| {
                !judgement
                    .metrics
                    .iter()
                    .any(|result| reason.starts_with(&result.metric.to_string()))
            })
            .collect(),
        Verdict::Pass | Verdict::Inconclusive => Vec::new(),
    }
}

fn commands(commands: &[String]) -> Markup {
    html! { @if !commands.is_empty() { pre { code { (commands.join("\n")) } } } }
}

fn sections(record: &Record, advice: &[Advice]) -> Markup {
    html! {
        (section("forest", "Every metric against its limit",
            "Above zero is worse. The bar is the interval that the verdict rests on: wholly left of the limit passes, wholly right of it fails, across it is still open.",
            &forest::forest(record)))
        (errors(record))
        (section("advice", "What to do", "From this result and from what the guard counted.", &all_advice(advice)))
        (section("blocks", "Every block in time",
            "The guard is switched off and on in turn, in an order that a coin chose, so that what the machine does by itself hits both arms alike.",
            &series::blocks(record)))
        (section("quads", "The difference of every quad",
            "Four neighbouring blocks, two bare and two guarded, give one difference. The band is the interval, the line in it the estimate.",
            &series::differences(record)))
        (section("shift", "How latency moved, from the fastest to the slowest requests",
            "Each point compares one quantile of both arms: p50 is the median, p99 the slowest hundredth. Flat and near zero is good.",
            &shift::curve(record)))
        (section("attribution", "Where the cost comes from",
            "A second estimate, independent of the first: how often each hook ran and how long it took, in percent of the work's own CPU time.",
            &waterfall::waterfall(record)))
        (section("checks", "Why these figures can be believed",
            "The measurement tests itself while it runs.",
            &checks::checks(record)))
        (section("conditions", "What was measured, and how", "", &conditions(record)))
        (section("machine", "The machine",
            "Two records may be compared only where all of the first table is equal.",
            &machine(record)))
    }
}

fn section(id: &str, title: &str, lead: &str, body: &Markup) -> Markup {
    html! {
        section id=(id) {
            h2 { (title) }
            @if !lead.is_empty() { p.lead { (lead) } }
            (body)
        }
    }
}

fn errors(record: &Record) -> Markup {
    let errors = &record.judgement.errors;
    html! {
        @if errors.is_empty() { p.lead { "Errors of the workload: none in either arm." } }
        @else {
            table {
                thead { tr { th { "errors of the workload" } th { "bare" } th { "guarded" } th { "p" } th { } } }
                tbody {
                    @for class in errors {
                        tr {
                            td { (class.class) } td { (words::grouped(class.bare)) } td { (words::grouped(class.guarded)) } td { (format!("{:.3}", class.p)) }
                            td { @if class.fails { span.pill.fail { "FAIL" } } @else { "no significant rise" } }
                        }
                    }
                }
            }
        }
    }
}

fn all_advice(advice: &[Advice]) -> Markup {
    html! {
        ol.advice {
            @for one in advice {
                li { b { (one.action) "." } " " (one.why) (commands(&one.commands)) }
            }
        }
    }
}

fn conditions(record: &Record) -> Markup {
    let (plan, judgement) = (&record.plan, &record.judgement);
    let (guard, calibration) = (&plan.guard, &record.observed.calibration);
    let totals = judgement.totals;
    let load = match calibration.rate {
        Some(rate) => format!(
            "{} operations a second on a fixed schedule (half of what the bare arm can do); latency counts from the intended time",
            words::grouped_f(rate)
        ),
        None => "as fast as it goes".to_owned(),
    };
    let ended = match record.observed.ended {
        Ended::Decided => "when everything was decided",
        Ended::Budget => "with the budget",
        Ended::Stopped => "because somebody stopped it",
    };
    let (bare, guarded) = judgement.contention;
    let facts: Vec<(&str, String)> = vec![
        (
            "guard",
            format!(
                "{} {}, {} mode, {} backend",
                guard.name, guard.version, guard.mode, guard.backend
            ),
        ),
        (
            "policy",
            format!("{} (SHA-256 {})", guard.policy, short(&guard.policy_sha256)),
        ),
        ("hooks", guard.hooks.join(", ")),
        ("load", load),
        (
            "quads",
            format!(
                "{} of four blocks, {} excluded; ended {ended}",
                judgement.quads,
                judgement.excluded.len()
            ),
        ),
        (
            "settle time",
            format!(
                "{} before each window, not counted",
                words::time(calibration.settle.as_nanos() as f64)
            ),
        ),
        (
            "met by rules",
            format!(
                "{} accesses, {} events, {} lost",
                words::grouped(totals.blocks),
                words::grouped(totals.events),
                words::grouped(totals.drops)
            ),
        ),
        (
            "others on the CPUs",
            format!(
                "{:.0} % of the time bare, {:.0} % guarded (steal and waiting)",
                100.0 * bare,
                100.0 * guarded
            ),
        ),
        (
            "plan",
            format!("SHA-256 {}, seed {}", short(&record.plan_sha256), plan.seed),
        ),
        (
            "again",
            record
                .invocation
                .clone()
                .unwrap_or_default()
                .replace("{budget}", &words::budget(plan.budget)),
        ),
    ];
    html! {
        table.facts { tbody { @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) { tr { th scope="row" { (name) } td { (value) } } } } }
        @let notes: Vec<&String> = judgement.notes.iter().chain(&record.notes).collect();
        @if !notes.is_empty() { ul.notes { @for note in notes { li { (note) } } } }
        @for (quad, why) in judgement.excluded.iter().take(8) { p.note { "quad " (quad) " excluded: " (why) } }
        @if let Some(baseline) = &record.baseline { p { b { "Against the recorded baseline: " } (baseline.sentence) } }
    }
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

fn machine(record: &Record) -> Markup {
    html! {
        table.facts { tbody { @for (key, value) in &record.fingerprint.hard { tr { th scope="row" { (key) } td { (value) } } } } }
        p.lead { "Beside it, for the reader:" }
        table.facts.soft { tbody { @for (key, value) in &record.fingerprint.soft { tr { th scope="row" { (key) } td { (value) } } } } }
    }
}

fn foot(record: &Record) -> Markup {
    html! {
        footer {
            p { "PASS: below the limit, with an error of at most " (format!("{:.0}", 100.0 * record.plan.alpha)) " %. FAIL: above it, likewise. INCONCLUSIVE: neither could be shown in this time. INVALID: the measurement failed its own checks." }
            p { "All data of this page: report.json and blocks.jsonl beside it. The same blocks always give the same verdict: " code { "aegisbpf measure --replay blocks.jsonl" } }
        }
    }
}
