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

use aegisbpf_measure::{Record, fake::Truth, report::html::page};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

/// A browser that starts on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The page in a frame as wide as the screen that is asked for, since a browser's own window has a smallest width; and what a
/// reader would see of it, told by the page around it: the report itself stays as it is.
const AROUND: &str = r#"<!DOCTYPE html><body style="margin:0"><iframe id="f" style="border:0;width:WIDTHpx;height:HEIGHTpx" srcdoc="PAGE"></iframe><script>
addEventListener("load", () => {
	const { contentDocument: page, contentWindow: screen } = document.getElementById("f");
	const box = e => e.getBoundingClientRect();
	const seen = id => page.querySelectorAll(`#${id} svg, #${id} table, #${id} li`).length > 0 && box(page.getElementById(id)).height > 40;
	const ids = ["forest", "advice", "blocks", "quads", "shift", "attribution", "checks", "conditions", "machine"];
	const wide = [...page.querySelectorAll("body *")].filter(e => !e.closest("svg") && box(e).right > screen.innerWidth + 1);
	const over = [...page.querySelectorAll(".row > span")].filter(e => e.scrollWidth > e.clientWidth + 1);
	const text = [...page.querySelectorAll("svg text")].filter(e => box(e).width > 0 &&
		(box(e).left < -1 || box(e).right > screen.innerWidth + 1 || box(e).top < box(e.ownerSVGElement).top - 1));
	const marks = [...page.querySelectorAll(".mark")].filter(e => box(e).width > 0 && box(e).left > -1 && box(e).right < screen.innerWidth + 1);
	document.body.dataset.seen = JSON.stringify({
		width: screen.innerWidth,
		missing: ids.filter(id => !seen(id)),
		wide: [...wide, ...over].map(e => `${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`),
		cut: text.map(e => e.textContent),
		scrolls: page.documentElement.scrollWidth > screen.innerWidth,
		hidden: page.querySelectorAll(".mark").length - marks.length,
		marks: marks.length,
		loaded: screen.performance.getEntriesByType("resource").map(e => e.name),
		first: box(page.querySelector(".next")).bottom,
	});
});
</script></body>"#;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A browser takes hundreds of megabytes.
    arguments.test_threads = Some(1);
    let trials = [
        ("a_small_phone_shows_every_figure", (360, 780)),
        ("a_phone_shows_every_figure", (390, 844)),
        ("a_sheet_of_paper_shows_every_figure", (688, 971)),
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

fn shows(browser: &Path, size: (u32, u32)) -> Result<(), Failed> {
    // The longest word of the page is a verdict.
    let undecided = Truth {
        noise: 0.4,
        cpu_noise: 0.4,
        ..Truth::default()
    };
    for truth in [Truth::default(), undecided] {
        shows_all_of(browser, size, &common::full(truth))?;
    }
    Ok(())
}

fn shows_all_of(
    browser: &Path,
    (width, height): (u32, u32),
    record: &Record,
) -> Result<(), Failed> {
    let scratch = tempfile::tempdir().unwrap();
    let whole = page(record).replace('&', "&amp;").replace('"', "&quot;");
    let around = AROUND
        .replace("WIDTH", &width.to_string())
        .replace("HEIGHT", &height.to_string())
        .replace("PAGE", &whole);
    let path = write_page(scratch.path(), &around);
    let options = [
        "--dump-dom".to_owned(),
        format!("--window-size={},{height}", width.max(600)),
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
    let whole = ["missing", "wide", "cut", "loaded"].map(is_empty);
    let fits = seen["width"] == width && seen["scrolls"] == false && seen["hidden"] == 0;
    if whole.contains(&false) || !fits {
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
