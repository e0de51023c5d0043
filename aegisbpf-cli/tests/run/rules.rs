//! Single rules of a running enforcer, from other processes.

use std::{fs, os::unix::fs::MetadataExt};

use super::{across::Stage, audit::cat};

pub(crate) const FACTS: &[(&str, fn())] = &[
    (
        "block_adds_lists_deletes_and_clears",
        block_adds_lists_deletes_and_clears,
    ),
    (
        "block_by_inode_holds_for_the_file",
        block_by_inode_holds_for_the_file,
    ),
    ("allow_adds_lists_and_deletes", allow_adds_lists_and_deletes),
    (
        "a_rule_that_is_added_leaves_the_others",
        a_rule_that_is_added_leaves_the_others,
    ),
    (
        "what_is_no_rule_is_2_and_changes_nothing",
        what_is_no_rule_is_2_and_changes_nothing,
    ),
    (
        "what_is_not_there_is_not_deleted",
        what_is_not_there_is_not_deleted,
    ),
    (
        "an_emergency_is_switched_told_and_recorded",
        an_emergency_is_switched_told_and_recorded,
    ),
    (
        "the_dead_man_is_heard_while_the_run_reads",
        the_dead_man_is_heard_while_the_run_reads,
    ),
];

fn audited(stage: &Stage) -> u64 {
    stage.json(&["stats", "--json"])["audited"]
        .as_u64()
        .unwrap()
}

fn block_adds_lists_deletes_and_clears() {
    let stage = Stage::new();
    let secret = stage.scene.secret.to_str().unwrap();
    stage.ok(&["block", "add", secret]);
    cat(&stage.scene.secret);
    assert_eq!(audited(&stage), 1);
    let list = stage.json(&["block", "list", "--json"]);
    assert_eq!(list[0]["entry"], secret);
    assert_eq!(list[0]["section"], "deny_path");
    assert_eq!(list[0]["audited"], 1);
    assert_eq!(list[0]["label"], format!("block add:1 {secret}"));
    assert!(stage.ok(&["block", "list"]).contains(secret));
    // Twice is once, and is said.
    let again = stage.done(&["block", "add", secret]);
    assert_eq!(again.code, Some(0));
    assert!(again.err.contains("was there already"), "{again:?}");
    assert_eq!(
        stage
            .json(&["block", "list", "--json"])
            .as_array()
            .unwrap()
            .len(),
        1
    );

    stage.ok(&["block", "del", secret]);
    assert_eq!(stage.ok(&["block", "list"]), "  none\n");
    stage.ok(&["block", "add", secret]);
    let missing = stage.done(&["block", "add", "/nowhere/at/all"]);
    assert_eq!(missing.code, Some(0));
    assert!(
        missing.err.contains("holds for nothing yet: no such file"),
        "{missing:?}"
    );
    let cleared = stage.done(&["block", "clear"]);
    assert!(cleared.err.contains("2 rules removed"), "{cleared:?}");
    cat(&stage.scene.secret);
    assert_eq!(audited(&stage), 0);
}

fn block_by_inode_holds_for_the_file() {
    let stage = Stage::new();
    let secret = stage.scene.secret.to_str().unwrap();
    stage.ok(&["block", "add", "--inode", secret]);
    let list = stage.json(&["block", "list", "--json"]);
    let entry = list[0]["entry"].as_str().unwrap();
    let ino = fs::metadata(secret).unwrap().ino();
    assert!(entry.ends_with(&format!(":{ino}")), "{entry}");
    assert_eq!(list[0]["section"], "deny_inode");
    let link = stage.scene.folder.path().join("link");
    fs::hard_link(secret, &link).unwrap();
    cat(&link);
    assert_eq!(audited(&stage), 1);
    stage.ok(&["block", "del", "--inode", entry]);
    assert_eq!(stage.ok(&["block", "list"]), "  none\n");
}

