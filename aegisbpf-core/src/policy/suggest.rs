//! After a trial run in audit mode: the lines that would exempt those who met the rules, for a person to choose from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Policy;
use super::rule::{CgroupRef, Subject};

/// How often processes of one cgroup met one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The cgroup's id.
    pub cgroup: u64,
    /// Its path from the cgroup root; `None` if it is gone.
    pub path: Option<PathBuf>,
    /// What the rule says, as [`Rule::entry`](super::Rule::entry) gives it.
    pub entry: String,
    /// Accesses that were denied, or would have been.
    pub count: u64,
}

/// What would silence what was seen: a policy of `[allow_cgroup]` lines, most frequent first, when displayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Suggestion {
    /// One for each cgroup.
    pub lines: Vec<SuggestedLine>,
}

/// A cgroup that met rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SuggestedLine {
    /// What to write; `None` if that would be wrong, see `why_not`.
    pub entry: Option<String>,
    /// The cgroup: its path, or `cgid:N` if it is gone.
    pub cgroup: String,
    /// Why no line is suggested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<&'static str>,
    /// Accesses that were denied, or would have been.
    pub count: u64,
    /// What the rules say that were met, and how often each.
    pub rules: Vec<Met>,
}

/// A rule that was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Met {
    /// What the rule says.
    pub entry: String,
    /// How often it was met.
    pub count: u64,
}

impl Suggestion {
    /// Adds up what was seen.
    #[must_use]
    pub fn of(seen: impl IntoIterator<Item = Seen>) -> Self {
        let mut cgroups: BTreeMap<(Option<PathBuf>, u64), BTreeMap<String, u64>> = BTreeMap::new();
        for Seen {
            cgroup,
            path,
            entry,
            count,
        } in seen
        {
            if count > 0 {
                // A path that is there has one id; of what is gone only ids tell one from another.
                let id = if path.is_some() { 0 } else { cgroup };
                let rules = cgroups.entry((path, id)).or_default();
                *rules.entry(entry).or_default() += count;
            }
        }
        let mut lines: Vec<_> = cgroups
            .into_iter()
            .map(|((path, id), rules)| line(path, id, rules))
            .collect();
        lines.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.cgroup.cmp(&b.cgroup)));
        Self { lines }
    }
}

fn line(path: Option<PathBuf>, id: u64, rules: BTreeMap<String, u64>) -> SuggestedLine {
    let met = |(entry, count)| Met { entry, count };
    let mut rules: Vec<_> = rules.into_iter().map(met).collect();
    rules.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.entry.cmp(&b.entry)));
    let why_not = path
        .as_deref()
        .map_or(Some("the cgroup is gone, and so is its id"), why_not);
    let cgroup = match path {
        Some(path) => CgroupRef::Path(path),
        None => CgroupRef::Id(id),
    };
    SuggestedLine {
        entry: why_not.is_none().then(|| cgroup.to_string()),
        cgroup: cgroup.to_string(),
        why_not,
        count: rules.iter().map(|met| met.count).sum(),
        rules,
    }
}

/// Why a line for this cgroup would be wrong.
fn why_not(path: &Path) -> Option<&'static str> {
    let name = path.file_name().map(|name| name.to_string_lossy());
    let transient = |name: &str| {
        let numbered = |prefix: &str| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()))
        };
        numbered("session-") && name.ends_with(".scope")
            || name.starts_with("run-")
            || name.starts_with("app-")
    };
    if path == Path::new("/") {
        Some("the root cgroup holds every process: no rule would deny anything")
    } else if path.starts_with("/user.slice")
        && name
            .as_deref()
            .is_none_or(|name| transient(name) || !name.ends_with(".service"))
    {
        Some(
            "a person's session: its cgroup has another name next time; name the slice if you trust them all",
        )
    } else if name.as_deref().is_some_and(transient) {
        Some("a transient unit: its cgroup has another name next time")
    } else if !is_read_back(path) {
        Some("its name cannot be written in a policy")
    } else {
        None
    }
}

/// Whether the line means this cgroup.
fn is_read_back(path: &Path) -> bool {
    let cgroup = CgroupRef::Path(path.to_owned());
    let text = format!("version=7\n[allow_cgroup]\n{cgroup}\n");
    let read = Policy::parse(&text, "suggestion");
    read.is_ok_and(
        |policy| matches!(policy.rules(), [rule] if rule.subject == Subject::Cgroup(cgroup)),
    )
}

/// A policy file, to read before it is used.
impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "# What was seen and would be exempt by these lines. Keep those that you trust with every rule, since an\n\
             # exempt cgroup is exempt from all of them; delete the others.\n\
             version=7\n",
        )?;
        if self.lines.is_empty() {
            return f.write_str("\n# Nobody met a rule.\n");
        }
        f.write_str("\n[allow_cgroup]\n")?;
        for line in &self.lines {
            let rules: Vec<_> = line
                .rules
                .iter()
                .map(|met| format!("{} {}", plain(&met.entry), met.count))
                .collect();
            let times = if line.count == 1 { "time" } else { "times" };
            writeln!(f, "# {} {times}: {}", line.count, rules.join(", "))?;
            match (&line.entry, line.why_not) {
                (Some(entry), None) => writeln!(f, "{entry}")?,
                (_, why_not) => writeln!(
                    f,
                    "# not suggested: {}: {}",
                    plain(&line.cgroup),
                    why_not.unwrap_or_default()
                )?,
            }
        }
        Ok(())
    }
}

/// On one line, so that no name ends the comment that it stands in.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
            .chars()
            .collect::<Vec<_>>()
        })
        .collect()
}
