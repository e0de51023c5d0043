/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What else can be done to a denied file than to open it. None of these hooks lies on the way of an open, and
 * each begins with the same test of the filter.
 */
#ifndef AEGIS_FILES_H
#define AEGIS_FILES_H

#include "report.h"

/* Counts and reports what was decided. Is it a refusal? */
__noinline int record(const struct decision *d, const struct object_key *key, u32 operation, u64 dentry)
{
	struct event *event;
	u64 cgroup;

	if (!d || !key) /* never, but the verifier asks */
		return 0;
	cgroup = bpf_get_current_cgroup_id();
	count(d, cgroup);
	event = begin_event(d, key, operation, cgroup);
	if (event) {
		note_names(event, (struct dentry *)dentry);
		submit(event);
	}
	return d->kind == DECISION_DENY;
}

/* The same if there is anything to record, and gives what the hook returns. */
static __always_inline int carry_out(const struct decision *d, const struct object_key *key, u32 operation,
				     struct dentry *dentry)
{
	if (d->kind == DECISION_ALLOW || !record(d, key, operation, number_of(dentry)))
		return 0;
	/* Keeps clang from turning the branch into arithmetic, whose range 6.12's verifier refuses. */
	asm volatile("" ::: "memory");
	return -EPERM;
}

/*
 * Is there nothing under this name? Asked before `d_inode` is followed where that can be: some kernels' verifiers take
 * it for never null, leave out a plain test and let the program fault.
 */
static __always_inline int is_negative(struct dentry *dentry)
{
	u64 inode = 0;

	return read_field(inode, dentry->d_inode) || !inode;
}

/* The decision about the inode behind a name. */
static __noinline int decide_inode(struct inode *inode, struct dentry *dentry, struct object_key *key,
				   struct decision *d)
{
	key->ino = inode->i_ino;
	key->dev = inode->i_sb->s_dev;
	key->kind = OBJECT_FILE;
	decide(key, inode->i_generation, inode, dentry, d);
	blur(d);
	return 0;
}

/* Something is done to the inode behind a name. */
static __noinline int on_dentry(struct dentry *dentry, u32 operation)
{
	struct object_key key;
	struct decision d = {};

	decide_inode(dentry->d_inode, dentry, &key, &d);
	return carry_out(&d, &key, operation, dentry);
}

static __always_inline int lsm_dentry(struct dentry *dentry, u32 operation)
{
	if (!may_match(dentry->d_inode->i_ino))
		return 0;
	return on_dentry(dentry, operation);
}

/* The same through a descriptor, which may be older than the rule. */
static __always_inline int lsm_file(struct file *file, u32 operation)
{
	if (!may_match(file->f_inode->i_ino))
		return 0;
	return on_dentry(file->f_path.dentry, operation);
}

static __always_inline int lsm_path(struct path *path, u32 operation)
{
	return lsm_dentry(path->dentry, operation);
}

/*
 * mmap of an open file, or of none: then `file` is null, which the verifier of some kernels believes
 * impossible. So nothing is loaded through it before it has been looked at as a number. The lower half costs nothing and
 * settles it for nearly all files; where that is zero a helper reads the whole.
 */
static __always_inline int lsm_mmap_file(u64 *ctx)
{
	struct file *file = (struct file *)ctx[0];
	u32 low = (u64)file;
	u64 address;

	asm volatile("" : "+w"(low)); /* or clang tests the pointer itself, and that the verifier takes out */
	if (!low && (bpf_probe_read_kernel(&address, sizeof(address), ctx) || !address))
		return 0;
	if (!may_match(file->f_inode->i_ino))
		return 0;
	/* What is executed was decided when it was opened for that. */
	return file->f_flags & FMODE_EXEC_FLAG ? 0 : on_dentry(file->f_path.dentry, OPERATION_MMAP);
}

/*
 * Of an access that has several parts: what stands against a part ends it, an exemption only counts if nothing stands
 * against another one. So it is set aside before the next part is decided, and taken up after the last.
 */
static __always_inline void set_aside(struct decision *d)
{
	if (d->kind == DECISION_EXEMPT) {
		d->kind = DECISION_ALLOW + unknown_zero;
		d->exempt = d->rule;
	}
	d->exempt += unknown_zero; /* see blur */
}

static __always_inline void take_up(struct decision *d)
{
	if (d->kind != DECISION_ALLOW || !d->exempt)
		return;
	d->kind = DECISION_EXEMPT + unknown_zero;
	d->rule = d->exempt;
}

