//! How the whole latency distribution moved.

use maud::{Markup, html};

use super::plot::{Scale, area, figure, grid, percent, polyline};
use crate::{metric::Metric, record::Record, report::words, shift::ShiftPoint};

/// The curve with its band, and the limits of p95 and p99.
pub(super) fn curve(record: &Record) -> Markup {
    let points = &record.judgement.shift;
    let limits = [
        (0.95, record.plan.limits.p95_percent),
        (0.99, record.plan.limits.p99_percent),
    ];
    let values = points.iter().flat_map(|point| {
        let (lower, upper) = point.interval.unwrap_or((point.percent, point.percent));
        [point.percent, lower, upper]
    });
    let Some(y) = Scale::over(values.chain([0.0, limits[0].1])) else {
        return html! {};
    };
    if points.is_empty() {
        return html! { p.none { "This workload has no latencies: it is one unit of work a block." } };
    }
    let x = |i: usize| 2.0 + 96.0 * i as f64 / (points.len() - 1).max(1) as f64;
    let line: Vec<(f64, f64)> = points
        .iter()
        .enumerate()
        .map(|(i, point)| (x(i), 100.0 - y.of_100(point.percent)))
        .collect();
    html! {
        (figure("shift", "rise of latency, quantile by quantile", 220, &html! {
            (grid(y, |value| words::tick(Metric::P99, value)))
            line.zero x1="0" x2="100%" y1=(y.y(0.0)) y2=(y.y(0.0)) {}
        }, &html! {
            (band(points, x, y))
            (polyline(&line, "curve"))
            @for (i, point) in points.iter().enumerate() {
                svg.at x=(percent(x(i))) y=(y.y(point.percent)) overflow="visible" width="1" height="1" {
                    circle.mark.difference r="3.5" data-value=(point.percent) data-at=(format!("/judgement/shift/{i}/percent")) {
                        title { (words::quantile(point.quantile)) ": " (words::time(point.bare_ns as f64)) " → " (words::time(point.guarded_ns as f64)) ", " (words::signed(point.percent)) " %" }
                    }
                }
                @for (quantile, limit) in limits {
                    @if (point.quantile - quantile).abs() < 1e-9 {
                        line.limit x1=(percent(x(i) - 3.5)) x2=(percent(x(i) + 3.5)) y1=(y.y(limit)) y2=(y.y(limit)) {
                            title { "limit of " (words::quantile(quantile)) ": " (limit) " %" }
                        }
                    }
                }
            }
        }))
        p.axis.spread {
            @for (i, point) in points.iter().enumerate() {
                span class=(if i % 2 == 1 && i + 1 < points.len() { "minor" } else { "" }) style=(format!("left:{}", percent(x(i)))) { (words::quantile(point.quantile)) }
            }
        }
    }
}

/// The intervals of all neighbouring quantiles that have one.
fn band(points: &[ShiftPoint], x: impl Fn(usize) -> f64, y: Scale) -> Markup {
    let known: Vec<(usize, (f64, f64))> = points
        .iter()
        .enumerate()
        .filter_map(|(i, point)| Some((i, point.interval?)))
        .collect();
    let upper = known
        .iter()
        .map(|(i, (_, upper))| (x(*i), 100.0 - y.of_100(*upper)));
    let lower = known
        .iter()
        .rev()
        .map(|(i, (lower, _))| (x(*i), 100.0 - y.of_100(*lower)));
    let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
    html! { @if known.len() > 1 { (area(&outline, "band")) } }
}
