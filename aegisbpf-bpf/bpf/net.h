/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules about the network: what an access is about (address, port, protocol), the cheap test whether a rule
 * may be about it, and the decision. The hooks are in socket.h and sock_addr.h, and all can refuse.
 */
#ifndef AEGIS_NET_H
#define AEGIS_NET_H

#include "report.h"

#define AF_UNSPEC 0
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_UDPLITE 136
#define IPPROTO_MPTCP 262

/* One end of a communication: the peer, or ourselves. */
struct end {
	u8 addr[ADDRESS_BYTES] __attribute__((aligned(8))); /* an IPv4 one as ::ffff:a.b.c.d */
	u16 port; /* in the machine's order; 0 if it is of no matter */
	u8 proto; /* enum protocol */
	u8 direction; /* enum direction, of the port */
	u32 operation;
};

/* The filter's index of a port or of 16 bits of an address: two bytes, in the order in which they are sent. */
static __always_inline u32 net_index(u32 first, u32 second)
{
	u32 index = first | second << 8;

	/* 6.1 takes a byte loaded from the kernel for any number, and clang must not see that the mask is in vain. */
	asm volatile("" : "+r"(index));
	return index & (NET_SLOTS - 1);
}

static __always_inline void set_v4(struct end *end, u32 addr)
{
	u32 *words = (u32 *)end->addr;

	words[0] = 0;
	words[1] = 0;
	words[2] = 0xffff0000; /* the bytes 0, 0, ff, ff */
	words[3] = addr;
}

static __always_inline int is_v4(const struct end *end)
{
	const u32 *words = (const u32 *)end->addr;

	return !words[0] && !words[1] && words[2] == 0xffff0000;
}

static __always_inline u8 protocol(u32 type, u32 number)
{
	/* Multipath TCP is TCP under another number; AF_SMC has no number of its own. */
	if (number == IPPROTO_TCP || number == IPPROTO_MPTCP || (!number && type == SOCK_STREAM))
		return PROTOCOL_TCP;
	if (number == IPPROTO_UDP || number == IPPROTO_UDPLITE)
		return PROTOCOL_UDP;
	return PROTOCOL_OTHER;
}

/* The rules about a port or an endpoint: for its protocol, or for each. */
static __always_inline u32 with_protocol(void *rules, struct net_key *key, u8 proto)
{
	u32 *rule;

	key->proto = PROTOCOL_ANY;
	rule = bpf_map_lookup_elem(rules, key);
	if (rule)
		return *rule;
	key->proto = proto;
	rule = bpf_map_lookup_elem(rules, key);
	return rule ? *rule : 0;
}

static __always_inline void copy_address(u8 *to, const u8 *from)
{
	((u64 *)to)[0] = ((const u64 *)from)[0];
	((u64 *)to)[1] = ((const u64 *)from)[1];
}

static __always_inline u32 prefix_rule(void *prefixes, const struct end *end)
{
	struct prefix_key key = { .bits = 32 + 128, .family = 6 };
	u32 *rule;

	if (is_v4(end)) {
		key.bits = 32 + 32;
		key.family = 4;
		*(u32 *)key.addr = ((const u32 *)end->addr)[3];
	} else {
		copy_address(key.addr, end->addr);
	}
	rule = bpf_map_lookup_elem(prefixes, &key);
	return rule ? *rule : 0;
}

/* The rule of `cgroup` (0: of all) about a port, for its direction. */
static __always_inline u32 port_rule(void *rules, u64 cgroup, const struct end *end)
{
	struct net_key key = { .cgroup = cgroup, .kind = NET_PORT, .port = end->port, .direction = end->direction };

	return end->port && end->direction ? with_protocol(rules, &key, end->proto) : 0;
}

static __always_inline u32 address_rule(void *rules, u64 cgroup, const struct end *end)
{
	struct net_key key = { .cgroup = cgroup, .kind = NET_ADDRESS };
	u32 *rule;

	copy_address(key.addr, end->addr);
	rule = bpf_map_lookup_elem(rules, &key);
	return rule ? *rule : 0;
}

