//! What every figure is drawn with: a scale in percent of the figure's size, so that it fits a phone and a poster,
//! and marks that stay round because only their places are in percent.

use maud::{Markup, html};

use crate::schedule::Arm;

/// Values along one side of a figure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    pub(super) fn new(low: f64, high: f64) -> Self {
        // A figure of one value still has two sides.
        let slack = if high > low {
            0.0
        } else {
            low.abs().max(1.0) / 2.0
        };
        Self {
            low: low - slack,
            high: high + slack,
        }
    }

    /// Over all finite values, with a margin. `None` if there is none.
    pub(super) fn over(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        (low <= high).then(|| {
            let margin = 0.08 * (high - low);
            Self::new(low - margin, high + margin)
        })
    }

    fn share(self, value: f64) -> f64 {
        100.0 * ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Place from the left, `12.34%`.
    pub(super) fn x(self, value: f64) -> String {
        percent(self.share(value))
    }

    /// Place from the top.
    pub(super) fn y(self, value: f64) -> String {
        percent(100.0 - self.share(value))
    }

    /// Extent between two values.
    pub(super) fn length(self, from: f64, to: f64) -> String {
        percent((self.share(to) - self.share(from)).abs())
    }

    /// Place in a frame of 100 × 100, for lines.
    pub(super) fn of_100(self, value: f64) -> f64 {
        self.share(value)
    }

    pub(super) fn is_above(self, value: f64) -> bool {
        value > self.high
    }

    pub(super) fn is_below(self, value: f64) -> bool {
        value < self.low
    }

    /// About three to five round values.
    pub(super) fn ticks(self) -> Vec<f64> {
        let raw = (self.high - self.low) / 4.0;
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= raw)
            .unwrap_or(10.0 * power);
        let mut ticks = Vec::new();
        let mut tick = (self.low / step).ceil() * step;
        while tick <= self.high && ticks.len() < 12 {
            ticks.push(if tick.abs() < step / 1e6 { 0.0 } else { tick });
            tick += step;
        }
        ticks
    }
}

/// Above this share of a figure's height there is no place for a label above its line.
const TOP: f64 = 85.0;

pub(super) fn percent(share: f64) -> String {
    format!("{share:.2}%")
}

/// Horizontal lines at round values, each with its label above it at the left; below it where the figure ends.
pub(super) fn grid(scale: Scale, label: impl Fn(f64) -> String) -> Markup {
    html! {
        @for tick in scale.ticks() {
            line.grid x1="0" x2="100%" y1=(scale.y(tick)) y2=(scale.y(tick)) {}
            text.tick x="0" y=(scale.y(tick)) dy=(if scale.share(tick) > TOP { "11" } else { "-3" }) { (label(tick)) }
        }
    }
}

/// A figure: the grid behind, its labels at the left edge, and the marks in what is left of the width.
pub(super) fn figure(
    class: &str,
    label: &str,
    height: u32,
    back: &Markup,
    marks: &Markup,
) -> Markup {
    html! {
        div class=(format!("figure {class}")) role="img" aria-label=(label) {
            svg.back height=(height) width="100%" { (back) }
            div.inset { svg.marks height=(height) width="100%" { (marks) } }
        }
    }
}

/// A block or a difference: round for the bare arm, a diamond for the guarded one, so that colour is never needed.
pub(super) fn mark(arm: Arm, x: &str, y: &str, class: &str, title: &str) -> Markup {
    let class = match arm {
        Arm::Bare => format!("mark bare {class}"),
        Arm::Guarded => format!("mark guarded {class}"),
    };
    html! {
        svg.at x=(x) y=(y) overflow="visible" width="1" height="1" {
            @match arm {
                Arm::Bare => { circle class=(class) r="3.6" { title { (title) } } }
                Arm::Guarded => { path class=(class) d="M0-5L5 0 0 5-5 0Z" { title { (title) } } }
            }
        }
    }
}

/// A line through points of a 100 × 100 frame that is stretched to the figure.
pub(super) fn polyline(points: &[(f64, f64)], class: &str) -> Markup {
    stretched(&html! { polyline class=(class) points=(joined(points)) {} })
}

/// An area in the same frame.
pub(super) fn area(points: &[(f64, f64)], class: &str) -> Markup {
    stretched(&html! { polygon class=(class) points=(joined(points)) {} })
}

fn stretched(shape: &Markup) -> Markup {
    html! {
        svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%" { (shape) }
    }
}

fn joined(points: &[(f64, f64)]) -> String {
    let points = points.iter().map(|(x, y)| format!("{x:.2},{y:.2}"));
    points.collect::<Vec<_>>().join(" ")
}

/// A number of the record: what is shown, and where the same number stands in the JSON.
pub(super) fn datum(value: f64, at: &str, text: impl AsRef<str>) -> Markup {
    html! { data value=(value) data-at=(at) { (text.as_ref()) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_keeps_everything_in_the_figure() {
        let scale = Scale::over([2.0, 4.0]).unwrap();
        assert_eq!(scale.x(-100.0), "0.00%");
        assert_eq!(scale.x(100.0), "100.00%");
        assert_eq!(scale.y(3.0), "50.00%");
        assert!(Scale::over([f64::NAN]).is_none());
        assert_eq!(Scale::over([7.0]).unwrap().x(7.0), "50.00%");
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Scale::new(-1.0, 6.0).ticks(), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(
            Scale::new(29_300.0, 30_900.0).ticks(),
            [29_500.0, 30_000.0, 30_500.0]
        );
        for (low, high) in [(0.0, 1e-9), (-1e12, 1e12), (5.0, 5.0)] {
            let count = Scale::new(low, high).ticks().len();
            assert!((2..=12).contains(&count), "{low} {high} {count}");
        }
    }
}
