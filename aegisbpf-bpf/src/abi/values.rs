//! Sizes, and the numbers that stand for something.

/// Bytes of the filter: one for each value of the low 16 bits of an inode number.
pub const FILTER_SLOTS: usize = 1 << 16;
/// Bytes of a task's name, with its NUL.
pub const COMM_BYTES: usize = 16;
/// Bytes of [`Event::path`](super::Event::path).
pub const PATH_BYTES: usize = 320;
/// Bytes of [`Emergency::reason`](super::Emergency::reason).
pub const REASON_BYTES: usize = 256;
/// Bytes of the network filter: one for each port, and for each value of 16 bits of an address.
pub const NET_SLOTS: usize = 1 << 16;
/// Bytes of an IPv6 address; an IPv4 one is kept as `::ffff:a.b.c.d`.
pub const ADDRESS_BYTES: usize = 16;
/// Bytes of a name, with its NUL.
pub const FULL_NAME_BYTES: usize = 256;
/// Bytes of a short name, with its NUL.
pub const SHORT_NAME_BYTES: usize = 24;
/// Bits of a [`SieveRow`](super::SieveRow).
pub const SIEVE_ROW_BITS: usize = 512;
/// An inode number times this, its upper half, is the number's place in the sieve.
pub const SIEVE_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// Changes of the filter that one run of the program for it makes.
pub const FILTER_PATCHES: usize = 1024;

/// Filter bit: some file with these low inode bits has a rule.
pub const FILTER_FILE: u8 = 1;
/// Filter bit: a rule holds for all below some directory with these low inode bits.
pub const FILTER_DIR: u8 = 2;
/// Filter bit: names in some directory with these low inode bits are watched.
pub const FILTER_NAME: u8 = 4;
/// Filter bit, beside [`FILTER_FILE`]: there are so many rules that the sieve is worth asking.
pub const FILTER_SIEVED: u8 = 8;

/// [`ObjectKey::kind`](super::ObjectKey::kind): a file.
pub const OBJECT_FILE: u32 = 1;
/// [`ObjectKey::kind`](super::ObjectKey::kind): all below a directory.
pub const OBJECT_DIR: u32 = 2;
/// [`ObjectKey::kind`](super::ObjectKey::kind): no object; what the rule with the number `ino` says of inodes that are bound to it.
pub const OBJECT_RULE: u32 = 3;

/// Bit of [`RuleRef::effect`](super::RuleRef::effect): the rule denies it.
pub const EFFECT_DENY: u32 = 1;
/// Bit of [`RuleRef::effect`](super::RuleRef::effect): for some cgroup there is a rule of its own about it.
pub const EFFECT_SCOPED: u32 = 2;
/// Bit of [`RuleRef::effect`](super::RuleRef::effect): for some executable there is an exception.
pub const EFFECT_EXCEPTED: u32 = 4;
/// [`RuleRef::effect`](super::RuleRef::effect): only the inode of this generation is meant.
pub const EFFECT_ONE_GENERATION: u32 = 8;

/// [`NameRef::kind`](super::NameRef::kind): whatever bears the name is the rule's object.
pub const NAME_OBJECT: u32 = 1;
/// [`NameRef::kind`](super::NameRef::kind): a directory on the way to the rule's object.
pub const NAME_ANCESTOR: u32 = 2;
/// [`NameRef::kind`](super::NameRef::kind): whatever bears the name is the directory of the rule, which is about all below it.
pub const NAME_DIRECTORY: u32 = 5;

/// [`Bound::state`](super::Bound::state): the rule holds whatever the file is called, until it dies.
pub const BOUND_STICKY: u32 = 2;

/// Bit of the network filter: a port to connect or send to has a rule.
pub const NET_PORT_OUT: u8 = 1;
/// Bit of the network filter: a port to bind, listen or accept on has a rule.
pub const NET_PORT_IN: u8 = 2;
/// Bit of the network filter: an IPv4 address that begins with these 16 bits has a rule.
pub const NET_V4: u8 = 4;
/// Bit of the network filter: an IPv6 address whose bits 16 to 31 are these has a rule.
pub const NET_V6: u8 = 8;

/// [`NetKey::kind`](super::NetKey::kind): an address.
pub const NET_ADDRESS: u8 = 1;
/// [`NetKey::kind`](super::NetKey::kind): a port of an address.
pub const NET_ENDPOINT: u8 = 2;
/// [`NetKey::kind`](super::NetKey::kind): a port.
pub const NET_PORT: u8 = 3;
/// [`NetKey::kind`](super::NetKey::kind): no rule: this cgroup (0: any at all) has rules of its own.
pub const NET_SCOPED: u8 = 4;

/// [`NetKey::direction`](super::NetKey::direction): connect or send to.
pub const DIRECTION_OUT: u8 = 1;
/// [`NetKey::direction`](super::NetKey::direction): bind, listen or accept on.
pub const DIRECTION_IN: u8 = 2;

