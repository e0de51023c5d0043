// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs of a known price, to prove the measuring: nothing, or so many look-ups, for each openat(2). Part of no backend. */
#include "kernel.h"

#define DOSE_MAX 64
#define ENXIO 6

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Fixed at load, so that the verifier drops what is not asked for. */
const volatile u32 lookups SEC(".rodata.lookups") = 0;

/* How often openat(2) failed as it does on a socket: what the treatment check provokes. Shared by all CPUs. */
u64 touched SEC(".bss.touched");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(key_size, 4);
	__uint(value_size, 4);
} doses SEC(".maps");

SEC("tracepoint/syscalls/sys_exit_openat")
int dose(struct sys_exit *ctx)
{
	if (ctx->ret == -ENXIO)
		__sync_fetch_and_add(&touched, 1);
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < DOSE_MAX; i++) {
		u32 key = i;

		if (i >= lookups)
			break;
		bpf_map_lookup_elem(&doses, &key);
	}
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int nothing(void *ctx)
{
	return 0;
}
