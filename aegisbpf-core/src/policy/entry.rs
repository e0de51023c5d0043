//! One rule, given as an entry of a section.

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
}
