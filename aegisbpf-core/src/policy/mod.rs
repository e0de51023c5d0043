//! The policy language: text to rules and back. Pure: nothing here touches the host, the kernel or a clock, so that
//! a policy can be checked anywhere and by anyone.
//!
//! ```text
//! text ──parse──► lines with places ──lower──► rules ──render──► text
//! ```
//!
//! What only the host knows (which file a path names now) is the business of [`resolve`](crate::resolve).

mod class;
mod diff;
mod entry;
mod explain;
mod include;
mod join;
mod lint;
mod lower;
mod object;
mod parse;
mod places;
mod problem;
mod render;
mod rule;
mod section;
mod settings;
mod suggest;
mod tags;
mod text;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use self::lower::Builder;

pub use self::class::{Class, Unsupported};
pub use self::diff::Diff;
pub use self::explain::{Access, CgroupName, Explanation, Facts, How, Match, Role, Written};
pub use self::include::{Include, IncludeError, Loader};
pub use self::object::{IpPrefix, Object, ParseSha256Error, Proto, Sha256};
pub use self::problem::{Problem, Problems, Severity};
pub(crate) use self::rule::{CGROUP_PREFIX, Meaning};
pub use self::rule::{CgroupRef, Effect, Operation, Origin, Rule, RuleId, Subject};
pub use self::settings::{ScanPath, Settings};
pub use self::suggest::{Met, Seen, SuggestedLine, Suggestion};
pub use self::tags::{ParseRuleSeverityError, ParseTechniqueError, RuleSeverity, Tags, Technique};

/// A policy without errors.
///
/// ```
/// use aegisbpf_core::policy::Policy;
///
/// let policy = Policy::parse("version=1\n[deny_path]\n/etc/shadow\n", "example.conf")?;
/// let (id, rule) = policy.iter().next().expect("the one rule");
/// assert_eq!(id.number(), 1);
/// assert_eq!(rule.label(), "example.conf:3 /etc/shadow");
/// # Ok::<(), aegisbpf_core::policy::Problems>(())
/// ```
///
/// Two policies are equal if they have the same version and their rules mean and are noted the same, whatever the
/// order of the lines, their file and their spelling. Equal policies have equal canonical text ([`fmt::Display`]),
/// and parsing that text gives an equal policy.
#[derive(Clone, Debug, Serialize)]
pub struct Policy {
    version: u8,
    #[serde(skip)]
    source: Arc<str>,
    rules: Vec<Rule>,
    settings: Settings,
    #[serde(skip)]
    warnings: Problems,
}

impl Policy {
    /// Reads a policy. `source` is the name that origins show, usually the file's. It cannot include files; see
    /// [`Policy::parse_with`].
    ///
    /// # Errors
    /// All problems of the text, with the warnings among them, if at least one is an error.
    pub fn parse(text: &str, source: impl Into<Arc<str>>) -> Result<Self, Problems> {
        Self::parse_bytes(text.as_bytes(), source)
    }

    /// Reads a policy from bytes that should be UTF-8, as a file has them.
    ///
    /// # Errors
    /// As [`Policy::parse`], and the place of the first byte that is not UTF-8.
    pub fn parse_bytes(bytes: &[u8], source: impl Into<Arc<str>>) -> Result<Self, Problems> {
        let source = source.into();
        let file = Include::new(source.clone(), source);
        Self::parse_with(bytes, file, &mut include::Nothing)
    }

    /// How many entries a text has: the first half of [`Policy::parse`] alone, before anybody asks what an entry means.
    /// For benchmarks of this project; no part of the stable API.
    #[doc(hidden)]
    #[must_use]
    pub fn count_entries(text: &str) -> usize {
        let source = Arc::from("");
        let mut problems = Problems::default();
        let mut parser = parse::Parser::new(text, &source);
        std::iter::from_fn(|| parser.next(&mut problems)).count()
    }

    /// Reads a policy from the bytes of `file`, and what it includes with the help of `loader`.
    ///
    /// # Errors
    /// As [`Policy::parse_bytes`], for all files.
    pub fn parse_with(
        bytes: &[u8],
        file: Include,
        loader: &mut dyn Loader,
    ) -> Result<Self, Problems> {
        let source = file.source.clone();
        let text = std::str::from_utf8(bytes)
            .map_err(|error| parse::not_utf8(bytes, error.valid_up_to(), &source))?;
        let mut builder = Builder::new(loader);
        let version = builder.text(text, file);
        let Builder {
            rules,
            settings,
            mut problems,
            ..
        } = builder;
        lint::lint(&rules, &settings, &mut problems);
        let warnings = problems.verdict()?;
        let version =
            version.expect("a missing or wrong version is an error, which has returned above");
        Ok(Self {
            version,
            source,
            rules,
            settings,
            warnings,
        })
    }

    /// The format version that the text states.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The name of the file or text, as it was given.
    #[must_use]
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The rules, in the order of their lines; the first has the id 1.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is set once for all rules.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The rules with their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (RuleId, &Rule)> {
        self.rules
            .iter()
            .enumerate()
            .map(|(index, rule)| (RuleId::from_index(index), rule))
    }

    /// The rule of that id, if the policy has one.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.index())
    }

    /// What the text says that its author perhaps did not mean.
    #[must_use]
    pub fn warnings(&self) -> &Problems {
        &self.warnings
    }
}

/// Reads a policy that has no name; origins call it `policy`.
impl FromStr for Policy {
    type Err = Problems;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text, "policy")
    }
}

/// The canonical text: one section after another, entries sorted and in one spelling.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render::render(self, f)
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        render::same(self, other)
    }
}

impl Eq for Policy {}
