//! The classes of entries that a policy becomes. A new one is a type here and a line in [`all`].

use aegisbpf_bpf::{
    abi::{
        self, CgroupFileKey, CommKey, ExecutableFileKey, NameKey, NameRef, NetKey, ObjectKey,
        PrefixData, RuleRef, ShortNameKey,
    },
    names,
};
use aya::maps::{HashMap, LpmTrie, MapData, lpm_trie};

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
        Box::new(Slotted::<LongNames>::take(source)?),
        Box::new(Slotted::<ShortNames>::take(source)?),
        Box::new(Slotted::<AllowedCgroups>::take(source)?),
        Box::new(Slotted::<CgroupFiles>::take(source)?),
        Box::new(Slotted::<ExecutableFiles>::take(source)?),
        Box::new(Slotted::<NetRules>::take(source)?),
        Box::new(Slotted::<NetPrefixes>::take(source)?),
        Box::new(Slotted::<Comms>::take(source)?),
        Box::new(Slotted::<Toggles>::take(source)?),
    ])
}

/// Denied files, by identity.
struct Files;

impl Class for Files {
    const NAME: &'static str = names::RULES;
    const ALWAYS: bool = true;
    type Inner = Hash<[u8; size_of::<ObjectKey>()], [u8; size_of::<RuleRef>()]>;

    fn entries(
        table: &Table,
    ) -> impl Iterator<Item = ([u8; size_of::<ObjectKey>()], [u8; size_of::<RuleRef>()])> {
        table
            .files()
            .map(|(key, rule)| (bytemuck::cast(key), bytemuck::cast(rule)))
    }
}

/// Watched names that are too long for [`ShortNames`].
struct LongNames;

impl Class for LongNames {
    const NAME: &'static str = names::NAMES;
    type Inner = Hash<[u8; size_of::<NameKey>()], [u8; size_of::<NameRef>()]>;

    fn entries(
        table: &Table,
    ) -> impl Iterator<Item = ([u8; size_of::<NameKey>()], [u8; size_of::<NameRef>()])> {
        table
            .names()
            .filter(|(key, _)| short_name(key).is_none())
            .map(|(key, value)| (bytemuck::cast(key), bytemuck::cast(value)))
    }
}

/// Watched names, most of them.
struct ShortNames;

impl Class for ShortNames {
    const NAME: &'static str = names::SHORT_NAMES;
    type Inner = Hash<[u8; size_of::<ShortNameKey>()], [u8; size_of::<NameRef>()]>;

    fn entries(
        table: &Table,
    ) -> impl Iterator<Item = ([u8; size_of::<ShortNameKey>()], [u8; size_of::<NameRef>()])> {
        table.names().filter_map(|(key, value)| {
            Some((bytemuck::cast(short_name(&key)?), bytemuck::cast(value)))
        })
    }
}

/// The key of a short name, as `watched` in names.h makes it.
fn short_name(key: &NameKey) -> Option<ShortNameKey> {
    let is_short = (key.len as usize) < abi::SHORT_NAME_BYTES;
    is_short.then(|| {
        bytemuck::pod_read_unaligned(&bytemuck::bytes_of(key)[..size_of::<ShortNameKey>()])
    })
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

/// Files that single cgroups are denied.
struct CgroupFiles;

impl Class for CgroupFiles {
    const NAME: &'static str = names::CGROUP_FILES;
    type Inner = Hash<[u8; size_of::<CgroupFileKey>()], u32>;

    fn entries(table: &Table) -> impl Iterator<Item = ([u8; size_of::<CgroupFileKey>()], u32)> {
        table
            .cgroup_files()
            .into_iter()
            .map(|(key, rule)| (bytemuck::cast(key), rule))
    }
}

/// Files and directories that single executables may access.
struct ExecutableFiles;

impl Class for ExecutableFiles {
    const NAME: &'static str = names::EXECUTABLE_FILES;
    type Inner = Hash<[u8; size_of::<ExecutableFileKey>()], u32>;

    fn entries(table: &Table) -> impl Iterator<Item = ([u8; size_of::<ExecutableFileKey>()], u32)> {
        table
            .executable_files()
            .into_iter()
            .map(|(key, rule)| (bytemuck::cast(key), rule))
    }
}

/// Denied addresses, endpoints and ports.
struct NetRules;

impl Class for NetRules {
    const NAME: &'static str = names::NET_RULES;
    type Inner = Hash<[u8; size_of::<NetKey>()], u32>;

    fn entries(table: &Table) -> impl Iterator<Item = ([u8; size_of::<NetKey>()], u32)> {
        table
            .net_rules()
            .into_iter()
            .map(|(key, rule)| (bytemuck::cast(key), rule))
    }
}

/// Denied networks.
struct NetPrefixes;

impl Class for NetPrefixes {
    const NAME: &'static str = names::NET_PREFIXES;
    type Inner = LpmTrie<MapData, [u8; size_of::<PrefixData>()], u32>;

    fn entries(
        table: &Table,
    ) -> impl Iterator<Item = (lpm_trie::Key<[u8; size_of::<PrefixData>()]>, u32)> {
        table
            .net_prefixes()
            .into_iter()
            .map(|((bits, data), rule)| (lpm_trie::Key::new(bits, bytemuck::cast(data)), rule))
    }
}

/// Names of executables that are denied.
struct Comms;

impl Class for Comms {
    const NAME: &'static str = names::COMMS;
    type Inner = Hash<[u8; size_of::<CommKey>()], u32>;

    fn entries(table: &Table) -> impl Iterator<Item = ([u8; size_of::<CommKey>()], u32)> {
        table
            .comms()
            .into_iter()
            .map(|(key, rule)| (bytemuck::cast(key), rule))
    }
}

/// Operations that are denied as such.
struct Toggles;

impl Class for Toggles {
    const NAME: &'static str = names::TOGGLES;
    type Inner = Hash<u32, u32>;

    fn entries(table: &Table) -> impl Iterator<Item = (u32, u32)> {
        table.toggles().into_iter()
    }
}
