// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The `lsm` backend: programs on the kernel's security hooks, which may refuse. */
#include "lsm.h"
#include "exec.h"
#include "socket.h"
#include "toggles.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("lsm/file_open")
int file_open(u64 *ctx)
{
	return lsm_file_open((struct file *)ctx[0]);
}

SEC("lsm/bprm_check_security")
int exec_name(u64 *ctx)
{
	return on_exec((struct linux_binprm *)ctx[0]);
}

SEC("lsm/socket_bind")
int socket_bind(u64 *ctx)
{
	return lsm_socket_bind((struct socket *)ctx[0], (struct sockaddr *)ctx[1], ctx[2]);
}

SEC("lsm/socket_connect")
int socket_connect(u64 *ctx)
{
	return lsm_socket_connect((struct socket *)ctx[0], (struct sockaddr *)ctx[1], ctx[2]);
}

SEC("lsm/socket_listen")
int socket_listen(u64 *ctx)
{
	return lsm_socket_listen((struct socket *)ctx[0]);
}

SEC("lsm/socket_accept")
int socket_accept(u64 *ctx)
{
	return lsm_socket_accept((struct socket *)ctx[0]);
}

SEC("lsm/socket_sendmsg")
int socket_sendmsg(u64 *ctx)
{
	return lsm_socket_sendmsg((struct socket *)ctx[0], (struct msghdr *)ctx[1]);
}

SEC("lsm/socket_recvmsg")
int socket_recvmsg(u64 *ctx)
{
	return lsm_socket_recvmsg((struct socket *)ctx[0]);
}

SEC("lsm/ptrace_access_check")
int ptrace_access_check(u64 *ctx)
{
	return lsm_ptrace_access_check((struct task_struct *)ctx[0], ctx[1]);
}

SEC("lsm/ptrace_traceme")
int ptrace_traceme(u64 *ctx)
{
	return lsm_ptrace_traceme((struct task_struct *)ctx[0]);
}

SEC("lsm/kernel_read_file")
int kernel_read_file(u64 *ctx)
{
	return lsm_kernel_read_file(ctx[1]);
}

SEC("lsm/kernel_load_data")
int kernel_load_data(u64 *ctx)
{
	return lsm_kernel_load_data(ctx[0]);
}

SEC("lsm/bpf")
int call_bpf(u64 *ctx)
{
	return lsm_bpf();
}

/* Attached only to price the others: the cost of a hook that does nothing. */
SEC("lsm/file_open")
int empty(u64 *ctx)
{
	return 0;
}

/* As `empty`, for the price of the network rules. */
SEC("lsm/socket_connect")
int empty_connect(u64 *ctx)
{
	return 0;
}

/* Never attached: run once by the enforcer, which is never denied. Gives its process id as the programs see it. */
SEC("raw_tp/whoami")
int whoami(u64 *ctx)
{
	return become_self();
}
