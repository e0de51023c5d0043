/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The bodies of the LSM programs on sockets: a filter test up front, everything else in a subprogram. */
#ifndef AEGIS_SOCKET_H
#define AEGIS_SOCKET_H

#include "net.h"

#define MSG_FASTOPEN 0x20000000 /* send(2) that connects */
#define SOCKADDR_IN_BYTES 16
#define SOCKADDR_IN6_BYTES 24 /* the kernel takes them without the scope, too */

/* What a program may have written at the pointer that it handed to the kernel: sockaddr_in or sockaddr_in6. */
struct address {
	u16 family;
	u16 port;
	u32 v4;
	u8 v6[ADDRESS_BYTES];
} __attribute__((aligned(8)));

/*
 * Nothing stands before this test, and it loads the address byte by byte (the verifier knows it as an array of
 * them), which costs a third of what a helper costs. The rules about IPv4 are looked for under the IPv6 address
 * ::ffff:a.b.c.d too: its bits 16 to 31 are 0, and so is the slot that user space sets for it.
 */
static __always_inline int may_match_address(const struct sockaddr *address, u32 port_bit)
{
	u32 family = address->sa_family;

	if (family == AF_INET)
		return net_filter[net_index(address->sa_data[0], address->sa_data[1])] & port_bit ||
		       net_filter[net_index(address->sa_data[2], address->sa_data[3])] & NET_V4;
	if (family == AF_INET6)
		return net_filter[net_index(address->sa_data[0], address->sa_data[1])] & port_bit ||
		       net_filter[net_index(address->sa_data[8], address->sa_data[9])] & NET_V6;
	return family == AF_UNSPEC;
}

/* The same for the peer of a connected socket; of its port there are no rules. */
static __always_inline int may_match_peer(const struct sock *sk)
{
	u32 family;

	if (!sk) /* never, but the verifier asks */
		return 0;
	family = sk->__sk_common.skc_family;
	if (family == AF_INET)
		return net_filter[net_index(sk->__sk_common.skc_daddr & 0xffff, 0)] & NET_V4;
	if (family == AF_INET6)
		return net_filter[net_index(sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[0] >> 16, 0)] & NET_V6;
	return 0;
}

/* Reads `address`; 0 if that is one that rules can be about. */
static __always_inline int read_address(struct end *end, const struct sock *sk, const void *from, u32 len)
{
	struct address address;
	u32 family;

	if (bpf_probe_read_kernel(&address, sizeof(address), from)) {
		note(HEALTH_FAULT_READ);
		return -1;
	}
	family = address.family == AF_UNSPEC ? sk->__sk_common.skc_family : address.family;
	if (family == AF_INET && len >= SOCKADDR_IN_BYTES)
		set_v4(end, address.v4);
	else if (family == AF_INET6 && len >= SOCKADDR_IN6_BYTES)
		copy_address(end->addr, address.v6);
	else
		return -1; /* of another family, or so short that the kernel refuses it */
	end->port = ntohs(address.port);
	return 0;
}

/* The peer that the socket is connected to; 0 if there is one. */
static __always_inline int read_peer(struct end *end, const struct sock *sk)
{
	u32 family = sk->__sk_common.skc_family, i;

	if (family == AF_INET)
		set_v4(end, sk->__sk_common.skc_daddr);
	else if (family == AF_INET6)
		for (i = 0; i < 4; i++)
			((u32 *)end->addr)[i] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[i];
	else
		return -1;
	end->port = ntohs(sk->__sk_common.skc_dport);
	end->direction = 0;
	return 0;
}

/* Our own end. */
static __always_inline int read_local(struct end *end, const struct sock *sk)
{
	u32 family = sk->__sk_common.skc_family, i;

	if (family == AF_INET)
		set_v4(end, sk->__sk_common.skc_rcv_saddr);
	else if (family == AF_INET6)
		for (i = 0; i < 4; i++)
			((u32 *)end->addr)[i] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i];
	else
		return -1;
	end->port = sk->__sk_common.skc_num;
	return 0;
}

