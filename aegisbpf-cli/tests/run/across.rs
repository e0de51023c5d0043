//! Other processes on a running enforcer: policies, counters, events.

use std::{
    fs,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::audit::{Scene, cat, stop};
use crate::common::{AT_MOST, Done, Running, finish, policy};

pub(crate) const FACTS: &[(&str, fn())] = &[
    (
        "a_policy_is_applied_shown_exported_and_rolled_back",
        a_policy_is_applied_shown_exported_and_rolled_back,
    ),
    (
        "a_policy_that_is_refused_changes_nothing",
        a_policy_that_is_refused_changes_nothing,
    ),
    (
        "a_trial_run_suggests_exceptions_for_who_met_a_rule",
        a_trial_run_suggests_exceptions_for_who_met_a_rule,
    ),
    (
        "reset_begins_the_counters_anew",
        reset_begins_the_counters_anew,
    ),
    (
        "stats_tell_rule_file_cgroup_operation_memory_and_hooks",
        stats_tell_rule_file_cgroup_operation_memory_and_hooks,
    ),
    (
        "a_second_run_is_refused_with_the_pid_of_the_first",
        a_second_run_is_refused_with_the_pid_of_the_first,
    ),
    (
        "events_are_heard_by_others_late_and_live",
        events_are_heard_by_others_late_and_live,
    ),
    (
        "an_audit_leaves_nothing_pinned",
        an_audit_leaves_nothing_pinned,
    ),
    (
        "an_audit_that_is_killed_leaves_nothing_pinned",
        an_audit_that_is_killed_leaves_nothing_pinned,
    ),
    (
        "what_is_pinned_that_is_killed_goes_on",
        what_is_pinned_that_is_killed_goes_on,
    ),
    (
        "what_is_pinned_goes_on_without_a_process_and_is_taken_up",
        what_is_pinned_goes_on_without_a_process_and_is_taken_up,
    ),
    (
        "a_start_that_fails_leaves_nothing_pinned",
        a_start_that_fails_leaves_nothing_pinned,
    ),
    ("a_closed_pipe_is_no_error", a_closed_pipe_is_no_error),
];

/// A running audit without a policy, for others to command.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) run: Running,
}

impl Stage {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    #[track_caller]
    pub(crate) fn with(more: &[&str]) -> Self {
        Self::run(&[&["--audit"], more].concat())
    }

    #[track_caller]
    pub(crate) fn run(args: &[&str]) -> Self {
        let scene = Scene::new();
        let mut command = scene.verb(&["run"]);
        command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut run = Running::start(command);
        let mode = args[0].trim_start_matches('-');
        run.says(&format!("aegisbpf: {mode} by "));
        Self { scene, run }
    }

    /// Runs another command on it, which is to succeed.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let done = self.done(args);
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
        done.out
    }

    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(args);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}: {out}"))
    }

    #[track_caller]
    pub(crate) fn done(&self, args: &[&str]) -> Done {
        finish(self.scene.verb(args))
    }

    /// The policy of the scene, which denies its secret.
    #[track_caller]
    pub(crate) fn apply(&self) {
        self.ok(&["policy", "apply", self.scene.policy.to_str().unwrap()]);
    }

    /// Another policy file beside it.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let folder = self.scene.folder.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        policy(&folder, text)
    }
}

