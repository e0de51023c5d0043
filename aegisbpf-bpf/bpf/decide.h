/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The decision: which rule an access meets, and what becomes of it. The same in audit and in enforce
 * mode and in every backend; only the last line looks at the mode.
 */
#ifndef AEGIS_DECIDE_H
#define AEGIS_DECIDE_H

#include "brake.h"
#include "subject.h"
#include "object.h"

/* Set to 0 by a backend whose hooks come too late to refuse. */
#ifndef CAN_REFUSE
#define CAN_REFUSE 1
#endif

struct decision {
	u32 kind; /* enum decision_kind */
	u32 rule;
	u32 sample_every;
};

static __always_inline void decide(const struct object_key *key, struct decision *d)
{
	u32 zero = 0, slot;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	struct rule_ref *ref;
	void *current, *allowed;

	d->kind = DECISION_ALLOW;
	d->rule = 0;
	d->sample_every = 0;
	if (!c)
		return;
	/* The generation is read once: rules and exceptions come from one policy, never from two. */
	slot = *(volatile u32 *)&c->generation & 1;
	current = bpf_map_lookup_elem(&rules, &slot);
	allowed = bpf_map_lookup_elem(&exempt, &slot);
	if (!current || !allowed) {
		note(HEALTH_FAULT_NO_POLICY);
		return;
	}
	ref = bpf_map_lookup_elem(current, key);
	if (!ref || ref->effect != EFFECT_DENY)
		return; /* the filter's "perhaps" was wrong */
	d->rule = ref->rule;
	d->sample_every = c->sample_every;
	if (is_survivor(c) || is_exempt_cgroup(allowed))
		d->kind = DECISION_EXEMPT;
	else if (CAN_REFUSE && may_refuse(c))
		d->kind = DECISION_DENY;
	else
		d->kind = DECISION_AUDIT;
}

#endif
