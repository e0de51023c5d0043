//! What a rule may say about itself besides its label: how bad a breach is, and which technique it counters. Written
//! at the end of its line as words of the label, ` # label @severity=high @mitre=T1003.008`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The tags of a rule (since version 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub struct Tags {
    /// How bad it is if somebody does what the rule denies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<RuleSeverity>,
    /// What the rule counters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mitre: Option<Technique>,
}

impl Tags {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `@severity=high @mitre=T1003.008`, as they are written; nothing if there is none.
impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        if let Some(severity) = self.severity {
            write!(f, "@severity={severity}")?;
            between = " ";
        }
        if let Some(mitre) = self.mitre {
            write!(f, "{between}@mitre={mitre}")?;
        }
        Ok(())
    }
}

/// How bad it is if somebody does what a rule denies. Nothing is decided by it; it is for those who read events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleSeverity {
    /// Worth knowing.
    Info,
    /// Worth a look some day.
    Low,
    /// Worth a look today.
    Medium,
    /// Worth a look now.
    High,
    /// Worth waking somebody.
    Critical,
}

impl RuleSeverity {
    /// All of them, the least first.
    pub const ALL: [Self; 5] = [
        Self::Info,
        Self::Low,
        Self::Medium,
        Self::High,
        Self::Critical,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for RuleSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The text is none of the five words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected info, low, medium, high or critical")]
pub struct ParseRuleSeverityError;

impl FromStr for RuleSeverity {
    type Err = ParseRuleSeverityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL
            .into_iter()
            .find(|severity| severity.word() == text);
        found.ok_or(ParseRuleSeverityError)
    }
}

/// A technique of MITRE ATT&CK, by its number: `T1003`, or `T1003.008` for a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Technique {
    /// The four digits after the T.
    pub number: u16,
    /// The three digits after the dot.
    pub part: Option<u16>,
}

impl fmt::Display for Technique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T{:04}", self.number)?;
        match self.part {
            Some(part) => write!(f, ".{part:03}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Technique {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is no number of a technique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a technique of MITRE ATT&CK, as T1003 or T1003.008")]
pub struct ParseTechniqueError;

impl FromStr for Technique {
    type Err = ParseTechniqueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('T').ok_or(ParseTechniqueError)?;
        let (number, part) = match digits.split_once('.') {
            Some((number, part)) => (number, Some(part)),
            None => (digits, None),
        };
        Ok(Self {
            number: fixed(number, 4)?,
            part: part.map(|part| fixed(part, 3)).transpose()?,
        })
    }
}

/// A number of exactly `digits` digits.
fn fixed(text: &str, digits: usize) -> Result<u16, ParseTechniqueError> {
    let shaped = text.len() == digits && crate::file_id::is_decimal(text);
    Some(text)
        .filter(|_| shaped)
        .and_then(|text| text.parse().ok())
        .ok_or(ParseTechniqueError)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("T1003", true)]
    #[case("T1003.008", true)]
    #[case("T0000.000", true)]
    #[case("t1003", false)]
    #[case("T1003.", false)]
    #[case("T1003.08", false)]
    #[case("T10030", false)]
    #[case("T+003", false)]
    #[case("1003", false)]
    fn a_technique_is_its_number(#[case] text: &str, #[case] taken: bool) {
        let parsed = text.parse::<Technique>();
        assert_eq!(parsed.is_ok(), taken);
        assert!(parsed.is_err() || parsed.unwrap().to_string() == text);
    }

    #[test]
    fn a_severity_is_one_of_five_words() {
        for severity in RuleSeverity::ALL {
            assert_eq!(severity.to_string().parse(), Ok(severity));
        }
        assert!("High".parse::<RuleSeverity>().is_err());
    }
}
