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

#define AEGIS_ABI_VERSION 1

#define FILTER_SLOTS (1 << 16) /* one byte for each value of the low 16 bits of an inode number */
#define COMM_BYTES 16
#define PATH_BYTES 320
#define REASON_BYTES 256 /* of an emergency, with its NUL */
#define NAME_BYTES 64 /* of one component, with its NUL, where the path is walked by hand */

/* Bits of a filter byte: which class of hook has a rule for an inode with these low bits. */
enum filter_bit {
	FILTER_FILE = 1,
};

enum object_kind {
	OBJECT_FILE = 1,
};

enum rule_effect {
	EFFECT_DENY = 1,
};

enum mode {
	MODE_AUDIT = 0,
	MODE_ENFORCE = 1,
};

enum operation {
	OPERATION_OPEN = 1,
	OPERATION_EXEC = 2,
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
	HEALTH_FAULT_DEPTH = 7, /* the cgroup lies deeper than we look */
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
};

/* Key of `by_cgroup`. */
struct count_key {
	u64 cgroup;
	u32 rule;
	u32 pad;
};

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

_Static_assert(sizeof(struct object_key) == 16, "object_key");
_Static_assert(sizeof(struct rule_ref) == 8, "rule_ref");
_Static_assert(sizeof(struct count_key) == 16, "count_key");
_Static_assert(sizeof(struct counts) == 24, "counts");
_Static_assert(sizeof(struct control) == 24, "control");
_Static_assert(sizeof(struct emergency) == 280, "emergency");
_Static_assert(sizeof(struct dead_man) == 16, "dead_man");
_Static_assert(sizeof(struct event) == 392, "event");
_Static_assert(__builtin_offsetof(struct event, comm) == 56, "event.comm");
_Static_assert(__builtin_offsetof(struct event, path) == 72, "event.path");

#endif