fn allow_adds_lists_and_deletes() {
    let stage = Stage::new();
    stage.apply();
    // As in a policy file, the cgroup may come later.
    let done = stage.done(&["allow", "add", "/system.slice/no-such.service"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("holds for nothing yet"), "{done:?}");
    let list = stage.json(&["allow", "list", "--json"]);
    assert_eq!(list[0]["entry"], "/system.slice/no-such.service");
    stage.ok(&["allow", "del", "/system.slice/no-such.service"]);
    assert_eq!(stage.ok(&["allow", "list"]), "  none\n");
    // The root cgroup holds everybody.
    let done = stage.done(&["allow", "add", "/"]);
    assert!(done.err.contains("root cgroup"), "{done:?}");
    cat(&stage.scene.secret);
    let stats = stage.json(&["stats", "--json"]);
    assert_eq!(
        (&stats["audited"], &stats["exempted"]),
        (&0.into(), &1.into())
    );
    stage.ok(&["allow", "clear"]);
    cat(&stage.scene.secret);
    assert_eq!(audited(&stage), 1);
}

fn a_rule_that_is_added_leaves_the_others() {
    let stage = Stage::new();
    stage.apply();
    cat(&stage.scene.secret);
    stage.ok(&["block", "add", "/nowhere/at/all"]);
    assert_eq!(audited(&stage), 1, "and their counters");
    let text = stage.ok(&["policy", "export"]);
    assert!(text.contains("/nowhere/at/all\n"), "{text}");
    assert!(
        text.contains(stage.scene.secret.to_str().unwrap()),
        "{text}"
    );
    let show = stage.ok(&["policy", "show"]);
    assert!(show.contains("test.conf:3:1"), "{show}");
    stage.ok(&["policy", "rollback"]);
    assert!(!stage.ok(&["policy", "export"]).contains("/nowhere"));
}

fn what_is_no_rule_is_2_and_changes_nothing() {
    let stage = Stage::new();
    stage.apply();
    for (args, says) in [
        (
            &["block", "add", "relative"][..],
            "help: write the whole path",
        ),
        (&["block", "add", "/a\n/b"], "holds for nothing yet"),
        (&["block", "add", "--inode", "8:x"], "help: write `dev:ino`"),
        (
            &["allow", "add", "ssh.service"],
            "help: begin at the cgroup root",
        ),
        (&["network", "deny", "add", "localhost"], "help: "),
        (&["network", "deny", "add", "22:tcp:egress:x"], "help: "),
        (&["cgroup", "deny", "add", "/x", "0"], "help: "),
    ] {
        let done = stage.done(args);
        assert!(done.err.contains(says), "{args:?}: {done:?}");
        if says.starts_with("help") {
            assert_eq!(
                (done.code, done.out.as_str()),
                (Some(2), ""),
                "{args:?}: {done:?}"
            );
        }
    }
    let files = stage.json(&["block", "list", "--json"]);
    assert!(
        files.as_array().unwrap().len() <= 2,
        "a line feed began a rule: {files}"
    );
}

fn what_is_not_there_is_not_deleted() {
    let stage = Stage::new();
    stage.apply();
    for args in [
        &["block", "del", "/nowhere"][..],
        &["allow", "del", "/nowhere"],
        &["network", "deny", "del", "192.0.2.1"],
        &["cgroup", "deny", "del", "/x", "25:tcp"],
    ] {
        let done = stage.done(args);
        assert_eq!(
            (done.code, done.out.as_str()),
            (Some(1), ""),
            "{args:?}: {done:?}"
        );
        assert!(done.err.contains("not in force: ["), "{args:?}: {done:?}");
    }
    assert_eq!(stage.json(&["stats", "--json"])["generation"], 1);
}

fn an_emergency_is_switched_told_and_recorded() {
    let stage = Stage::new();
    stage.apply();
    let log = stage.scene.folder.path().join("emergency.jsonl");
    let log = log.to_str().unwrap();
    assert!(
        stage
            .ok(&["emergency", "status"])
            .starts_with("no emergency")
    );
    let done = stage.done(&["emergency", "disable"]);
    assert_eq!(done.code, Some(2), "a reason is wanted: {done:?}");
    let reason = ["--reason", "the pager\u{1b}[2J", "--log", log];
    let disable = [&["emergency", "disable"][..], &reason].concat();
    assert!(stage.ok(&disable).starts_with("EMERGENCY"));
    let status = stage.ok(&["emergency", "status"]);
    assert!(status.contains("by user 0, process "), "{status}");
    assert!(status.contains("the pager\\u{1b}[2J"), "{status}");
    let json = stage.json(&["emergency", "status", "--json"]);
    assert_eq!(
        (&json["active"], &json["last"]["action"]),
        (&true.into(), &"disable".into())
    );
    assert!(
        stage
            .ok(&["stats"])
            .contains("EMERGENCY: everything passes")
    );
    assert!(stage.ok(&["metrics"]).contains("\naegisbpf_emergency 1\n"));

    let enable = ["emergency", "enable", "--log", log];
    assert!(stage.ok(&enable).starts_with("no emergency"));
    assert!(!stage.ok(&["stats"]).contains("EMERGENCY"));
    let lines: Vec<serde_json::Value> = fs::read_to_string(log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0]["action"], "disable");
    assert_eq!(lines[1]["action"], "enable");

    // What cannot be recorded is done all the same, and said.
    let enable = ["emergency", "enable", "--log", "/proc/none"];
    let done = stage.done(&enable);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("help: note by hand"), "{done:?}");
}

fn the_dead_man_is_heard_while_the_run_reads() {
    let stage = Stage::with(&["--deadman", "1"]);
    stage.apply();
    let until = std::time::Instant::now() + crate::common::AT_MOST;
    // Without heartbeats it would have expired by now, for good.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    while stage.json(&["stats", "--json"])["dead_man"]["expired"] != false {
        assert!(std::time::Instant::now() < until, "nothing is heard");
    }
    // A process that hangs is not heard of.
    stage.run.signal(nix::sys::signal::Signal::SIGSTOP);
    while stage.json(&["stats", "--json"])["dead_man"]["expired"] != true {
        assert!(std::time::Instant::now() < until, "it never expired");
    }
    assert!(stage.ok(&["stats"]).contains("DEAD MAN: everything passes"));
    stage.run.signal(nix::sys::signal::Signal::SIGCONT);
    while stage.json(&["stats", "--json"])["dead_man"]["expired"] != false {
        assert!(
            std::time::Instant::now() < until,
            "it was never heard again"
        );
    }
}
