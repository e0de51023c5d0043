//! The guard's protocol, with fakes on either side.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    io::Cursor,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use aegisbpf_measure::{
    guard::{Guard, Identity, Matches, Runs},
    workload::BoxError,
};
use aegisbpf_rig::guard::{
    Canary, GuardError, RemoteGuard,
    child::{Switch, serve},
    protocol::{Answer, Counters},
};

const READY: &str = r#"{"ready":{"name":"fake","version":"1","backend":"none","mode":"audit","policy":"p","policy_sha256":"0","hooks":["open"]}}"#;

/// An enforcer's process made of a few lines of shell: `$1` is its first answer, `body` runs for each command.
fn fake(body: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("echo \"$1\"; hits=0; links=; while read -r line; do {body}; done");
    command.args(["-c", &script, "fake", READY]);
    command
}

/// Counts a hit each time that it is asked for evidence while attached.
const OBEDIENT: &str = r#"case $line in
    '"protect"') links='"open"'; echo '"done"' ;;
    '"release"') links=; echo '"done"' ;;
    '"evidence"') [ -z "$links" ] || hits=$((hits + 1))
        echo "{\"evidence\":{\"links\":[$links],\"hits\":$hits,\"blocks\":$hits,\"events\":0,\"drops\":0,\"runs\":{}}}" ;;
    '{"count_runs":'*) echo '"done"' ;;
    '"memory"') echo '{"memory":4096}' ;;
esac"#;

fn canary(directory: &Path) -> Canary {
    Canary::new(directory).unwrap()
}

fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn an_obedient_enforcer_is_switched_and_read() {
    let scratch = tempfile::tempdir().unwrap();
    let mut guard = RemoteGuard::start(&mut fake(OBEDIENT), canary(scratch.path())).unwrap();
    assert_eq!(guard.identity().hooks, ["open"]);
    assert_eq!(guard.evidence().unwrap().links, Vec::<String>::new());
    guard.touch_denied().unwrap();
    assert_eq!(guard.evidence().unwrap().hits, 0);
    guard.protect().unwrap();
    guard.touch_denied().unwrap();
    let evidence = guard.evidence().unwrap();
    assert_eq!(
        (evidence.links, evidence.hits),
        (vec!["open".to_owned()], 3)
    );
    guard.count_runs(true).unwrap();
    let memory = guard.memory().unwrap().unwrap();
    assert_eq!(memory.kernel, 4096);
    assert!(memory.process > 0);
    guard.release().unwrap();
    let pid = guard.pid();
    drop(guard);
    assert!(!is_running(pid), "the enforcer outlives its guard");
}

#[test]
fn a_canary_that_nobody_sees_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    let blind = OBEDIENT.replace("hits=$((hits + 1))", "true");
    let mut guard = RemoteGuard::start(&mut fake(&blind), canary(scratch.path())).unwrap();
    guard.protect().unwrap();
    let error = guard.touch_denied().unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(GuardError::Unseen)),
        "{error}"
    );
}

