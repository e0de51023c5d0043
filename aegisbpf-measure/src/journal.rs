//! The journal: every fact of a run as one JSON line, and the way back from there to the verdict.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    decide::decide,
    fingerprint::Fingerprint,
    guard::Matches,
    plan::Plan,
    record::{BlockRecord, Calibration, Ended, Observed, Record, SCHEMA_VERSION},
    treatment::Check,
};

/// Version of the lines (`docs/schema/blocks-v3.schema.json`).
pub const VERSION: u32 = 3;
/// The version before it, which is still replayed: it had no first line, so it tells nothing of the machine.
const NO_HEAD: u32 = 2;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    Run(Head),
    Plan {
        /// Only in version 2.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema_version: Option<u32>,
        plan: Box<Plan>,
        plan_sha256: String,
    },
    Calibration(Calibration),
    Block(Box<BlockRecord>),
    Check(Check),
    End {
        ended: Ended,
        changed: Vec<String>,
        #[serde(default)]
        matches: Matches,
        #[serde(default)]
        notes: Vec<String>,
    },
}

/// On what machine, when and how: for whoever finds the file, and no part of what is decided on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Head {
    schema_version: u32,
    unix_time: u64,
    fingerprint: Fingerprint,
    invocation: Option<String>,
}

/// A journal that cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It could not be read.
    #[error("reading the journal: {0}")]
    Read(#[source] io::Error),
    /// A line is not one of ours.
    #[error("line {number} of the journal: {source}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// Why not.
        source: serde_json::Error,
    },
    /// A figure that nobody measured: the arithmetic of the decision is exact far below it.
    #[error(
        "line {number} of the journal: {figure} is more than anything that can be measured; the line was changed"
    )]
    Figure {
        /// Counted from 1.
        number: usize,
        /// Which.
        figure: u64,
    },
    /// It was written by another version.
    #[error("the journal has version {found}; versions {NO_HEAD} and {VERSION} can be replayed")]
    Version {
        /// Its version.
        found: u32,
    },
    /// Somebody changed the plan after the run.
    #[error(
        "the journal's plan has hash {found}, at the start of the run it was {written}; the plan was changed"
    )]
    Plan {
        /// Hash of the plan as it is.
        found: String,
        /// Hash as it was written.
        written: String,
    },
    /// A line that must be there is not.
    #[error("the journal has no {0} line; was the run cut short?")]
    Missing(&'static str),
}

/// Writes all lines of a run.
///
/// # Errors
/// If the writer fails.
pub fn write(record: &Record, to: &mut dyn Write) -> io::Result<()> {
    let Observed {
        calibration,
        blocks,
        checks,
        ended,
        changed,
    } = &record.observed;
    let head = Line::Run(Head {
        schema_version: VERSION,
        unix_time: record.unix_time,
        fingerprint: record.fingerprint.clone(),
        invocation: record.invocation.clone(),
    });
    let plan = Line::Plan {
        schema_version: None,
        plan: Box::new(record.plan.clone()),
        plan_sha256: record.plan_sha256.clone(),
    };
    let blocks = blocks
        .iter()
        .map(|block| Line::Block(Box::new(block.clone())));
    let checks = checks.iter().map(|check| Line::Check(check.clone()));
    let end = Line::End {
        ended: *ended,
        changed: changed.clone(),
        matches: record.matches.clone(),
        notes: record.notes.clone(),
    };
    for line in [head, plan, Line::Calibration(calibration.clone())]
        .into_iter()
        .chain(blocks)
        .chain(checks)
        .chain([end])
    {
        serde_json::to_writer(&mut *to, &line)?;
        to.write_all(b"\n")?;
    }
    Ok(())
}

/// Decides again from the lines alone, and puts the record together again: all of it but the comparison with a baseline.
///
/// # Errors
/// If a line is missing or not ours, or the plan is not the one that was hashed.
pub fn replay(from: impl BufRead) -> Result<Record, ReplayError> {
    let (mut head, mut plan, mut calibration, mut end) = (None, None, None, None);
    let (mut blocks, mut checks) = (Vec::new(), Vec::new());
    for (number, text) in (1..).zip(from.lines()) {
        let text = text.map_err(ReplayError::Read)?;
        let wrong = |source| ReplayError::Line { number, source };
        if let Some(figure) = beyond_measure(&serde_json::from_str(&text).map_err(wrong)?) {
            return Err(ReplayError::Figure { number, figure });
        }
        match serde_json::from_str(&text).map_err(wrong)? {
            Line::Run(read) => head = Some(of_version(VERSION, read.schema_version, read)?),
            Line::Plan {
                schema_version,
                plan: read,
                plan_sha256: written,
            } => {
                if let Some(found) = schema_version {
                    head = Some(of_version(NO_HEAD, found, Head::default())?);
                }
                let found = read.sha256();
                if found != written {
                    return Err(ReplayError::Plan { found, written });
                }
                plan = Some((*read, written));
            }
            Line::Calibration(read) => calibration = Some(read),
            Line::Block(block) => blocks.push(*block),
            Line::Check(check) => checks.push(check),
            Line::End {
                ended,
                changed,
                matches,
                notes,
            } => end = Some((ended, changed, matches, notes)),
        }
    }
    let head = head.ok_or(ReplayError::Missing("run"))?;
    let (plan, plan_sha256) = plan.ok_or(ReplayError::Missing("plan"))?;
    let calibration = calibration.ok_or(ReplayError::Missing("calibration"))?;
    let (ended, changed, matches, notes) = end.ok_or(ReplayError::Missing("end"))?;
    let observed = Observed {
        calibration,
        blocks,
        checks,
        ended,
        changed,
    };
    let judgement = decide(&plan, &observed);
    Ok(Record {
        schema_version: SCHEMA_VERSION,
        unix_time: head.unix_time,
        plan,
        plan_sha256,
        fingerprint: head.fingerprint,
        observed,
        judgement,
        matches,
        invocation: head.invocation,
        notes,
        baseline: None,
    })
}

/// A whole number that floats cannot hold exactly, if there is one. Seeds may be any number.
fn beyond_measure(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().filter(|figure| *figure > 1 << 53),
        Value::Array(items) => items.iter().find_map(beyond_measure),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "seed")
            .find_map(|(_, value)| beyond_measure(value)),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

fn of_version(known: u32, found: u32, head: Head) -> Result<Head, ReplayError> {
    if found == known {
        Ok(head)
    } else {
        Err(ReplayError::Version { found })
    }
}
