//! The facts about pinned enforcers.

mod bpffs;
mod errand;
mod life;

use aegisbpf_core::{Backend, Mode};

pub(crate) use self::errand::{ERRAND, run_errand};

type Fact = fn(Backend);

const OBSERVE: (Backend, Mode) = (Backend::Tracepoint, Mode::Audit);

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
        "events_have_one_reader_in_any_process",
        life::events_have_one_reader_in_any_process,
    ),
];

const fn observe(name: &'static str, fact: Fact) -> (&'static str, Backend, Mode, Fact) {
    (name, OBSERVE.0, OBSERVE.1, fact)
}
