//! Small changes of a policy: a rule more, some less.

use std::collections::HashSet;
use std::sync::Arc;

use super::problem::Span;
use super::{Origin, Policy, Problems, Rule, section};

impl Policy {
    /// A policy of the one rule that `text` says under `[section]`. `source` is where it comes from, as origins are to
    /// show it. Its version is the lowest that has such a rule.
    ///
    /// ```
    /// use aegisbpf_core::policy::Policy;
    ///
    /// let more = Policy::of_entry("deny_path", "/etc/shadow", "block add")?;
    /// assert_eq!(more.rules()[0].label(), "block add:1 /etc/shadow");
    /// # Ok::<(), aegisbpf_core::policy::Problems>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong with `text`.
    pub fn of_entry(
        section: &str,
        text: &str,
        source: impl Into<Arc<str>>,
    ) -> Result<Self, Problems> {
        let source = source.into();
        let since = section::find(section).map_or(section::NEWEST, |section| section.since);
        // A line feed would be another rule's beginning.
        let line = text.replace(['\n', '\r'], "\u{fffd}");
        let parse = |version: u8| {
            let text = format!("version={version}\n[{section}]\n{line}\n");
            Self::parse(&text, Arc::clone(&source))
        };
        let place = |origin: &mut Origin| origin.line = 1;
        match parse(since).or_else(|problems| parse(section::NEWEST).map_err(|_| problems)) {
            Ok(mut policy) if policy.rules.len() == 1 => {
                place(&mut policy.rules[0].origin);
                Ok(policy)
            }
            Ok(policy) => {
                let mut problems = Problems::default();
                let origin = Origin::new(policy.source, 1, 1);
                let span = Span { origin, length: 0 };
                let message = format!("{text:?} is no entry of [{section}]");
                problems.error(span, message, "write one entry");
                Err(problems)
            }
            Err(problems) => Err(problems.at(place)),
        }
    }

    /// This policy with the rules of `more`, and how many of these it did not have yet. What `more` sets once for
    /// all rules is not taken over.
    ///
    /// # Errors
    /// If the two cannot stand in one text: an entry of the older version reads otherwise in the newer.
    pub fn with(&self, more: &Self) -> Result<(Self, usize), Problems> {
        let mut policy = self.clone();
        let known: HashSet<_> = self.rules.iter().map(Rule::meaning).collect();
        let new = more
            .rules
            .iter()
            .filter(|rule| !known.contains(&rule.meaning()));
        policy.rules.extend(new.cloned());
        policy.version = self.version.max(more.version);
        let added = policy.rules.len() - self.rules.len();
        if policy.version != self.version && Self::parse(&policy.to_string(), "policy")? != policy {
            let mut problems = Problems::default();
            let origin = Origin::new(Arc::clone(&self.source), 1, 1);
            problems.error(
                Span { origin, length: 0 },
                format!(
                    "the policy has version {}, and an entry of it reads otherwise in version {}, which the new rule needs",
                    self.version, policy.version
                ),
                "apply a policy file of the newer version",
            );
            return Err(problems);
        }
        Ok((policy, added))
    }

    /// This policy without the rules that `gone` names, and how many those were.
    #[must_use]
    pub fn without(&self, gone: impl Fn(&Rule) -> bool) -> (Self, usize) {
        let mut policy = self.clone();
        policy.rules.retain(|rule| !gone(rule));
        let removed = self.rules.len() - policy.rules.len();
        (policy, removed)
    }
}

impl Rule {
    /// Whether the other rule says the same, wherever it is written.
    #[must_use]
    pub fn means(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("deny_path", "/etc/shadow", 1)]
    #[case("deny_inode", "8388609:12", 1)]
    #[case("deny_dir", "/etc", 7)]
    #[case("cgroup_deny_ip", "/x 192.0.2.1", 6)]
    #[case("cgroup_deny_ip", "/x 2001:db8::1", 7)]
    fn an_entry_has_the_lowest_version(
        #[case] section: &str,
        #[case] text: &str,
        #[case] version: u8,
    ) {
        let policy = Policy::of_entry(section, text, "command").unwrap();
        assert_eq!(policy.version(), version);
        let rule = &policy.rules()[0];
        assert_eq!((rule.section(), rule.origin.line), (section, 1));
    }

    #[rstest]
    #[case("deny_path", "relative")]
    #[case("deny_path", "")]
    #[case("deny_path", "# a comment")]
    #[case("deny_path", "[allow_cgroup]")]
    #[case("deny_ip", "localhost")]
    #[case("no_such_section", "/x")]
    fn what_is_no_entry_is_an_error_on_line_1(#[case] section: &str, #[case] text: &str) {
        let problems = Policy::of_entry(section, text, "command").unwrap_err();
        assert!(problems.has_errors());
        assert!(problems.iter().all(|problem| problem.origin.line == 1));
    }

    #[test]
    fn a_line_feed_begins_no_second_rule() {
        let policy = Policy::of_entry("deny_path", "/a\n/b", "command");
        let rules = policy.map_or(0, |policy| policy.rules().len());
        assert!(rules <= 1, "{rules}");
        let policy = Policy::of_entry("deny_path", "/a\n[allow_cgroup]\n/b", "command").unwrap();
        assert!(
            policy
                .rules()
                .iter()
                .all(|rule| rule.section() == "deny_path")
        );
    }

    #[test]
    fn rules_come_and_go() {
        let policy = Policy::parse("version=1\n[deny_path]\n/a\n/b\n", "test").unwrap();
        let more = Policy::of_entry("deny_dir", "/c", "command").unwrap();
        let (more_of_it, added) = policy.with(&more).unwrap();
        assert_eq!(
            (added, more_of_it.version(), more_of_it.rules().len()),
            (1, 7, 3)
        );
        let (same, added) = more_of_it.with(&more).unwrap();
        assert_eq!((added, &same), (0, &more_of_it));
        let gone = &more.rules()[0];
        let (less, removed) = more_of_it.without(|rule| rule.means(gone));
        assert_eq!((removed, less.rules()), (1, policy.rules()));
    }

    #[test]
    fn a_text_that_would_change_its_meaning_is_refused() {
        let policy = Policy::parse("version=1\n[deny_path]\n/a # b\n", "test").unwrap();
        let more = Policy::of_entry("deny_dir", "/c", "command").unwrap();
        let problems = policy.with(&more).unwrap_err();
        assert!(problems.has_errors(), "{problems:?}");
    }
}