/* Of the names of a rename, the one whose rule is asked: the new one or, if a directory on the way moves, the old one. */
static __always_inline u64 asked_name(u64 from, u64 to)
{
	return to ? to : WATCHED_KIND(from) == NAME_ANCESTOR ? from : 0;
}

/*
 * A name moves. Called before it does, with both directories locked, and once for each direction of an exchange.
 * Refused if the file may not be moved, if the one in its place may not be removed, or if the new name is a denied
 * one's. If it is let through, what comes to bear a watched name is bound to its rule, and what leaves one stays bound.
 */
static __noinline int judge_rename(struct dentry *old, struct dentry *new, u64 name)
{
	struct object_key key = { .kind = OBJECT_FILE };
	struct decision d = { .kind = DECISION_ALLOW + unknown_zero };

	decide_inode(old->d_inode, old, &key, &d);
	set_aside(&d);
	if (d.kind == DECISION_ALLOW && !is_negative(new)) {
		decide_inode(new->d_inode, new, &key, &d);
		set_aside(&d);
	}
	if (d.kind == DECISION_ALLOW)
		decide_name(name, &d);
	take_up(&d);
	return carry_out(&d, &key, OPERATION_RENAME, new);
}

static __noinline int bind_renamed(struct dentry *old, struct dentry *new, u64 from, u64 to)
{
	struct inode *inode = old->d_inode;

	if (WATCHED_KIND(from) == NAME_ANCESTOR || WATCHED_KIND(to) == NAME_ANCESTOR)
		note(HEALTH_NAMES_MOVED);
	if (WATCHED_KIND(to) & NAME_OBJECT) {
		/* Another name of the file may be opened at once; alone, it can only be opened where it is or will be. */
		int has_others = inode->i_nlink > 1 && (inode->i_mode & S_IFMT) != S_IFDIR;
		/* Whoever looks up from below a directory does not ask by which name it got there. */
		int is_sticky = has_others || WATCHED_KIND(to) == NAME_DIRECTORY;

		if (WATCHED_KIND(to) == NAME_DIRECTORY)
			mounts_made = 1; /* what is mounted in it comes along */
		bind(inode, to, is_sticky ? BOUND_STICKY : BOUND_PENDING);
		if (!is_negative(new))
			bind(new->d_inode, to, BOUND_STICKY);
	}
	if (WATCHED_KIND(from) & NAME_OBJECT)
		bind(inode, from, BOUND_STICKY);
	return 0;
}

/* What the current policy has to do with a name, whichever policy that is. */
static __noinline u64 watched_now(struct dentry *dentry, struct inode *dir)
{
	u64 nothing = (u64)unknown_zero << 32 | unknown_zero; /* see blur */
	u32 slot;

	return (current_slot(&slot) ? 0 : watched(slot, dentry, dir)) + nothing;
}

static __noinline int on_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir, struct dentry *new)
{
	u64 from = watched_now(old, old_dir), to = watched_now(new, new_dir);

	if (judge_rename(old, new, asked_name(from, to))) {
		asm volatile("" ::: "memory");
		return -EPERM;
	}
	return from || to ? bind_renamed(old, new, from, to) : 0;
}

static __always_inline int lsm_inode_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
					    struct dentry *new)
{
	u8 seen = filter_byte(old->d_inode->i_ino), around = filter_byte(old_dir->i_ino) | filter_byte(new_dir->i_ino);

	if (!is_negative(new))
		seen |= filter_byte(new->d_inode->i_ino);
	if (!(seen & (FILTER_FILE | FILTER_BOUND)) && !(around & FILTER_NAME))
		return 0;
	return on_rename(old_dir, old, new_dir, new);
}

/* The function that calls the hook is called once for an exchange, and then calls the hook twice. */
static __always_inline int security_inode_rename(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
						 struct dentry *new, u32 flags)
{
	if (flags & RENAME_EXCHANGE && lsm_inode_rename(new_dir, new, old_dir, old)) {
		asm volatile("" ::: "memory");
		return -EPERM;
	}
	return lsm_inode_rename(old_dir, old, new_dir, new);
}

/*
 * A directory goes. Refused if it is denied, or if it is on the way to a denied name: somebody could make another in
 * its place, in which no name is watched.
 */
