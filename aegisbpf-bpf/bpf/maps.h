/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Every map, with the reason for its kind. Both objects have the same ones. */
#ifndef AEGIS_MAPS_H
#define AEGIS_MAPS_H

#include "kernel.h"

/*
 * The filter: is there perhaps a rule for an inode with these low bits? A global, not a map of its
 * own, because the address of a global costs one instruction and a map look-up thirteen. User space
 * and the programs both write it, at the same time and each its own bits of a byte, so both do it by
 * atomic operations (filter.h); a byte may say "perhaps" wrongly, never "no" wrongly.
 */
u8 filter[FILTER_SLOTS] __attribute__((aligned(8))) SEC(".bss.filter");

/*
 * Does a mount perhaps stand below a directory that a rule is about? Then a walk upwards goes on where it is mounted, and
 * otherwise not. User space tells what it found when the policy was applied, the programs what was mounted since; each
 * writes its own, and the programs never take theirs back.
 */
u32 mounts_found SEC(".bss.mounts_found");
u32 mounts_made SEC(".bss.mounts_made");

/*
 * The second question, where there are hundreds of rules and the filter says "perhaps" of an inode that the programs have
 * not bound: is there a rule for a number that falls on the same bit? It costs a fifth of what asking `rules` costs. Its
 * size, a power of two, is set when the object is loaded, by the number of rules that there is room for. User space alone
 * writes it, and during a change it says "perhaps" for both policies.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sieve_row);
} sieve SEC(".maps");

/* The changes that `patch_filter` makes next: one value, so that user space hands them over in one call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct filter_patches);
} filter_patches SEC(".maps");

/* What `identify` found out. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct file_identity);
} identity SEC(".maps");

/* What may change while we run. An array: read on the hit path only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct control);
} control SEC(".maps");

/*
 * Who called an emergency, and why. Not in `control`: it is written at once, without waiting for the turn to
 * change anything, and whoever has the turn cannot write over it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct emergency);
} emergency SEC(".maps");

/* Until when the daemon must be heard of again. Not in `control` for the same reason. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct dead_man);
} dead_man SEC(".maps");

/* A class of entries, twice: see `rules`. */
#define TWO_SLOTS(name, kind, key, value)                          \
	struct {                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);          \
		__uint(max_entries, 2);                            \
		__uint(key_size, sizeof(u32));                     \
		__array(values, struct {                           \
			__uint(type, BPF_MAP_TYPE_##kind);         \
			__uint(max_entries, 1);                    \
			__uint(map_flags, BPF_F_NO_PREALLOC);      \
			__uint(key_size, sizeof(key));             \
			__uint(value_size, sizeof(value));         \
		});                                                \
	} name SEC(".maps")

/*
 * The policy, twice: the current generation and the one being built. The inner maps are made by user
 * space, as large as the policy, so kernel memory follows the policy.
 */
TWO_SLOTS(rules, HASH, struct object_key, struct rule_ref);

/* Watched names: (directory, name) → the rule whose object bears it, or leads through it. Long ones. */
TWO_SLOTS(names, HASH, struct name_key, struct name_ref);

/* Those of them that are short, as most are. */
TWO_SLOTS(short_names, HASH, struct short_name_key, struct name_ref);

/*
 * Inodes that came to bear a watched name after the policy was applied. Written by the programs, at that
 * moment; one for all generations, since a file may be replaced while the policy is. Whether the rule is
 * still one of the policy is asked of `rules`.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 13);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct inode_key);
	__type(value, struct bound);
} bound SEC(".maps");

/* cgroup id → the rule that allows it and everything below it. */
TWO_SLOTS(exempt, HASH, u64, u32);

/*
 * The classes from here to `toggles` have a map in a slot only if the policy there has entries for it.
 *
 * (cgroup, file) → the rule that denies it there. Asked only where EFFECT_SCOPED says that there is one.
 */
TWO_SLOTS(cgroup_files, HASH, struct cgroup_file_key, u32);

/* (executable, file or directory) → the rule that allows it. Asked only where EFFECT_EXCEPTED says so. */
TWO_SLOTS(executable_files, HASH, struct executable_file_key, u32);

/*
 * The filter of the network, as `filter` is for files: for each port, and for each value of 16 bits of an
 * address, whether there is perhaps a rule. User space alone writes it.
 */
u8 net_filter[NET_SLOTS] SEC(".bss.net_filter");

/* Addresses, endpoints and ports, of all and of single cgroups. */
TWO_SLOTS(net_rules, HASH, struct net_key, u32);

/* Networks. A trie finds the longest prefix, which is the most specific rule. */
TWO_SLOTS(net_prefixes, LPM_TRIE, struct prefix_key, u32);

/* Name of an executable → the rule that denies executing it. */
TWO_SLOTS(comms, HASH, struct comm_key, u32);

/* Operation that is denied as such (enum operation: ptrace, module_load, bpf) → the rule. */
TWO_SLOTS(toggles, HASH, u32, u32);

/* Which executable we are, as the programs see it; `whoami` writes it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct own_executable);
} own SEC(".maps");

/*
 * What a rule counts beside `by_cgroup`: hits for which there was no room there. User space makes an entry before the rule becomes current and deletes
 * it after the rule has gone, so counting never allocates and cannot fail. Its size is set when the
 * object is loaded: without pre-allocation the kernel still takes 16 bytes for each possible entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1 << 14);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct counts);
} totals SEC(".maps");

/* Exact counters of each (rule, cgroup) that was seen. Made on first use; not LRU, because evicting is forgetting. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1 << 14);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct count_key);
	__type(value, struct counts);
} by_cgroup SEC(".maps");

/* What was reported and what went wrong: enum health_index. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HEALTH_SIZE);
	__type(key, u32);
	__type(value, u64);
} health SEC(".maps");

/* Hits on this CPU, for 1-in-N sampling that is predictable on each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} sampler SEC(".maps");

/* Events. Its size is set when the object is loaded. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} events SEC(".maps");

#endif
