/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bodies of the tracepoint programs: from what the kernel hands over to the file that was opened. */
#ifndef AEGIS_OBSERVE_H
#define AEGIS_OBSERVE_H

#define CAN_REFUSE 0 /* a tracepoint comes after the fact */
#include "report.h"

static __noinline int on_match(struct file *file, struct object_key *key, u32 operation)
{
	struct decision d;
	struct event *event;
	u64 cgroup;

	decide(key, &d);
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

static __always_inline int observe_file(struct file *file, u32 operation)
{
	struct object_key key = {};
	int found = identify(file, &key);

	if (found < 0)
		note(HEALTH_FAULT_READ);
	else if (found)
		on_match(file, &key, operation);
	return 0;
}

/*
 * The file behind the descriptor that an open returned: its identity is the opened file's, whatever
 * the path said. Descriptors opened with O_PATH give no access and are left out, as file_open does.
 */
static __noinline int observe_opened(long fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct files_struct *files;
	struct fdtable *table;
	struct file **slots, *file;
	u32 max_fds, mode;

	if (fd < 0)
		return 0;
	if (read_field(files, task->files) || read_field(table, files->fdt) || read_field(max_fds, table->max_fds) ||
	    read_field(slots, table->fd)) {
		note(HEALTH_FAULT_READ);
		return 0;
	}
	if (fd >= max_fds || bpf_probe_read_kernel(&file, sizeof(file), slots + fd) || !file) {
		note(HEALTH_FAULT_READ); /* another thread closed it meanwhile */
		return 0;
	}
	if (read_field(mode, file->f_mode) || mode & FMODE_PATH)
		return 0;
	return observe_file(file, OPERATION_OPEN);
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