/// A rule's protocol: each.
pub const PROTOCOL_ANY: u8 = 0;
/// TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// An access's protocol: neither.
pub const PROTOCOL_OTHER: u8 = 255;

/// [`Control::mode`](super::Control::mode): count and report, let everything pass.
pub const MODE_AUDIT: u32 = 0;
/// [`Control::mode`](super::Control::mode): refuse.
pub const MODE_ENFORCE: u32 = 1;

/// [`Event::operation`](super::Event::operation): a file was opened.
pub const OPERATION_OPEN: u8 = 1;
/// [`Event::operation`](super::Event::operation): a file was executed.
pub const OPERATION_EXEC: u8 = 2;
/// [`Event::operation`](super::Event::operation): an open file was mapped.
pub const OPERATION_MMAP: u8 = 3;
/// [`Event::operation`](super::Event::operation): a file was cut or grown.
pub const OPERATION_TRUNCATE: u8 = 4;
/// [`Event::operation`](super::Event::operation): permissions were changed.
pub const OPERATION_CHMOD: u8 = 5;
/// [`Event::operation`](super::Event::operation): the owner was changed.
pub const OPERATION_CHOWN: u8 = 6;
/// [`Event::operation`](super::Event::operation): an extended attribute or access list was changed.
pub const OPERATION_SETXATTR: u8 = 7;
/// [`Event::operation`](super::Event::operation): a file got one more name.
pub const OPERATION_LINK: u8 = 8;
/// [`Event::operation`](super::Event::operation): a name was removed.
pub const OPERATION_UNLINK: u8 = 9;
/// [`Event::operation`](super::Event::operation): a name was moved.
pub const OPERATION_RENAME: u8 = 10;
/// [`Event::operation`](super::Event::operation): something was made.
pub const OPERATION_CREATE: u8 = 11;
/// [`Event::operation`](super::Event::operation): something was mounted there.
pub const OPERATION_MOUNT: u8 = 12;
/// [`Event::operation`](super::Event::operation): a peer was connected to.
pub const OPERATION_CONNECT: u8 = 20;
/// [`Event::operation`](super::Event::operation): a port or an address was bound.
pub const OPERATION_BIND: u8 = 21;
/// [`Event::operation`](super::Event::operation): a socket was made to listen.
pub const OPERATION_LISTEN: u8 = 22;
/// [`Event::operation`](super::Event::operation): a connection was accepted.
pub const OPERATION_ACCEPT: u8 = 23;
/// [`Event::operation`](super::Event::operation): something was sent.
pub const OPERATION_SENDMSG: u8 = 24;
/// [`Event::operation`](super::Event::operation): something was received.
pub const OPERATION_RECVMSG: u8 = 25;
/// [`Event::operation`](super::Event::operation): another process was traced.
pub const OPERATION_PTRACE: u8 = 30;
/// [`Event::operation`](super::Event::operation): a kernel module was loaded.
pub const OPERATION_MODULE_LOAD: u8 = 31;
/// [`Event::operation`](super::Event::operation): bpf(2) was called.
pub const OPERATION_BPF: u8 = 32;

/// No rule matched.
pub const DECISION_ALLOW: u8 = 0;
/// A rule matched; mode or hook let it pass.
pub const DECISION_AUDIT: u8 = 1;
/// A rule matched and the operation was refused.
pub const DECISION_DENY: u8 = 2;
/// A rule matched; an exception allows it.
pub const DECISION_EXEMPT: u8 = 3;

/// [`Event::path_form`](super::Event::path_form): none.
pub const PATH_NONE: u8 = 0;
/// [`Event::path_form`](super::Event::path_form): as `d_path` gives it.
pub const PATH_ABSOLUTE: u8 = 1;
/// [`Event::path_form`](super::Event::path_form): NUL-separated names, the last component first.
pub const PATH_COMPONENTS: u8 = 2;
/// [`Event::path_form`](super::Event::path_form): the same, cut off: too deep, or a name too long.
pub const PATH_PARTIAL: u8 = 3;
/// [`Event::path_form`](super::Event::path_form): no path, an [`AddressRecord`](super::AddressRecord).
pub const PATH_ADDRESS: u8 = 4;
/// [`Event::path_form`](super::Event::path_form): no path, a [`TaskRecord`](super::TaskRecord).
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
    /// An inode could not be bound to the rule of its new name.
    pub const FAULT_BOUND: u32 = 8;
    /// A directory on the way to a watched name was replaced or mounted over.
    pub const NAMES_MOVED: u32 = 9;
    /// An emergency turned a refusal into an audit.
    pub const EMERGENCY: u32 = 12;
    /// The silence of the daemon turned a refusal into an audit.
    pub const DEAD_MAN: u32 = 13;
    /// How many there is room for.
    pub const SIZE: u32 = 16;
}
