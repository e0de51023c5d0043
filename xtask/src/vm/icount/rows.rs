//! What is measured, and how much each may be.

use serde::{Deserialize, Serialize};

/// A figure as the measuring program gives it, in instructions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// The operation, and what stands in its way.
    pub(super) row: String,
    /// The operation where no program is attached.
    pub(super) base: f64,
    /// Above that, with a program that does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) empty: Option<f64>,
    /// Above that, with ours.
    pub(super) added: f64,
}

/// The most that a row may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bar {
    /// Times what a program costs that does nothing.
    TimesEmpty(f64),
    /// Instructions above the operation without any program.
    Added(f64),
    /// Percent of that operation.
    Percent(f64),
}

impl Bar {
    pub(super) fn is_met(self, row: &Row) -> bool {
        match self {
            Self::TimesEmpty(most) => row.ratio() <= most,
            // A median of many is whole but for the mean over files.
            Self::Added(most) => row.added.round() <= most,
            Self::Percent(most) => row.percent() <= most,
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::TimesEmpty(most) => format!("≤ {most} × empty"),
            Self::Added(0.0) => "0".to_owned(),
            Self::Added(most) => format!("≤ +{most}"),
            Self::Percent(most) => format!("≤ +{most} %"),
        }
    }
}

impl Row {
    /// Times what a program costs that does nothing, if one was measured.
    pub(super) fn ratio(&self) -> f64 {
        self.empty.map_or(f64::NAN, |empty| self.added / empty)
    }

    pub(super) fn percent(&self) -> f64 {
        self.added / self.base * 100.0
    }

    /// The bar on this kernel. Those of the project are about 6.12, but for one.
    pub(super) fn bar(&self, kernel: &str) -> Option<Bar> {
        let bar = match (self.row.as_str(), kernel) {
            ("open, no match, 10 rules", "6.12") => Bar::TimesEmpty(1.06),
            ("open, no match, 10 rules", "6.1") => Bar::TimesEmpty(1.14),
            (_, other) if other != "6.12" => return None,
            ("open, no match, 10,000 rules", _) => Bar::TimesEmpty(1.15),
            ("open, no match, 1,000,000 rules", _) => Bar::TimesEmpty(1.35),
            ("open, directory rules, 3 levels deep, no match", _) => Bar::TimesEmpty(1.8),
            ("open, a match, counted", _) => Bar::TimesEmpty(4.5),
            ("open, a match, its event printed as JSON", _) => Bar::Added(4_500.0),
            ("connect, IPv4, no match" | "connect, IPv6, no match", _) => Bar::TimesEmpty(1.25),
            ("spawn, exec and exit, no rule about it", _) => Bar::Percent(0.5),
            (row, _) if row.ends_with(", no watched name") => Bar::Added(450.0),
            (row, _) if row.ends_with(", rules about files") => Bar::Added(0.0),
            ("open, rules about ports alone", _) => Bar::Added(0.0),
            _ => return None,
        };
        Some(bar)
    }
}
