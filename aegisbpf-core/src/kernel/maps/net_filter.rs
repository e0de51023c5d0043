//! The byte table of the network's no-match path. User space alone writes it.

use aegisbpf_bpf::{abi, names};
use aya::maps::{Array, IterableMap, MapData};

use super::{Source, failed};
use crate::{error::Result, kernel::runtime};

/// The table.
pub(super) struct NetFilter(Array<MapData, [u8; abi::NET_SLOTS]>);

impl NetFilter {
    /// Takes it out of a loaded object, or out of pins.
    ///
    /// # Errors
    /// If it is missing or of another type.
    pub(super) fn take(source: &mut Source<'_>) -> Result<Self> {
        source.take(names::NET_FILTER).map(Self)
    }

    /// Says "perhaps" for what either of two policies needs.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn write_both(&mut self, mut previous: Vec<u8>, next: &[u8]) -> Result<()> {
        for (byte, new) in previous.iter_mut().zip(next) {
            *byte |= new;
        }
        self.write(&previous)
    }

    /// Says "perhaps" for what one policy needs. Most policies need nothing of it, and then nothing is written.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn write(&mut self, filter: &[u8]) -> Result<()> {
        let held = self
            .0
            .get(&0, 0)
            .map_err(failed("reading the network filter"))?;
        if filter == held {
            return Ok(());
        }
        let mut whole = [0; abi::NET_SLOTS];
        whole.copy_from_slice(filter);
        self.0
            .set(0, whole, 0)
            .map_err(failed("writing the network filter"))
    }

    /// Bytes that it holds in the kernel.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(super) fn memory(&self) -> Result<u64> {
        runtime::map_memory(IterableMap::map(&self.0).fd())
    }
}
