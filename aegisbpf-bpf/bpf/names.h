/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules that follow a name: whatever comes to bear a watched name is bound to the rule at that moment, before
 * anybody can open it by that name. So an open looks at the inode alone, and pays nothing for names.
 */
#ifndef AEGIS_NAMES_H
#define AEGIS_NAMES_H

#include "filter.h"
#include "object.h"

#define WATCHED_RULE(w) ((u32)(w))
#define WATCHED_KIND(w) ((u32)((w) >> 32))

/* Are names in this directory watched, perhaps? Where the filter says no, nothing else is asked. */
static __always_inline int may_watch(struct inode *dir)
{
	return filter_byte(dir->i_ino) & FILTER_NAME;
}

static __always_inline int may_be_bound(u64 ino)
{
	return filter_byte(ino) & FILTER_BOUND;
}

/*
 * What the current policy has to do with the name at `name` in the directory `ino`: name_kind << 32 | rule, or 0. The key
 * is on the stack, not in a map: programs may be preempted, and two would share it. The result of the look-up is
 * copied at once, while the entry cannot go.
 */
__noinline u64 find_name(u32 slot, u64 ino, u32 dev, u32 len, u64 name)
{
	struct name_key key; /* its first bytes are the short_name_key of the same name */
	struct name_ref *ref;
	void *current;
	long got;

	if (!(filter_byte(ino) & FILTER_NAME))
		return 0;
	key.ino = ino;
	key.dev = dev;
	key.len = len;
	if (len < SHORT_NAME_BYTES) {
		__builtin_memset(key.name, 0, SHORT_NAME_BYTES);
		got = bpf_probe_read_kernel_str(key.name, SHORT_NAME_BYTES, (void *)name);
		current = bpf_map_lookup_elem(&short_names, &slot);
	} else {
		__builtin_memset(key.name, 0, sizeof(key.name));
		got = bpf_probe_read_kernel_str(key.name, sizeof(key.name), (void *)name);
		current = bpf_map_lookup_elem(&names, &slot);
	}
	if ((int)got < 0) {
		note_here(HEALTH_FAULT_READ); /* below so large a stack there is no room for another one */
		return 0;
	}
	ref = current ? bpf_map_lookup_elem(current, &key) : 0;
	return ref ? (u64)ref->kind << 32 | ref->rule : 0;
}

/* The same of the name of `dentry` in `dir`. */
static __always_inline u64 watched(u32 slot, struct dentry *dentry, struct inode *dir)
{
	return find_name(slot, dir->i_ino, dir->i_sb->s_dev, dentry->d_name.len, (u64)dentry->d_name.name);
}

/* The inode's generation, or 0 where its file system does not keep it. */
static __always_inline u32 kept_generation(struct inode *inode)
{
	return keeps_generation(inode->i_sb->s_magic) ? inode->i_generation : 0;
}

/* The inode's entry, or 0. A subprogram, so that the key is not on the stack under what follows. */
static __noinline struct bound *find_bound(u64 ino, u32 dev, u32 generation, u32 kind)
{
	struct inode_key key = { .ino = ino, .dev = dev, .generation = generation, .kind = kind };

	return bpf_map_lookup_elem(&bound, &key);
}

/*
 * The rule to which the inode with this entry is bound, or 0. While a rename to a watched name is under way the rule counts
 * only where the file is opened by such a name. That the rename went on meanwhile is seen by looking twice:
 * an inode that leaves a watched name becomes sticky before it moves.
 */
static __always_inline u32 bound_rule(u32 slot, const struct bound *b, struct dentry *dentry)
{
	struct dentry *parent = 0;
	u64 name;

	if (!b)
		return 0;
	if (*(volatile u32 *)&b->state == BOUND_STICKY)
		return b->rule;
	name = watched(slot, dentry, dentry->d_parent->d_inode);
	if (WATCHED_KIND(name) & NAME_OBJECT)
		return WATCHED_RULE(name);
	/* Opened by a handle, it may have no name: then nothing says that the rename went wrong. */
	if (!read_field(parent, dentry->d_parent) && parent == dentry)
		return b->rule;
	return *(volatile u32 *)&b->state == BOUND_STICKY ? b->rule : 0;
}

