/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bodies of the LSM programs where a policy has rules about all below a directory: they stand in the place of those
 * in lsm.h and files.h, which so pay nothing for such rules. What is asked here besides is where the object lies.
 */
#ifndef AEGIS_BELOW_H
#define AEGIS_BELOW_H

#include "files.h"
#include "tree.h"

/* Subprograms of their own, here and below, so that their stack is not under that of names.h. */
static __noinline int report_open(struct file *file, const struct object_key *key, const struct decision *d)
{
	return carry_out_open(file, key, d);
}

static __noinline int on_open_below(struct file *file)
{
	struct access a = { .key.kind = OBJECT_FILE };
	struct decision d;
	u64 mnt = 0;

	a.key.ino = file->f_inode->i_ino;
	a.key.dev = file->f_inode->i_sb->s_dev;
	a.generation = kept_generation(file->f_inode);
	read_field(mnt, file->f_path.mnt);
	decide_below(&a, file->f_path.dentry, mnt, &d);
	return report_open(file, &a.key, &d);
}

static __always_inline int lsm_file_open_below(struct file *file)
{
	if (!may_open_below(file))
		return 0;
	return on_open_below(file);
}

/* The decision about the inode behind a name, if there is one, and about where the name is. */
static __always_inline void decide_dentry_below(struct access *a, struct dentry *dentry, u64 mnt, struct decision *d)
{
	a->key.ino = 0;
	a->key.dev = 0;
	a->key.kind = OBJECT_FILE;
	a->generation = 0;
	if (!is_negative(dentry)) {
		a->key.ino = dentry->d_inode->i_ino;
		a->key.dev = dentry->d_inode->i_sb->s_dev;
		a->generation = kept_generation(dentry->d_inode);
	}
	decide_below(a, dentry, mnt, d);
}

/*
 * The same where something comes to bear another name as well: about the file, then about its new place, and then about
 * the name there (`w`, if `watched` knew it). One exempt from the first rule may meet another there. An exception for all
 * below a directory holds for the names in it, too: they are asked about only where nothing was found before.
 */
static __always_inline void decide_both_below(struct access *a, struct dentry *old, struct dentry *new, u64 w,
					      struct decision *d)
{
	decide_dentry_below(a, old, 0, d);
	d->exempt = unknown_zero;
	set_aside(d);
	if (d->kind != DECISION_ALLOW)
		return;
	decide_dentry_below(a, new, 0, d);
	if (d->kind == DECISION_ALLOW)
		decide_name(w, d);
	take_up(d);
}

static __noinline int on_dentry_below(struct dentry *dentry, u64 mnt, u32 operation)
{
	struct access a = {};
	struct decision d = {};

	decide_dentry_below(&a, dentry, mnt, &d);
	return carry_out(&d, &a.key, operation, dentry);
}

static __always_inline int lsm_dentry_below(struct dentry *dentry, u32 operation)
{
	if (!may_be_below(dentry->d_inode, dentry))
		return 0;
	return on_dentry_below(dentry, 0, operation);
}

static __always_inline int lsm_file_below(struct file *file, u32 operation)
{
	u64 mnt = 0;

	if (!may_be_below(file->f_inode, file->f_path.dentry))
		return 0;
	read_field(mnt, file->f_path.mnt);
	return on_dentry_below(file->f_path.dentry, mnt, operation);
}

static __always_inline int lsm_path_below(struct path *path, u32 operation)
{
	u64 mnt = 0;

	if (!may_be_below(path->dentry->d_inode, path->dentry))
		return 0;
	read_field(mnt, path->mnt);
	return on_dentry_below(path->dentry, mnt, operation);
}

/* See lsm_mmap_file. */
static __always_inline int lsm_mmap_file_below(u64 *ctx)
{
	struct file *file = (struct file *)ctx[0];
	u64 address;

	if (bpf_probe_read_kernel(&address, sizeof(address), ctx) || !address || file->f_flags & FMODE_EXEC_FLAG)
		return 0;
	return lsm_file_below(file, OPERATION_MMAP);
}

/*
 * See judge_rename. What lies below may not leave, nothing may come to lie there, and the directory itself stays where it
 * is.
 */
static __noinline int judge_rename_below(struct dentry *old, struct dentry *new, u64 name)
{
	struct access a = {};
	struct decision d = {};

	decide_both_below(&a, old, new, name, &d);
	if (carry_out(&d, &a.key, OPERATION_RENAME, new)) {
		asm volatile("" ::: "memory");
		return -EPERM;
	}
	/* What is mounted in a directory comes along with it. */
	if (a.above.rule | a.above.is_excepted && (old->d_inode->i_mode & S_IFMT) == S_IFDIR)
		mounts_made = 1;
	return 0;
}

static __noinline int on_rename_below(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
				      struct dentry *new)
{
	u64 from = watched_now(old, old_dir), to = watched_now(new, new_dir);

	if (judge_rename_below(old, new, asked_name(from, to))) {
		asm volatile("" ::: "memory");
		return -EPERM;
	}
	return from || to ? bind_renamed(old, new, from, to) : 0;
}

static __always_inline int lsm_inode_rename_below(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
						  struct dentry *new)
{
	u8 seen = (filter_byte(old_dir->i_ino) | filter_byte(new_dir->i_ino)) & FILTER_NAME;

