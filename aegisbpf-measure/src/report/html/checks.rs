//! Why the instrument may be believed: its checks of itself, and the proof that the guard was in force.

use maud::{Markup, html};

use super::plot::{Scale, datum};
use crate::{
    record::Record,
    report::words,
    self_check::{Kind, SelfCheck, Status},
    treatment::Proofs,
};

/// All self-checks.
pub(super) fn checks(record: &Record) -> Markup {
    let checks = &record.judgement.self_checks;
    let ends = checks
        .iter()
        .filter(|check| is_percent(check))
        .flat_map(|check| {
            let (lower, upper) = check.interval.unwrap_or((check.expected, check.expected));
            [lower, upper, check.expected]
        });
    let scale = Scale::over(ends.chain([0.0, 1.0]));
    html! {
        @if checks.is_empty() { p.none { "This run has no self-checks." } }
        @if let Some(scale) = scale {
            div.checks {
                @for (i, check) in checks.iter().enumerate() { (row(i, check, scale)) }
            }
        }
        (treatment(record))
    }
}

/// All but the correlation are in percent of throughput.
fn is_percent(check: &SelfCheck) -> bool {
    check.check != Kind::Autocorrelation
}

fn row(i: usize, check: &SelfCheck, scale: Scale) -> Markup {
    let tone = match check.status {
        Status::Passed => "pass",
        Status::Failed => "fail",
        Status::Noted => "inconclusive",
        Status::NotJudged => "unjudged",
    };
    html! {
        div.row {
            span.name { (check.check) small { (asks(check.check)) } }
            span.strip {
                @if is_percent(check) && check.status != Status::NotJudged {
                    svg height="26" width="100%" {
                        line.zero x1=(scale.x(0.0)) x2=(scale.x(0.0)) y1="0" y2="100%" {}
                        @if check.expected != 0.0 { line.expected x1=(scale.x(check.expected)) x2=(scale.x(check.expected)) y1="0" y2="100%" {} }
                        @if let Some((lower, upper)) = check.interval {
                            rect class=(format!("bar {tone}")) x=(scale.x(lower)) width=(scale.length(lower, upper)) y="9" height="8" rx="2" {}
                        }
                        @if let Some(estimate) = check.estimate {
                            circle class=(format!("dot {tone}")) cx=(scale.x(estimate)) cy="13" r="5" {}
                        }
                    }
                }
            }
            span.numbers {
                @if let Some(estimate) = check.estimate {
                    b { (datum(estimate, &format!("/judgement/self_checks/{i}/estimate"), words::signed(estimate))) }
                    (if is_percent(check) { " %" } else { "" })
                }
                small { (check.sentence) }
            }
            span.word { span class=(format!("pill {tone}")) { (check.status) } }
        }
    }
}

/// The question that a check asks, in words for everybody.
fn asks(kind: Kind) -> &'static str {
    match kind {
        Kind::Placebo => "Does it show an effect where there is none?",
        Kind::SpikeIn => "Does it find a delay that we put in ourselves?",
        Kind::OrderEffect => "Does it matter which arm came first?",
        Kind::CarryOver => "Does the switch itself slow the window down?",
        Kind::Autocorrelation => "Do neighbouring quads depend on each other?",
        Kind::Drift => "Did the machine become slower or faster?",
        Kind::ChangePoint => "Did the machine change at one moment?",
    }
}

fn treatment(record: &Record) -> Markup {
    let checks = &record.observed.checks;
    let Proofs {
        sound,
        runs,
        operations,
    } = Proofs::of(checks);
    html! {
        p {
            b { "Was the guard really on?" } " "
            (sound) " of " (checks.len()) " checks are sound: something that the policy denies was touched once in each arm of each quad, and was counted once in the guarded arm and never in the bare one."
            @if runs > 0 { " In untimed blocks the hooks ran " (words::grouped(runs)) " times in " (words::grouped(operations)) " operations." }
        }
    }
}