static __always_inline void begin_end(struct end *end, const struct sock *sk, u32 operation, u32 direction)
{
	end->operation = operation;
	end->direction = direction;
	end->proto = protocol(sk->sk_type, sk->sk_protocol);
}

static __noinline int on_connect(struct socket *sock, struct sockaddr *address, u32 len)
{
	struct sock *sk = sock->sk;
	struct end end;

	if (!sk)
		return 0;
	begin_end(&end, sk, OPERATION_CONNECT, DIRECTION_OUT);
	if (read_address(&end, sk, address, len))
		return 0;
	/* AF_UNSPEC with nothing in it ends a connection. */
	if (address->sa_family == AF_UNSPEC && !end.port)
		return 0;
	return on_network(&end);
}

static __noinline int on_bind(struct socket *sock, struct sockaddr *address, u32 len)
{
	struct sock *sk = sock->sk;
	struct end end;

	if (!sk)
		return 0;
	begin_end(&end, sk, OPERATION_BIND, DIRECTION_IN);
	return read_address(&end, sk, address, len) ? 0 : on_network(&end);
}

static __noinline int on_local(struct socket *sock, u32 operation)
{
	struct sock *sk = sock->sk;
	struct end end;

	if (!sk)
		return 0;
	begin_end(&end, sk, operation, DIRECTION_IN);
	return read_local(&end, sk) ? 0 : on_network(&end);
}

static __noinline int on_peer(struct socket *sock, u32 operation)
{
	struct sock *sk = sock->sk;
	struct end end;

	if (!sk)
		return 0;
	begin_end(&end, sk, operation, 0);
	return read_peer(&end, sk) ? 0 : on_network(&end);
}

/* A message to a peer that it names. TCP ignores the name, but for the message that connects. */
static __noinline int on_sendto(struct socket *sock, struct msghdr *msg)
{
	struct sock *sk = sock->sk;
	struct end end;
	u16 family = 0;
	int refused;

	if (!sk)
		return 0;
	begin_end(&end, sk, OPERATION_SENDMSG, DIRECTION_OUT);
	if (end.proto == PROTOCOL_TCP && !(msg->msg_flags & MSG_FASTOPEN))
		return may_match_peer(sk) ? on_peer(sock, OPERATION_SENDMSG) : 0;
	if (read_address(&end, sk, msg->msg_name, msg->msg_namelen))
		return 0;
	refused = on_network(&end);
	if (refused)
		return refused;
	/* UDP of version 6 takes a name without a family for none, and sends to the peer that it is connected to. */
	if (sk->__sk_common.skc_family == AF_INET6 && may_match_peer(sk)) {
		bpf_probe_read_kernel(&family, sizeof(family), msg->msg_name);
		if (family == AF_UNSPEC)
			return on_peer(sock, OPERATION_SENDMSG);
	}
	return 0;
}

static __always_inline int lsm_socket_connect(struct socket *sock, struct sockaddr *address, u32 len)
{
	return may_match_address(address, NET_PORT_OUT) ? on_connect(sock, address, len) : 0;
}

static __always_inline int lsm_socket_bind(struct socket *sock, struct sockaddr *address, u32 len)
{
	return may_match_address(address, NET_PORT_IN) ? on_bind(sock, address, len) : 0;
}

static __always_inline int lsm_socket_listen(struct socket *sock)
{
	return on_local(sock, OPERATION_LISTEN);
}

static __always_inline int lsm_socket_accept(struct socket *sock)
{
	return on_local(sock, OPERATION_ACCEPT);
}

static __always_inline int lsm_socket_sendmsg(struct socket *sock, struct msghdr *msg)
{
	if (msg->msg_name)
		return on_sendto(sock, msg);
	return may_match_peer(sock->sk) ? on_peer(sock, OPERATION_SENDMSG) : 0;
}

static __always_inline int lsm_socket_recvmsg(struct socket *sock)
{
	return may_match_peer(sock->sk) ? on_peer(sock, OPERATION_RECVMSG) : 0;
}

#endif