	if (!is_negative(new))
		seen |= filter_byte(new->d_inode->i_ino) & FILTER_OBJECT;
	if (!seen && !may_be_below(old->d_inode, old) && !may_be_below(new_dir, new->d_parent))
		return 0;
	return on_rename_below(old_dir, old, new_dir, new);
}

/* See security_inode_rename. */
static __always_inline int security_inode_rename_below(struct inode *old_dir, struct dentry *old,
						       struct inode *new_dir, struct dentry *new, u32 flags)
{
	if (flags & RENAME_EXCHANGE && lsm_inode_rename_below(new_dir, new, old_dir, old)) {
		asm volatile("" ::: "memory");
		return -EPERM;
	}
	return lsm_inode_rename_below(old_dir, old, new_dir, new);
}

/* See on_rmdir. */
static __noinline int on_rmdir_below(struct inode *dir, struct dentry *dentry)
{
	struct access a = {};
	struct decision d = {};
	u64 name = watched_now(dentry, dir);

	decide_dentry_below(&a, dentry, 0, &d);
	if (d.kind == DECISION_ALLOW)
		decide_name(name, &d);
	if (carry_out(&d, &a.key, OPERATION_UNLINK, dentry)) {
		asm volatile("" ::: "memory");
		return -EPERM;
	}
	if (WATCHED_KIND(name) == NAME_ANCESTOR)
		note(HEALTH_NAMES_MOVED);
	return 0;
}

static __always_inline int lsm_inode_rmdir_below(struct inode *dir, struct dentry *dentry)
{
	if (!may_watch(dir) && !may_be_below(dentry->d_inode, dentry))
		return 0;
	return on_rmdir_below(dir, dentry);
}

/* A file gets one more name: refused if it lies below, and if the name does. See on_link. */
static __noinline int on_link_below(struct dentry *old, struct inode *dir, struct dentry *new)
{
	struct access a = {};
	struct decision d = {};
	u64 name;
	u32 slot;

	if (current_slot(&slot))
		return 0;
	name = watched(slot, new, dir);
	decide_both_below(&a, old, new, name, &d);
	a.key.ino = old->d_inode->i_ino;
	a.key.dev = old->d_inode->i_sb->s_dev;
	if (carry_out(&d, &a.key, OPERATION_LINK, new)) {
		asm volatile("" ::: "memory");
		return -EPERM;
	}
	name = watched(slot, old, old->d_parent->d_inode);
	if (WATCHED_KIND(name) & NAME_OBJECT)
		make_sticky(old->d_inode);
	return 0;
}

static __always_inline int lsm_inode_link_below(struct dentry *old, struct inode *dir, struct dentry *new)
{
	if (!may_watch(dir) && !may_be_below(old->d_inode, old) && !may_be_below(dir, new->d_parent))
		return 0;
	return on_link_below(old, dir, new);
}

/* Something is about to be made below, or under a name that is watched. See on_create. */
static __noinline int on_create_below(struct inode *dir, struct dentry *dentry)
{
	struct access a = {};
	struct decision d = {};
	u64 name = watched_now(dentry, dir);

	decide_dentry_below(&a, dentry, 0, &d);
	if (WATCHED_KIND(name) == NAME_ANCESTOR)
		note(HEALTH_NAMES_MOVED);
	else if (d.kind == DECISION_ALLOW)
		decide_name(name, &d);
	a.key.ino = dir->i_ino;
	a.key.dev = dir->i_sb->s_dev;
	return carry_out(&d, &a.key, OPERATION_CREATE, dentry);
}

static __always_inline int lsm_inode_create_below(struct inode *dir, struct dentry *dentry)
{
	if (!may_watch(dir) && !may_be_below(dir, dentry->d_parent))
		return 0;
	return on_create_below(dir, dentry);
}

/* See on_mount. What is mounted below is denied by where it is mounted, from before it is there. */
static __noinline int on_mount_below(struct dentry *at, u64 mnt)
{
	struct access a = {};
	struct decision d = {};
	u64 name;
	u32 slot;

	if (current_slot(&slot))
		return 0;
	decide_dentry_below(&a, at, mnt, &d);
	if (a.above.rule | a.above.is_excepted)
		mounts_made = 1;
	name = watched(slot, at, at->d_parent->d_inode);
	if (d.kind == DECISION_DENY)
		d.kind = DECISION_AUDIT;
	carry_out(&d, &a.key, OPERATION_MOUNT, at);
	if (name || a.effect)
		note(HEALTH_NAMES_MOVED);
	return 0;
}

static __always_inline int lsm_mount_below(struct path *at)
{
	struct dentry *dentry = at->dentry;
	u64 mnt = 0;

	if (!may_be_below(dentry->d_inode, dentry) && !may_watch(dentry->d_parent->d_inode))
		return 0;
	read_field(mnt, at->mnt);
	return on_mount_below(dentry, mnt);
}

/* See on_free. */
static __noinline int on_free_below(struct inode *inode)
{
	if (inode->i_nlink)
		return 0;
	unbind(inode, OBJECT_FILE);
	unbind(inode, OBJECT_DIR);
	return 0;
}

static __always_inline int lsm_inode_free_below(struct inode *inode)
{
	if (!may_be_bound(inode->i_ino))
		return 0;
	return on_free_below(inode);
}

#endif
