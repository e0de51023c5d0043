/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The layouts that both sides share. src/abi.rs mirrors this file, field by field and in the same
 * order; a test reads the layouts out of the built objects and compares them with Rust's.
 *
 * Fields stand in groups of 8 bytes and padding has a name: a hash key with hidden padding is a
 * look-up that sometimes misses.
 */
#ifndef AEGIS_ABI_H
#define AEGIS_ABI_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;

#define AEGIS_ABI_VERSION 4

#define FILTER_SLOTS (1 << 16) /* one byte for each value of the low 16 bits of an inode number */
#define COMM_BYTES 16
#define PATH_BYTES 320
#define REASON_BYTES 256 /* of an emergency, with its NUL */
#define NAME_BYTES 64 /* of one component, with its NUL, where the path is walked by hand */
#define NET_SLOTS (1 << 16) /* one byte for each port, and for each value of 16 bits of an address */
#define ADDRESS_BYTES 16 /* of an IPv6 address; an IPv4 one is kept as ::ffff:a.b.c.d */
#define FULL_NAME_BYTES 256 /* of one component, with its NUL: NAME_MAX is 255 */
#define SHORT_NAME_BYTES 24 /* the same, of most */
#define SIEVE_ROW_BITS 512
#define SIEVE_FACTOR 0x9e3779b97f4a7c15ull /* spreads inode numbers over the sieve: 2^64 / the golden ratio */
#define FILTER_PATCHES 1024 /* of the filter, in one run of `patch_filter` */

/* Bits of a filter byte: which class of hook has a rule for an inode with these low bits. */
enum filter_bit {
	FILTER_FILE = 1, /* a rule about this file */
	FILTER_DIR = 2, /* a rule about all below this directory */
	FILTER_NAME = 4, /* names in this directory are watched */
	FILTER_SIEVED = 8, /* beside FILTER_FILE: there are so many rules that the sieve is worth asking */
	FILTER_STATIC = 0x0f, /* the bits that user space sets */
	FILTER_BOUND = 0xf0, /* how many inodes the programs have bound to rules; 15 stands for more */
};

/* Bits of a byte of the network filter: what has a rule for this port, or for these 16 bits of an address. */
enum net_bit {
	NET_PORT_OUT = 1, /* a port to connect or send to */
	NET_PORT_IN = 2, /* a port to bind, listen or accept on */
	NET_V4 = 4, /* an IPv4 address that begins with these 16 bits */
	NET_V6 = 8, /* an IPv6 address whose bits 16 to 31 are these */
};

enum object_kind {
	OBJECT_FILE = 1,
	OBJECT_DIR = 2, /* all below it */
	OBJECT_RULE = 3, /* no object: what the rule with the number `ino` says of inodes that are bound to it */
};

/* What a watched name is to the rule that watches it. */
enum name_kind {
	NAME_OBJECT = 1, /* whatever bears it is the rule's object */
	NAME_ANCESTOR = 2, /* a directory on the way there: to replace it is to take the object away */
	NAME_DIRECTORY = 5, /* NAME_OBJECT, of a rule about all below it: bound as an OBJECT_DIR */
};

/* What the programs know of an inode that they bound to a rule. */
enum bound_state {
	BOUND_PENDING = 1, /* a rename to a watched name has begun: it counts where it is opened by such a name */
	BOUND_STICKY = 2, /* it has borne the name: the rule holds whatever it is called, until it dies */
};

/* What an entry of `net_rules` is about. */
enum net_kind {
	NET_ADDRESS = 1,
	NET_ENDPOINT = 2,
	NET_PORT = 3,
	NET_SCOPED = 4, /* no rule: this cgroup (0: any at all) has rules of its own */
};

enum direction {
	DIRECTION_OUT = 1,
	DIRECTION_IN = 2,
};

/* IP protocol numbers, as rules and events have them; 0 in a rule means each. */
enum protocol {
	PROTOCOL_ANY = 0,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_OTHER = 255,
};

/* Bits of rule_ref.effect: which look-ups an access to this object asks for. */
enum rule_effect {
	EFFECT_DENY = 1, /* `rule` denies it */
	EFFECT_SCOPED = 2, /* for some cgroup there is a rule of its own about it */
	EFFECT_EXCEPTED = 4, /* for some executable there is an exception */
	EFFECT_ONE_GENERATION = 8, /* the number may be used again by another file: compare the generation */
};

enum mode {
	MODE_AUDIT = 0,
	MODE_ENFORCE = 1,
};

enum operation {
	OPERATION_OPEN = 1,
	OPERATION_EXEC = 2,
	OPERATION_CONNECT = 20,
	OPERATION_BIND = 21,
	OPERATION_LISTEN = 22,
	OPERATION_ACCEPT = 23,
	OPERATION_SENDMSG = 24,
	OPERATION_RECVMSG = 25,
	OPERATION_PTRACE = 30,
	OPERATION_MODULE_LOAD = 31,
	OPERATION_BPF = 32,
	OPERATION_MMAP = 3,
	OPERATION_TRUNCATE = 4,
	OPERATION_CHMOD = 5,
	OPERATION_CHOWN = 6,
	OPERATION_SETXATTR = 7,
	OPERATION_LINK = 8,
	OPERATION_UNLINK = 9,
	OPERATION_RENAME = 10,
	OPERATION_CREATE = 11,
	OPERATION_MOUNT = 12,
};

