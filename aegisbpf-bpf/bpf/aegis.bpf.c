// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The `lsm` backend: programs on the kernel's security hooks, which may refuse. */
#include "lsm.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("lsm/file_open")
int file_open(u64 *ctx)
{
	return lsm_file_open((struct file *)ctx[0]);
}

/* Attached only to price the others: the cost of a hook that does nothing. */
SEC("lsm/file_open")
int empty(u64 *ctx)
{
	return 0;
}

/* Never attached: run once by the enforcer, which is never denied. Gives its process id as the programs see it. */
SEC("raw_tp/whoami")
int whoami(u64 *ctx)
{
	return become_self();
}
