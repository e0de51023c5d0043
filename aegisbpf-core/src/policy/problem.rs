//! What is wrong with a policy: every problem at its place, with a remedy.

use std::fmt;

use serde::Serialize;

use super::rule::Origin;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy is rejected.
    Error,
    /// The policy holds, but perhaps says something else than its author meant.
    Warning,
    /// The policy holds; this is to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// Whether it rejects the policy.
    pub severity: Severity,
    /// Where the text in question begins.
    pub origin: Origin,
    /// How many characters it has; 0 if the problem is that something is missing.
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// `production.conf:3:1: error: …`, and on a line of its own `help: …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.severity, self.message)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  help: {remedy}")?;
        }
        Ok(())
    }
}

/// All problems of a policy, in the order of their places. As an error, it says that the policy was rejected and why;
/// the warnings stand among the errors.
///
/// Of each severity the first thousand are kept, so that a file that is no policy at all does not fill the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems {
    list: Vec<Problem>,
    /// How many of each severity were met, up to one more than the limit.
    #[serde(skip)]
    met: [usize; 3],
}

/// The most problems of one severity that are kept.
const LIMIT: usize = 1000;

impl Problems {
    /// The problems, in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// How many there are, warnings included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether one of them rejects the policy.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    pub(crate) fn error(
        &mut self,
        span: Span,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(Severity::Error, span, message.into(), remedy.into());
    }

    pub(crate) fn warning(
        &mut self,
        span: Span,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(Severity::Warning, span, message.into(), remedy.into());
    }

    pub(crate) fn note(
        &mut self,
        span: Span,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(Severity::Note, span, message.into(), remedy.into());
    }

    fn push(&mut self, severity: Severity, span: Span, message: String, remedy: String) {
        let Span { origin, length } = span;
        self.add(Problem {
            severity,
            origin,
            length,
            message,
            remedy: Some(remedy),
        });
    }

    fn add(&mut self, mut problem: Problem) {
        // A message may quote the text, and the text may hold what a terminal obeys.
        plain(&mut problem.message);
        if let Some(remedy) = &mut problem.remedy {
            plain(remedy);
        }
        let severity = problem.severity;
        let met = &mut self.met[severity as usize];
        if *met > LIMIT {
            return;
        }
        *met += 1;
        if *met > LIMIT {
            problem.message = format!(
                "there are more than {LIMIT} {severity}s, this is the first that is not listed"
            );
            problem.remedy = Some("mend the others first".to_owned());
        }
        self.list.push(problem);
    }

    /// These and those.
    pub(crate) fn extend(&mut self, others: Self) {
        for problem in others.list {
            self.add(problem);
        }
    }

    /// Splits into `Ok(warnings)`, or all problems if there is an error among them.
    pub(crate) fn verdict(mut self) -> Result<Problems, Problems> {
        self = self.sorted();
        if self.has_errors() {
            Err(self)
        } else {
            Ok(self)
        }
    }

    /// With each place as `place` makes it.
    pub(crate) fn at(mut self, place: impl Fn(&mut Origin)) -> Self {
        for problem in &mut self.list {
            place(&mut problem.origin);
        }
        self
    }

    /// In the order of their places.
    pub(crate) fn sorted(mut self) -> Self {
        self.list.sort_by(|a, b| a.origin.cmp(&b.origin));
        self
    }
}

/// The problems, one after another, each on its own lines.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A stretch of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) origin: Origin,
    pub(crate) length: u32,
}

/// Shows control characters instead of sending them.
fn plain(text: &mut String) {
    if text.contains(char::is_control) {
        let escaped = text.chars().map(|c| match c.is_control() {
            true => c.escape_default().to_string(),
            false => c.to_string(),
        });
        *text = escaped.collect();
    }
}

/// Text from the policy as a message may quote it: on one line, without control characters, not endless.
pub(super) fn quote(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut quoted = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            quoted.push('…');
            break;
        }
        if c.is_control() {
            quoted.extend(c.escape_default());
        } else {
            quoted.push(c);
        }
    }
    quoted.push('`');
    quoted
}
