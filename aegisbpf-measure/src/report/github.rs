//! Annotations that GitHub shows beside a change: a line for each workload, and one more if its enforcer became dearer.

use super::words::one_line;
use crate::{record::Record, verdict::Verdict};

/// The workflow commands that a step prints for one run. `strict`: a PASS that is not by wall clock does not count.
#[must_use]
pub fn annotations(record: &Record, strict: bool) -> Vec<String> {
    let (plan, judgement) = (&record.plan, &record.judgement);
    let counted = judgement.counted(strict);
    let title = format!("{} {}", plan.workload, judgement.verdict);
    let mut text = judgement.sentence();
    if counted != judgement.verdict {
        text += " (strict: only a PASS by wall clock counts)";
    }
    let regression = record
        .baseline
        .iter()
        .filter(|comparison| comparison.verdict == Verdict::Fail)
        .map(|comparison| {
            let title = format!("{} against its baseline", plan.workload);
            command("error", &title, &comparison.sentence)
        });
    [command(level(counted), &title, &text)]
        .into_iter()
        .chain(regression)
        .collect()
}

/// The workflow command for a workload that could not be run on this machine, or that broke.
#[must_use]
pub fn unmeasured(workload: &str, is_broken: bool, reason: &str) -> String {
    let (level, how) = if is_broken {
        ("error", "broke")
    } else {
        ("warning", "was not measured")
    };
    command(level, &format!("{workload} {how}"), reason)
}

fn level(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "notice",
        Verdict::Inconclusive => "warning",
        Verdict::Fail | Verdict::Invalid => "error",
    }
}

fn command(level: &str, title: &str, text: &str) -> String {
    format!(
        "::{level} title={}::{}",
        property(title),
        data(&one_line(text))
    )
}

/// What may not stand in the text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// What may not stand in a property besides.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fake::{self, Fake, Truth},
        verdict::Strength,
    };

    fn judged(workload: &str, truth: Truth) -> Record {
        Fake::new(truth).run(&fake::plan(workload)).unwrap()
    }

    /// Level, title and text, read as the runner does: up to the second `::` a name and properties, which commas
    /// separate, and behind it the text.
    #[track_caller]
    fn read(line: &str) -> (String, String, String) {
        assert!(!line.contains(['\r', '\n']), "{line:?}");
        let (command, text) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
        let (level, properties) = command.split_once(' ').unwrap();
        let properties: Vec<&str> = properties.split(',').collect();
        assert_eq!(properties.len(), 1, "{line}");
        let title = properties[0].strip_prefix("title=").unwrap();
        let plain = |text: &str, escapes: &[(&str, &str)]| {
            escapes
                .iter()
                .fold(text.to_owned(), |text, (escape, of)| {
                    text.replace(escape, of)
                })
                .replace("%25", "%")
        };
        let lines = [("%0D", "\r"), ("%0A", "\n")];
        let all = [lines[0], lines[1], ("%3A", ":"), ("%2C", ",")];
        (level.to_owned(), plain(title, &all), plain(text, &lines))
    }

    #[test]
    fn a_verdict_is_read_back_as_it_was_meant() {
        let dear = Truth {
            effect: 0.3,
            ..Truth::default()
        };
        // Whatever people call their workloads.
        for name in ["web::fake", "50 % of it, a=b", "%3A::%25,\n::error::"] {
            for (truth, level) in [(Truth::default(), "notice"), (dear.clone(), "error")] {
                let record = judged(name, truth);
                let lines = annotations(&record, false);
                assert_eq!(lines.len(), 1, "{lines:?}");
                let verdict = record.judgement.verdict;
                assert_eq!(
                    read(&lines[0]),
                    (
                        level.to_owned(),
                        format!("{name} {verdict}"),
                        record.judgement.sentence()
                    )
                );
            }
        }
    }

    #[test]
    fn a_weak_pass_does_not_count_when_strict() {
        let mut record = judged("web::fake", Truth::default());
        record.judgement.strength = Some(Strength::PerCpu);
        let (level, _, text) = read(&annotations(&record, false)[0]);
        assert_eq!((level.as_str(), text.contains("strict")), ("notice", false));
        let (level, _, text) = read(&annotations(&record, true)[0]);
        assert_eq!((level.as_str(), text.contains("strict")), ("warning", true));
    }

    #[test]
    fn an_enforcer_that_became_dearer_is_an_error_of_its_own() {
        let mut record = judged("web::fake", Truth::default());
        record.baseline = Some(fake::compared(
            Verdict::Fail,
            "throughput rose by 3 %\nor more",
        ));
        let lines = annotations(&record, false);
        assert_eq!(lines.len(), 2);
        let (level, title, text) = read(&lines[1]);
        assert_eq!(level, "error");
        assert_eq!(title, "web::fake against its baseline");
        assert_eq!(text, "throughput rose by 3 % or more");
    }

    #[test]
    fn what_was_not_measured_says_why() {
        for (is_broken, level) in [(true, "error"), (false, "warning")] {
            let line = unmeasured(
                "db::mysql",
                is_broken,
                "mariadbd not found:\napt-get install",
            );
            let (found, title, text) = read(&line);
            assert_eq!(found, level);
            assert!(title.starts_with("db::mysql "), "{title}");
            assert_eq!(text, "mariadbd not found: apt-get install");
        }
    }
}
