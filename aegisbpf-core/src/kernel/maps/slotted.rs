//! Maps of which each generation of a policy has its own: an array of two in the kernel, one slot current, one spare.

use std::io::ErrorKind;

use aya::{
    Pod,
    maps::{
        ArrayOfMaps, FromMapData, HashMap, InnerMap, IterableMap, LpmTrie, MapData, MapError,
        lpm_trie,
    },
};

use super::{Source, failed, patience::patiently};
use crate::{error::Result, kernel::runtime, table::Table};

/// `BPF_F_NO_PREALLOC`: memory follows the number of entries. The inner maps must carry the same flags as
/// the ones the object declares.
pub(super) const NO_PREALLOC: u32 = 1;

/// One class of entries: how the object names its array of maps, and what a table has for it.
pub(super) trait Class {
    /// Name of the array of maps in the object.
    const NAME: &'static str;
    /// The type of its inner maps.
    type Inner: Inner + Send + Sync;
    /// Whether the programs want a map of it in every policy. Of the other classes most policies have nothing, and a
    /// slot without a map says the same as an empty one, at no cost: a write to a slot takes a grace period.
    const ALWAYS: bool = false;

    /// The entries that a table has for this class.
    fn entries(table: &Table) -> impl Iterator<Item = Entry<Self>>;
}

/// Key and value of a class's map.
pub(super) type Entry<C> = (
    <<C as Class>::Inner as Inner>::Key,
    <<C as Class>::Inner as Inner>::Value,
);

/// A kind of map that can stand in a slot.
pub(super) trait Inner: InnerMap + FromMapData + Sized {
    type Key;
    type Value;

    fn create(entries: u32) -> Result<Self, MapError>;
    fn insert(&mut self, key: Self::Key, value: Self::Value) -> Result<(), MapError>;
    fn data(&self) -> &MapData;
    fn is_empty(&self) -> bool;
}

impl<K: Pod, V: Pod> Inner for HashMap<MapData, K, V> {
    type Key = K;
    type Value = V;

    fn create(entries: u32) -> Result<Self, MapError> {
        Self::create(entries, NO_PREALLOC)
    }

    fn insert(&mut self, key: K, value: V) -> Result<(), MapError> {
        patiently(|| Self::insert(self, key, value, 0))
    }

    fn data(&self) -> &MapData {
        IterableMap::map(self)
    }

    fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }
}

impl<K: Pod, V: Pod> Inner for LpmTrie<MapData, K, V> {
    type Key = lpm_trie::Key<K>;
    type Value = V;

    fn create(entries: u32) -> Result<Self, MapError> {
        Self::create(entries, NO_PREALLOC)
    }

    fn insert(&mut self, key: lpm_trie::Key<K>, value: V) -> Result<(), MapError> {
        patiently(|| Self::insert(self, &key, value, 0))
    }

    fn data(&self) -> &MapData {
        IterableMap::map(self)
    }

    fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }
}

/// The steps of a change of policy, for one class or for any.
pub(super) trait Slots: Send + Sync {
    /// Builds the maps of `table` aside, as large as it needs. No program sees them.
    fn build(&mut self, table: &Table) -> Result<()>;
    /// Puts what was built into `slot`.
    fn place(&mut self, slot: u32) -> Result<()>;
    /// Lets go of what was built, whether it was placed or not.
    fn discard(&mut self);
    /// Writes what is in `slot` there once more, which waits for the programs that run (see `Maps::retire`).
    fn repeat(&mut self, slot: u32) -> Result<()>;
    /// Puts an empty map into `slot`.
    fn empty(&mut self, slot: u32) -> Result<()>;
    /// The class's name, and the bytes that `slot` holds in the kernel.
    fn memory(&self, slot: u32) -> Result<(&'static str, u64)>;
}

/// The array of one class, with the inner map that is being built. What stands in its slots is asked of the kernel, since
/// another process may have put it there.
pub(super) struct Slotted<C: Class> {
    outer: ArrayOfMaps<MapData, C::Inner>,
    next: Option<C::Inner>,
}

impl<C: Class> Slotted<C> {
    /// Takes the class's array out of a loaded object or out of pins.
    ///
    /// # Errors
    /// If it is missing or of another type.
    pub(super) fn take(source: &mut Source<'_>) -> Result<Self> {
        Ok(Self {
            outer: source.take(C::NAME)?,
            next: None,
        })
    }
}

impl<C: Class> Slotted<C> {
    /// What stands in `slot`; nothing before the first policy.
    fn inner(&self, slot: u32) -> Result<Option<C::Inner>, MapError> {
        match self.outer.get(&slot, 0) {
            Ok(inner) => Ok(Some(inner)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(MapError::SyscallError(e)) if e.io_error.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl<C: Class> Slots for Slotted<C> {
    fn build(&mut self, table: &Table) -> Result<()> {
        let making = failed("making the maps of a policy");
        let count = C::entries(table).count();
        self.next = None;
        if count == 0 && !C::ALWAYS {
            return Ok(());
        }
        let size = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        let mut inner = C::Inner::create(size).map_err(&making)?;
        for (key, value) in C::entries(table) {
            inner.insert(key, value).map_err(&making)?;
        }
        self.next = Some(inner);
        Ok(())
    }

    fn place(&mut self, slot: u32) -> Result<()> {
        match &self.next {
            Some(inner) => self
                .outer
                .set(slot, inner, 0)
                .map_err(failed("placing a policy")),
            None => self.empty(slot),
        }
    }

    fn discard(&mut self) {
        self.next = None;
    }

    fn repeat(&mut self, slot: u32) -> Result<()> {
        let waiting = failed("waiting for the old policy's last users");
        match self.inner(slot).map_err(&waiting)? {
            Some(inner) => self.outer.set(slot, &inner, 0).map_err(&waiting),
            None => Ok(()),
        }
    }

    fn empty(&mut self, slot: u32) -> Result<()> {
        let what = "emptying the old policy's maps";
        let inner = self.inner(slot).map_err(failed(what))?;
        if inner.is_none_or(|inner| inner.is_empty()) {
            return Ok(());
        }
        let inner = C::Inner::create(1).map_err(failed(what))?;
        self.outer.set(slot, &inner, 0).map_err(failed(what))
    }

    fn memory(&self, slot: u32) -> Result<(&'static str, u64)> {
        let inner = self
            .inner(slot)
            .map_err(failed("looking at the current policy's maps"))?;
        let bytes = match inner {
            Some(inner) => runtime::map_memory(inner.data().fd())?,
            None => 0,
        };
        Ok((C::NAME, bytes))
    }
}
