/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bodies of the LSM programs: a filter test up front, everything else in a subprogram. */
#ifndef AEGIS_LSM_H
#define AEGIS_LSM_H

#include "report.h"

/* Counts and reports what was decided about an open, and gives what the hook returns. */
static __always_inline int carry_out_open(struct file *file, const struct object_key *key, const struct decision *d)
{
	struct event *event;
	u64 cgroup;
	long len;

	if (d->kind == DECISION_ALLOW)
		return 0;
	cgroup = bpf_get_current_cgroup_id();
	count(d, cgroup);
	event = begin_event(d, key, file->f_flags & FMODE_EXEC_FLAG ? OPERATION_EXEC : OPERATION_OPEN, cgroup);
	if (event) {
		len = bpf_d_path(&file->f_path, event->path, sizeof(event->path));
		if (len > 1 && len <= PATH_BYTES) {
			event->path_form = PATH_ABSOLUTE;
			event->path_len = len - 1;
		}
		submit(event);
	}
	if (d->kind == DECISION_DENY) {
		/* Keeps clang from turning the branch into arithmetic, whose range 6.12's verifier refuses. */
		asm volatile("" ::: "memory");
		return -EPERM;
	}
	return 0;
}

/* A subprogram of its own, so that the no-match path has no stack frame to set up. */
static __noinline int on_open(struct file *file)
{
	struct object_key key = { .kind = OBJECT_FILE };
	struct decision d;

	key.ino = file->f_inode->i_ino;
	key.dev = file->f_inode->i_sb->s_dev;
	decide(&key, file->f_inode->i_generation, file->f_inode, file->f_path.dentry, &d);
	return carry_out_open(file, &key, &d);
}

/* The filter says "perhaps". A subprogram with next to no stack, since with many rules it is often wrong. */
static __noinline int on_perhaps(struct file *file, u32 perhaps)
{
	return is_ruled_out(file->f_inode->i_ino, perhaps) ? 0 : on_open(file);
}

/*
 * Nothing stands before the filter test. An earlier "no" of another program cannot be lost here: the
 * trampoline of a hook that returns a value stops at the first non-zero one and does not call us.
 */
static __always_inline int lsm_file_open(struct file *file)
{
	u32 perhaps = may_match(file->f_inode->i_ino);

	if (!perhaps)
		return 0;
	/* Handed on as it is: a result kept over the call would cost the other path a saved register. */
	return on_perhaps(file, perhaps);
}

#endif
