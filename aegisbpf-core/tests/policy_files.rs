//! Every policy file of the repository is a test case: the valid ones and the shipped ones parse and survive being
//! rendered, the invalid ones give the diagnostics that their snapshots show.

use std::path::{Path, PathBuf};

use aegisbpf_core::Policy;
use aegisbpf_core::policy::Problems;
use rstest::rstest;

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .expect("fixtures have plain names")
}

fn parse(path: &Path) -> Result<Policy, Problems> {
    Policy::parse_bytes(
        &std::fs::read(path).expect("the file was just listed"),
        name(path),
    )
}

#[rstest]
fn a_valid_file_parses_and_survives_rendering(
    #[files("../policies/*.conf")]
    #[files("../fixtures/policies/valid/*.conf")]
    path: PathBuf,
) {
    let policy = parse(&path).unwrap_or_else(|problems| panic!("{problems}"));
    let text = policy.to_string();
    let again: Policy = text.parse().unwrap();
    assert_eq!(again, policy);
    assert_eq!(again.to_string(), text);
    assert_eq!(
        again
            .warnings()
            .iter()
            .filter(|warning| warning.message.contains("counts once"))
            .count(),
        0
    );
}

#[rstest]
fn a_shipped_file_has_no_warnings(#[files("../policies/*.conf")] path: PathBuf) {
    assert_eq!(parse(&path).unwrap().warnings().to_string(), "");
}

#[rstest]
fn a_valid_file_says_what_its_snapshot_says(
    #[files("../fixtures/policies/valid/*.conf")] path: PathBuf,
) {
    let policy = parse(&path).unwrap();
    let labels: String = policy
        .iter()
        .map(|(id, rule)| format!("{id}  {} {}\n", rule.effect, rule.label()))
        .collect();
    insta::assert_snapshot!(
        name(&path),
        format!("{labels}---\n{}\n---\n{policy}", policy.warnings())
    );
}

#[rstest]
fn an_invalid_file_gets_the_diagnostics_of_its_snapshot(
    #[files("../fixtures/policies/invalid/*.conf")] path: PathBuf,
) {
    let problems = parse(&path).unwrap_err();
    assert!(problems.has_errors());
    assert!(problems.iter().all(|problem| problem.remedy.is_some()));
    insta::assert_snapshot!(name(&path), problems);
}
