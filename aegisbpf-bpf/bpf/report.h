/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What user space learns of a decision: counters, always and exactly; events, sampled. A full ring
 * buffer loses an event and counts the loss; it changes no counter and no decision.
 */
#ifndef AEGIS_REPORT_H
#define AEGIS_REPORT_H

#include "decide.h"

static __always_inline void add(struct counts *counts, u32 kind)
{
	u64 *n = kind == DECISION_EXEMPT ? &counts->exempted :
		 kind == DECISION_DENY ? &counts->denied : &counts->audited;

	__sync_fetch_and_add(n, 1);
}

/* Another CPU may be first: then this fails, and its entry is found. */
static __noinline int make_counts(const struct count_key *key)
{
	struct counts zero = {};

	return bpf_map_update_elem(&by_cgroup, key, &zero, BPF_NOEXIST);
}

/* Each access is counted in one place: with its cgroup or, where that cannot be, in what the rule has beside. */
static __always_inline void count(const struct decision *d, u64 cgroup)
{
	struct count_key key = { .cgroup = cgroup, .rule = d->rule };
	struct counts *counts = bpf_map_lookup_elem(&by_cgroup, &key);

	if (!counts) {
		make_counts(&key);
		counts = bpf_map_lookup_elem(&by_cgroup, &key);
	}
	if (counts) {
		add(counts, d->kind);
		return;
	}
	/* No room for one more cgroup: counted, but nobody will know whose it was. */
	note(HEALTH_FAULT_COUNTS);
	counts = bpf_map_lookup_elem(&totals, &key.rule);
	if (counts)
		add(counts, d->kind);
	else
		note(HEALTH_FAULT_TOTALS);
}

/* The first hit on each CPU, then every N-th. Exempted accesses are counted, not reported. */
static __always_inline int is_sampled(const struct decision *d)
{
	u32 zero = 0;
	u64 *hits;

	if (d->kind == DECISION_EXEMPT || !d->sample_every)
		return 0;
	if (d->sample_every == 1)
		return 1;
	hits = bpf_map_lookup_elem(&sampler, &zero);
	return hits && __sync_fetch_and_add(hits, 1) % d->sample_every == 0;
}

/*
 * Nobody is woken for each event: the reader comes by timer, or when a quarter of the ring is full.
 */
static __always_inline void submit(struct event *event)
{
	u64 waiting = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	u64 size = bpf_ringbuf_query(&events, BPF_RB_RING_SIZE);

	bpf_ringbuf_submit(event, waiting > size / 4 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	note(HEALTH_EMITTED);
}

/* Reserves an event with everything in it but the path. */
static __always_inline struct event *begin_event(const struct decision *d, const struct object_key *key,
						 u32 operation, u64 cgroup)
{
	struct task_struct *task;
	struct event *event;
	u64 owners;

	if (!is_sampled(d)) {
		if (d->kind != DECISION_EXEMPT)
			note(HEALTH_SAMPLED_OUT);
		return 0;
	}
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		note(HEALTH_DROPPED);
		return 0;
	}
	task = bpf_get_current_task_btf();
	owners = bpf_get_current_uid_gid();
	event->boot_ns = bpf_ktime_get_boot_ns();
	event->cgroup = cgroup;
	event->ino = key->ino;
	event->dev = key->dev;
	event->rule = d->rule;
	event->pid = task->pid;
	event->tgid = task->tgid;
	event->uid = owners;
	event->gid = owners >> 32;
	event->operation = operation;
	event->decision = d->kind;
	event->path_form = PATH_NONE;
	event->pad0 = 0;
	event->path_len = 0;
	event->pad1 = 0;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	return event;
}

/* The last two names of where the access went, where no path can be had. */
static __always_inline void note_names(struct event *event, struct dentry *dentry)
{
	const unsigned char *name;
	struct dentry *parent;
	long len;

	if (read_field(name, dentry->d_name.name))
		return;
	len = bpf_probe_read_kernel_str(event->path, NAME_BYTES, name);
	if (len < 1 || len > NAME_BYTES)
		return;
	event->path_form = PATH_PARTIAL;
	event->path_len = len;
	if (read_field(parent, dentry->d_parent) || parent == dentry || read_field(name, parent->d_name.name))
		return;
	len = bpf_probe_read_kernel_str(&event->path[len], NAME_BYTES, name);
	if (len > 0 && len <= NAME_BYTES)
		event->path_len += len;
}

#endif
