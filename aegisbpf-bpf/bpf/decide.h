/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The decision: which rule an access meets, and what becomes of it. The same in audit and in enforce
 * mode and in every backend; only the last line looks at the mode.
 */
#ifndef AEGIS_DECIDE_H
#define AEGIS_DECIDE_H

#include "brake.h"
#include "subject.h"
#include "object.h"

/* Set to 0 by a backend whose hooks on files come too late to refuse. */
#ifndef CAN_REFUSE
#define CAN_REFUSE 1
#endif

/* Set to 0 by a backend that has no hooks to follow names with. */
#ifndef FOLLOWS_NAMES
#define FOLLOWS_NAMES 1
#endif
#if FOLLOWS_NAMES
#include "names.h"
#endif

/*
 * Always 0, which the verifier does not know. Linux 6.1's follows a constant through the stack of several subprograms
 * without marking that branches depend on it, takes one path for all, and removes the others: a denial would run as an
 * exemption. Added to the kind of a decision it leaves nothing to conclude.
 */
volatile u32 unknown_zero SEC(".bss.unknown");

struct decision {
	u32 kind; /* enum decision_kind */
	u32 rule;
	u32 sample_every;
	u32 exempt; /* of an access in several parts: the rule that one decided before is exempt from. See set_aside */
};

/*
 * Adds nothing to what has been decided, so that all ways that lead here look like one to the verifier. It would else take
 * each by itself through all that follows, which for an access in several parts is their product.
 */
static __always_inline void blur(struct decision *d)
{
	u32 nothing = unknown_zero;

	d->rule += nothing;
}

/* Every decision begins so: nothing is decided yet. Gives the slot of the current policy, or 0 for none at all. */
static __always_inline const struct control *begin_decision(struct decision *d, u32 *slot)
{
	u32 zero = 0;
	const struct control *c = bpf_map_lookup_elem(&control, &zero);

	d->kind = DECISION_ALLOW + unknown_zero;
	d->rule = 0;
	d->sample_every = 0;
	if (!c)
		return 0;
	d->sample_every = c->sample_every;
	/* The generation is read once: rules and exceptions come from one policy, never from two. */
	*slot = *(volatile u32 *)&c->generation & 1;
	return c;
}

/* What has been decided, as one number: enum decision_kind << 32 | rule. */
static __always_inline u64 verdict(u32 kind, u32 rule)
{
	return (u64)kind << 32 | rule;
}

static __always_inline void settle(struct decision *d, u64 verdict)
{
	d->rule = verdict;
	d->kind = verdict >> 32;
}

/* So every decision ends: `rule` stands against the access, an exception for it or not, and the hook can refuse or not. */
static __always_inline u64 conclude(const struct control *c, u32 rule, int is_exempt, int can_refuse)
{
	if (is_exempt)
		return verdict(DECISION_EXEMPT, rule);
	return verdict(can_refuse && may_refuse(c) ? DECISION_DENY : DECISION_AUDIT, rule);
}

/* `rule` stands against an access by anybody whose cgroup is not excepted. */
__noinline u64 weigh_for_all(u32 slot, u32 rule, u32 can_refuse)
{
	u32 zero = 0;
	const struct control *c = bpf_map_lookup_elem(&control, &zero);

	return c ? conclude(c, rule, is_survivor(c) || is_exempt_cgroup(slot), can_refuse) : 0;
}

/* What stands above an object in its tree, as tree.h finds it. */
struct above {
	u32 rule; /* that denies all below the nearest of such directories; 0: there is none */
	u32 is_excepted; /* the caller's executable may access all below one of them */
};

/* To the effects of an entry: the caller's executable has an exception above the object. */
#define EFFECT_EXCEPTED_ABOVE (1u << 31)

/* Rule and effects of an entry, as one number. */
static __always_inline u64 entry_says(u32 rule, u32 effect)
{
	return (u64)effect << 32 | rule;
}

/*
 * What an entry about the object says makes of an access: a rule about the caller's cgroup holds whatever exceptions there
 * are; another one unless cgroup or executable are excepted. Gives a verdict.
 */
__noinline u64 weigh(const struct control *c, u32 slot, u64 says, u64 ino, u32 dev)
{
	u32 rule = says, effect = says >> 32;
	u32 denies = effect & EFFECT_DENY ? rule : 0;
	u32 scoped = effect & EFFECT_SCOPED ? scoped_file_rule(slot, ino, dev) : 0;
	int is_exempt;

	if (!c || (!denies && !scoped))
		return verdict(DECISION_ALLOW, 0);
	if (is_survivor(c))
		return conclude(c, denies ? denies : scoped, 1, CAN_REFUSE);
	is_exempt = denies && (is_exempt_cgroup(slot) || effect & EFFECT_EXCEPTED_ABOVE ||
			       (effect & EFFECT_EXCEPTED && is_excepted_executable(slot, ino, dev)));
	/* The rule about the file is named before the one about the cgroup, if it denies as well. */
	if (scoped)
		return conclude(c, denies && !is_exempt ? denies : scoped, 0, CAN_REFUSE);
	return conclude(c, denies, is_exempt, CAN_REFUSE);
}

/* Does the entry stand for the inode of this generation? */
static __always_inline int is_about(const struct rule_ref *ref, u32 generation)
{
	return !(ref->effect & EFFECT_ONE_GENERATION) || ref->generation == generation;
}

/* What the rule itself says, whichever inode met it, if it is one of the current policy. */
static __always_inline void judge_by_rule(const struct control *c, u32 slot, void *current, u32 rule, struct decision *d)
{
	struct object_key key = { .ino = rule, .kind = OBJECT_RULE };
	struct rule_ref *ref = bpf_map_lookup_elem(current, &key);

	if (ref)
		settle(d, weigh(c, slot, entry_says(ref->rule, ref->effect), rule, 0));
}

/*
 * The decision about a file: by its identity or, where the backend follows names, by the rule that it was bound
 * to. `inode` is the file's, and `dentry` the name by which it is accessed, or both are 0.
 */
static __always_inline void decide(const struct object_key *key, u32 generation, struct inode *inode,
				   struct dentry *dentry, struct decision *d)
{
	const struct control *c;
	struct rule_ref *ref;
	void *current;
	u32 slot, rule = 0;

	c = begin_decision(d, &slot);
	if (!c)
		return;
	current = bpf_map_lookup_elem(&rules, &slot);
	if (!current) {
		note(HEALTH_FAULT_NO_POLICY);
		return;
	}
	ref = bpf_map_lookup_elem(current, key);
	if (ref && is_about(ref, generation)) {
		settle(d, weigh(c, slot, entry_says(ref->rule, ref->effect), key->ino, key->dev));
		return;
	}
#if FOLLOWS_NAMES
	if (!may_be_bound(key->ino))
		return; /* the filter's "perhaps" was wrong */
	rule = bound_rule(slot, find_bound(key->ino, key->dev, kept_generation(inode), OBJECT_FILE), dentry);
	if (rule)
		judge_by_rule(c, slot, current, rule, d);
#endif
}

#if FOLLOWS_NAMES
/* The decision about a name that is watched, whether anything bears it or not: `w` is what `watched` said. */
static __noinline void decide_name(u64 w, struct decision *d)
{
	const struct control *c;
	void *current;
	u32 slot;

	c = begin_decision(d, &slot);
	current = c && w ? bpf_map_lookup_elem(&rules, &slot) : 0;
	if (current)
		judge_by_rule(c, slot, current, WATCHED_RULE(w), d);
}
#endif

#endif
