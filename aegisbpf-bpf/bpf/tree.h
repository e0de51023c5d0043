/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules about a directory and all below it. Where a file lies is asked when it is accessed, by walking from it up to the
 * root: so a rule holds at once for what is made, moved or linked there, however deep, and for nothing that left.
 */
#ifndef AEGIS_TREE_H
#define AEGIS_TREE_H

#include "report.h"

#define NEAR_LEVELS 8 /* for opens written out one by one, which saves five instructions each */
#define QUICK_LEVELS 32 /* a walk that finds nothing ends here or at the root; deeper files are looked at slowly */
#define CLIMB_LEVELS (1 << 16) /* and at no more levels than so many */

/* What may be about an object itself, and what about all below it. */
#define FILTER_OBJECT (FILTER_FILE | FILTER_DIR | FILTER_BOUND)
#define FILTER_BELOW (FILTER_DIR | FILTER_BOUND)

/*
 * The no-match path: a byte of the table for the object, and one for each directory above it, by plain loads. `inode` is
 * the object's own, which is not that of `dentry` where one file system shows another's file.
 *
 * Nothing is locked. A rename meanwhile gives the way before it or the one after it; only somebody who may move files
 * about within a denied directory can give a walk the first half of one and the second of the other.
 *
 * `near` levels, a constant, are written out: that is for the most frequent hooks, since the verifier goes through each.
 */
static __always_inline int walk_up(struct inode *inode, struct dentry *dentry, int near)
{
	struct dentry *parent;
	int i;

	if (filter_byte(inode->i_ino) & FILTER_OBJECT)
		return 1;
	parent = dentry->d_parent;
	if (parent == dentry)
		return 1; /* a root, or one whose place is not known */
#pragma clang loop unroll(full)
	for (i = 0; i < near; i++) {
		dentry = parent;
		if (filter_byte(dentry->d_inode->i_ino) & FILTER_BELOW)
			return 1;
		parent = dentry->d_parent;
		if (parent == dentry)
			return mounts_found | mounts_made;
	}
#pragma clang loop unroll(disable)
	for (; i < QUICK_LEVELS; i++) {
		dentry = parent;
		if (filter_byte(dentry->d_inode->i_ino) & FILTER_BELOW)
			return 1;
		parent = dentry->d_parent;
		if (parent == dentry)
			return mounts_found | mounts_made;
	}
	return 1;
}

static __always_inline int may_be_below(struct inode *inode, struct dentry *dentry)
{
	return walk_up(inode, dentry, 1);
}

static __always_inline int may_open_below(struct file *file)
{
	return walk_up(file->f_inode, file->f_path.dentry, NEAR_LEVELS);
}

/* Where a walk is, and what it has found. Numbers, no pointers: the verifier need not follow them. */
struct climb {
	u64 dentry;
	u64 mount; /* 0: the walk ends at the root of the file system */
	u32 slot;
	struct above above;
	u32 pad;
};

/* Is there a rule or an exception about all below this directory? Of several rules the nearest counts. */
static __always_inline void look_at(struct inode *inode, u64 ino, struct climb *at)
{
	struct object_key key = { .ino = ino, .kind = OBJECT_DIR };
	struct super_block *sb;
	struct rule_ref *ref;
	void *current;
	u32 generation, slot = at->slot;

	if (read_field(sb, inode->i_sb) || read_field(key.dev, sb->s_dev) ||
	    read_field(generation, inode->i_generation)) {
		note(HEALTH_FAULT_READ);
		return;
	}
	current = bpf_map_lookup_elem(&rules, &slot);
	if (!current)
		return; /* whoever decides about the object itself counts that */
	ref = bpf_map_lookup_elem(current, &key);
#if FOLLOWS_NAMES
	if (!ref || !is_about(ref, generation)) {
		unsigned long magic;
		struct bound *b;

		if (read_field(magic, sb->s_magic)) {
			note(HEALTH_FAULT_READ);
			return;
		}
		b = find_bound(ino, key.dev, keeps_generation(magic) ? generation : 0, OBJECT_DIR);
		if (!b)
			return;
		key.ino = b->rule;
		key.dev = 0;
		key.kind = OBJECT_RULE;
		ref = bpf_map_lookup_elem(current, &key);
	}
	if (!ref)
		return;
#else
	if (!ref || !is_about(ref, generation))
		return;
#endif
	if (ref->effect & EFFECT_DENY && !at->above.rule)
		at->above.rule = ref->rule;
	if (ref->effect & EFFECT_EXCEPTED && !at->above.is_excepted)
		at->above.is_excepted = is_excepted_executable(slot, key.ino, key.dev);
}