enum decision_kind {
	DECISION_ALLOW = 0, /* no rule matched */
	DECISION_AUDIT = 1, /* a rule matched; the mode or the hook lets it pass */
	DECISION_DENY = 2, /* a rule matched and the operation was refused */
	DECISION_EXEMPT = 3, /* a rule matched; an exception allows it */
};

enum path_form {
	PATH_NONE = 0,
	PATH_ABSOLUTE = 1, /* as d_path gives it */
	PATH_COMPONENTS = 2, /* NUL-separated names, the last component first */
	PATH_PARTIAL = 3, /* the same, cut: too deep, or a name too long */
	PATH_ADDRESS = 4, /* no path: a struct address_record */
	PATH_TASK = 5, /* no path: a struct task_record */
};

/* Indices into `health`. What was reported, and each cause of a fault; every fault allows. */
enum health_index {
	HEALTH_EMITTED = 0,
	HEALTH_SAMPLED_OUT = 1,
	HEALTH_DROPPED = 2,
	HEALTH_FAULT_NO_POLICY = 3, /* the current generation has no map in its slot */
	HEALTH_FAULT_READ = 4, /* a kernel structure could not be read */
	HEALTH_FAULT_COUNTS = 5, /* a (rule, cgroup) counter could not be made */
	HEALTH_FAULT_TOTALS = 6, /* a rule has no counter */
	HEALTH_FAULT_DEPTH = 7, /* the cgroup, or the file, lies deeper than we look */
	HEALTH_FAULT_BOUND = 8, /* an inode could not be bound to the rule of its new name */
	HEALTH_NAMES_MOVED = 9, /* a directory on the way to a watched name was replaced, by one who may: apply again */
	HEALTH_EMERGENCY = 12, /* an emergency turned a refusal into an audit */
	HEALTH_DEAD_MAN = 13, /* the silence of the daemon turned a refusal into an audit */
	HEALTH_SIZE = 16,
};

/* Key of `rules`: what an access is about. */
struct object_key {
	u64 ino;
	u32 dev; /* the kernel's encoding: major << 20 | minor */
	u32 kind; /* enum object_kind */
};

/* Value of `rules`. */
struct rule_ref {
	u32 rule;
	u32 effect; /* enum rule_effect */
	u32 generation; /* of the inode, with EFFECT_ONE_GENERATION */
	u32 pad;
};

/*
 * Key of `short_names`: a name in a directory. The whole name, so two never collide; filled up with NULs. Most
 * names are short: their keys have a seventh of the bytes to hash, and their entries take a third of the memory.
 */
struct short_name_key {
	u64 ino; /* of the directory */
	u32 dev;
	u32 len;
	char name[SHORT_NAME_BYTES];
};

/* Key of `names`: the same with a name that is too long for the other, and the same bytes before it. */
struct name_key {
	u64 ino; /* of the directory */
	u32 dev;
	u32 len;
	char name[FULL_NAME_BYTES];
};

/* Value of both. */
struct name_ref {
	u32 rule;
	u32 kind; /* enum name_kind */
};

/*
 * Key of `bound`. The generation is part of it, not of the value: some file systems give a number away again before the
 * kernel says that its last inode has gone, and then the two inodes' entries come and go at the same time.
 */
struct inode_key {
	u64 ino;
	u32 dev;
	u32 generation; /* 0 where the file system does not keep it */
	u32 kind; /* OBJECT_FILE, or OBJECT_DIR for a rule about all below */
	u32 pad;
};

/* Value of `bound`. */
struct bound {
	u32 rule;
	u32 state; /* enum bound_state */
};

/* One change of the filter, made by `patch_filter`. */
struct filter_patch {
	u32 slot;
	u8 set;
	u8 clear;
	u8 count; /* a bound inode's entry is to come */
	u8 uncount; /* a bound inode's entry is gone */
};

/* The one value of `filter_patches`. */
struct filter_patches {
	struct filter_patch patch[FILTER_PATCHES];
};

/* Value of `sieve`: a row of bits, a cache line. */
struct sieve_row {
	u64 words[SIEVE_ROW_BITS / 64];
};

/* What `identify` tells of an open file. */
struct file_identity {
	u64 ino;
	u32 dev;
	u32 generation;
	u32 keeps_generation; /* does the file system keep it as long as the inode lives? */
	u32 pad;
};

/* Key of `cgroup_files`: a file, for a cgroup and all below it. The value is the rule's id. */
struct cgroup_file_key {
	u64 cgroup;
	u64 ino;
	u32 dev;
	u32 pad;
};

/* Key of `executable_files`: a file or directory that this executable may access. The value is the rule's id. */
struct executable_file_key {
	u64 exe_ino;
	u64 ino;
	u32 exe_dev;
	u32 dev;
};

