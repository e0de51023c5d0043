/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bodies of the programs that are attached to a cgroup and see the addresses which its sockets connect,
 * bind and send to. They refuse, where security hooks cannot be had. An accept and a receive they do not see.
 */
#ifndef AEGIS_SOCK_ADDR_H
#define AEGIS_SOCK_ADDR_H

#include "net.h"

#define SOCK_ADDR_REFUSE 0
#define SOCK_ADDR_ALLOW 1

/* include/uapi/linux/bpf.h: what such a program is given */
struct bpf_sock_addr {
	u32 user_family;
	u32 user_ip4;
	u32 user_ip6[4];
	u32 user_port; /* as it is sent, in the low half */
	u32 family;
	u32 type;
	u32 protocol;
};

static __always_inline int may_match_port(const struct bpf_sock_addr *ctx, u32 direction)
{
	u32 bit = direction == DIRECTION_OUT ? NET_PORT_OUT : NET_PORT_IN;

	return net_filter[net_index(ctx->user_port & 0xffff, 0)] & bit;
}

static __always_inline int judge_sock_addr(const struct bpf_sock_addr *ctx, struct end *end, u32 operation,
					   u32 direction)
{
	end->port = ntohs((u16)ctx->user_port);
	end->operation = operation;
	end->direction = direction;
	end->proto = protocol(ctx->type, ctx->protocol);
	if (!judge_network(end))
		return SOCK_ADDR_ALLOW;
	asm volatile("" ::: "memory"); /* see carry_out_open */
	return SOCK_ADDR_REFUSE;
}

/* The address is IPv4's whatever family the caller wrote: AF_UNSPEC is the socket's own. */
static __always_inline int on_v4(const struct bpf_sock_addr *ctx, u32 operation, u32 direction)
{
	u32 addr = ctx->user_ip4;
	struct end end;

	if (!may_match_port(ctx, direction) && !(net_filter[net_index(addr & 0xffff, 0)] & NET_V4))
		return SOCK_ADDR_ALLOW;
	set_v4(&end, addr);
	return judge_sock_addr(ctx, &end, operation, direction);
}

static __always_inline int on_v6(const struct bpf_sock_addr *ctx, u32 operation, u32 direction)
{
	u32 first = ctx->user_ip6[0];
	struct end end;
	u32 *words = (u32 *)end.addr;

	if (!may_match_port(ctx, direction) && !(net_filter[net_index(first >> 16, 0)] & NET_V6))
		return SOCK_ADDR_ALLOW;
	words[0] = first;
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
	return judge_sock_addr(ctx, &end, operation, direction);
}

#endif