fn a_policy_is_applied_shown_exported_and_rolled_back() {
    let stage = Stage::new();
    let other = stage.scene.folder.path().join("other");
    fs::write(&other, "other\n").unwrap();
    let text = format!("version=1\n[deny_path]\n{}\n", other.display());
    let second = stage.write("second", &text);

    stage.apply();
    cat(&stage.scene.secret);
    stage.ok(&["policy", "apply", second.to_str().unwrap()]);
    cat(&stage.scene.secret);
    cat(&other);
    let shown = stage.json(&["policy", "show", "--json"]);
    assert_eq!(shown["generation"], 2);
    assert_eq!(shown["can_roll_back"], true);
    assert_eq!(shown["rules"][0]["entry"], other.to_str().unwrap());
    assert_eq!(shown["rules"][0]["audited"], 1);
    let table = stage.ok(&["policy", "show"]);
    assert!(table.contains("deny_path"), "{table}");
    assert!(table.contains("second/test.conf:3:1"), "{table}");

    // What is exported is the policy, and can be applied.
    let exported = stage.scene.folder.path().join("exported.conf");
    let exported = exported.to_str().unwrap();
    stage.ok(&["policy", "export", exported]);
    assert_eq!(
        fs::read_to_string(exported).unwrap(),
        stage.ok(&["policy", "export"])
    );
    assert!(
        fs::read_to_string(exported)
            .unwrap()
            .contains(other.to_str().unwrap())
    );
    let again = stage.done(&["policy", "export", exported]);
    assert_eq!(again.code, Some(1), "never over a file: {again:?}");

    let undone = stage.json(&["policy", "rollback", "--json"]);
    assert_eq!(
        (&undone["applied"], &undone["rules"]),
        (&true.into(), &1.into())
    );
    let shown = stage.json(&["policy", "show", "--json"]);
    assert_eq!(
        shown["rules"][0]["entry"],
        stage.scene.secret.to_str().unwrap()
    );
    cat(&stage.scene.secret);
    stage.ok(&["policy", "apply", exported]);
    let shown = stage.json(&["policy", "show", "--json"]);
    assert_eq!(shown["rules"][0]["entry"], other.to_str().unwrap());
}

fn a_trial_run_suggests_exceptions_for_who_met_a_rule() {
    let stage = Stage::new();
    stage.apply();
    assert!(
        stage
            .ok(&["policy", "suggest"])
            .contains("# Nobody met a rule.")
    );
    cat(&stage.scene.secret);
    cat(&stage.scene.secret);
    let secret = stage.scene.secret.to_str().unwrap();
    let suggested = stage.json(&["policy", "suggest", "--json"]);
    assert_eq!(suggested["lines"][0]["count"], 2, "{suggested}");
    assert_eq!(suggested["lines"][0]["rules"][0]["entry"], secret);
    // It is a policy, whatever this test's cgroup is.
    let text = stage.ok(&["policy", "suggest"]);
    assert!(text.contains(&format!("# 2 times: {secret} 2\n")), "{text}");
    let file = stage.write("suggested", &text);
    stage.ok(&["policy", "check", file.to_str().unwrap()]);
}