static __noinline int on_rmdir(struct inode *dir, struct dentry *dentry)
{
	struct object_key key = { .kind = OBJECT_FILE };
	struct decision d = { .kind = DECISION_ALLOW + unknown_zero };
	u64 name = watched_now(dentry, dir);

	decide_inode(dentry->d_inode, dentry, &key, &d);
	if (d.kind == DECISION_ALLOW)
		decide_name(name, &d);
	if (carry_out(&d, &key, OPERATION_UNLINK, dentry)) {
		asm volatile("" ::: "memory");
		return -EPERM;
	}
	if (WATCHED_KIND(name) == NAME_ANCESTOR)
		note(HEALTH_NAMES_MOVED);
	return 0;
}

static __always_inline int lsm_inode_rmdir(struct inode *dir, struct dentry *dentry)
{
	if (!may_match(dentry->d_inode->i_ino) && !may_watch(dir))
		return 0;
	return on_rmdir(dir, dentry);
}

/* A file gets one more name: refused if it is denied, or if the name is. */
static __noinline int on_link(struct dentry *old, struct inode *dir, struct dentry *new)
{
	struct object_key key = {};
	struct decision d = { .kind = DECISION_ALLOW + unknown_zero };
	u64 name;
	u32 slot;

	if (current_slot(&slot))
		return 0;
	if (may_match(old->d_inode->i_ino))
		decide_inode(old->d_inode, old, &key, &d);
	set_aside(&d);
	if (d.kind == DECISION_ALLOW) {
		name = watched(slot, new, dir);
		key.ino = old->d_inode->i_ino;
		key.dev = old->d_inode->i_sb->s_dev;
		decide_name(name, &d);
	}
	take_up(&d);
	if (carry_out(&d, &key, OPERATION_LINK, new)) {
		asm volatile("" ::: "memory");
		return -EPERM;
	}
	/* Pending, and at its watched name: from now on it will be open by another one too. */
	name = watched(slot, old, old->d_parent->d_inode);
	if (WATCHED_KIND(name) & NAME_OBJECT)
		make_sticky(old->d_inode);
	return 0;
}

static __always_inline int lsm_inode_link(struct dentry *old, struct inode *dir, struct dentry *new)
{
	if (!(filter_byte(old->d_inode->i_ino) & (FILTER_FILE | FILTER_BOUND)) &&
	    !may_watch(dir))
		return 0;
	return on_link(old, dir, new);
}

/* Something is about to be made under a name that may be watched; there is no inode yet. */
static __noinline int on_create(struct inode *dir, struct dentry *dentry)
{
	struct object_key key = {};
	struct decision d = { .kind = DECISION_ALLOW + unknown_zero };
	u64 name;
	u32 slot;

	if (current_slot(&slot))
		return 0;
	name = watched(slot, dentry, dir);
	/* A missing directory on the way may be made: what is denied is yet to come. */
	if (WATCHED_KIND(name) == NAME_ANCESTOR) {
		note(HEALTH_NAMES_MOVED);
		return 0;
	}
	key.ino = dir->i_ino;
	key.dev = dir->i_sb->s_dev;
	decide_name(name, &d);
	return carry_out(&d, &key, OPERATION_CREATE, dentry);
}

static __always_inline int lsm_inode_create(struct inode *dir, struct dentry *dentry)
{
	if (!may_watch(dir))
		return 0;
	return on_create(dir, dentry);
}

/*
 * Something is mounted over a denied file or over a directory on the way to one. Reported, never refused: services
 * and containers do so in name spaces of their own every day, and whoever opens the file itself still meets the rule.
 */
static __noinline int on_mount(struct dentry *at)
{
	struct object_key key = {};
	struct decision d = { .kind = DECISION_ALLOW + unknown_zero };
	u64 name = 0;
	u32 slot;

	if (current_slot(&slot))
		return 0;
	if (may_match(at->d_inode->i_ino))
		decide_inode(at->d_inode, at, &key, &d);
	name = watched(slot, at, at->d_parent->d_inode);
	if (d.kind == DECISION_DENY)
		d.kind = DECISION_AUDIT;
	carry_out(&d, &key, OPERATION_MOUNT, at);
	if (name || d.kind != DECISION_ALLOW)
		note(HEALTH_NAMES_MOVED);
	return 0;
}

static __always_inline int lsm_mount(struct path *at)
{
	struct dentry *dentry = at->dentry;

	if (!may_match(dentry->d_inode->i_ino) && !may_watch(dentry->d_parent->d_inode))
		return 0;
	return on_mount(dentry);
}

#endif