#[test]
fn a_refusal_says_what_was_asked_and_why_not() {
    let scratch = tempfile::tempdir().unwrap();
    let mut guard = RemoteGuard::start(
        &mut fake(r#"echo '{"failed":"no such hook"}'"#),
        canary(scratch.path()),
    )
    .unwrap();
    let error = guard.protect().unwrap_err().to_string();
    assert_eq!(
        error,
        "the enforcer could not attach its hooks: no such hook"
    );
}

#[test]
fn an_enforcer_that_dies_is_reported_with_its_end() {
    let scratch = tempfile::tempdir().unwrap();
    let mut guard =
        RemoteGuard::start(&mut fake("kill -s KILL $$"), canary(scratch.path())).unwrap();
    let error = guard.protect().unwrap_err().to_string();
    assert!(
        error.contains("ended (signal: 9") && error.contains("attach its hooks"),
        "{error}"
    );
    assert!(guard.evidence().is_err());
}

#[test]
fn an_answer_that_is_none_is_shown() {
    let scratch = tempfile::tempdir().unwrap();
    let mut guard = RemoteGuard::start(&mut fake("echo hello"), canary(scratch.path())).unwrap();
    assert!(guard.protect().unwrap_err().to_string().contains("hello"));
}

#[test]
fn a_machine_that_cannot_run_it_is_told_from_a_failure() {
    let scratch = tempfile::tempdir().unwrap();
    let start = |answer: &str| {
        let error = RemoteGuard::start(Command::new("echo").arg(answer), canary(scratch.path()))
            .unwrap_err();
        (
            matches!(error, GuardError::Unsupported(_)),
            error.to_string(),
        )
    };
    assert_eq!(
        start(r#"{"unsupported":"no BTF: boot another kernel"}"#),
        (true, "no BTF: boot another kernel".to_owned())
    );
    assert_eq!(
        start(r#"{"failed":"E2BIG"}"#),
        (false, "the enforcer could not load: E2BIG".to_owned())
    );
}

/// The other side: a switch that remembers what it was told.
#[derive(Default)]
struct Recorder {
    told: Vec<&'static str>,
}

impl Switch for Recorder {
    fn identity(&self) -> Identity {
        let Answer::Ready(identity) = serde_json::from_str(READY).unwrap() else {
            panic!("{READY}")
        };
        identity
    }

    fn protect(&mut self) -> Result<(), BoxError> {
        self.told.push("protect");
        Err("no such hook".into())
    }

    fn release(&mut self) -> Result<(), BoxError> {
        self.told.push("release");
        Ok(())
    }

    fn counters(&mut self) -> Result<Counters, BoxError> {
        Ok(Counters {
            hits: 7,
            runs: BTreeMap::from([(
                "open".to_owned(),
                Runs {
                    count: 3,
                    nanos: 90,
                },
            )]),
            ..Counters::default()
        })
    }

    fn count_runs(&mut self, on: bool) -> Result<(), BoxError> {
        self.told.push(if on { "count" } else { "do not count" });
        Ok(())
    }

    fn kernel_memory(&mut self) -> Result<u64, BoxError> {
        Ok(1)
    }

    fn matches(&mut self) -> Result<Matches, BoxError> {
        Ok(Matches::default())
    }
}

#[test]
fn the_enforcers_side_obeys_line_by_line_and_ends_on_quit() {
    let input = "\"protect\"\n\"release\"\n{\"count_runs\":true}\n\"evidence\"\n\"memory\"\n\"quit\"\n\"protect\"\n";
    let (mut switch, mut output) = (Recorder::default(), Vec::new());
    serve(&mut switch, Cursor::new(input), &mut output).unwrap();
    assert_eq!(switch.told, ["protect", "release", "count"]);
    let output = String::from_utf8(output).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], READY);
    assert_eq!(
        lines[1..4],
        [r#"{"failed":"no such hook"}"#, r#""done""#, r#""done""#]
    );
    assert!(
        lines[4].contains(r#""hits":7"#) && lines[4].contains(r#"{"open":{"count":3,"nanos":90}}"#),
        "{}",
        lines[4]
    );
    assert_eq!(lines[5..], [r#"{"memory":1}"#, r#""done""#]);
}

#[test]
fn the_enforcers_side_ends_when_the_harness_is_gone() {
    let mut switch = Recorder::default();
    serve(&mut switch, Cursor::new("\"release\"\n"), Vec::new()).unwrap();
    assert_eq!(switch.told, ["release"]);
}

#[test]
fn a_guard_that_fails_to_start_leaves_no_process() {
    let scratch = tempfile::tempdir().unwrap();
    let pid_file = scratch.path().join("pid");
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "echo $$ > \"$1\"; echo nonsense; exec sleep 60",
            "fake",
        ])
        .arg(&pid_file);
    assert!(matches!(
        RemoteGuard::start(&mut command, canary(scratch.path())),
        Err(GuardError::Confused { .. })
    ));
    let pid: u32 = std::fs::read_to_string(pid_file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while is_running(pid) {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
}
