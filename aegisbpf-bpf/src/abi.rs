//! The layouts that kernel and user space share: `bpf/abi.h`, field by field and in the same order.
//!
//! Sizes and offsets are asserted here and in the header; the test `layout_of_the_objects_is_ours` reads
//! them out of the built objects. Deriving [`bytemuck::Pod`] refuses hidden padding.

use std::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

/// Version of everything in this module. A change of any layout raises it, and of what user space must write for the programs.
pub const ABI_VERSION: u32 = 4;
/// Bytes of the filter: one for each value of the low 16 bits of an inode number.
pub const FILTER_SLOTS: usize = 1 << 16;
/// Bytes of a task's name, with its NUL.
pub const COMM_BYTES: usize = 16;
/// Bytes of [`Event::path`].
pub const PATH_BYTES: usize = 320;

/// Bytes of [`Emergency::reason`].
pub const REASON_BYTES: usize = 256;
/// Bytes of the network filter: one for each port, and for each value of 16 bits of an address.
pub const NET_SLOTS: usize = 1 << 16;
/// Bytes of an IPv6 address; an IPv4 one is kept as `::ffff:a.b.c.d`.
pub const ADDRESS_BYTES: usize = 16;

/// Filter bit: some file with these low inode bits has a rule.
pub const FILTER_FILE: u8 = 1;
/// Bit of the network filter: a port to connect or send to has a rule.
pub const NET_PORT_OUT: u8 = 1;
/// Bit of the network filter: a port to bind, listen or accept on has a rule.
pub const NET_PORT_IN: u8 = 2;
/// Bit of the network filter: an IPv4 address that begins with these 16 bits has a rule.
pub const NET_V4: u8 = 4;
/// Bit of the network filter: an IPv6 address whose bits 16 to 31 are these has a rule.
pub const NET_V6: u8 = 8;

/// [`ObjectKey::kind`]: a file.
pub const OBJECT_FILE: u32 = 1;

/// [`NetKey::kind`]: an address.
pub const NET_ADDRESS: u8 = 1;
/// [`NetKey::kind`]: a port of an address.
pub const NET_ENDPOINT: u8 = 2;
/// [`NetKey::kind`]: a port.
pub const NET_PORT: u8 = 3;
/// [`NetKey::kind`]: no rule: this cgroup (0: any at all) has rules of its own.
pub const NET_SCOPED: u8 = 4;
/// [`NetKey::direction`]: connect or send to.
pub const DIRECTION_OUT: u8 = 1;
/// [`NetKey::direction`]: bind, listen or accept on.
pub const DIRECTION_IN: u8 = 2;
/// A rule's protocol: each.
pub const PROTOCOL_ANY: u8 = 0;
/// TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// An access's protocol: neither.
pub const PROTOCOL_OTHER: u8 = 255;

/// Bit of [`RuleRef::effect`]: the rule denies it.
pub const EFFECT_DENY: u32 = 1;
/// Bit of [`RuleRef::effect`]: for some cgroup there is a rule of its own about it.
pub const EFFECT_SCOPED: u32 = 2;
/// Bit of [`RuleRef::effect`]: for some executable there is an exception.
pub const EFFECT_EXCEPTED: u32 = 4;
/// Bytes of a name, with its NUL.
pub const FULL_NAME_BYTES: usize = 256;
/// Bytes of a short name, with its NUL.
pub const SHORT_NAME_BYTES: usize = 24;
/// Bits of a [`SieveRow`].
pub const SIEVE_ROW_BITS: usize = 512;
/// An inode number times this, its upper half, is the number's place in the sieve.
pub const SIEVE_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// Changes of the filter that one run of the program for it makes.
pub const FILTER_PATCHES: usize = 1024;

