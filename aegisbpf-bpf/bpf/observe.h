/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bodies of the tracepoint programs: from what the kernel hands over to the file that was opened. */
#ifndef AEGIS_OBSERVE_H
#define AEGIS_OBSERVE_H

#define CAN_REFUSE 0 /* a tracepoint comes after the fact */
#define FOLLOWS_NAMES 0 /* and does not see how files get their names */
#include "tree.h"

static __noinline int on_match(struct file *file, struct object_key *key, u32 generation, u32 operation)
{
	struct decision d;
	struct event *event;
	u64 cgroup;

	decide(key, generation, 0, 0, &d);
	if (d.kind == DECISION_ALLOW)
		return 0;
	cgroup = bpf_get_current_cgroup_id();
	count(&d, cgroup);
	event = begin_event(&d, key, operation, cgroup);
	if (event) {
		walk_path(file, event);
		submit(event);
	}
	return 0;
}

/* As on_match, and by where the file lies. */
static __noinline int on_place(struct file *file, u32 operation)
{
	struct access a = { .key.kind = OBJECT_FILE };
	struct decision d;
	struct super_block *sb;
	struct dentry *dentry;
	struct inode *inode;
	struct event *event;
	unsigned long ino;
	u64 cgroup, mnt;

	if (read_field(inode, file->f_inode) || read_field(ino, inode->i_ino) || read_field(sb, inode->i_sb) ||
	    read_field(a.key.dev, sb->s_dev) || read_field(a.generation, inode->i_generation) ||
	    read_field(dentry, file->f_path.dentry) || read_field(mnt, file->f_path.mnt)) {
		note(HEALTH_FAULT_READ);
		return 0;
	}
	a.key.ino = ino;
	decide_below(&a, dentry, mnt, &d);
	if (d.kind == DECISION_ALLOW)
		return 0;
	cgroup = bpf_get_current_cgroup_id();
	count(&d, cgroup);
	event = begin_event(&d, &a.key, operation, cgroup);
	if (event) {
		walk_path(file, event);
		submit(event);
	}
	return 0;
}

/* Opened with O_PATH: such a descriptor gives no access, and file_open leaves it out too. */
static __always_inline int is_path_only(struct file *file)
{
	u32 mode;

	return !read_field(mode, file->f_mode) && mode & FMODE_PATH;
}

static __always_inline int observe_file(struct file *file, u32 operation)
{
	struct object_key key = {};
	u32 generation = 0;
	int found = identify(file, &key, &generation);

	if (found < 0)
		note(HEALTH_FAULT_READ);
	else if (found && !is_path_only(file))
		on_match(file, &key, generation, operation);
	return 0;
}

/*
 * The file behind the descriptor that an open returned: its identity is the opened file's, whatever
 * the path said. A descriptor that was just returned lies within the array of descriptors, which only ever grows.
 */
static __noinline int look_at_opened(long fd)
{
	struct file *file = file_of(fd);

	if (!file) {
		note(HEALTH_FAULT_READ); /* another thread closed it meanwhile */
		return 0;
	}
	return observe_file(file, OPERATION_OPEN);
}

/* The same where the policy has rules about all below a directory. */
static __noinline int look_at_opened_below(long fd)
{
	struct file *file = file_of(fd);

	if (!file) {
		note(HEALTH_FAULT_READ);
		return 0;
	}
	return is_path_only(file) ? 0 : on_place(file, OPERATION_OPEN);
}

/* The no-match path: nothing but loads. */
static __always_inline int observe_opened(long fd)
{
	struct file *file;

	if (fd < 0)
		return 0;
	file = near_file(fd);
	if (file && !may_match(file->f_inode->i_ino))
		return 0;
	return look_at_opened(fd);
}

/* And a byte for each directory above. */
static __always_inline int observe_opened_below(long fd)
{
	struct file *file;

	if (fd < 0)
		return 0;
	file = near_file(fd);
	if (file && !may_open_below(file))
		return 0;
	return look_at_opened_below(fd);
}

static __always_inline int observe_executed_below(struct linux_binprm *bprm)
{
	struct file *file;

	if (read_field(file, bprm->file) || !file) {
		note(HEALTH_FAULT_READ);
		return 0;
	}
	return on_place(file, OPERATION_EXEC);
}

/* The file that is executed. For a script that is its interpreter, which then opens the script itself. */
static __always_inline int observe_executed(struct linux_binprm *bprm)
{
	struct file *file;

	if (read_field(file, bprm->file) || !file) {
		note(HEALTH_FAULT_READ);
		return 0;
	}
	return observe_file(file, OPERATION_EXEC);
}

#endif
