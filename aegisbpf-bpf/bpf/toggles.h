/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Operations that are denied as such: tracing another process, loading a kernel module, calling bpf(2). */
#ifndef AEGIS_TOGGLES_H
#define AEGIS_TOGGLES_H

#include "report.h"

/* include/linux/ptrace.h: without it, only reading from /proc is asked for, which ps and its like live by */
#define PTRACE_MODE_ATTACH 2
/* include/linux/kernel_read_file.h, include/linux/kernel.h: enum kernel_read_file_id, kernel_load_data_id */
#define READING_MODULE 2
#define LOADING_MODULE 2

/* `other` is the process that is traced; 0 where there is none. */
static __noinline int on_toggle(u32 operation, struct task_struct *other)
{
	struct object_key key = {};
	struct task_record *task;
	const struct control *c;
	struct decision d;
	struct event *event;
	void *current;
	u32 slot, *rule;
	u64 cgroup;

	c = begin_decision(&d, &slot);
	if (!c)
		return 0;
	current = bpf_map_lookup_elem(&toggles, &slot);
	if (!current) /* the current policy has no such rule */
		return 0;
	rule = bpf_map_lookup_elem(current, &operation);
	if (!rule)
		return 0;
	if (operation == OPERATION_BPF && is_enforcer(c))
		return 0; /* no exception that somebody wrote: the rule is about others */
	settle(&d, weigh_for_all(slot, *rule, CAN_REFUSE));
	cgroup = bpf_get_current_cgroup_id();
	count(&d, cgroup);
	event = begin_event(&d, &key, operation, cgroup);
	if (event) {
		if (other) {
			task = (struct task_record *)event->path;
			task->tgid = other->tgid;
			task->pad = 0;
			bpf_probe_read_kernel(task->comm, sizeof(task->comm), other->comm);
			event->path_form = PATH_TASK;
			event->path_len = sizeof(*task);
		}
		submit(event);
	}
	if (d.kind == DECISION_DENY) {
		asm volatile("" ::: "memory"); /* see carry_out_open */
		return -EPERM;
	}
	return 0;
}

static __always_inline int lsm_ptrace_access_check(struct task_struct *child, u32 mode)
{
	return mode & PTRACE_MODE_ATTACH ? on_toggle(OPERATION_PTRACE, child) : 0;
}

static __always_inline int lsm_ptrace_traceme(struct task_struct *parent)
{
	return on_toggle(OPERATION_PTRACE, parent);
}

static __always_inline int lsm_kernel_read_file(u32 id)
{
	return id == READING_MODULE ? on_toggle(OPERATION_MODULE_LOAD, 0) : 0;
}

static __always_inline int lsm_kernel_load_data(u32 id)
{
	return id == LOADING_MODULE ? on_toggle(OPERATION_MODULE_LOAD, 0) : 0;
}

static __always_inline int lsm_bpf(void)
{
	return on_toggle(OPERATION_BPF, 0);
}

#endif