/// Filter bit: a rule holds for all below some directory with these low inode bits.
pub const FILTER_DIR: u8 = 2;
/// Filter bit, beside [`FILTER_FILE`]: there are so many rules that the sieve is worth asking.
pub const FILTER_SIEVED: u8 = 8;
/// Filter bit: names in some directory with these low inode bits are watched.
pub const FILTER_NAME: u8 = 4;
/// [`ObjectKey::kind`]: all below a directory.
pub const OBJECT_DIR: u32 = 2;
/// [`ObjectKey::kind`]: no object; what the rule with the number `ino` says of inodes that are bound to it.
pub const OBJECT_RULE: u32 = 3;
/// [`NameRef::kind`]: whatever bears the name is the rule's object.
pub const NAME_OBJECT: u32 = 1;
/// [`NameRef::kind`]: a directory on the way to the rule's object.
pub const NAME_ANCESTOR: u32 = 2;
/// [`NameRef::kind`]: whatever bears the name is the directory of the rule, which is about all below it.
pub const NAME_DIRECTORY: u32 = 5;
/// [`Bound::state`]: the rule holds whatever the file is called, until it dies.
pub const BOUND_STICKY: u32 = 2;
/// [`RuleRef::effect`]: only the inode of this generation is meant.
pub const EFFECT_ONE_GENERATION: u32 = 8;
/// [`Control::mode`]: count and report, let everything pass.
pub const MODE_AUDIT: u32 = 0;
/// [`Control::mode`]: refuse.
pub const MODE_ENFORCE: u32 = 1;

/// [`Event::operation`]: a file was opened.
pub const OPERATION_OPEN: u8 = 1;
/// [`Event::operation`]: a file was executed.
pub const OPERATION_EXEC: u8 = 2;
/// [`Event::operation`]: a peer was connected to.
pub const OPERATION_CONNECT: u8 = 20;
/// [`Event::operation`]: a port or an address was bound.
pub const OPERATION_BIND: u8 = 21;
/// [`Event::operation`]: a socket was made to listen.
pub const OPERATION_LISTEN: u8 = 22;
/// [`Event::operation`]: a connection was accepted.
pub const OPERATION_ACCEPT: u8 = 23;
/// [`Event::operation`]: something was sent.
pub const OPERATION_SENDMSG: u8 = 24;
/// [`Event::operation`]: something was received.
pub const OPERATION_RECVMSG: u8 = 25;
/// [`Event::operation`]: another process was traced.
pub const OPERATION_PTRACE: u8 = 30;
/// [`Event::operation`]: a kernel module was loaded.
pub const OPERATION_MODULE_LOAD: u8 = 31;
/// [`Event::operation`]: bpf(2) was called.
pub const OPERATION_BPF: u8 = 32;
/// [`Event::operation`]: an open file was mapped.
pub const OPERATION_MMAP: u8 = 3;
/// [`Event::operation`]: a file was cut or grown.
pub const OPERATION_TRUNCATE: u8 = 4;
/// [`Event::operation`]: permissions were changed.
pub const OPERATION_CHMOD: u8 = 5;
/// [`Event::operation`]: the owner was changed.
pub const OPERATION_CHOWN: u8 = 6;
/// [`Event::operation`]: an extended attribute or access list was changed.
pub const OPERATION_SETXATTR: u8 = 7;
/// [`Event::operation`]: a file got one more name.
pub const OPERATION_LINK: u8 = 8;
/// [`Event::operation`]: a name was removed.
pub const OPERATION_UNLINK: u8 = 9;
/// [`Event::operation`]: a name was moved.
pub const OPERATION_RENAME: u8 = 10;
/// [`Event::operation`]: something was made.
pub const OPERATION_CREATE: u8 = 11;
/// [`Event::operation`]: something was mounted there.
pub const OPERATION_MOUNT: u8 = 12;

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
/// [`Event::path_form`]: no path, an [`AddressRecord`].
pub const PATH_ADDRESS: u8 = 4;
/// [`Event::path_form`]: no path, a [`TaskRecord`].
pub const PATH_TASK: u8 = 5;

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
    /// An inode could not be bound to the rule of its new name.
    pub const FAULT_BOUND: u32 = 8;
    /// A directory on the way to a watched name was replaced or mounted over.
    pub const NAMES_MOVED: u32 = 9;
}

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
    /// The rule's id, if `effect` has [`EFFECT_DENY`].
    pub rule: u32,
    /// Bits: `EFFECT_…`.
    /// `EFFECT_…`.
    pub effect: u32,
    /// The inode's, with [`EFFECT_ONE_GENERATION`].
    pub generation: u32,
    /// Zero.
    pub pad: u32,
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
    /// [`NAME_OBJECT`], [`NAME_DIRECTORY`] or [`NAME_ANCESTOR`].
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

