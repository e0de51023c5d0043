//! The HTML page in a real browser: no error on its console, no request, every figure drawn, nothing wider than a phone.
//!
//! Ignored with the reason where there is no chromium: `apt-get install chromium`.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use aegisbpf_measure::{fake::Truth, report::html::page};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

/// A browser that starts on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tells on the console what a reader would see; only the copy that is tested has it.
const PROBE: &str = r#"<script>
addEventListener("load", () => {
	const seen = id => document.querySelectorAll(`#${id} svg, #${id} table, #${id} li`).length > 0
		&& document.getElementById(id).getBoundingClientRect().height > 40;
	const ids = ["forest", "advice", "blocks", "quads", "shift", "attribution", "checks", "conditions", "machine"];
	const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest("svg") && e.getBoundingClientRect().right > innerWidth + 1);
	const marks = [...document.querySelectorAll(".mark")].filter(e => { const b = e.getBoundingClientRect(); return b.width > 0 && b.left > -1 && b.right < innerWidth + 1; });
	document.body.dataset.seen = JSON.stringify({
		missing: ids.filter(id => !seen(id)),
		wide: wide.map(e => e.tagName + "." + e.className),
		hidden: document.querySelectorAll(".mark").length - marks.length,
		marks: marks.length,
		loaded: performance.getEntriesByType("resource").map(e => e.name),
		first: document.querySelector(".next").getBoundingClientRect().bottom,
	});
});
</script>"#;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A browser takes hundreds of megabytes.
    arguments.test_threads = Some(1);
    let trials = [
        ("a_phone_shows_every_figure", (390, 844)),
        ("a_wide_screen_shows_every_figure", (1280, 800)),
    ]
    .map(|(name, size)| {
        Trial::ignorable_test(name, move || with_browser(|browser| shows(browser, size)))
    });
    let alone = [
        Trial::ignorable_test("the_page_loads_nothing_and_complains_of_nothing", || {
            with_browser(loads_nothing)
        }),
        Trial::ignorable_test("a_page_that_loads_something_is_caught", || {
            with_browser(a_request_is_caught)
        }),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().chain(alone).collect()).exit_code()
}

fn with_browser(test: impl FnOnce(&Path) -> Result<(), Failed>) -> Result<Completion, Failed> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .flat_map(|name| env::split_paths(&path).map(move |directory| directory.join(name)))
        .find(|program| program.is_file());
    match found {
        None => Ok(Completion::ignored_with(
            "no chromium: apt-get install chromium",
        )),
        Some(browser) => test(&browser).map(|()| Completion::Completed),
    }
}

/// Runs the browser on a page and gives what it printed (standard output, standard error).
fn browse(browser: &Path, directory: &Path, page: &Path, options: &[String]) -> (String, String) {
    let file = |name: &str| fs::File::create(directory.join(name)).unwrap();
    let mut child = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .arg("--enable-logging=stderr")
        .arg(format!(
            "--user-data-dir={}",
            directory.join("profile").display()
        ))
        .args(options)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(file("out"))
        .stderr(file("err"))
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the browser did not end within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let read =
        |name: &str| String::from_utf8_lossy(&fs::read(directory.join(name)).unwrap()).into_owned();
    (read("out"), read("err"))
}

fn write_page(directory: &Path, page: &str) -> PathBuf {
    let path = directory.join("report.html");
    fs::write(&path, page).unwrap();
    path
}

fn shows(browser: &Path, (width, height): (u32, u32)) -> Result<(), Failed> {
    let scratch = tempfile::tempdir().unwrap();
    let record = common::full(Truth::default());
    // The page's own policy would refuse the probe's script; that it does is what the other test shows.
    let open = page(&record).replace(
        "default-src 'none'",
        "default-src 'none'; script-src 'unsafe-inline'",
    );
    let path = write_page(
        scratch.path(),
        &open.replace("</head>", &format!("{PROBE}</head>")),
    );
    let options = [
        "--dump-dom".to_owned(),
        format!("--window-size={width},{height}"),
    ];
    let (dom, log) = browse(browser, scratch.path(), &path, &options);
    let seen = dom
        .split("data-seen=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .ok_or_else(|| format!("the probe did not run: {log}"))?
        .replace("&quot;", "\"");
    let seen: Value = serde_json::from_str(&seen)?;
    let is_empty = |key: &str| seen[key].as_array().is_some_and(Vec::is_empty);
    if !is_empty("missing") || !is_empty("wide") || !is_empty("loaded") || seen["hidden"] != 0 {
        return Err(format!("at {width} pixels: {seen}").into());
    }
    let blocks = record.observed.blocks.len() as u64;
    if seen["marks"].as_u64() < Some(blocks) {
        return Err(format!("{blocks} blocks, but {} marks", seen["marks"]).into());
    }
    // The verdict, the interval and the next step stand on the first screen.
    if seen["first"].as_f64() > Some(f64::from(height)) {
        return Err(format!(
            "the next step ends {} pixels down, below the first screen",
            seen["first"]
        )
        .into());
    }
    Ok(())
}

/// The page's own policy forbids every request, and what it refuses is told on the console: a silent console is a page
/// that asked for nothing. (The browser's own calls home are not the page's doing, so a log of all requests would not do.)
fn loads_nothing(browser: &Path) -> Result<(), Failed> {
    let page = page(&common::full(Truth::default()));
    let complaints = complaints(browser, &page)?;
    if !complaints.is_empty() {
        return Err(format!("the console says: {complaints:?}").into());
    }
    Ok(())
}

/// The control: the same page with one request more is caught.
fn a_request_is_caught(browser: &Path) -> Result<(), Failed> {
    let page = page(&common::full(Truth::default()));
    let asking = page.replace("<main>", "<main><img src=\"http://127.0.0.1:9/x.png\">");
    match complaints(browser, &asking)?.as_slice() {
        [] => Err("a page that loads a picture was not caught".into()),
        _ => Ok(()),
    }
}

/// Lines of the console; the page must have been drawn.
fn complaints(browser: &Path, page: &str) -> Result<Vec<String>, Failed> {
    let scratch = tempfile::tempdir().unwrap();
    let path = write_page(scratch.path(), page);
    let picture = scratch.path().join("page.png");
    let options = [format!("--screenshot={}", picture.display())];
    let (_, log) = browse(browser, scratch.path(), &path, &options);
    let bytes = fs::metadata(&picture).map_or(0, |meta| meta.len());
    if bytes < 10_000 {
        return Err(
            format!("the picture of the page has {bytes} bytes; was it drawn? {log}").into(),
        );
    }
    let console = log.lines().filter(|line| line.contains("CONSOLE"));
    Ok(console.map(str::to_owned).collect())
}
