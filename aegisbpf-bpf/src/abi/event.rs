//! What is reported.

use std::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

use super::{ADDRESS_BYTES, COMM_BYTES, PATH_BYTES};

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
    /// [`DECISION_AUDIT`](super::DECISION_AUDIT) or [`DECISION_DENY`](super::DECISION_DENY).
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

const _: () = assert!(size_of::<AddressRecord>() == 24);
const _: () = assert!(size_of::<TaskRecord>() == 24);
const _: () = assert!(size_of::<Event>() == 392);
const _: () = assert!(offset_of!(Event, comm) == 56);
const _: () = assert!(offset_of!(Event, path) == 72);