/// Key of `net_rules`; what a kind does not speak of is 0. The value is the rule's id.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct NetKey {
    /// cgroup id; 0: whoever it is.
    pub cgroup: u64,
    /// The address.
    pub addr: [u8; ADDRESS_BYTES],
    /// In the machine's order.
    pub port: u16,
    /// `PROTOCOL_…`.
    pub proto: u8,
    /// `NET_…`.
    pub kind: u8,
    /// `DIRECTION_…`, of a port.
    pub direction: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// Key of `net_prefixes` without its first field, the number of bits that count. The value is the rule's id.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct PrefixData {
    /// 4 or 6.
    pub family: u32,
    /// The address; an IPv4 one in the first 4 bytes.
    pub addr: [u8; ADDRESS_BYTES],
}

/// Key of `comms`: the name of an executable file, filled up with NULs. The value is the rule's id.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct CommKey {
    /// The name.
    pub name: [u8; COMM_BYTES],
}

/// What an event about the network has in place of a path.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct AddressRecord {
    /// The peer's address, or our own.
    pub addr: [u8; ADDRESS_BYTES],
    /// In the machine's order.
    pub port: u16,
    /// 4 or 6.
    pub family: u8,
    /// `PROTOCOL_…`.
    pub proto: u8,
    /// Zero.
    pub pad: u32,
}

/// What an event about another process has in place of a path.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct TaskRecord {
    /// Process.
    pub tgid: u32,
    /// Zero.
    pub pad: u32,
    /// Its name.
    pub comm: [u8; COMM_BYTES],
}

/// Key of `by_cgroup`.
#[repr(C, packed(4))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct CountKey {
    /// cgroup id.
    pub cgroup: u64,
    /// The rule's id.
    pub rule: u32,
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

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.audited += other.audited;
        self.denied += other.denied;
        self.exempted += other.exempted;
    }
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
    /// `OPERATION_…`.
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
const _: () = assert!(size_of::<CgroupFileKey>() == 24);
const _: () = assert!(size_of::<ExecutableFileKey>() == 24);
const _: () = assert!(size_of::<NetKey>() == 32);
const _: () = assert!(size_of::<PrefixData>() == 20);
const _: () = assert!(size_of::<CommKey>() == 16);
const _: () = assert!(size_of::<AddressRecord>() == 24);
const _: () = assert!(size_of::<TaskRecord>() == 24);
const _: () = assert!(size_of::<RuleRef>() == 16);
const _: () = assert!(size_of::<NameKey>() == 272);
const _: () = assert!(size_of::<ShortNameKey>() == 40);
const _: () = assert!(size_of::<NameRef>() == 8);
const _: () = assert!(size_of::<InodeKey>() == 24);
const _: () = assert!(size_of::<Bound>() == 8);
const _: () = assert!(size_of::<SieveRow>() == 64);
const _: () = assert!(size_of::<FilterPatch>() == 8);
const _: () = assert!(size_of::<FileIdentity>() == 24);
const _: () = assert!(size_of::<CountKey>() == 12);
const _: () = assert!(size_of::<Counts>() == 24);
const _: () = assert!(size_of::<Control>() == 24);
const _: () = assert!(size_of::<Emergency>() == 280);
const _: () = assert!(size_of::<DeadMan>() == 16);
const _: () = assert!(size_of::<Event>() == 392);
const _: () = assert!(offset_of!(Event, comm) == 56);
const _: () = assert!(offset_of!(Event, path) == 72);