fn a_policy_that_is_refused_changes_nothing() {
    let stage = Stage::new();
    stage.apply();
    let wrong = stage.write("wrong", "version=1\n[deny_path]\nrelative\n/etc/passwd\n");
    let wrong = wrong.to_str().unwrap();
    let done = stage.done(&["policy", "apply", wrong]);
    assert_eq!((done.code, done.out.as_str()), (Some(3), ""), "{done:?}");
    assert!(done.err.contains("test.conf:3:1"), "{done:?}");
    let done = stage.done(&["policy", "apply", "--json", wrong]);
    assert_eq!((done.code, done.err.as_str()), (Some(3), ""), "{done:?}");
    let report: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(report["applied"], false);
    assert_eq!(report["problems"][0]["origin"]["line"], 3);

    // Hash rules are enforced by no backend of this version.
    let text = format!(
        "version=3\n[deny_path]\n{}\n[deny_binary_hash]\nsha256:{}\n",
        stage.scene.policy.display(),
        "0".repeat(64)
    );
    let beyond = stage.write("beyond", &text);
    let beyond = beyond.to_str().unwrap();
    let done = stage.done(&["policy", "apply", beyond]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.err.contains("deny_binary_hash"), "{done:?}");
    assert_eq!(stage.json(&["stats", "--json"])["generation"], 1);
    let done = stage.done(&["policy", "apply", "--dry-run", beyond]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(
        done.out.contains("refused for the running enforcer"),
        "{done:?}"
    );

    // Unless they are dropped, loudly.
    let done = stage.done(&["policy", "apply", "--skip-unsupported", beyond]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("dropped"), "{done:?}");
    assert!(done.err.contains("deny_binary_hash"), "{done:?}");
    let stats = stage.json(&["stats", "--json"]);
    assert_eq!(
        (&stats["generation"], &stats["rules"]),
        (&2.into(), &1.into())
    );
}

fn reset_begins_the_counters_anew() {
    let stage = Stage::new();
    stage.apply();
    cat(&stage.scene.secret);
    stage.apply();
    assert_eq!(stage.json(&["stats", "--json"])["audited"], 1, "kept");
    let file = stage.scene.policy.to_str().unwrap();
    stage.ok(&["policy", "apply", "--reset", file]);
    assert_eq!(stage.json(&["stats", "--json"])["audited"], 0, "anew");
    cat(&stage.scene.secret);
    assert_eq!(stage.json(&["stats", "--json"])["audited"], 1);
}

fn stats_tell_rule_file_cgroup_operation_memory_and_hooks() {
    let stage = Stage::new();
    stage.apply();
    for _ in 0..3 {
        cat(&stage.scene.secret);
    }
    let secret = stage.scene.secret.to_str().unwrap();
    let stats = stage.json(&["stats", "--detailed", "--json", "--runs", "200ms"]);
    assert_eq!(stats["mode"], "audit");
    assert_eq!(stats["pid"], stage.run.id());
    assert_eq!(
        (&stats["audited"], &stats["blocks"]),
        (&3.into(), &3.into())
    );
    assert_eq!(stats["by_rule"][0]["audited"], 3);
    let file = &stats["by_file"][0];
    assert_eq!(
        (&file["object"], &file["audited"]),
        (&secret.into(), &3.into())
    );
    let ino = fs::metadata(secret).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta));
    let ending = format!(":{}", ino.unwrap());
    assert!(file["file"].as_str().unwrap().ends_with(&ending), "{file}");
    let cgroup = &stats["by_cgroup"][0];
    assert_eq!(cgroup["audited"], 3, "{cgroup}");
    assert!(cgroup["cgroup"].as_u64().unwrap() > 0, "{cgroup}");
    assert_eq!(stats["by_operation"][0]["operation"], "open");
    assert_eq!(stats["events"]["emitted"], 3);
    assert!(
        stats["memory"]["kernel"].as_u64().unwrap() > 10_000,
        "{stats}"
    );
    assert!(
        stats["memory"]["process"].as_u64().unwrap() > 100_000,
        "{stats}"
    );
    // One program may stand at several system calls; it is told once.
    let runs = stats["runs"].as_array().unwrap();
    for link in stats["links"].as_array().unwrap() {
        let link = link.as_str().unwrap();
        let is_its = |hook: &serde_json::Value| {
            let hook = hook["hook"].as_str().unwrap();
            link == hook || hook.strip_suffix('…').is_some_and(|h| link.starts_with(h))
        };
        assert_eq!(runs.iter().filter(|hook| is_its(hook)).count(), 1, "{link}");
    }
    assert!(runs.iter().all(|hook| hook["seconds"] == 0.2), "{runs:?}");

    // The same for people; the lines that the workload report asks for are among them.
    let text = stage.ok(&["stats", "--detailed", "--runs", "50ms"]);
    for line in [
        "Blocks (audit): 3\n",
        "Ring buffer drops: 0\n",
        "Memory usage: ",
        "\nTop blocked files\n",
        "\nTop blocked cgroups\n",
        "\nOperations\n",
        "\nRuns of hooks in 0.05 s\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    let row = text.lines().find(|line| line.ends_with(secret)).unwrap();
    assert!(
        row.split_whitespace().next() == Some("1"),
        "the rule's row: {row}"
    );
    let brief = stage.ok(&["stats"]);
    assert!(!brief.contains("Top blocked"), "{brief}");
    assert!(text.starts_with(brief.split("Memory usage").next().unwrap()));
}

fn a_second_run_is_refused_with_the_pid_of_the_first() {
    let stage = Stage::new();
    let done = stage.done(&["run", "--audit"]);
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    let first = format!("process {}", stage.run.id());
    assert!(done.err.contains(&first), "{done:?}");
    stage.ok(&["stats"]);
}

