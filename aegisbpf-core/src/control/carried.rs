//! Counts of programs that were replaced: an enforcer that succeeds another one goes on counting where that one ended.

use std::collections::BTreeMap;

use aegisbpf_bpf::abi::{CountKey, Counts};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    kernel::{Remains, blob, pins::Pins},
    stats::Health,
};

/// Audited, denied, exempted.
type Words = [u64; 3];

/// What the predecessors counted, all of them together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carried {
    rules: BTreeMap<u32, Words>,
    /// By rule and cgroup.
    cgroups: BTreeMap<(u32, u64), Words>,
    health: Health,
}

impl Carried {
    /// What `maps` have counted until now, on top of this.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(super) fn over(&self, maps: &Remains) -> Result<Self> {
        let mut sum = self.clone();
        for (rule, counts) in maps.totals()? {
            add(sum.rules.entry(rule).or_default(), &counts);
        }
        for (key, counts) in maps.by_cgroup()? {
            add(
                sum.cgroups.entry((key.rule, key.cgroup)).or_default(),
                &counts,
            );
        }
        sum.health += maps.health()?;
        Ok(sum)
    }

    /// # Errors
    /// If the kernel refuses.
    pub(super) fn write(&self, pins: &Pins) -> Result<()> {
        let bytes =
            postcard::to_stdvec(self).map_err(|e| Error::kernel("keeping the counters", e))?;
        blob::write(&pins.carried(), &bytes)
    }

    /// # Errors
    /// If what is there was not written by [`Carried::write`].
    pub(super) fn read(pins: &Pins) -> Result<Self> {
        if !pins.carried().exists() {
            return Ok(Self::default());
        }
        postcard::from_bytes(&blob::read(&pins.carried())?)
            .map_err(|e| Error::kernel("reading the kept counters", e))
    }

    pub(super) fn add_to_rules(&self, totals: &mut BTreeMap<u32, Counts>) {
        for (rule, words) in &self.rules {
            put(totals.entry(*rule).or_default(), words);
        }
    }

    pub(super) fn add_to_cgroups(&self, counted: &mut Vec<(CountKey, Counts)>) {
        let mut left = self.cgroups.clone();
        for (key, counts) in counted.iter_mut() {
            if let Some(words) = left.remove(&(key.rule, key.cgroup)) {
                put(counts, &words);
            }
        }
        for ((rule, cgroup), words) in left {
            let key = CountKey { cgroup, rule };
            let mut counts = Counts::default();
            put(&mut counts, &words);
            counted.push((key, counts));
        }
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }
}

fn add(words: &mut Words, counts: &Counts) {
    let counts = [counts.audited, counts.denied, counts.exempted];
    for (word, count) in words.iter_mut().zip(counts) {
        *word += count;
    }
}

fn put(counts: &mut Counts, [audited, denied, exempted]: &Words) {
    counts.audited += audited;
    counts.denied += denied;
    counts.exempted += exempted;
}
