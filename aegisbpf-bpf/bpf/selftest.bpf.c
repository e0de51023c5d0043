// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* decide() and the filter behind entry points that TEST_RUN can call, for tests and benchmarks. */
#define FOLLOWS_NAMES 0
#include "report.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Types that maps name by their size only would be missing in the type information; here a test finds them. */
struct {
	struct object_key object_key;
	struct rule_ref rule_ref;
	struct cgroup_file_key cgroup_file_key;
	struct executable_file_key executable_file_key;
	struct net_key net_key;
	struct comm_key comm_key;
	struct address_record address_record;
	struct task_record task_record;
	struct name_key name_key;
	struct short_name_key short_name_key;
	struct name_ref name_ref;
	struct sieve_row sieve_row;
	struct event event;
} layouts SEC(".bss.layouts");

/* ctx: ino, dev. Returns enum decision_kind | rule << 8. */
SEC("raw_tp/test_decide")
int test_decide(u64 *ctx)
{
	struct object_key key = { .ino = ctx[0], .dev = ctx[1], .kind = OBJECT_FILE };
	u32 perhaps = may_match(key.ino);
	struct decision d;

	if (!perhaps || is_ruled_out(key.ino, perhaps))
		return DECISION_ALLOW;
	decide(&key, 0, 0, 0, &d);
	if (d.kind != DECISION_ALLOW)
		count(&d, bpf_get_current_cgroup_id());
	return d.kind | d.rule << 8;
}

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