static __always_inline u32 endpoint_rule(void *rules, const struct end *end)
{
	struct net_key key = { .kind = NET_ENDPOINT, .port = end->port };

	copy_address(key.addr, end->addr);
	return end->port ? with_protocol(rules, &key, end->proto) : 0;
}

/* The rule that denies it to all: address, endpoint, network, port, in this order. Either map may be missing. */
__noinline u32 common_rule(u32 slot, const struct end *end)
{
	void *rules = bpf_map_lookup_elem(&net_rules, &slot), *prefixes = bpf_map_lookup_elem(&net_prefixes, &slot);
	u32 rule = 0;

	if (!end) /* never, but the verifier asks */
		return 0;
	if (rules) {
		rule = address_rule(rules, 0, end);
		if (!rule)
			rule = endpoint_rule(rules, end);
	}
	if (!rule && prefixes)
		rule = prefix_rule(prefixes, end);
	if (!rule && rules)
		rule = port_rule(rules, 0, end);
	return rule;
}

/* The rule that denies it to the cgroup `id` alone, if that cgroup has rules of its own. */
__noinline u32 scoped_rule(u32 slot, u64 id, const struct end *end)
{
	void *rules = bpf_map_lookup_elem(&net_rules, &slot);
	struct net_key marker = { .cgroup = id, .kind = NET_SCOPED };
	u32 rule;

	if (!end || !rules || !bpf_map_lookup_elem(rules, &marker))
		return 0;
	rule = address_rule(rules, id, end);
	return rule ? rule : port_rule(rules, id, end);
}

/* The same for the caller's cgroup and those above it, the nearest to the root first. */
__noinline u32 callers_rule(u32 slot, const struct end *end)
{
	void *rules = bpf_map_lookup_elem(&net_rules, &slot);
	struct net_key marker = { .kind = NET_SCOPED };
	u64 own, id;
	u32 rule;
	int level;

	if (!end || !rules || !bpf_map_lookup_elem(rules, &marker))
		return 0;
	own = bpf_get_current_cgroup_id();
#pragma clang loop unroll(disable)
	for (level = 0; level < CGROUP_LEVELS; level++) {
		id = bpf_get_current_ancestor_cgroup_id(level);
		if (!id || id == own)
			return scoped_rule(slot, own, end);
		rule = scoped_rule(slot, id, end);
		if (rule)
			return rule;
	}
	note(HEALTH_FAULT_DEPTH);
	return 0;
}

static __always_inline void decide_network(const struct end *end, struct decision *d)
{
	const struct control *c;
	u32 slot, rule;

	c = begin_decision(d, &slot);
	if (!c)
		return;
	rule = common_rule(slot, end);
	if (!rule)
		rule = callers_rule(slot, end);
	if (rule)
		settle(d, weigh_for_all(slot, rule, 1));
}

/* Decides, counts and reports. Is it a refusal? */
__noinline int judge_network(const struct end *end)
{
	struct object_key none = {};
	struct address_record *record;
	struct decision d;
	struct event *event;
	u64 cgroup;

	if (!end)
		return 0;
	decide_network(end, &d);
	if (d.kind == DECISION_ALLOW)
		return 0;
	cgroup = bpf_get_current_cgroup_id();
	count(&d, cgroup);
	event = begin_event(&d, &none, end->operation, cgroup);
	if (event) {
		record = (struct address_record *)event->path;
		copy_address(record->addr, end->addr);
		record->port = end->port;
		record->family = is_v4(end) ? 4 : 6;
		record->proto = end->proto;
		record->pad = 0;
		event->path_form = PATH_ADDRESS;
		event->path_len = sizeof(*record);
		submit(event);
	}
	return d.kind == DECISION_DENY;
}

/* 0, or -EPERM to refuse. */
static __always_inline int on_network(const struct end *end)
{
	if (!judge_network(end))
		return 0;
	asm volatile("" ::: "memory"); /* see carry_out_open */
	return -EPERM;
}

#endif