fn events_are_heard_by_others_late_and_live() {
    let mut stage = Stage::new();
    stage.apply();
    let first = cat(&stage.scene.secret);
    stage.run.line();
    let mut command = stage.scene.verb(&["events", "--follow", "--json"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut follower = Running::start(command);
    let pid = |line: &str| serde_json::from_str::<Value>(line).unwrap()["pid"].clone();
    assert_eq!(pid(&follower.line()), first, "what happened before");
    let second = cat(&stage.scene.secret);
    assert_eq!(pid(&follower.line()), second, "what happens now");
    follower.signal(Signal::SIGTERM);
    let done = follower.finish();
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""), "{done:?}");

    let late = stage.ok(&["events"]);
    assert_eq!(late.lines().count(), 2, "{late}");
    assert!(late.contains(" audit open "), "{late}");
    assert!(late.contains(&format!(" by cat[{second}] ")), "{late}");

    // A follower ends with the run, in order.
    let mut command = stage.scene.verb(&["events", "-f"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut follower = Running::start(command);
    follower.line();
    assert_eq!(stop(stage.run, Signal::SIGTERM).code, Some(0));
    assert_eq!(follower.finish().code, Some(0));
}

fn an_audit_leaves_nothing_pinned() {
    let stage = Stage::new();
    stage.apply();
    assert!(stage.scene.pins.has_pins());
    let Stage { scene, run } = stage;
    assert_eq!(stop(run, Signal::SIGTERM).code, Some(0));
    assert!(!scene.pins.has_pins());
    assert_eq!(finish(scene.verb(&["stats"])).code, Some(5));
}

/// Nobody asked for hooks without a process, so none stay.
fn an_audit_that_is_killed_leaves_nothing_pinned() {
    let stage = Stage::new();
    stage.apply();
    let Stage { scene, run } = stage;
    run.signal(Signal::SIGKILL);
    assert_eq!(run.finish().code, None);
    let until = Instant::now() + AT_MOST;
    while scene.pins.has_pins() {
        assert!(Instant::now() < until, "the hooks stay pinned");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(finish(scene.verb(&["stats"])).code, Some(5));
}

fn what_is_pinned_that_is_killed_goes_on() {
    let stage = Stage::with(&["--pin"]);
    stage.apply();
    let Stage { scene, run } = stage;
    run.signal(Signal::SIGKILL);
    assert_eq!(run.finish().code, None);
    cat(&scene.secret);
    let stats = finish(scene.verb(&["stats", "--json"]));
    let stats: Value = serde_json::from_str(&stats.out).unwrap();
    assert_eq!(
        (&stats["pid"], &stats["audited"]),
        (&Value::Null, &1.into())
    );
}

fn what_is_pinned_goes_on_without_a_process_and_is_taken_up() {
    let stage = Stage::with(&["--pin"]);
    stage.apply();
    cat(&stage.scene.secret);
    let Stage { scene, run } = stage;
    let done = stop(run, Signal::SIGTERM);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("still audit by"), "{done:?}");
    cat(&scene.secret);
    let stats = finish(scene.verb(&["stats", "--json"]));
    let stats: Value = serde_json::from_str(&stats.out).unwrap();
    assert_eq!(
        (&stats["pid"], &stats["audited"]),
        (&Value::Null, &2.into())
    );
    let text = finish(scene.verb(&["stats"])).out;
    assert!(text.contains("nobody reads the events"), "{text}");
    // The one that nobody has read yet.
    let events = finish(scene.verb(&["events"]));
    assert_eq!(events.out.lines().count(), 1, "{events:?}");

    // Taken up, with its policy and counters, and ended.
    let mut command = scene.verb(&["run", "--no-pin"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = Running::start(command);
    run.says("aegisbpf: audit by ");
    cat(&scene.secret);
    let done = stop(run, Signal::SIGTERM);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("3 blocks (audit)"), "{done:?}");
    assert!(!scene.pins.has_pins());
}

fn a_start_that_fails_leaves_nothing_pinned() {
    let scene = Scene::new();
    let text = format!("version=3\n[deny_binary_hash]\nsha256:{}\n", "0".repeat(64));
    let file = policy(scene.folder.path(), text);
    for more in [&[][..], &["--pin"]] {
        let mut command = scene.verb(&["run", "--audit", "--policy"]);
        let done = finish({
            command.arg(&file).args(more);
            command
        });
        assert_eq!((done.code, done.out.as_str()), (Some(3), ""), "{done:?}");
        assert!(!scene.pins.has_pins(), "{more:?}");
    }
}

fn a_closed_pipe_is_no_error() {
    let stage = Stage::new();
    stage.apply();
    cat(&stage.scene.secret);
    for args in [
        &["stats"][..],
        &["stats", "--detailed"],
        &["stats", "--json"],
        &["policy", "show"],
        &["policy", "export"],
        &["metrics"],
        &["events"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = stage.scene.verb(args);
        command.stdout(writer).stderr(Stdio::piped());
        let done = Running::start(command).finish();
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{args:?}");
    }
}
