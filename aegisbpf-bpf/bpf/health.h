/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting what was reported and what went wrong. */
#ifndef AEGIS_HEALTH_H
#define AEGIS_HEALTH_H

#include "maps.h"

static __always_inline void note_here(u32 index)
{
	u64 *n = bpf_map_lookup_elem(&health, &index);

	/* Atomic though per CPU: programs may be preempted by one another on a preemptible kernel. */
	if (n)
		__sync_fetch_and_add(n, 1);
}

/*
 * This function is not static, as others below it: the verifier then looks at it once in each program, by itself and for
 * whatever arguments, and at one that is static again for every way that leads there, which for an access in several
 * parts are many. Such functions take numbers, and give one.
 */
__noinline int note(u32 index)
{
	note_here(index);
	return 0;
}

#endif
