/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules about what is executed, by name. The name is the one that the executed file has in its directory:
 * a symbolic link to it, the length of its path and the descriptor of fexecve say nothing about it.
 */
#ifndef AEGIS_EXEC_H
#define AEGIS_EXEC_H

#include "report.h"

static __noinline int on_exec(struct linux_binprm *bprm)
{
	struct object_key key = { .kind = OBJECT_FILE };
	struct comm_key name = {};
	const struct control *c;
	struct decision d;
	struct event *event;
	struct file *file = bprm->file;
	void *current;
	u32 slot, *rule;
	u64 cgroup;

	if (file->f_path.dentry->d_name.len >= sizeof(name.name))
		return 0; /* no rule has so long a name */
	if (bpf_probe_read_kernel_str(name.name, sizeof(name.name), file->f_path.dentry->d_name.name) < 1) {
		note(HEALTH_FAULT_READ);
		return 0;
	}
	c = begin_decision(&d, &slot);
	if (!c)
		return 0;
	current = bpf_map_lookup_elem(&comms, &slot);
	if (!current) /* the current policy has no such rule */
		return 0;
	rule = bpf_map_lookup_elem(current, &name);
	if (!rule)
		return 0;
	settle(&d, weigh_for_all(slot, *rule, CAN_REFUSE));
	cgroup = bpf_get_current_cgroup_id();
	count(&d, cgroup);
	key.ino = file->f_inode->i_ino;
	key.dev = file->f_inode->i_sb->s_dev;
	event = begin_event(&d, &key, OPERATION_EXEC, cgroup);
	if (event) {
#ifdef MODIFY_RETURN
		walk_path(file, event); /* d_path is for hooks, and not for the function that calls this one */
#else
		long len = bpf_d_path(&file->f_path, event->path, sizeof(event->path));

		if (len > 1 && len <= PATH_BYTES) {
			event->path_form = PATH_ABSOLUTE;
			event->path_len = len - 1;
		}
#endif
		submit(event);
	}
	if (d.kind == DECISION_DENY) {
		asm volatile("" ::: "memory"); /* see carry_out_open */
		return -EPERM;
	}
	return 0;
}

#endif
