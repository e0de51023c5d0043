//! Every shipped policy, and one with every section of every version, from check to rollback, as far as the host's
//! backend goes; with enforcement where the kernel can.

use std::{fs, path::Path};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{across::Stage, audit::stop};
use crate::common::policy;

pub(crate) const AUDIT: &[(&str, fn())] = &[
    ("shipped_policies_go_all_the_way", || {
        shipped(&["--audit"]);
    }),
    ("every_section_goes_all_the_way", || {
        every_section(&["--audit"]);
    }),
];

pub(crate) const ENFORCE: &[(&str, fn())] = &[
    ("shipped_policies_go_all_the_way", || {
        shipped(&["--enforce", "--no-pin"]);
    }),
    ("every_section_goes_all_the_way", || {
        every_section(&["--enforce", "--no-pin"]);
    }),
];

fn shipped(mode: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "conf"))
        .collect();
    assert!(!files.is_empty(), "nothing is shipped");
    let stage = Stage::run(mode);
    for file in files {
        // A copy that is ours, as the file in a checkout need not be.
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        travel(&stage, &stage.write(name, &text));
    }
    assert_eq!(stop(stage.run, Signal::SIGTERM).code, Some(0));
}

fn every_section(mode: &[&str]) {
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/policies/valid/every_section.conf");
    let stage = Stage::run(mode);
    // Entries that are there, beside the fixture's, and a file that is included.
    let secret = stage.scene.secret.display();
    let text = fs::read_to_string(fixture)
        .unwrap()
        // Who may not call bpf(2) cannot ask for the counters either.
        .replace("[deny_bpf]\n", "");
    let text = format!("{text}[deny_path]\n{secret} # the secret\n[include]\nmore.conf\n");
    let file = stage.write("every", &text);
    let more = file.parent().unwrap().join("more.conf");
    fs::write(&more, "version=7\n[deny_path]\n/nowhere/included\n").unwrap();
    fs::set_permissions(&more, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    travel(&stage, &file);
    assert_eq!(stop(stage.run, Signal::SIGTERM).code, Some(0));
}

/// check → explain → dry-run → apply → stats → suggest → rollback
#[track_caller]
fn travel(stage: &Stage, file: &Path) {
    let file = file.to_str().unwrap();
    let secret = stage.scene.secret.to_str().unwrap();
    // Whether the policy denies our secret decides what to expect below.
    let denies = fs::read_to_string(file).unwrap().contains(secret);

    let checked = stage.json(&["policy", "check", "--json", file]);
    assert_eq!(checked["valid"], true, "{checked}");
    let explained = stage.ok(&["policy", "explain", file, secret]);
    assert_eq!(explained.starts_with("denied"), denies, "{explained}");

    let dry = stage.json(&[
        "policy",
        "apply",
        "--dry-run",
        "--skip-unsupported",
        "--json",
        file,
    ]);
    assert_eq!(dry["valid"], true, "{dry}");
    let count = |rows: &str| dry[rows].as_array().unwrap().len();
    let expected = count("denied") + count("exempt") + count("unresolved");
    assert_eq!(
        stage.json(&["stats", "--json"])["rules"],
        0,
        "a dry run applies nothing"
    );

    let applied = stage.json(&["policy", "apply", "--skip-unsupported", "--json", file]);
    assert_eq!(
        (&applied["applied"], &applied["rules"]),
        (&true.into(), &expected.into())
    );
    let dropped = |report: &Value| {
        let problems = report["problems"].as_array().unwrap().iter();
        problems
            .filter(|problem| problem["message"].as_str().unwrap().starts_with("dropped"))
            .count()
    };
    assert_eq!(dropped(&dry), dropped(&applied));

    let mode = stage.json(&["stats", "--json"])["mode"].clone();
    let read = fs::read_to_string(secret);
    let refused = denies && mode == "enforce";
    assert_eq!(read.is_err(), refused, "{read:?}");
    let stats = stage.json(&["stats", "--detailed", "--json"]);
    assert_eq!(stats["rules"], expected);
    let seen = stats["by_file"].as_array().unwrap().iter();
    let blocks: u64 = seen
        .filter(|row| row["object"] == secret)
        .map(|row| row["audited"].as_u64().unwrap() + row["denied"].as_u64().unwrap())
        .sum();
    assert_eq!(blocks > 0, denies, "{stats}");
    let suggested = stage.ok(&["policy", "suggest"]);
    if denies {
        assert!(suggested.contains("[allow_cgroup]"), "{suggested}");
        // What is suggested is policy text.
        let lines = policy(stage.scene.folder.path(), &suggested);
        stage.ok(&["policy", "check", lines.to_str().unwrap()]);
    }

    // What stood before this one, which began with nothing.
    let nothing = stage.write("nothing", "version=1\n");
    stage.ok(&["policy", "apply", nothing.to_str().unwrap()]);
    fs::read_to_string(secret).unwrap();
    stage.ok(&["policy", "rollback"]);
    assert_eq!(stage.json(&["stats", "--json"])["rules"], expected);
    assert_eq!(fs::read_to_string(secret).is_err(), refused);
    stage.ok(&["policy", "rollback"]);
    assert_eq!(stage.json(&["stats", "--json"])["rules"], 0);
    fs::read_to_string(secret).unwrap();
}
