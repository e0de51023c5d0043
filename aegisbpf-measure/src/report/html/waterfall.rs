//! Where the overhead goes: hook by hook, the enforcer's process, what nobody saw; and the sum beside the paired estimate.

use maud::{Markup, html};

use super::plot::{Scale, datum};
use crate::{
    attribution::{Attribution, HookShare},
    record::Record,
    report::words,
};

/// One step of the waterfall.
struct Step {
    name: String,
    detail: String,
    from: f64,
    to: f64,
    class: &'static str,
    at: String,
    value: f64,
}

/// The figure, or why there is none.
pub(super) fn waterfall(record: &Record) -> Markup {
    let Some(attribution) = &record.judgement.attribution else {
        return html! { p.none { "What each hook costs was not seen in this run: the guard does not tell how often and how long its hooks run." } };
    };
    let steps = steps(attribution);
    let ends = steps.iter().flat_map(|step| [step.from, step.to]).chain(
        attribution
            .paired_interval
            .into_iter()
            .flat_map(|(lower, upper)| [lower, upper]),
    );
    let Some(scale) = Scale::over(ends.chain([0.0])) else {
        return html! {};
    };
    html! {
        div.waterfall {
            @for step in &steps { (row(step, scale)) }
            @if let Some(paired) = attribution.paired_percent {
                div.row {
                    span.name { "Paired estimate" small { "measured, not added up" } }
                    span.strip {
                        svg height="26" width="100%" {
                            line.zero x1=(scale.x(0.0)) x2=(scale.x(0.0)) y1="0" y2="100%" {}
                            @if let Some((lower, upper)) = attribution.paired_interval {
                                rect.bar.unjudged x=(scale.x(lower)) width=(scale.length(lower, upper)) y="9" height="8" rx="2" {}
                            }
                            circle.dot.unjudged cx=(scale.x(paired)) cy="13" r="5" {}
                        }
                    }
                    span.numbers {
                        b { (datum(paired, "/judgement/attribution/paired_percent", format!("{} %", words::signed(paired)))) }
                        @if let Some(interval) = attribution.paired_interval { " (" (words::range(interval)) ")" }
                    }
                }
            }
        }
        (idle(attribution))
        (agreement(attribution))
        @for note in &attribution.notes { p.note { (note) } }
    }
}

fn row(step: &Step, scale: Scale) -> Markup {
    let (low, high) = (step.from.min(step.to), step.from.max(step.to));
    html! {
        div.row {
            span.name { (step.name) small { (step.detail) } }
            span.strip {
                svg height="26" width="100%" {
                    line.zero x1=(scale.x(0.0)) x2=(scale.x(0.0)) y1="0" y2="100%" {}
                    rect class=(format!("step {}", step.class)) x=(scale.x(low)) width=(scale.length(low, high)) y="5" height="16" {}
                    line.edge x1=(scale.x(step.to)) x2=(scale.x(step.to)) y1="3" y2="100%" {}
                }
            }
            span.numbers { b { (datum(step.value, &step.at, format!("{} %", words::signed(step.value)))) } }
        }
    }
}

fn steps(attribution: &Attribution) -> Vec<Step> {
    let at = |rest: &str| format!("/judgement/attribution/{rest}");
    let mut sum = 0.0;
    let mut steps: Vec<Step> = attribution
        .hooks
        .iter()
        .enumerate()
        .filter(|(_, hook)| ran(hook))
        .map(|(i, hook)| {
            let from = sum;
            sum += hook.percent;
            Step {
                name: hook.hook.clone(),
                detail: format!(
                    "{:.2} runs an operation, {} each",
                    hook.runs_per_operation,
                    words::time(hook.ns_per_run)
                ),
                from,
                to: sum,
                class: "hook",
                at: at(&format!("hooks/{i}/percent")),
                value: hook.percent,
            }
        })
        .collect();
    steps.push(Step {
        name: "The enforcer's own process".to_owned(),
        detail: format!(
            "{} an operation",
            words::time(attribution.process_ns.max(0.0))
        ),
        from: sum,
        to: sum + attribution.process_percent,
        class: "process",
        at: at("process_percent"),
        value: attribution.process_percent,
    });
    steps.push(Step {
        name: "Hooks and process together".to_owned(),
        detail: "a lower bound of the overhead".to_owned(),
        from: 0.0,
        to: attribution.direct_percent,
        class: "sum",
        at: at("direct_percent"),
        value: attribution.direct_percent,
    });
    if let Some(unexplained) = attribution.unexplained_percent {
        steps.push(Step {
            name: "Unexplained".to_owned(),
            detail: "caches, the way into the hooks, noise".to_owned(),
            from: attribution.direct_percent,
            to: attribution.direct_percent + unexplained,
            class: "unexplained",
            at: at("unexplained_percent"),
            value: unexplained,
        });
    }
    steps
}

/// A hook that ran so seldom that its row would say nothing.
fn ran(hook: &HookShare) -> bool {
    hook.runs_per_operation >= 0.005 || hook.percent.abs() >= 0.005
}

/// Hooks without a row.
fn idle(attribution: &Attribution) -> Markup {
    let count = attribution.hooks.iter().filter(|hook| !ran(hook)).count();
    html! {
        @if count > 0 { p.note { (count) " more hooks are attached; this workload hardly ran them." } }
    }
}

fn agreement(attribution: &Attribution) -> Markup {
    let Some(z) = attribution.z else {
        return html! {};
    };
    let agree = z.abs() <= 2.58;
    html! {
        p {
            "The two independent estimates "
            b { (if agree { "agree" } else { "disagree" }) }
            " (z = " (datum(z, "/judgement/attribution/z", words::signed(z))) ", beyond ±2.58 they would disagree). They rest on "
            (attribution.probes) " separate blocks in which nothing was timed."
        }
    }
}
