//! The layouts that kernel and user space share: `bpf/abi.h`, field by field and in the same order.
//!
//! Sizes and offsets are asserted here and in the header; the test `layout_of_the_objects_is_ours` reads
//! them out of the built objects. Deriving [`bytemuck::Pod`] refuses hidden padding.

use std::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

/// Version of everything in this module. A change of any layout raises it.
pub const ABI_VERSION: u32 = 1;
/// Bytes of the filter: one for each value of the low 16 bits of an inode number.
pub const FILTER_SLOTS: usize = 1 << 16;
/// Bytes of a task's name, with its NUL.
pub const COMM_BYTES: usize = 16;
/// Bytes of [`Event::path`].
pub const PATH_BYTES: usize = 320;

/// Bytes of [`Emergency::reason`].
pub const REASON_BYTES: usize = 256;

/// Filter bit: some file with these low inode bits has a rule.
pub const FILTER_FILE: u8 = 1;
/// [`ObjectKey::kind`]: a file.
pub const OBJECT_FILE: u32 = 1;
/// [`RuleRef::effect`]: deny.
pub const EFFECT_DENY: u32 = 1;
/// [`Control::mode`]: count and report, let everything pass.
pub const MODE_AUDIT: u32 = 0;
/// [`Control::mode`]: refuse.
pub const MODE_ENFORCE: u32 = 1;

/// [`Event::operation`]: a file was opened.
pub const OPERATION_OPEN: u8 = 1;
/// [`Event::operation`]: a file was executed.
pub const OPERATION_EXEC: u8 = 2;

/// No rule matched.
pub const DECISION_ALLOW: u8 = 0;
/// A rule matched; mode or hook let it pass.
pub const DECISION_AUDIT: u8 = 1;
/// A rule matched and the operation was refused.
pub const DECISION_DENY: u8 = 2;
/// A rule matched; an exception allows it.
pub const DECISION_EXEMPT: u8 = 3;

/// [`Event::path_form`]: none.
pub const PATH_NONE: u8 = 0;
/// [`Event::path_form`]: as `d_path` gives it.
pub const PATH_ABSOLUTE: u8 = 1;
/// [`Event::path_form`]: NUL-separated names, the last component first.
pub const PATH_COMPONENTS: u8 = 2;
/// [`Event::path_form`]: the same, cut off: too deep, or a name too long.
pub const PATH_PARTIAL: u8 = 3;

/// Indices into the map `health`. Every fault allows the access and is counted.
pub mod health {
    /// Events handed over.
    pub const EMITTED: u32 = 0;
    /// Hits that the sampling left out.
    pub const SAMPLED_OUT: u32 = 1;
    /// Events lost to a full ring buffer.
    pub const DROPPED: u32 = 2;
    /// The current generation has no map in its slot.
    pub const FAULT_NO_POLICY: u32 = 3;
    /// A kernel structure could not be read.
    pub const FAULT_READ: u32 = 4;
    /// A (rule, cgroup) counter could not be made.
    pub const FAULT_COUNTS: u32 = 5;
    /// A rule has no counter.
    pub const FAULT_TOTALS: u32 = 6;
    /// The cgroup lies deeper than the programs look.
    pub const FAULT_DEPTH: u32 = 7;
    /// An emergency turned a refusal into an audit.
    pub const EMERGENCY: u32 = 12;
    /// The silence of the daemon turned a refusal into an audit.
    pub const DEAD_MAN: u32 = 13;
    /// How many there is room for.
    pub const SIZE: u32 = 16;
}

/// Key of `rules`: what an access is about.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct ObjectKey {
    /// Inode number.
    pub ino: u64,
    /// Device in the kernel's encoding: `major << 20 | minor`.
    pub dev: u32,
    /// [`OBJECT_FILE`].
    pub kind: u32,
}

/// Value of `rules`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct RuleRef {
    /// The rule's id.
    pub rule: u32,
    /// [`EFFECT_DENY`].
    pub effect: u32,
}

/// Key of `by_cgroup`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct CountKey {
    /// cgroup id.
    pub cgroup: u64,
    /// The rule's id.
    pub rule: u32,
    /// Zero.
    pub pad: u32,
}

/// Value of `totals` and `by_cgroup`, one for each CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Counts {
    /// Accesses that a rule met and that passed because of mode or hook.
    pub audited: u64,
    /// Accesses that were refused.
    pub denied: u64,
    /// Accesses that an exception allowed.
    pub exempted: u64,
}

/// The one value of `control`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Control {
    /// Bit 0 is the slot of the current policy; the rest tells generations apart.
    pub generation: u32,
    /// [`MODE_AUDIT`] or [`MODE_ENFORCE`].
    pub mode: u32,
    /// One event in this many on each CPU; 0 emits none.
    pub sample_every: u32,
    /// The enforcer's own process, in the initial pid namespace.
    pub self_tgid: u32,
    /// When it started, `CLOCK_BOOTTIME`: another process may get its number.
    pub self_start: u64,
}

/// The one value of `emergency`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Emergency {
    /// `CLOCK_REALTIME` of the last change, nanoseconds.
    pub since_ns: u64,
    /// Is every refusal an audit?
    pub on: u32,
    /// Who changed it last.
    pub uid: u32,
    /// By which process.
    pub pid: u32,
    /// Zero.
    pub pad: u32,
    /// Why, ended by a NUL.
    pub reason: [u8; REASON_BYTES],
}

/// The one value of `dead_man`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct DeadMan {
    /// `CLOCK_MONOTONIC`, nanoseconds: after it, every refusal is an audit. 0: there is no timer.
    pub deadline_ns: u64,
    /// How long after a heartbeat the deadline lies.
    pub patience_ns: u64,
}

/// One record of the ring buffer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
    /// cgroup id.
    pub cgroup: u64,
    /// Inode number.
    pub ino: u64,
    /// Device in the kernel's encoding.
    pub dev: u32,
    /// The rule's id.
    pub rule: u32,
    /// Thread.
    pub pid: u32,
    /// Process.
    pub tgid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// [`OPERATION_OPEN`] or [`OPERATION_EXEC`].
    pub operation: u8,
    /// [`DECISION_AUDIT`] or [`DECISION_DENY`].
    pub decision: u8,
    /// `PATH_…`.
    pub path_form: u8,
    /// Zero.
    pub pad0: u8,
    /// Bytes of `path` in use, without the last NUL.
    pub path_len: u16,
    /// Zero.
    pub pad1: u16,
    /// The task's name.
    pub comm: [u8; COMM_BYTES],
    /// See `path_form`.
    pub path: [u8; PATH_BYTES],
}

const _: () = assert!(size_of::<ObjectKey>() == 16);
const _: () = assert!(size_of::<RuleRef>() == 8);
const _: () = assert!(size_of::<CountKey>() == 16);
const _: () = assert!(size_of::<Counts>() == 24);
const _: () = assert!(size_of::<Control>() == 24);
const _: () = assert!(size_of::<Emergency>() == 280);
const _: () = assert!(size_of::<DeadMan>() == 16);
const _: () = assert!(size_of::<Event>() == 392);
const _: () = assert!(offset_of!(Event, comm) == 56);
const _: () = assert!(offset_of!(Event, path) == 72);
