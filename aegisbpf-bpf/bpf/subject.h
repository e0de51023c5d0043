/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The subject of an access: who asks, and whether an exception covers it. */
#ifndef AEGIS_SUBJECT_H
#define AEGIS_SUBJECT_H

#include "health.h"

#define CGROUP_LEVELS 32

/* Init and the enforcer itself: whatever the policy says, they are never denied. */
static __always_inline int is_survivor(const struct control *c)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 tgid = task->tgid;

	return tgid == 1 || (tgid == c->self_tgid && task->group_leader->start_boottime == c->self_start);
}

/* Makes the caller the enforcer itself. Run once by each that starts or takes up an enforcer. */
static __always_inline int become_self(void)
{
	u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	struct task_struct *task = bpf_get_current_task_btf();

	if (c) {
		c->self_start = task->group_leader->start_boottime;
		c->self_tgid = task->tgid;
	}
	return task->tgid;
}

/* Is the caller's cgroup, or one above it, in the map of allowed ones? */
static __always_inline int is_exempt_cgroup(void *allowed)
{
	u64 own = bpf_get_current_cgroup_id();
	u64 id;
	int level;

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

#endif
