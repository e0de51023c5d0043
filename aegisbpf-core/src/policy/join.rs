//! Two policies made one.

use std::collections::HashSet;

use super::problem::Span;
use super::{Origin, Policy, Problems, Rule};

impl Policy {
    /// The policy with those rules of `more` that it does not have, each where it was written, in the greater of the two
    /// versions. What `more` sets for all rules is set too.
    ///
    /// # Errors
    /// If the two do not go together: all problems, by their places in the text of both.
    pub fn joined(&self, more: &Self) -> Result<Self, Problems> {
        let mut joined = self.clone();
        let had: HashSet<_> = self.rules.iter().map(Rule::meaning).collect();
        let new = more
            .rules
            .iter()
            .filter(|rule| !had.contains(&rule.meaning()));
        joined.rules.extend(new.cloned());
        joined.version = self.version.max(more.version);
        let settings = &mut joined.settings;
        for (ours, theirs) in [
            (
                &mut settings.protect_runtime_deps,
                &more.settings.protect_runtime_deps,
            ),
            (
                &mut settings.require_ima_appraisal,
                &more.settings.require_ima_appraisal,
            ),
            (
                &mut settings.ima_fail_closed,
                &more.settings.ima_fail_closed,
            ),
        ] {
            *ours = ours.take().or_else(|| theirs.clone());
        }
        for scan in &more.settings.scan_paths {
            if !settings
                .scan_paths
                .iter()
                .any(|ours| ours.path == scan.path)
            {
                settings.scan_paths.push(scan.clone());
            }
        }
        // What holds for each text need not hold for both: the parser judges, which is where the limits are.
        let read = Self::parse(&joined.to_string(), joined.source.clone())?;
        if joined.version != self.version && read != joined {
            return Err(self.reads_otherwise_in(joined.version));
        }
        let origins: Vec<Origin> = joined
            .canonical_order()
            .into_iter()
            .map(|rule| rule.origin.clone())
            .collect();
        Ok(match read.with_origins(origins) {
            Some(policy) => Self {
                settings: joined.settings,
                ..policy
            },
            // The parser took two rules for one; then each has a place in the joined text.
            None => Self::parse(&joined.to_string(), joined.source)?,
        })
    }

    fn reads_otherwise_in(&self, version: u8) -> Problems {
        let mut problems = Problems::default();
        let origin = Origin::new(self.source.clone(), 1, 1);
        problems.error(
            Span { origin, length: 0 },
            format!(
                "an entry of this policy, of version {}, reads otherwise in version {version}, which the new rule needs",
                self.version
            ),
            "apply a policy file of the newer version that has both",
        );
        problems
    }

    /// The policy without the rules for which `keep` is false.
    #[must_use]
    pub fn retain(&self, keep: impl Fn(&Rule) -> bool) -> Self {
        let mut policy = self.clone();
        policy.rules.retain(keep);
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_both_keep_their_places() {
        let policy = |text: &str, source: &str| Policy::parse(text, source.to_owned()).unwrap();
        let base = policy("version=1\n[deny_path]\n/b\n/a\n", "base.conf");
        let more = policy("version=7\n[deny_path]\n/a\n/c # why\n", "more.conf");
        let joined = base.joined(&more).unwrap();
        assert_eq!(joined.version(), 7);
        let places: Vec<_> = joined.rules().iter().map(Rule::label).collect();
        assert_eq!(
            places,
            ["base.conf:4 /a", "base.conf:3 /b", "more.conf:4 /c # why"]
        );
        let fewer = joined.retain(|rule| rule.entry() != "/b");
        assert_eq!(fewer.rules().len(), 2);
    }

    #[test]
    fn a_text_that_would_change_its_meaning_is_refused() {
        let policy = Policy::parse("version=1\n[deny_path]\n/a # b\n", "test").unwrap();
        let more = Policy::of_entry("deny_dir", "/c", "command").unwrap();
        let problems = policy.joined(&more).unwrap_err();
        assert!(
            problems.to_string().contains("reads otherwise"),
            "{problems}"
        );
    }
}
