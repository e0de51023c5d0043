//! `aegisbpf policy suggest`: after a trial run, the lines that would exempt those who met the rules.

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, Write},
};

use aegisbpf_core::{
    Control, Stats,
    cgroup::CgroupTree,
    policy::{Seen, Suggestion},
};

use crate::{args::SuggestArgs, exit::Failure, out};

pub(crate) fn suggest(args: &SuggestArgs) -> Result<(), Failure> {
    let stats = Control::open(&args.pins.pin_dir)?.stats()?;
    let suggestion = Suggestion::of(seen(&stats));
    if args.json.json {
        return Ok(out::json(&suggestion)?);
    }
    Ok(write!(io::stdout().lock(), "{suggestion}")?)
}

/// Who met which rule, with the names that this host has for cgroups now.
fn seen(stats: &Stats) -> Vec<Seen> {
    let ids: BTreeSet<u64> = stats.cgroups.iter().map(|row| row.cgroup).collect();
    let paths = CgroupTree::find()
        .map(|tree| tree.paths(&ids))
        .unwrap_or_default();
    let entries: HashMap<_, _> = stats
        .rules
        .iter()
        .map(|rule| (rule.rule, &rule.entry))
        .collect();
    stats
        .cgroups
        .iter()
        .map(|row| Seen {
            cgroup: row.cgroup,
            path: paths.get(&row.cgroup).cloned(),
            entry: entries
                .get(&row.rule)
                .map_or_else(|| format!("rule {}", row.rule), |entry| (*entry).clone()),
            count: row.audited + row.denied,
        })
        .collect()
}
