//! The classes of entries that a policy becomes. A new one is a type here and a line in [`all`].

use aegisbpf_bpf::{
    abi::{ObjectKey, RuleRef},
    names,
};
use aya::maps::{HashMap, MapData};

use super::{
    Source,
    slotted::{Class, Slots, Slotted},
};
use crate::{error::Result, table::Table};

type Hash<K, V> = HashMap<MapData, K, V>;

/// Takes every class's maps out of a loaded object or out of pins.
///
/// # Errors
/// If one is missing or of another type.
pub(super) fn all(source: &mut Source<'_>) -> Result<Vec<Box<dyn Slots>>> {
    Ok(vec![
        Box::new(Slotted::<Files>::take(source)?),
        Box::new(Slotted::<AllowedCgroups>::take(source)?),
    ])
}

/// Denied files, by identity.
struct Files;

impl Class for Files {
    const NAME: &'static str = names::RULES;
    type Inner = Hash<[u8; size_of::<ObjectKey>()], [u8; size_of::<RuleRef>()]>;

    fn entries(
        table: &Table,
    ) -> impl Iterator<Item = ([u8; size_of::<ObjectKey>()], [u8; size_of::<RuleRef>()])> {
        table
            .files()
            .map(|(key, rule)| (bytemuck::cast(key), bytemuck::cast(rule)))
    }
}

/// Cgroups that are exempt, by id.
struct AllowedCgroups;

impl Class for AllowedCgroups {
    const NAME: &'static str = names::EXEMPT;
    type Inner = Hash<u64, u32>;

    fn entries(table: &Table) -> impl Iterator<Item = (u64, u32)> {
        table.cgroups()
    }
}
