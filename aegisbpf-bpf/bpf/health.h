/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting what was reported and what went wrong. */
#ifndef AEGIS_HEALTH_H
#define AEGIS_HEALTH_H

#include "maps.h"

static __always_inline void note(u32 index)
{
	u64 *n = bpf_map_lookup_elem(&health, &index);

	/* Atomic though per CPU: programs may be preempted by one another on a preemptible kernel. */
	if (n)
		__sync_fetch_and_add(n, 1);
}

#endif
