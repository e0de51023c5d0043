//! Annotations that GitHub shows beside a change: one line a workload.

use super::words::one_line;
use crate::{record::Record, verdict::Verdict};

/// The workflow command that a step prints.
#[must_use]
pub fn annotation(record: &Record) -> String {
    let level = match record.judgement.verdict {
        Verdict::Pass => "notice",
        Verdict::Inconclusive => "warning",
        Verdict::Fail | Verdict::Invalid => "error",
    };
    let title = format!("{} {}", record.plan.workload, record.judgement.verdict);
    let text = one_line(record.judgement.sentence());
    format!("::{level} title={}::{}", property(&title), data(&text))
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
    use crate::fake::{self, Fake, Truth};

    #[test]
    fn the_verdict_is_one_escaped_line() {
        let effect = Truth {
            effect: 0.3,
            ..Truth::default()
        };
        let record = Fake::new(effect).run(&fake::plan("web::fake")).unwrap();
        let line = annotation(&record);
        assert!(
            line.starts_with("::error title=web%3A%3Afake FAIL::FAIL"),
            "{line}"
        );
        assert!(!line.contains('\n'), "{line}");
        let record = Fake::new(Truth::default())
            .run(&fake::plan("web::fake"))
            .unwrap();
        let line = annotation(&record);
        assert!(line.starts_with("::notice "), "{line}");
        assert!(line.contains("limit 5 %25"), "{line}");
    }
}
