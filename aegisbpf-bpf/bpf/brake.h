/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * May a rule that is met refuse? Asked on a hit only. Two things turn a refusal into an audit whatever
 * the policy and the mode: somebody called an emergency, or a daemon that was to be heard of is silent.
 */
#ifndef AEGIS_BRAKE_H
#define AEGIS_BRAKE_H

#include "health.h"

static __always_inline int may_refuse(const struct control *c)
{
	u32 zero = 0;
	struct emergency *e;
	struct dead_man *m;

	if (c->mode != MODE_ENFORCE)
		return 0;
	e = bpf_map_lookup_elem(&emergency, &zero);
	if (!e || e->on) {
		note(HEALTH_EMERGENCY);
		return 0;
	}
	m = bpf_map_lookup_elem(&dead_man, &zero);
	/* No clock is read where nobody asked for the timer. */
	if (!m || (m->deadline_ns && bpf_ktime_get_ns() > m->deadline_ns)) {
		note(HEALTH_DEAD_MAN);
		return 0;
	}
	return 1;
}

#endif
