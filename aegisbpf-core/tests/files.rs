//! The file side of the enforcer, attacked: each fact is a row of the catalogue in docs/SECURITY.md. Facts share one
//! enforcer for each backend that can refuse; where none can be loaded they are ignored with the reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails"
)]

#[path = "files/actor.rs"]
mod actor;
#[path = "files/alias.rs"]
mod alias;
#[path = "files/below.rs"]
mod below;
#[path = "files/crowd.rs"]
mod crowd;
#[path = "files/hooks.rs"]
mod hooks;
#[path = "files/model.rs"]
mod model;
#[path = "files/names.rs"]
mod names;
#[path = "files/race.rs"]
mod race;
#[path = "files/random.rs"]
mod random;
#[path = "files/raw.rs"]
mod raw;
#[path = "files/scene.rs"]
mod scene;
#[path = "files/swap.rs"]
mod swap;
#[path = "common/vm.rs"]
mod vm;
#[path = "files/way.rs"]
mod way;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use aegisbpf_core::{Backend, Enforcer, Error, Mode};
use libtest_mimic::{Arguments, Completion, Trial};

use self::scene::Stage;

type Fact = fn(&mut Stage);

const FACTS: &[(&str, Fact)] = &[
    (
        "whatever_is_done_to_a_denied_file_is_refused",
        hooks::whatever_is_done_to_a_denied_file_is_refused,
    ),
    (
        "a_descriptor_older_than_the_rule_may_be_read_and_nothing_else",
        hooks::a_descriptor_older_than_the_rule_may_be_read_and_nothing_else,
    ),
    (
        "what_is_let_through_is_known",
        hooks::what_is_let_through_is_known,
    ),
    (
        "a_rule_holds_by_whatever_name_and_call",
        alias::a_rule_holds_by_whatever_name_and_call,
    ),
    (
        "a_program_of_32_bits_is_refused",
        alias::a_program_of_32_bits_is_refused,
    ),
    (
        "an_overlay_s_layers_are_files_of_their_own",
        alias::an_overlay_s_layers_are_files_of_their_own,
    ),
    (
        "an_inode_rule_needs_no_names_and_its_hooks_go_with_it",
        hooks::an_inode_rule_needs_no_names_and_its_hooks_go_with_it,
    ),
    (
        "in_audit_mode_each_is_counted_and_none_refused",
        hooks::in_audit_mode_each_is_counted_and_none_refused,
    ),
    (
        "in_audit_mode_a_denied_file_over_an_innocent_one_is_counted",
        hooks::in_audit_mode_a_denied_file_over_an_innocent_one_is_counted,
    ),
    (
        "an_exception_from_one_rule_is_none_from_another",
        names::an_exception_from_one_rule_is_none_from_another,
    ),
    (
        "a_replaced_file_is_denied_like_the_first",
        names::a_replaced_file_is_denied_like_the_first,
    ),
    (
        "what_does_not_exist_yet_is_denied_from_birth",
        names::what_does_not_exist_yet_is_denied_from_birth,
    ),
    (
        "names_are_watched_on_each_file_system",
        names::names_are_watched_on_each_file_system,
    ),
    (
        "a_name_of_any_length_is_watched",
        names::a_name_of_any_length_is_watched,
    ),
    (
        "a_file_that_bore_the_name_stays_denied_until_it_dies",
        names::a_file_that_bore_the_name_stays_denied_until_it_dies,
    ),
    (
        "a_replaced_file_is_denied_without_a_name",
        names::a_replaced_file_is_denied_without_a_name,
    ),
    (
        "a_number_that_is_used_again_denies_no_innocent",
        names::a_number_that_is_used_again_denies_no_innocent,
    ),
    (
        "a_failed_replacement_marks_nothing",
        names::a_failed_replacement_marks_nothing,
    ),
    (
        "the_directories_on_the_way_stay_where_they_are",
        names::the_directories_on_the_way_stay_where_they_are,
    ),
    (
        "a_directory_on_the_way_is_not_removed",
        names::a_directory_on_the_way_is_not_removed,
    ),
    (
        "a_symbolic_link_at_the_name_is_followed_by_the_next_policy",
        way::a_symbolic_link_at_the_name_is_followed_by_the_next_policy,
    ),
    (
        "a_symbolic_link_on_the_way_is_followed_once",
        way::a_symbolic_link_on_the_way_is_followed_once,
    ),
    (
        "a_mount_over_it_is_reported",
        way::a_mount_over_it_is_reported,
    ),
    (
        "a_denied_program_is_executed_by_no_name",
        way::a_denied_program_is_executed_by_no_name,
    ),
    (
        "another_spelling_in_a_case_folding_directory",
        way::another_spelling_in_a_case_folding_directory,
    ),
    (
        "a_denied_loader_loads_nothing",
        way::a_denied_loader_loads_nothing,
    ),
    (
        "in_audit_mode_a_replaced_file_is_still_counted",
        names::in_audit_mode_a_replaced_file_is_still_counted,
    ),
    (
        "all_below_a_directory_is_refused",
        below::all_below_a_directory_is_refused,
    ),
    (
        "what_comes_below_is_denied_and_what_leaves_is_not",
        below::what_comes_below_is_denied_and_what_leaves_is_not,
    ),
    (
        "a_mount_hides_nothing_of_a_denied_directory",
        below::a_mount_hides_nothing_of_a_denied_directory,
    ),
    (
        "a_replaced_directory_is_denied_like_the_first",
        below::a_replaced_directory_is_denied_like_the_first,
    ),
    (
        "a_directory_that_is_not_there_yet_is_denied_from_birth",
        below::a_directory_that_is_not_there_yet_is_denied_from_birth,
    ),
    (
        "an_executable_is_excepted_below_a_directory",
        below::an_executable_is_excepted_below_a_directory,
    ),
    (
        "an_exempt_cgroup_is_exempt_below_a_directory",
        below::an_exempt_cgroup_is_exempt_below_a_directory,
    ),
    (
        "in_audit_mode_each_access_below_is_counted_once_and_named",
        below::in_audit_mode_each_access_below_is_counted_once_and_named,
    ),
    (
        "hooks_for_directories_come_and_go_with_their_rules",
        below::hooks_for_directories_come_and_go_with_their_rules,
    ),
    (
        "a_file_whose_place_nobody_knows_is_refused",
        below::a_file_whose_place_nobody_knows_is_refused,
    ),
    (
        "a_very_deep_file_is_below",
        below::a_very_deep_file_is_below,
    ),
    (
        "no_open_below_gets_through_while_files_move",
        below::no_open_below_gets_through_while_files_move,
    ),
    (
        "no_open_gets_through_while_the_directory_is_replaced",
        below::no_open_gets_through_while_the_directory_is_replaced,
    ),
    (
        "no_open_of_a_file_that_is_replaced_gets_through",
        race::no_open_of_a_file_that_is_replaced_gets_through,
    ),
    (
        "no_open_gets_through_while_rules_come_and_go",
        race::no_open_gets_through_while_rules_come_and_go,
    ),
    (
        "random_operations_agree_with_a_model",
        random::random_operations_agree_with_a_model,
    ),
    (
        "no_open_of_a_crowd_reads_a_secret",
        crowd::no_open_of_a_crowd_reads_a_secret,
    ),
    (
        "no_open_meets_half_a_policy",
        swap::no_open_meets_half_a_policy,
    ),
    (
        "no_open_slips_through_single_additions_and_removals",
        swap::no_open_slips_through_single_additions_and_removals,
    ),
    // Last: what it has counted stays so, and others want to see no fault.
    (
        "more_files_than_can_be_remembered_are_counted",
        names::more_files_than_can_be_remembered_are_counted,
    ),
];

