/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The subject of an access: who asks, which rules are about them alone, and whether an exception covers
 * them. Asked on a hit only.
 */
#ifndef AEGIS_SUBJECT_H
#define AEGIS_SUBJECT_H

#include "health.h"

#define CGROUP_LEVELS 32

/* Init (which is the service manager too) and the enforcer itself: whatever the policy says, they are never denied. */
static __always_inline int is_survivor(const struct control *c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 tgid = task->tgid;

	return tgid == 1 || (tgid == c->self_tgid && task->group_leader->start_boottime == c->self_start);
}

/* Is the caller's cgroup, or one above it, among the allowed ones? */
__noinline int is_allowed_cgroup(u32 slot)
{
	void *allowed = bpf_map_lookup_elem(&exempt, &slot);
	u64 own, id;
	int level;

	if (!allowed)
		return 0;
	own = bpf_get_current_cgroup_id();
	if (bpf_map_lookup_elem(allowed, &own))
		return 1;
#pragma clang loop unroll(disable)
	for (level = 0; level < CGROUP_LEVELS; level++) {
		id = bpf_get_current_ancestor_cgroup_id(level);
		if (!id || id == own)
			return 0;
		if (bpf_map_lookup_elem(allowed, &id))
			return 1;
	}
	/* Deeper than we look: an exception further down may be missed, so allow, and say so. */
	note(HEALTH_FAULT_DEPTH);
	return 1;
}

/* The same; most policies allow none, and have no map of them. */
static __always_inline int is_exempt_cgroup(u32 slot)
{
	return bpf_map_lookup_elem(&exempt, &slot) && is_allowed_cgroup(slot);
}

/* The rule that denies this file to the caller's cgroup, or to one above it; 0 if there is none. */
__noinline u32 scoped_file_rule(u32 slot, u64 ino, u32 dev)
{
	void *current = bpf_map_lookup_elem(&cgroup_files, &slot);
	struct cgroup_file_key key = { .ino = ino, .dev = dev };
	u64 own = bpf_get_current_cgroup_id();
	u32 *rule;
	int level;

	if (!current) {
		note(HEALTH_FAULT_NO_POLICY);
		return 0;
	}
	key.cgroup = own;
	rule = bpf_map_lookup_elem(current, &key);
	if (rule)
		return *rule;
#pragma clang loop unroll(disable)
	for (level = 0; level < CGROUP_LEVELS; level++) {
		key.cgroup = bpf_get_current_ancestor_cgroup_id(level);
		if (!key.cgroup || key.cgroup == own)
			return 0;
		rule = bpf_map_lookup_elem(current, &key);
		if (rule)
			return *rule;
	}
	note(HEALTH_FAULT_DEPTH);
	return 0;
}

/* The file that the caller's process executes. 0 if it has one; a thread of the kernel has none. */
static __always_inline int executable(u64 *ino, u32 *dev)
{
	struct mm_struct *mm = bpf_get_current_task_btf()->mm;
	struct file *file;

	if (!mm)
		return -1;
	file = mm->exe_file;
	if (!file)
		return -1;
	*ino = file->f_inode->i_ino;
	*dev = file->f_inode->i_sb->s_dev;
	return 0;
}

/* Does the caller's executable have an exception for this file or directory? */
__noinline int is_excepted_executable(u32 slot, u64 ino, u32 dev)
{
	void *current = bpf_map_lookup_elem(&executable_files, &slot);
	struct executable_file_key key = { .ino = ino, .dev = dev };

	if (!current) {
		note_here(HEALTH_FAULT_NO_POLICY); /* for want of room on the stack */
		return 1;
	}
	return !executable(&key.exe_ino, &key.exe_dev) && bpf_map_lookup_elem(current, &key);
}

/* Is it the enforcer that asks: the process that runs now, or another run of the same executable? */
static __always_inline int is_enforcer(const struct control *c)
{
	struct own_executable *ours;
	u32 zero = 0, dev;
	u64 ino;

	if (is_survivor(c))
		return 1;
	ours = bpf_map_lookup_elem(&own, &zero);
	return ours && ours->ino && !executable(&ino, &dev) && ino == ours->ino && dev == ours->dev;
}

/* Makes the caller the enforcer itself. Run once by each that starts or takes up an enforcer. */
static __always_inline int become_self(void)
{
	u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	struct own_executable *ours = bpf_map_lookup_elem(&own, &zero);
	struct task_struct *task = bpf_get_current_task_btf();

	if (ours)
		executable(&ours->ino, &ours->dev);
	if (c) {
		c->self_start = task->group_leader->start_boottime;
		c->self_tgid = task->tgid;
	}
	return task->tgid;
}

#endif
