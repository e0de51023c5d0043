//! Every metric against its limit, all on one scale: where nothing changed on the left line, where the limit is on the right.

use maud::{Markup, html};

use super::plot::{Scale, datum};
use crate::{
    metric::Metric,
    record::Record,
    report::words,
    verdict::{MetricResult, Verdict},
};

/// The whole figure.
pub(super) fn forest(record: &Record) -> Markup {
    let metrics = &record.judgement.metrics;
    let scale = in_limits(record, metrics);
    html! {
        div.forest {
            div.row.head aria-hidden="true" {
                span.name { "what is compared" }
                span.levels { "bare → guarded" }
                span.strip {
                    svg height="16" width="100%" {
                        text.tick.mid x=(scale.x(0.0)) y="12" { "0" }
                        text.tick.limit-text x=(scale.x(1.0)) y="12" { "limit" }
                    }
                }
                span.numbers { "overhead (interval)" }
                span.word { "verdict" }
            }
            @for (i, result) in metrics.iter().enumerate() { (row(record, i, result, scale)) }
            (memory(record, scale))
        }
    }
}

fn row(record: &Record, i: usize, result: &MetricResult, scale: Scale) -> Markup {
    let at = |rest: &str| format!("/judgement/metrics/{i}/{rest}");
    let metric = result.metric;
    let estimate = result.estimate.as_ref();
    let interval = estimate.and_then(|e| {
        e.interval
            .map(|i| (i, "interval"))
            .or(e.interval95.map(|i| (i, "interval95")))
    });
    html! {
        div.row id=(format!("metric-{i}")) {
            span.name { (words::overhead_name(metric)) }
            span.levels {
                @if let (Some(bare), Some(guarded)) = (result.bare, result.guarded) {
                    (datum(bare, &at("bare"), words::level(metric, bare)))
                    " → "
                    (datum(guarded, &at("guarded"), words::level(metric, guarded)))
                }
            }
            span.strip {
                (strip(
                    scale,
                    result.limit.is_some(),
                    estimate.map(|e| e.overhead / yardstick(record, result)),
                    interval.map(|((l, u), _)| (l / yardstick(record, result), u / yardstick(record, result))),
                    tone(result, record),
                    28,
                ))
            }
            span.numbers {
                @if let Some(estimate) = estimate {
                    b { (datum(estimate.overhead, &at("estimate/overhead"), words::overhead(metric, estimate.overhead))) }
                    @if let Some(((lower, upper), name)) = interval {
                        " ("
                        (datum(lower, &at(&format!("estimate/{name}/0")), words::signed(lower)))
                        " … "
                        (datum(upper, &at(&format!("estimate/{name}/1")), words::signed(upper)))
                        ")"
                    }
                }
                @if let Some(limit) = result.limit {
                    span.allowed { " allowed < " (datum(limit, &at("limit"), words::limit(metric, limit))) }
                }
            }
            span.word { (verdict_word(record, result)) }
        }
    }
}

fn verdict_word(record: &Record, result: &MetricResult) -> Markup {
    match result.verdict {
        Some(verdict) if result.metric.is_judged(&record.plan) => html! {
            span class=(format!("pill {}", class(verdict))) { (verdict) }
            // What a PASS rests on, if not the wall clock, is in the remark.
            @if let Some(remark) = &result.remark { small { (remark) } }
        },
        Some(_) => html! { small { "beside the wall clock" } },
        None => html! { small { (result.remark.as_deref().unwrap_or("shown only")) } },
    }
}