/* One step upwards; at the root of a file system, to where it is mounted. A body for bpf_loop: there may be many. */
static long climb(u32 i, struct climb *at)
{
	struct dentry *dentry = (struct dentry *)at->dentry, *parent;
	struct mount *mount = (struct mount *)at->mount, *above;
	struct inode *inode;
	unsigned long ino;

	if (read_field(inode, dentry->d_inode) || read_field(parent, dentry->d_parent) ||
	    (inode && read_field(ino, inode->i_ino))) {
		note(HEALTH_FAULT_READ);
		return 1;
	}
	/* (A name that bears nothing yet has no inode.) */
	if (inode && filter_byte(ino) & FILTER_BELOW)
		look_at(inode, ino, at);
	if (parent != dentry) {
		at->dentry = (u64)parent;
		return 0;
	}
	if (!mount)
		return 1;
	if (read_field(above, mount->mnt_parent) || read_field(dentry, mount->mnt_mountpoint)) {
		note(HEALTH_FAULT_READ);
		return 1;
	}
	if (above == mount)
		return 1;
	at->dentry = (u64)dentry;
	at->mount = (u64)above;
	return 0;
}

/*
 * Opened by a handle, a file may have no name that the kernel knows. Nothing says that it does not lie below a denied
 * directory, if there is one in its file system; the entry for that has no inode.
 */
static __always_inline void look_around(struct dentry *dentry, struct climb *at)
{
	struct dentry *parent;
	struct inode *inode;
	u32 flags;

	if (read_field(parent, dentry->d_parent) || parent != dentry || read_field(flags, dentry->d_flags) ||
	    !(flags & DCACHE_DISCONNECTED) || read_field(inode, dentry->d_inode) || !inode)
		return;
	look_at(inode, 0, at);
}

/*
 * What stands above `dentry`, itself included: in its file system, above where that is mounted if `mnt` tells (a struct
 * vfsmount, as a number; 0 where a hook knows none), and so on. Gives is_excepted << 32 | rule.
 */
__noinline u64 survey(u32 slot, u64 dentry, u64 mnt)
{
	struct climb at = { .dentry = dentry, .slot = slot, .above = { .rule = unknown_zero, .is_excepted = unknown_zero } };

	look_around((struct dentry *)dentry, &at);
	if (mnt)
		at.mount = mnt - __builtin_preserve_field_info(((struct mount *)0)->mnt, 0);
	if (bpf_loop(CLIMB_LEVELS, climb, &at, 0) >= CLIMB_LEVELS)
		note(HEALTH_FAULT_DEPTH);
	return (u64)at.above.is_excepted << 32 | at.above.rule;
}

/* An access to an object, by which everything is decided that may stand against it. */
struct access {
	struct object_key key; /* ino 0: nothing yet bears the name */
	u32 rule, effect; /* what the policy says of the object itself */
	struct above above;
	u32 slot;
	u32 generation; /* as in an inode_key */
	u32 bound; /* the rule that the object is bound to, if that is where they come from */
};

static __always_inline void judge_access(const struct control *c, const struct access *a, struct decision *d)
{
	u32 rule = a->rule, effect = a->effect;

	/* The rule about the file is named before the one about all below a directory. */
	if (!(effect & EFFECT_DENY) && a->above.rule) {
		rule = a->above.rule;
		effect |= EFFECT_DENY;
	}
	if (a->above.is_excepted)
		effect |= EFFECT_EXCEPTED_ABOVE;
	settle(d, weigh(c, a->slot, entry_says(rule, effect), a->bound ? a->bound : a->key.ino, a->bound ? 0 : a->key.dev));
}

/*
 * The decision about an access to what `dentry` stands for, and to where that lies. `a` comes with key and generation.
 * The same as `decide` makes, and what stands above besides.
 */
static __noinline void decide_below(struct access *a, struct dentry *dentry, u64 mnt, struct decision *d)
{
	const struct control *c;
	struct rule_ref *ref;
	void *current;
	u64 above;

	c = begin_decision(d, &a->slot);
	if (!c)
		return;
	above = survey(a->slot, number_of(dentry), mnt);
	a->above.rule = above;
	a->above.is_excepted = above >> 32;
	current = bpf_map_lookup_elem(&rules, &a->slot);
	if (!current) {
		note(HEALTH_FAULT_NO_POLICY);
		return;
	}
	a->effect = unknown_zero;
	a->bound = 0;
	ref = bpf_map_lookup_elem(current, &a->key);
	if (ref && is_about(ref, a->generation)) {
		a->rule = ref->rule;
		a->effect = ref->effect;
	}
#if FOLLOWS_NAMES
	else if (a->key.ino && may_be_bound(a->key.ino)) {
		struct bound *b = find_bound(a->key.ino, a->key.dev, a->generation, OBJECT_FILE);
		struct object_key key = { .kind = OBJECT_RULE };

		key.ino = a->bound = bound_rule(a->slot, b, dentry);
		ref = bpf_map_lookup_elem(current, &key);
		if (ref) {
			a->rule = ref->rule;
			a->effect = ref->effect;
		}
	}
#endif
	judge_access(c, a, d);
	blur(d);
	a->key.ino += unknown_zero;
	a->key.dev += unknown_zero;
}

#endif