/* Key of `net_rules`; what a kind does not speak of is 0. The value is the rule's id. */
struct net_key {
	u64 cgroup; /* 0: whoever it is */
	u8 addr[ADDRESS_BYTES];
	u16 port; /* in the machine's order */
	u8 proto; /* enum protocol */
	u8 kind; /* enum net_kind */
	u8 direction; /* enum direction, of a port */
	u8 pad[3];
};

/* Key of `net_prefixes`, a trie: `bits` of what follows count. The value is the rule's id. */
struct prefix_key {
	u32 bits;
	u32 family; /* 4 or 6 */
	u8 addr[ADDRESS_BYTES]; /* an IPv4 one in the first 4 */
};

/* Key of `comms`: the name of an executable file, filled up with NULs. The value is the rule's id. */
struct comm_key {
	char name[COMM_BYTES];
};

/* The one value of `own`: the executable that is the enforcer. */
struct own_executable {
	u64 ino;
	u32 dev;
	u32 pad;
};

/* Key of `by_cgroup`. */
struct count_key {
	u64 cgroup;
	u32 rule;
} __attribute__((packed, aligned(4))); /* three words are hashed in one round, four in two */

/* Value of `totals` and `by_cgroup`, one for each CPU. */
struct counts {
	u64 audited;
	u64 denied;
	u64 exempted;
};

/* The one value of `control`. */
struct control {
	u32 generation; /* bit 0 is the slot of the current policy; the rest only tells generations apart */
	u32 mode; /* enum mode */
	u32 sample_every; /* emit one event in this many, on each CPU; 0 emits none */
	u32 self_tgid; /* the enforcer's own process, in the initial pid namespace */
	u64 self_start; /* when it started, CLOCK_BOOTTIME: another process may get its number */
};

/* The one value of `emergency`. */
struct emergency {
	u64 since_ns; /* CLOCK_REALTIME, of the last change */
	u32 on;
	u32 uid;
	u32 pid;
	u32 pad;
	char reason[REASON_BYTES];
};

/* The one value of `dead_man`. */
struct dead_man {
	u64 deadline_ns; /* CLOCK_MONOTONIC; 0: there is no timer */
	u64 patience_ns; /* how long after a heartbeat the deadline lies */
};

/* One record of the ring buffer. */
struct event {
	u64 boot_ns; /* CLOCK_BOOTTIME */
	u64 cgroup;
	u64 ino;
	u32 dev;
	u32 rule;
	u32 pid; /* thread */
	u32 tgid; /* process */
	u32 uid;
	u32 gid;
	u8 operation; /* enum operation */
	u8 decision; /* enum decision_kind */
	u8 path_form; /* enum path_form */
	u8 pad0;
	u16 path_len; /* bytes of `path` in use, without the last NUL */
	u16 pad1;
	char comm[COMM_BYTES];
	char path[PATH_BYTES];
};

/* What an event about the network has in place of a path. */
struct address_record {
	u8 addr[ADDRESS_BYTES];
	u16 port; /* in the machine's order */
	u8 family; /* 4 or 6 */
	u8 proto; /* enum protocol */
	u32 pad;
};

/* What an event about another process has in place of a path. */
struct task_record {
	u32 tgid;
	u32 pad;
	char comm[COMM_BYTES];
};

_Static_assert(sizeof(struct object_key) == 16, "object_key");
_Static_assert(sizeof(struct cgroup_file_key) == 24, "cgroup_file_key");
_Static_assert(sizeof(struct executable_file_key) == 24, "executable_file_key");
_Static_assert(sizeof(struct net_key) == 32, "net_key");
_Static_assert(sizeof(struct prefix_key) == 24, "prefix_key");
_Static_assert(sizeof(struct comm_key) == 16, "comm_key");
_Static_assert(sizeof(struct own_executable) == 16, "own_executable");
_Static_assert(sizeof(struct address_record) == 24, "address_record");
_Static_assert(sizeof(struct task_record) == 24, "task_record");
_Static_assert(sizeof(struct rule_ref) == 16, "rule_ref");
_Static_assert(sizeof(struct name_key) == 272, "name_key");
_Static_assert(sizeof(struct short_name_key) == 40, "short_name_key");
_Static_assert(__builtin_offsetof(struct short_name_key, name) == __builtin_offsetof(struct name_key, name), "name");
_Static_assert(sizeof(struct name_ref) == 8, "name_ref");
_Static_assert(sizeof(struct inode_key) == 24, "inode_key");
_Static_assert(sizeof(struct bound) == 8, "bound");
_Static_assert(sizeof(struct filter_patch) == 8, "filter_patch");
_Static_assert(sizeof(struct file_identity) == 24, "file_identity");
_Static_assert(sizeof(struct count_key) == 12, "count_key");
_Static_assert(sizeof(struct counts) == 24, "counts");
_Static_assert(sizeof(struct control) == 24, "control");
_Static_assert(sizeof(struct emergency) == 280, "emergency");
_Static_assert(sizeof(struct dead_man) == 16, "dead_man");
_Static_assert(sizeof(struct event) == 392, "event");
_Static_assert(__builtin_offsetof(struct event, comm) == 56, "event.comm");
_Static_assert(__builtin_offsetof(struct event, path) == 72, "event.path");

#endif
