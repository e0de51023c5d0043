//! The metrics, read by Prometheus itself.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{across::Stage, audit::cat};
use crate::common::{AT_MOST, Running, finish};

pub(crate) const FACTS: &[(&str, fn())] = &[
    ("promtool_finds_no_fault", promtool_finds_no_fault),
    (
        "a_real_prometheus_scrapes_them",
        a_real_prometheus_scrapes_them,
    ),
];

/// What needs no Prometheus.
pub(crate) const OTHERS: &[(&str, fn())] = &[
    (
        "the_textfile_is_whole_and_renewed",
        the_textfile_is_whole_and_renewed,
    ),
    ("what_is_no_scrape_is_refused", what_is_no_scrape_is_refused),
];

/// Why Prometheus cannot be asked here.
pub(crate) fn missing() -> Option<String> {
    for program in ["promtool", "prometheus"] {
        let found = Command::new(program).arg("--version").output();
        if !found.is_ok_and(|out| out.status.success()) {
            return Some(format!("{program} is missing: apt-get install prometheus"));
        }
    }
    super::no_kernel()
}

fn promtool_finds_no_fault() {
    let stage = Stage::new();
    stage.apply();
    cat(&stage.scene.secret);
    let file = stage.scene.folder.path().join("aegisbpf.prom");
    stage.ok(&["metrics", "--file", file.to_str().unwrap()]);
    let mut promtool = Command::new("promtool");
    promtool
        .args(["check", "metrics"])
        .stdin(fs::File::open(&file).unwrap());
    let done = finish(promtool);
    assert_eq!(
        (done.code, done.out.as_str(), done.err.as_str()),
        (Some(0), "", "")
    );
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("\naegisbpf_accesses_total{outcome=\"audited\"} 1\n"),
        "{text}"
    );
}

/// A running `aegisbpf metrics --listen` and where it listens.
fn listen(stage: &Stage) -> (Running, String) {
    let mut command = stage.scene.verb(&["metrics", "--listen", "127.0.0.1:0"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut metrics = Running::start(command);
    let said = metrics.says("metrics at http://");
    let address = said.split("http://").nth(1).unwrap();
    let address = address.strip_suffix("/metrics").unwrap().to_owned();
    (metrics, address)
}

fn a_real_prometheus_scrapes_them() {
    let stage = Stage::new();
    stage.apply();
    for _ in 0..4 {
        cat(&stage.scene.secret);
    }
    let (metrics, target) = listen(&stage);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    fs::write(
        &config,
        format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\n\
             scrape_configs: [{{job_name: aegisbpf, static_configs: [{{targets: ['{target}']}}]}}]\n"
        ),
    )
    .unwrap();
    let web = free_port();
    let _prometheus = Running::start(prometheus(folder.path(), &config, &web));
    let audited = ask(&web, r#"aegisbpf_accesses_total{outcome="audited"}"#);
    assert_eq!(audited["value"][1], "4", "{audited}");
    let secret = stage.scene.secret.to_str().unwrap();
    let rule = ask(&web, r#"aegisbpf_rule_accesses_total{outcome="audited"}"#);
    assert_eq!(rule["metric"]["object"], secret, "{rule}");
    let up = ask(&web, "up");
    assert_eq!(up["value"][1], "1", "{up}");
    let info = ask(&web, "aegisbpf_enforcer_info");
    assert_eq!(info["metric"]["mode"], "audit", "{info}");

    metrics.signal(Signal::SIGTERM);
    let done = metrics.finish();
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
}

fn prometheus(folder: &Path, config: &Path, web: &str) -> Command {
    let mut prometheus = Command::new("prometheus");
    prometheus
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address={web}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    prometheus
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The first series that answers `query`, as soon as there is one.
#[track_caller]
fn ask(web: &str, query: &str) -> Value {
    let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let until = Instant::now() + AT_MOST;
    loop {
        let answer = get(web, &format!("/api/v1/query?query={query}"), "");
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        // Indexing a `Value` gives null where there is nothing.
        let first = &answer["data"]["result"][0];
        if !first.is_null() {
            return first.clone();
        }
        assert!(Instant::now() < until, "Prometheus did not answer: {body}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// The whole answer to one request; nothing where nobody listens yet.
fn get(address: &str, path: &str, headers: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return String::new();
    };
    stream.set_read_timeout(Some(AT_MOST)).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: test\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn the_textfile_is_whole_and_renewed() {
    let stage = Stage::new();
    stage.apply();
    let file = stage.scene.folder.path().join("aegisbpf.prom");
    let mut command = stage.scene.verb(&["metrics", "--every", "50ms", "--file"]);
    command
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let metrics = Running::start(command);
    let has = |line: &str| {
        let until = Instant::now() + AT_MOST;
        loop {
            let text = fs::read_to_string(&file).unwrap_or_default();
            // Never half a file.
            assert!(text.is_empty() || text.ends_with('\n'), "{text}");
            if text.contains(line) {
                return;
            }
            assert!(Instant::now() < until, "{line} never came: {text}");
            thread::sleep(Duration::from_millis(10));
        }
    };
    has("aegisbpf_accesses_total{outcome=\"audited\"} 0\n");
    cat(&stage.scene.secret);
    has("aegisbpf_accesses_total{outcome=\"audited\"} 1\n");
    metrics.signal(Signal::SIGTERM);
    assert_eq!(metrics.finish().code, Some(0));
    let left: Vec<_> = fs::read_dir(stage.scene.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn what_is_no_scrape_is_refused() {
    let stage = Stage::new();
    let (_metrics, target) = listen(&stage);
    assert!(get(&target, "/", "").starts_with("HTTP/1.1 404 "));
    let plain = get(&target, "/metrics", "");
    assert!(
        plain.contains("Content-Type: text/plain; version=0.0.4"),
        "{plain}"
    );
    let open = get(
        &target,
        "/metrics",
        "Accept: application/openmetrics-text\r\n",
    );
    assert!(
        open.contains("Content-Type: application/openmetrics-text"),
        "{open}"
    );
    assert!(open.ends_with("# EOF\n"), "{open}");

    let mut stream = TcpStream::connect(&target).unwrap();
    stream.write_all(b"\x16\x03\x01 no http\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // Who says nothing keeps the next one waiting, but not for long.
    let _silent = TcpStream::connect(&target).unwrap();
    assert!(get(&target, "/metrics", "").starts_with("HTTP/1.1 200 "));

    // When the enforcer has gone each scrape says so.
    let Stage { scene: _scene, run } = stage;
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().code, Some(0));
    let gone = get(&target, "/metrics", "");
    assert!(gone.starts_with("HTTP/1.1 503 "), "{gone}");
    assert!(gone.contains("no enforcer is running"), "{gone}");
}
