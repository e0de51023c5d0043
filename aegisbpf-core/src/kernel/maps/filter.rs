//! The filter, which the programs write too: all its changes are atomic operations, made by a program of ours.

use aegisbpf_bpf::{
    abi::{self, FilterPatch},
    names,
};
use aya::maps::{Array, IterableMap, MapData};

use super::{Source, failed};
use crate::error::{Error, Result};

/// Bits of a byte that are ours; the others count what the programs have bound.
const OURS: u8 = 0x0f;

/// Runs programs of ours under TEST_RUN, in our own context.
pub(crate) trait Run {
    /// # Errors
    /// If the kernel does not run it.
    fn run(&mut self, program: &'static str, argument: u64) -> Result<u32>;
}

type Patches = [u8; abi::FILTER_PATCHES * size_of::<FilterPatch>()];

/// See the module.
pub(super) struct Filter {
    bytes: Array<MapData, [u8; abi::FILTER_SLOTS]>,
    patches: Array<MapData, Patches>,
}

impl Filter {
    pub(super) fn take(source: &mut Source<'_>) -> Result<Self> {
        Ok(Self {
            bytes: source.take(names::FILTER)?,
            patches: source.take(names::FILTER_PATCHES)?,
        })
    }

    /// Sets the bits of `wanted`, and clears all others of ours.
    ///
    /// # Errors
    /// If the kernel refuses; then some bits may be set.
    pub(super) fn become_exactly(&mut self, run: &mut dyn Run, wanted: &[u8]) -> Result<()> {
        self.patch_to(run, wanted, |now| now & OURS)
    }

    /// Sets the bits of `wanted`, and clears none.
    ///
    /// # Errors
    /// If the kernel refuses; then some bits may be set.
    pub(super) fn include(&mut self, run: &mut dyn Run, wanted: &[u8]) -> Result<()> {
        self.patch_to(run, wanted, |_| 0)
    }

    /// Notes that an inode is about to be bound (`+1`), or that it is bound no more (`-1`).
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn count(&mut self, run: &mut dyn Run, inos: &[u64], up: bool) -> Result<()> {
        let patches: Vec<_> = inos
            .iter()
            .map(|ino| FilterPatch {
                slot: slot(*ino),
                set: 0,
                clear: 0,
                count: u8::from(up),
                uncount: u8::from(!up),
            })
            .collect();
        self.apply(run, &patches)
    }

    fn patch_to(
        &mut self,
        run: &mut dyn Run,
        wanted: &[u8],
        clear: impl Fn(u8) -> u8,
    ) -> Result<()> {
        let now = self
            .bytes
            .get(&0, 0)
            .map_err(failed("reading the filter"))?;
        const WORD: usize = size_of::<u64>();
        let mut patches = Vec::new();
        // Nearly all of it is empty in both.
        for (base, (now, wanted)) in (0..)
            .step_by(WORD)
            .zip(now.chunks(WORD).zip(wanted.chunks(WORD)))
        {
            if now == [0; WORD] && wanted == [0; WORD] {
                continue;
            }
            let changes = (base..).zip(now.iter().zip(wanted));
            patches.extend(
                changes
                    .map(|(slot, (now, wanted))| FilterPatch {
                        slot,
                        set: wanted & !now,
                        clear: clear(*now) & !wanted,
                        count: 0,
                        uncount: 0,
                    })
                    .filter(|patch| patch.set != 0 || patch.clear != 0),
            );
        }
        self.apply(run, &patches)
    }

    fn apply(&mut self, run: &mut dyn Run, patches: &[FilterPatch]) -> Result<()> {
        for batch in patches.chunks(abi::FILTER_PATCHES) {
            let mut bytes = [0; size_of::<Patches>()];
            let used: &[u8] = bytemuck::cast_slice(batch);
            bytes[..used.len()].copy_from_slice(used);
            self.patches
                .set(0, bytes, 0)
                .map_err(failed("handing over changes of the filter"))?;
            if run.run(names::PATCH_FILTER, batch.len() as u64)? != 0 {
                return Err(Error::kernel(
                    "changing the filter",
                    "the program for it did not get through",
                ));
            }
        }
        Ok(())
    }

    pub(super) fn maps(&self) -> [&MapData; 2] {
        [
            IterableMap::map(&self.bytes),
            IterableMap::map(&self.patches),
        ]
    }
}

fn slot(ino: u64) -> u32 {
    (ino % abi::FILTER_SLOTS as u64) as u32
}
