// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What can be had without security hooks. The `tracepoint` backend audits files: it sees what has happened. The
 * `sock` backend, attached to a cgroup, enforces rules about the network.
 */
#include "observe.h"
#include "sock_addr.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* At the return of every system call that opens a file: they hand over the same. */
SEC("tracepoint/syscalls/sys_exit_openat")
int exit_open(struct sys_exit *ctx)
{
	return observe_opened(ctx->ret);
}

SEC("raw_tp/sched_process_exec")
int process_exec(u64 *ctx)
{
	return observe_executed((struct linux_binprm *)ctx[2]);
}

/* The same where the policy has rules about all below a directory. */

SEC("tracepoint/syscalls/sys_exit_openat")
int exit_open_below(struct sys_exit *ctx)
{
	return observe_opened_below(ctx->ret);
}

SEC("raw_tp/sched_process_exec")
int process_exec_below(u64 *ctx)
{
	return observe_executed_below((struct linux_binprm *)ctx[2]);
}

SEC("cgroup/bind4")
int bind4(struct bpf_sock_addr *ctx)
{
	return on_v4(ctx, OPERATION_BIND, DIRECTION_IN);
}

SEC("cgroup/bind6")
int bind6(struct bpf_sock_addr *ctx)
{
	return on_v6(ctx, OPERATION_BIND, DIRECTION_IN);
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return on_v4(ctx, OPERATION_CONNECT, DIRECTION_OUT);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return on_v6(ctx, OPERATION_CONNECT, DIRECTION_OUT);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return on_v4(ctx, OPERATION_SENDMSG, DIRECTION_OUT);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return on_v6(ctx, OPERATION_SENDMSG, DIRECTION_OUT);
}

/* Never attached: run once by the enforcer, which is never denied. Gives its process id as the programs see it. */
SEC("raw_tp/whoami")
int whoami(u64 *ctx)
{
	return become_self();
}

/* Never attached: run by the enforcer to change the filter. ctx: how many changes. */
SEC("raw_tp/patch_filter")
int patch_filter(u64 *ctx)
{
	return apply_patches(ctx[0]);
}

/* Never attached: run by the enforcer to learn a file's identity. ctx: descriptor. */
SEC("raw_tp/identify")
int identify_file(u64 *ctx)
{
	return tell_identity(ctx[0]);
}
