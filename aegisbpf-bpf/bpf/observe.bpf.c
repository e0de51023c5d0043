// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The `tracepoint` backend: audit where LSM programs cannot be had. It sees what has happened. */
#include "observe.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tracepoint/syscalls/sys_exit_open")
int exit_open(struct sys_exit *ctx)
{
	return observe_opened(ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_openat")
int exit_openat(struct sys_exit *ctx)
{
	return observe_opened(ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_openat2")
int exit_openat2(struct sys_exit *ctx)
{
	return observe_opened(ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_creat")
int exit_creat(struct sys_exit *ctx)
{
	return observe_opened(ctx->ret);
}

SEC("tracepoint/syscalls/sys_exit_open_by_handle_at")
int exit_open_by_handle_at(struct sys_exit *ctx)
{
	return observe_opened(ctx->ret);
}

SEC("raw_tp/sched_process_exec")
int process_exec(u64 *ctx)
{
	return observe_executed((struct linux_binprm *)ctx[2]);
}

/* Never attached: run once by the enforcer, which is never denied. Gives its process id as the programs see it. */
SEC("raw_tp/whoami")
int whoami(u64 *ctx)
{
	return become_self();
}
