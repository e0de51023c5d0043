//! What holds for all, what is counted, and entries about what is no file.

use std::mem::size_of;

use bytemuck::{Pod, Zeroable};

use super::{ADDRESS_BYTES, COMM_BYTES, REASON_BYTES};

/// The one value of `control`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Control {
    /// Bit 0 is the slot of the current policy; the rest tells generations apart.
    pub generation: u32,
    /// [`MODE_AUDIT`](super::MODE_AUDIT) or [`MODE_ENFORCE`](super::MODE_ENFORCE).
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

/// Key of `comms`: the name of an executable file, filled up with NULs. The value is the rule's id.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct CommKey {
    /// The name.
    pub name: [u8; COMM_BYTES],
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

const _: () = assert!(size_of::<NetKey>() == 32);
const _: () = assert!(size_of::<PrefixData>() == 20);
const _: () = assert!(size_of::<CommKey>() == 16);
const _: () = assert!(size_of::<CountKey>() == 12);
const _: () = assert!(size_of::<Counts>() == 24);
const _: () = assert!(size_of::<Control>() == 24);
const _: () = assert!(size_of::<Emergency>() == 280);
const _: () = assert!(size_of::<DeadMan>() == 16);
