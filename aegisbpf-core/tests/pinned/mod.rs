//! The facts about pinned enforcers.

mod bpffs;
mod brakes;
mod crash;
mod errand;
mod life;
mod upgrade;

use aegisbpf_core::{Backend, Mode};

pub(crate) use self::errand::{ERRAND, run_errand};

type Fact = fn(Backend);

/// Name, what it needs, and the fact.
pub(crate) const FACTS: &[(&str, Backend, Mode, Fact)] = &[
    observe("outlives_its_process", life::outlives_its_process),
    observe(
        "another_process_has_the_same_verbs",
        life::another_process_has_the_same_verbs,
    ),
    observe(
        "a_start_takes_up_what_is_pinned",
        life::a_start_takes_up_what_is_pinned,
    ),
    observe(
        "a_second_start_is_refused_with_the_pid",
        life::a_second_start_is_refused_with_the_pid,
    ),
    observe("what_is_not_there_is_said", life::what_is_not_there_is_said),
    observe("removing_leaves_nothing", life::removing_leaves_nothing),
    observe(
        "hooks_follow_a_policy_of_another_process",
        life::hooks_follow_a_policy_of_another_process,
    ),
    observe(
        "a_new_set_of_programs_succeeds_the_old_one",
        upgrade::a_new_set_of_programs_succeeds_the_old_one,
    ),
    observe(
        "pins_of_another_version_are_replaced",
        upgrade::pins_of_another_version_are_replaced,
    ),
    observe(
        "a_directory_of_somebody_else_is_refused",
        life::a_directory_of_somebody_else_is_refused,
    ),
    observe("single_rules_come_and_go", life::single_rules_come_and_go),
    observe(
        "events_have_one_reader_in_any_process",
        life::events_have_one_reader_in_any_process,
    ),
    observe(
        "two_hundred_kills_leave_the_old_or_the_new_policy",
        crash::two_hundred_kills_leave_the_old_or_the_new_policy,
    ),
    observe(
        "an_emergency_is_recorded_and_outlives_policies",
        brakes::an_emergency_is_recorded_and_outlives_policies,
    ),
    observe(
        "an_emergency_waits_for_nobody",
        brakes::an_emergency_waits_for_nobody,
    ),
    enforce("outlives_its_process", life::outlives_its_process),
    enforce("removing_leaves_nothing", life::removing_leaves_nothing),
    enforce(
        "hooks_follow_a_policy_of_another_process",
        life::hooks_follow_a_policy_of_another_process,
    ),
    enforce(
        "kills_leave_the_old_or_the_new_policy",
        crash::kills_leave_the_old_or_the_new_policy,
    ),
    enforce(
        "an_emergency_ends_refusals_at_once",
        brakes::an_emergency_ends_refusals_at_once,
    ),
    enforce(
        "a_silent_daemon_ends_refusals",
        brakes::a_silent_daemon_ends_refusals,
    ),
    enforce(
        "killing_the_daemon_ends_no_enforcement",
        upgrade::killing_the_daemon_ends_no_enforcement,
    ),
    enforce(
        "no_open_slips_through_a_succession",
        upgrade::no_open_slips_through_a_succession,
    ),
    enforce(
        "no_open_slips_through_a_restart",
        upgrade::no_open_slips_through_a_restart,
    ),
];

const fn enforce(name: &'static str, fact: Fact) -> (&'static str, Backend, Mode, Fact) {
    (name, Backend::Lsm, Mode::Enforce, fact)
}

const fn observe(name: &'static str, fact: Fact) -> (&'static str, Backend, Mode, Fact) {
    (name, Backend::Tracepoint, Mode::Audit, fact)
}