/// Memory has no interval: the largest value counts.
fn memory(record: &Record, scale: Scale) -> Markup {
    let Some(memory) = &record.judgement.memory else {
        return html! {};
    };
    let at = |rest: &str| format!("/judgement/memory/{rest}");
    let most = memory.most as f64;
    html! {
        div.row {
            span.name { "Memory of the guard" }
            span.levels {
                "process " (datum(memory.process as f64, &at("process"), words::megabytes(memory.process)))
                ", kernel " (datum(memory.kernel as f64, &at("kernel"), words::megabytes(memory.kernel)))
            }
            span.strip { (strip(scale, true, Some(most / memory.limit as f64), None, class(memory.verdict), 28)) }
            span.numbers {
                b { (datum(most, &at("most"), words::megabytes(memory.most))) }
                span.allowed { " allowed < " (datum(memory.limit as f64, &at("limit"), words::megabytes(memory.limit))) }
            }
            span.word { span class=(format!("pill {}", class(memory.verdict))) { (memory.verdict) } }
        }
    }
}

/// One interval against the limit. All values are in limits: 1 is the limit.
pub(super) fn strip(
    scale: Scale,
    has_limit: bool,
    estimate: Option<f64>,
    interval: Option<(f64, f64)>,
    tone: &str,
    height: u32,
) -> Markup {
    let middle = height / 2;
    html! {
        svg.interval height=(height) width="100%" {
            @if has_limit {
                rect.within x="0" y="0" width=(scale.x(1.0)) height="100%" {}
                rect.beyond x=(scale.x(1.0)) y="0" width=(scale.length(1.0, f64::MAX)) height="100%" {}
            }
            line.zero x1=(scale.x(0.0)) x2=(scale.x(0.0)) y1="0" y2="100%" {}
            @if has_limit { line.limit x1=(scale.x(1.0)) x2=(scale.x(1.0)) y1="0" y2="100%" {} }
            @if let Some((lower, upper)) = interval {
                rect class=(format!("bar {tone}")) x=(scale.x(lower)) width=(scale.length(lower, upper)) y=(middle - 4) height="8" rx="2" {}
                @if scale.is_above(upper) { (arrow("100%", "M-9-6L-1 0-9 6Z", middle, tone)) }
                @if scale.is_below(lower) { (arrow("0%", "M9-6L1 0 9 6Z", middle, tone)) }
            }
            @if let Some(estimate) = estimate {
                @if interval.is_some() && (scale.is_above(estimate) || scale.is_below(estimate)) {
                    // The arrow says it.
                } @else if scale.is_above(estimate) {
                    (arrow("100%", "M-9-6L-1 0-9 6Z", middle, tone))
                } @else {
                    circle class=(format!("dot {tone}")) cx=(scale.x(estimate)) cy=(middle) r="5" {}
                }
            }
        }
    }
}

fn arrow(x: &str, path: &str, middle: u32, tone: &str) -> Markup {
    html! {
        svg.at x=(x) y=(middle) overflow="visible" width="1" height="1" { path class=(format!("dot {tone}")) d=(path) {} }
    }
}

/// A scale in limits that holds most of what there is, and always zero and the limit.
fn in_limits(record: &Record, metrics: &[MetricResult]) -> Scale {
    let ends = metrics.iter().filter_map(|result| {
        let estimate = result.estimate?;
        let (lower, upper) = estimate
            .interval
            .or(estimate.interval95)
            .unwrap_or((estimate.overhead, estimate.overhead));
        let yard = yardstick(record, result);
        Some((lower / yard, upper / yard))
    });
    let (low, high) = ends.fold((-0.5_f64, 1.5_f64), |(low, high), (lower, upper)| {
        (low.min(lower * 1.08), high.max(upper * 1.08))
    });
    Scale::new(low.max(-2.0), high.min(4.0))
}

/// What a metric's overhead is held against: its limit, or the throughput's where it has none.
fn yardstick(record: &Record, result: &MetricResult) -> f64 {
    result.limit.unwrap_or(match result.metric {
        Metric::Cpu => record.plan.limits.cpu_points,
        _ => record.plan.limits.throughput_percent,
    })
}

fn tone(result: &MetricResult, record: &Record) -> &'static str {
    match result.verdict {
        Some(verdict) if result.metric.is_judged(&record.plan) => class(verdict),
        _ => "unjudged",
    }
}

/// The CSS class of a verdict.
pub(super) fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Invalid => "invalid",
    }
}
