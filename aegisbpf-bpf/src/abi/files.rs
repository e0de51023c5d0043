//! Entries about files and their names.

use std::mem::size_of;

use bytemuck::{Pod, Zeroable};

use super::{FULL_NAME_BYTES, SHORT_NAME_BYTES, SIEVE_ROW_BITS};

/// Key of `rules`: what an access is about.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct ObjectKey {
    /// Inode number.
    pub ino: u64,
    /// Device in the kernel's encoding: `major << 20 | minor`.
    pub dev: u32,
    /// `OBJECT_…`.
    pub kind: u32,
}

/// Value of `rules`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct RuleRef {
    /// The rule's id, if `effect` has [`EFFECT_DENY`](super::EFFECT_DENY).
    pub rule: u32,
    /// Bits: `EFFECT_…`.
    /// `EFFECT_…`.
    pub effect: u32,
    /// The inode's, with [`EFFECT_ONE_GENERATION`](super::EFFECT_ONE_GENERATION).
    pub generation: u32,
    /// Zero.
    pub pad: u32,
}

/// Key of `cgroup_files`: a file, for a cgroup and all below it. The value is the rule's id.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct CgroupFileKey {
    /// cgroup id.
    pub cgroup: u64,
    /// Inode number.
    pub ino: u64,
    /// Device in the kernel's encoding.
    pub dev: u32,
    /// Zero.
    pub pad: u32,
}

/// Key of `executable_files`: a file or directory that this executable may access. The value is the rule's id.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct ExecutableFileKey {
    /// The executable's inode number.
    pub exe_ino: u64,
    /// The object's.
    pub ino: u64,
    /// The executable's device in the kernel's encoding.
    pub exe_dev: u32,
    /// The object's.
    pub dev: u32,
}

/// What the program `identify_file` tells of an open file.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct FileIdentity {
    /// Inode number.
    pub ino: u64,
    /// Device in the kernel's encoding.
    pub dev: u32,
    /// The inode's generation.
    pub generation: u32,
    /// 1 if the file system keeps it as long as the inode lives.
    pub keeps_generation: u32,
    /// Zero.
    pub pad: u32,
}

/// Value of `sieve`: a row of bits.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct SieveRow {
    /// The bit of place `n` is bit `n % 64` of word `n / 64 % 8` of row `n / 512`.
    pub words: [u64; SIEVE_ROW_BITS / 64],
}

/// One change of the filter.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct FilterPatch {
    /// Which byte.
    pub slot: u32,
    /// Bits to set.
    pub set: u8,
    /// Bits to clear.
    pub clear: u8,
    /// 1 if a bound inode's entry is to come.
    pub count: u8,
    /// 1 if a bound inode's entry is gone.
    pub uncount: u8,
}

/// Key of `names`: a name in a directory.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct NameKey {
    /// Inode number of the directory.
    pub ino: u64,
    /// Its device in the kernel's encoding.
    pub dev: u32,
    /// Bytes of `name` in use.
    pub len: u32,
    /// Filled up with NULs.
    pub name: [u8; FULL_NAME_BYTES],
}

/// Key of `short_names`: a name in a directory. The first bytes of the [`NameKey`] of the same name.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct ShortNameKey {
    /// Inode number of the directory.
    pub ino: u64,
    /// Its device in the kernel's encoding.
    pub dev: u32,
    /// Bytes of `name` in use.
    pub len: u32,
    /// Filled up with NULs.
    pub name: [u8; SHORT_NAME_BYTES],
}

/// Value of `names` and `short_names`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct NameRef {
    /// The rule's id.
    pub rule: u32,
    /// [`NAME_OBJECT`](super::NAME_OBJECT), [`NAME_DIRECTORY`](super::NAME_DIRECTORY) or [`NAME_ANCESTOR`](super::NAME_ANCESTOR).
    pub kind: u32,
}

/// Key of `bound`: an inode that came to bear a watched name.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
pub struct InodeKey {
    /// The inode's number.
    pub ino: u64,
    /// The device, as in [`ObjectKey::dev`].
    pub dev: u32,
    /// The inode's generation; 0 where the file system does not keep it.
    pub generation: u32,
    /// `OBJECT_…`.
    pub kind: u32,
    /// Nothing.
    pub pad: u32,
}

/// Value of `bound`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Bound {
    /// The rule's id.
    pub rule: u32,
    /// `BOUND_…`.
    pub state: u32,
}

const _: () = assert!(size_of::<ObjectKey>() == 16);
const _: () = assert!(size_of::<CgroupFileKey>() == 24);
const _: () = assert!(size_of::<ExecutableFileKey>() == 24);
const _: () = assert!(size_of::<RuleRef>() == 16);
const _: () = assert!(size_of::<NameKey>() == 272);
const _: () = assert!(size_of::<ShortNameKey>() == 40);
const _: () = assert!(size_of::<NameRef>() == 8);
const _: () = assert!(size_of::<InodeKey>() == 24);
const _: () = assert!(size_of::<Bound>() == 8);
const _: () = assert!(size_of::<SieveRow>() == 64);
const _: () = assert!(size_of::<FilterPatch>() == 8);
const _: () = assert!(size_of::<FileIdentity>() == 24);
