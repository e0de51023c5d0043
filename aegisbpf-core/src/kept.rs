//! A policy as it is kept beside the kernel's maps, so that any process can show it, count by it, and undo it: its
//! canonical text, where each rule was written, the rule's id and what became of it. Pure: bytes in, bytes out.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    locate::WatchedName,
    policy::{Origin, Policy, RuleId},
    resolve::Follow,
    table::{State, Table},
};

/// A policy and the table that it became.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) policy: Policy,
    pub(crate) table: Table,
}

/// Of compression: more is hardly smaller and much slower.
const EFFORT: u8 = 3;
/// The most bytes that a kept policy may have: more than one of the greatest file that is read.
const LIMIT: usize = 1 << 30;

/// The fields in their order are the format; a change of it raises the ABI version.
#[derive(Serialize, Deserialize)]
struct Record {
    source: String,
    text: String,
    /// The files that rules come from.
    files: Vec<String>,
    /// In the order of the text.
    rules: Vec<RuleRecord>,
    /// Names of directories, and the rule that each is watched for.
    ancestors: Vec<(WatchedName, RuleId)>,
    last_id: u32,
}

#[derive(Serialize, Deserialize)]
struct RuleRecord {
    id: RuleId,
    file: u32,
    line: u32,
    column: u32,
    state: State,
    follow: Follow,
}

impl Kept {
    /// No rules at all: what stands before the first policy.
    pub(crate) fn nothing() -> Self {
        let policy = Policy::parse("version=1\n", "no policy")
            .expect("the header alone is a valid policy, as a test shows");
        Self {
            policy,
            table: Table::default(),
        }
    }

    /// # Errors
    /// If a rule of the policy is not in the table.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut files: Vec<String> = Vec::new();
        let mut numbers: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        let ids = self.table.ids();
        let rules = self.policy.canonical_order().into_iter().map(|rule| {
            let id = ids.get(&rule.meaning()).copied()?;
            let origin = &rule.origin;
            let file = *numbers
                .entry(Arc::clone(&origin.source))
                .or_insert_with(|| {
                    files.push(origin.source.to_string());
                    u32::try_from(files.len() - 1).unwrap_or(u32::MAX)
                });
            let row = self.table.rows.get(&id)?;
            Some(RuleRecord {
                id,
                file,
                line: origin.line,
                column: origin.column,
                state: row.state.clone(),
                follow: row.follow.clone(),
            })
        });
        let rules = rules
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::kernel("keeping a policy", "a rule has no id"))?;
        let record = Record {
            source: self.policy.source().to_string(),
            text: self.policy.to_string(),
            files,
            rules,
            ancestors: self.table.ancestors.clone(),
            last_id: self.table.last_id(),
        };
        let bytes =
            postcard::to_stdvec(&record).map_err(|e| Error::kernel("keeping a policy", e))?;
        // Entries are like one another: a tenth is left, and the kernel's memory is dear.
        Ok(miniz_oxide::deflate::compress_to_vec(&bytes, EFFORT))
    }

    /// # Errors
    /// If the bytes are not what [`Kept::to_bytes`] gave.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let failed = |e: crate::error::Source| Error::kernel("reading a kept policy", e);
        let bytes = miniz_oxide::inflate::decompress_to_vec_with_limit(bytes, LIMIT)
            .map_err(|e| failed(e.into()))?;
        let record: Record = postcard::from_bytes(&bytes).map_err(|e| failed(e.into()))?;
        let files: Vec<Arc<str>> = record.files.into_iter().map(Arc::from).collect();
        let policy = Policy::parse(&record.text, record.source).map_err(|e| failed(e.into()))?;
        let origins = record.rules.iter().map(|rule| {
            let file = files.get(rule.file as usize)?;
            Some(Origin::new(Arc::clone(file), rule.line, rule.column))
        });
        let policy = origins
            .collect::<Option<Vec<_>>>()
            .and_then(|origins| policy.with_origins(origins))
            .ok_or_else(|| failed("rules and their places do not match".into()))?;
        let rows = policy
            .rules()
            .iter()
            .cloned()
            .zip(record.rules)
            .map(|(rule, kept)| (kept.id, rule, kept.state, kept.follow));
        let table = Table::restore(rows, record.ancestors, record.last_id);
        Ok(Self { policy, table })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileId, resolve::Reason};

    #[test]
    fn what_is_kept_is_what_was_applied() {
        let text = "version=1\n[deny_path]\n/z\n/a\n[allow_cgroup]\ncgid:7\n[deny_inode]\n1:2\n";
        let policy = Policy::parse(text, "here.conf").unwrap();
        let states = [
            State::Unresolved(Reason::NoSuchFile),
            State::File(FileId::from_kernel(8, 9)),
            State::Cgroup(7),
            State::Same(RuleId::new(4).unwrap()),
        ];
        let ids = [4, 9, 5, 6].map(|id| RuleId::new(id).unwrap());
        let rows = policy.rules().iter().cloned().zip(ids).zip(states);
        let name = WatchedName {
            directory: FileId::from_kernel(8, 2),
            name: b"a".to_vec(),
        };
        let follow = Follow {
            generation: Some(7),
            name: Some(name.clone()),
        };
        let rows = rows.map(|((rule, id), state)| (id, rule, state, follow.clone()));
        let table = Table::restore(rows, vec![(name, ids[0])], 12);
        let kept = Kept { policy, table };
        let back = Kept::from_bytes(&kept.to_bytes().unwrap()).unwrap();
        assert_eq!(back.policy, kept.policy);
        assert_eq!(back.policy.source(), kept.policy.source());
        assert_eq!(back.table.rows, kept.table.rows);
        assert_eq!(back.table.ancestors, kept.table.ancestors);
        assert_eq!(back.table.last_id(), 12);
        assert_eq!(
            back.table.rows[&ids[1]].rule.origin.to_string(),
            "here.conf:4:1"
        );
    }

    #[test]
    fn nothing_has_no_rules_and_foreign_bytes_are_refused() {
        assert!(Kept::nothing().policy.rules().is_empty());
        assert!(Kept::from_bytes(b"no policy").is_err());
    }
}