/* What an inode is bound as that comes to bear a name of this kind. */
static __always_inline u32 bound_kind(u32 kind)
{
	return OBJECT_FILE + (kind >> 2); /* NAME_DIRECTORY: OBJECT_DIR */
}

/* Binds an inode to the rule that watches the name `w`. One that is bound already keeps its rule, and may become sticky. */
__noinline int bind_to(u64 ino, u32 dev, u32 generation, u64 w, u32 state)
{
	struct bound fresh = { .rule = WATCHED_RULE(w), .state = state };
	struct inode_key key = { .ino = ino, .dev = dev, .generation = generation };
	struct bound *b;
	int failed;

	key.kind = bound_kind(WATCHED_KIND(w));
	filter_count(key.ino);
	/* (int): before 6.4 the result of this helper is not sign-extended. */
	failed = (int)bpf_map_update_elem(&bound, &key, &fresh, BPF_NOEXIST);
	if (!failed)
		return 0;
	filter_uncount(key.ino);
	b = bpf_map_lookup_elem(&bound, &key);
	if (!b) {
		note(HEALTH_FAULT_BOUND); /* full: the new file is open to all */
		return 0;
	}
	if (state == BOUND_STICKY)
		*(volatile u32 *)&b->state = BOUND_STICKY;
	return 0;
}

static __always_inline void bind(struct inode *inode, u64 w, u32 state)
{
	bind_to(inode->i_ino, inode->i_sb->s_dev, kept_generation(inode), w, state);
}

/* The inode is bound and nobody knows yet how its rename went: from now on it counts by any name. */
static __always_inline void make_sticky(struct inode *inode)
{
	struct bound *b;

	if (!may_be_bound(inode->i_ino))
		return;
	b = find_bound(inode->i_ino, inode->i_sb->s_dev, kept_generation(inode), OBJECT_FILE);
	if (b)
		*(volatile u32 *)&b->state = BOUND_STICKY;
}

/* The slot of the current policy. */
static __always_inline int current_slot(u32 *slot)
{
	u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);

	if (!c)
		return -1;
	*slot = *(volatile u32 *)&c->generation & 1;
	return 0;
}

/* A name is about to stand for an inode: made anew, linked, or looked up for the first time. */
static __noinline int on_instantiate(struct dentry *dentry, struct inode *inode)
{
	u64 name;
	u32 slot;

	if (current_slot(&slot))
		return 0;
	name = watched(slot, dentry, dentry->d_parent->d_inode);
	if (WATCHED_KIND(name) & NAME_OBJECT)
		bind(inode, name, BOUND_STICKY);
	return 0;
}

static __always_inline int lsm_d_instantiate(struct dentry *dentry, struct inode *inode)
{
	if (!may_watch(dentry->d_parent->d_inode))
		return 0;
	return on_instantiate(dentry, inode);
}

static __always_inline void unbind(struct inode *inode, u32 kind)
{
	struct inode_key key = { .ino = inode->i_ino, .dev = inode->i_sb->s_dev, .kind = kind };

	key.generation = kept_generation(inode);
	if (!(int)bpf_map_delete_elem(&bound, &key))
		filter_uncount(key.ino);
}

/* The inode leaves memory. If its last name has gone, its number may be used again, and the rule ends with it. */
static __noinline int on_free(struct inode *inode)
{
	if (!inode->i_nlink)
		unbind(inode, OBJECT_FILE);
	return 0;
}

static __always_inline int lsm_inode_free(struct inode *inode)
{
	if (!may_be_bound(inode->i_ino))
		return 0;
	return on_free(inode);
}

#endif
