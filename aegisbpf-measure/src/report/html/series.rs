//! Every block in time, and the difference of every quad.

use maud::{Markup, html};

use super::plot::{Scale, figure, grid, mark, percent};
use crate::{
    metric::Metric,
    record::{Purpose, Record},
    report::words,
    series::{self, Point},
    verdict::MetricResult,
};

/// One figure for each metric that is judged and measured block by block.
pub(super) fn blocks(record: &Record) -> Markup {
    let judged = record
        .judgement
        .metrics
        .iter()
        .filter(|result| result.metric.is_judged(&record.plan));
    let figures: Vec<(Metric, Vec<Point>)> = judged
        .map(|result| (result.metric, series::of(result.metric, &record.observed)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    html! {
        (legend())
        @for (metric, points) in &figures {
            h3 { (words::level_name(*metric, record.observed.calibration.kind)) }
            (series(record, *metric, points))
        }
        @if figures.is_empty() { p.none { "No block was measured." } }
    }
}

fn legend() -> Markup {
    html! {
        p.legend {
            span { svg width="14" height="14" { circle.mark.bare cx="7" cy="7" r="4" {} } " bare: the guard is loaded, nothing is attached" }
            span { svg width="14" height="14" { path.mark.guarded d="M7 2L12 7 7 12 2 7Z" {} } " guarded" }
            span { svg width="14" height="14" { circle.mark.bare.check cx="7" cy="7" r="4" {} } " hollow: before the first quad, placebo, spike-in (all bare, whatever the label)" }
        }
    }
}

fn series(record: &Record, metric: Metric, points: &[Point]) -> Markup {
    let (Some(x), Some(y)) = (
        Scale::over(points.iter().map(|point| point.seconds)),
        Scale::over(points.iter().map(|point| point.level)),
    ) else {
        return html! {};
    };
    let excluded = |point: &Point| {
        point.purpose == Purpose::Quad
            && record
                .judgement
                .excluded
                .iter()
                .any(|(quad, _)| *quad == point.quad)
    };
    html! {
        (figure("blocks", &format!("{metric} of every block in time"), 170,
            &grid(y, |value| words::level(metric, value)),
            &html! {
                @for point in points {
                    @let class = match point.purpose { Purpose::Quad if excluded(point) => "excluded", Purpose::Quad => "", _ => "check" };
                    @let title = format!("{:.0} s: {}{}", point.seconds, words::level(metric, point.level), if excluded(point) { ", excluded" } else { "" });
                    (mark(point.arm, &x.x(point.seconds), &y.y(point.level), class, &title))
                }
            }))
        p.axis { span { (format!("{:.0} s", points.first().map_or(0.0, |p| p.seconds))) } span { "time since the start" } span { (format!("{:.0} s", points.last().map_or(0.0, |p| p.seconds))) } }
    }
}

/// The differences that the verdicts rest on, metric by metric.
pub(super) fn differences(record: &Record) -> Markup {
    let metrics = record
        .judgement
        .metrics
        .iter()
        .enumerate()
        .filter(|(_, result)| {
            result.metric.is_judged(&record.plan) && !result.differences.is_empty()
        });
    let figures: Vec<_> = metrics.collect();
    html! {
        div.multiples {
            @for (i, result) in &figures {
                div {
                    h3 { (words::overhead_name(result.metric)) }
                    (dots(*i, result))
                }
            }
        }
        @if figures.is_empty() { p.none { "No quad was complete." } }
    }
}

fn dots(i: usize, result: &MetricResult) -> Markup {
    let metric = result.metric;
    let interval = result.estimate.and_then(|e| e.interval.or(e.interval95));
    let shown = result
        .differences
        .iter()
        .copied()
        .chain([0.0])
        .chain(result.limit)
        .chain(
            interval
                .into_iter()
                .flat_map(|(lower, upper)| [lower, upper]),
        );
    let Some(y) = Scale::over(shown) else {
        return html! {};
    };
    let count = result.differences.len() as f64;
    html! {
        (figure("differences", &format!("difference of every quad: {metric}"), 190, &html! {
            (grid(y, |value| words::tick(metric, value)))
            @if let Some((lower, upper)) = interval {
                rect.band x="0" width="100%" y=(y.y(upper)) height=(y.length(lower, upper)) {}
            }
            line.zero x1="0" x2="100%" y1=(y.y(0.0)) y2=(y.y(0.0)) {}
            @if let Some(limit) = result.limit {
                line.limit x1="0" x2="100%" y1=(y.y(limit)) y2=(y.y(limit)) {}
                text.tick.end.limit-text x="100%" y=(y.y(limit)) dy="-3" { "limit " (words::limit(metric, limit)) }
            }
            @if let Some(estimate) = result.estimate {
                line.estimate x1="0" x2="100%" y1=(y.y(estimate.overhead)) y2=(y.y(estimate.overhead)) {}
            }
        }, &html! {
            @for (j, difference) in result.differences.iter().enumerate() {
                svg.at x=(percent(100.0 * (j as f64 + 0.5) / count)) y=(y.y(*difference)) overflow="visible" width="1" height="1" {
                    circle.mark.difference r="4" data-value=(difference) data-at=(format!("/judgement/metrics/{i}/differences/{j}")) {
                        title { (format!("{}: {}", j + 1, words::overhead(metric, *difference))) }
                    }
                }
            }
        }))
    }
}