/// One enforcer, made when it is first needed; or why there is none.
type Shared = Arc<Mutex<Option<Result<Stage, String>>>>;

fn main() {
    actor::act_if_told();
    mount_overlay();
    mount_btrfs();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // they share the enforcer
    let mut trials = Vec::new();
    for (name, backend) in [
        ("lsm", Backend::Lsm),
        ("modify_return", Backend::ModifyReturn),
    ] {
        let shared = Shared::default();
        for (fact_name, fact) in FACTS {
            let shared = Arc::clone(&shared);
            trials.push(Trial::ignorable_test(
                format!("{name}::{fact_name}"),
                move || Ok(run(backend, &shared, *fact)),
            ));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn run(backend: Backend, shared: &Shared, fact: Fact) -> Completion {
    let mut stage = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let stage = stage.get_or_insert_with(|| {
        match Enforcer::builder()
            .backend(backend)
            .mode(Mode::Enforce)
            .load()
        {
            Ok(aegis) => Ok(Stage::new(aegis)),
            Err(error @ Error::Unsupported { .. }) => {
                let reason = error.chain().replace('\n', "; ");
                vm::must_not_lack(backend, &reason);
                Err(reason)
            }
            Err(error) => panic!("{}", error.chain()),
        }
    });
    match stage {
        Err(reason) => Completion::ignored_with(reason.clone()),
        Ok(stage) => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fact(stage)));
            stage.clear();
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
            Completion::Completed
        }
    }
}

/// In our virtual machine: an overlay, whose layers are on the file system for temporary files.
fn mount_overlay() {
    use nix::mount::{MsFlags, mount};
    if std::env::var_os("AEGIS_IN_VM").is_none() {
        return;
    }
    for part in ["lower", "upper", "work"] {
        std::fs::create_dir_all(Path::new("/tmp/layers").join(part)).unwrap();
    }
    std::fs::create_dir_all("/overlay").unwrap();
    mount(
        Some("overlay"),
        "/overlay",
        Some("overlay"),
        MsFlags::empty(),
        Some("lowerdir=/tmp/layers/lower,upperdir=/tmp/layers/upper,workdir=/tmp/layers/work"),
    )
    .unwrap();
}

/// In our virtual machine, if what makes one was brought along: btrfs, in a file.
fn mount_btrfs() {
    let made = "truncate -s 256M /tmp/btrfs && mkfs.btrfs -q /tmp/btrfs >/dev/null && mkdir /btrfs && mount -t btrfs -o loop /tmp/btrfs /btrfs";
    if std::env::var_os("AEGIS_IN_VM").is_some() && Path::new("/usr/sbin/mkfs.btrfs").exists() {
        assert!(
            Command::new("sh")
                .args(["-c", made])
                .status()
                .unwrap()
                .success()
        );
    }
}

/// Directories on each file system that there is: always the one for temporary files, in our virtual machine also ext4,
/// an overlay and, if it was brought along, btrfs.
fn file_systems() -> Vec<PathBuf> {
    let mut all = vec![std::env::temp_dir()];
    all.extend(
        ["/ext4", "/overlay", "/btrfs"]
            .map(PathBuf::from)
            .into_iter()
            .filter(|p| p.is_dir()),
    );
    all
}
