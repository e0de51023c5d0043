//! The facts, by what they need.

pub(crate) mod audit;
mod decide;
mod enforce;
mod events;
mod exec;
mod network;
mod observe;
mod policies;
pub(crate) mod probe;
pub(crate) mod sock;
mod subjects;
mod toggles;

use crate::Fact;

pub(crate) use self::{
    decide::{
        decides_by_identity_alone, emergency_and_silence_turn_refusals_into_audits,
        every_rule_of_a_large_policy_is_found,
    },
    enforce::{
        lsm_is_refused_where_it_would_never_run,
        modify_return_is_refused_where_programs_are_skipped,
    },
    observe::{every_open_system_call_is_seen, no_system_calls_by_number},
};

/// Facts of every backend, in audit mode.
pub(crate) const BOTH: &[(&str, Fact)] = &[
    (
        "counts_every_open_exactly",
        audit::counts_every_open_exactly,
    ),
    (
        "an_event_says_who_did_what_to_which_file",
        events::an_event_says_who_did_what_to_which_file,
    ),
    (
        "other_files_count_nothing",
        audit::other_files_count_nothing,
    ),
    (
        "a_rule_holds_for_a_hard_link_and_through_a_symlink",
        audit::a_rule_holds_for_a_hard_link_and_through_a_symlink,
    ),
    (
        "execution_is_reported_as_such",
        events::execution_is_reported_as_such,
    ),
    (
        "all_below_a_directory_is_counted_and_named",
        audit::all_below_a_directory_is_counted_and_named,
    ),
    (
        "what_only_other_rules_need_is_loaded_with_the_first",
        policies::what_only_other_rules_need_is_loaded_with_the_first,
    ),
    (
        "o_path_gives_no_access_and_counts_nothing",
        audit::o_path_gives_no_access_and_counts_nothing,
    ),
    (
        "the_enforcer_itself_is_exempt",
        audit::the_enforcer_itself_is_exempt,
    ),
    (
        "an_allowed_cgroup_is_exempt_with_all_below_it",
        audit::an_allowed_cgroup_is_exempt_with_all_below_it,
    ),
    (
        "counts_are_kept_for_each_cgroup",
        audit::counts_are_kept_for_each_cgroup,
    ),
    (
        "a_full_ring_loses_events_not_counts",
        events::a_full_ring_loses_events_not_counts,
    ),
    (
        "a_stalled_reader_loses_events_not_counts",
        events::a_stalled_reader_loses_events_not_counts,
    ),
    (
        "a_single_event_wakes_nobody",
        events::a_single_event_wakes_nobody,
    ),
    (
        "sampling_is_one_in_n_on_each_cpu",
        events::sampling_is_one_in_n_on_each_cpu,
    ),
    (
        "detached_hooks_count_nothing_and_come_back",
        policies::detached_hooks_count_nothing_and_come_back,
    ),
    (
        "a_new_policy_replaces_the_old_one_whole",
        policies::a_new_policy_replaces_the_old_one_whole,
    ),
    (
        "a_refused_policy_changes_nothing",
        policies::a_refused_policy_changes_nothing,
    ),
    (
        "policies_change_under_load_without_a_miss",
        policies::policies_change_under_load_without_a_miss,
    ),
    (
        "ten_thousand_rules_apply",
        policies::ten_thousand_rules_apply,
    ),
    (
        "seventy_thousand_threads_leave_nothing_behind",
        subjects::seventy_thousand_threads_leave_nothing_behind,
    ),
    (
        "a_file_is_seen_whatever_its_descriptor",
        audit::a_file_is_seen_whatever_its_descriptor,
    ),
    (
        "hook_runs_are_counted_on_request_only",
        audit::hook_runs_are_counted_on_request_only,
    ),
];

/// What the probes show, in files of their own: by group.
pub(crate) const PROBED: &[(&str, &[(&str, Fact)])] = &[
    ("network", network::FACTS),
    ("subjects", subjects::FACTS),
    ("exec", exec::FACTS),
    ("toggles", toggles::FACTS),
];

/// Another process that a fact needs, which is this program too: says whether it was one, and is done.
pub(crate) fn is_a_part_of_a_fact() -> bool {
    subjects::be_the_threads() || audit::be_the_opener() || toggles::be_another_run()
}

/// What only tracepoints show.
pub(crate) const TRACEPOINT: &[(&str, Fact)] = &[(
    "enforcing_is_refused_with_the_remedy",
    observe::enforcing_is_refused_with_the_remedy,
)];

/// What only security hooks can do.
pub(crate) const LSM: &[(&str, Fact)] = &[
    (
        "a_denied_file_is_refused_with_eperm",
        enforce::a_denied_file_is_refused_with_eperm,
    ),
    (
        "a_denied_program_is_not_executed",
        enforce::a_denied_program_is_not_executed,
    ),
    (
        "the_mode_changes_while_attached",
        enforce::the_mode_changes_while_attached,
    ),
    (
        "an_allowed_cgroup_may_open_a_denied_file",
        enforce::an_allowed_cgroup_may_open_a_denied_file,
    ),
    (
        "nothing_is_denied_after_exit",
        enforce::nothing_is_denied_after_exit,
    ),
    (
        "no_open_slips_through_while_policies_change",
        enforce::no_open_slips_through_while_policies_change,
    ),
    (
        "a_stalled_reader_loses_events_not_refusals",
        events::a_stalled_reader_loses_events_not_refusals,
    ),
    (
        "a_failing_test_leaves_nothing_attached",
        enforce::a_failing_test_leaves_nothing_attached,
    ),
    (
        "the_empty_hook_class_is_not_attached",
        enforce::the_empty_hook_class_is_not_attached,
    ),
];
