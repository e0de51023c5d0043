/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading and writing the filter. A byte's low bits are user space's, its high ones count the inodes that the programs
 * have bound; whoever changes its own must not lose the other's, so all is done by atomic operations on the
 * word around the byte.
 */
#ifndef AEGIS_FILTER_H
#define AEGIS_FILTER_H

#include "maps.h"

#define FILTER_TRIES 8
#define ONE_BOUND 0x10

static __always_inline u8 filter_byte(u64 ino)
{
	return filter[ino & (FILTER_SLOTS - 1)];
}

/* The word around a byte, and where in it the byte stands. The compiler may not see through the mask: the verifier needs it. */
static __always_inline u32 *filter_word(u64 ino, u32 *shift)
{
	u32 index = ino & (FILTER_SLOTS - 1);

	*shift = (index & 3) * 8;
	index &= FILTER_SLOTS - 4;
	asm volatile("" : "+r"(index));
	return (u32 *)&filter[index & (FILTER_SLOTS - 4)];
}

/* One more inode with these low bits is bound. Before its entry is made: an open may come in between. */
__noinline int filter_count(u64 ino)
{
	u32 shift, old, i;
	u32 *word = filter_word(ino, &shift);

#pragma clang loop unroll(disable)
	for (i = 0; i < FILTER_TRIES; i++) {
		old = *(volatile u32 *)word;
		if ((old >> shift & FILTER_BOUND) == FILTER_BOUND)
			return 0;
		if (__sync_val_compare_and_swap(word, old, old + (ONE_BOUND << shift)) == old)
			return 0;
	}
	/* Others are always faster: give up counting here, and look for ever. */
	__sync_fetch_and_or(word, FILTER_BOUND << shift);
	return 0;
}

/* One less. After its entry is gone. A byte that gave up counting stays as it is. */
__noinline int filter_uncount(u64 ino)
{
	u32 shift, old, n, i;
	u32 *word = filter_word(ino, &shift);

#pragma clang loop unroll(disable)
	for (i = 0; i < FILTER_TRIES; i++) {
		old = *(volatile u32 *)word;
		n = old >> shift & FILTER_BOUND;
		if (!n || n == FILTER_BOUND)
			return 0;
		if (__sync_val_compare_and_swap(word, old, old - (ONE_BOUND << shift)) == old)
			return 0;
	}
	return 0;
}

/* One of user space's changes; a body for bpf_loop, which the verifier looks at once. */
static long apply_patch(u32 i, void *context)
{
	struct filter_patches *patches;
	struct filter_patch *patch;
	u32 zero = 0, shift;
	u32 *word;

	patches = bpf_map_lookup_elem(&filter_patches, &zero);
	if (!patches || i >= FILTER_PATCHES)
		return 1;
	patch = &patches->patch[i];
	word = filter_word(patch->slot, &shift);
	if (patch->set & FILTER_STATIC)
		__sync_fetch_and_or(word, (u32)(patch->set & FILTER_STATIC) << shift);
	if (patch->clear & FILTER_STATIC)
		__sync_fetch_and_and(word, ~((u32)(patch->clear & FILTER_STATIC) << shift));
	if (patch->count)
		filter_count(patch->slot);
	if (patch->uncount)
		filter_uncount(patch->slot);
	return 0;
}

/* The first `count` of them. Run by TEST_RUN. */
static __always_inline int apply_patches(u32 count)
{
	return bpf_loop(count, apply_patch, 0, 0) == count ? 0 : -1;
}

#endif
