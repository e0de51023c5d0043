//! The journal: every fact of a run as one JSON line, and the way back from there to the verdict.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::{
    decide::decide,
    plan::Plan,
    record::{BlockRecord, Calibration, Ended, Observed, Record, SCHEMA_VERSION},
    treatment::Check,
    verdict::Judgement,
};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    Plan {
        schema_version: u32,
        plan: Box<Plan>,
        plan_sha256: String,
    },
    Calibration(Calibration),
    Block(Box<BlockRecord>),
    Check(Check),
    End {
        ended: Ended,
        changed: Vec<String>,
    },
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
    /// It was written by another version.
    #[error("the journal has schema version {found}; this is version {SCHEMA_VERSION}")]
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
    let head = Line::Plan {
        schema_version: record.schema_version,
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
    };
    for line in [head, Line::Calibration(calibration.clone())]
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

/// Decides again from the lines alone.
///
/// # Errors
/// If a line is missing or not ours, or the plan is not the one that was hashed.
pub fn replay(from: impl BufRead) -> Result<(Plan, Judgement), ReplayError> {
    let (mut plan, mut calibration, mut end) = (None, None, None);
    let (mut blocks, mut checks) = (Vec::new(), Vec::new());
    for (number, text) in (1..).zip(from.lines()) {
        let text = text.map_err(ReplayError::Read)?;
        match serde_json::from_str(&text).map_err(|source| ReplayError::Line { number, source })? {
            Line::Plan {
                schema_version,
                plan: read,
                plan_sha256: written,
            } => {
                if schema_version != SCHEMA_VERSION {
                    return Err(ReplayError::Version {
                        found: schema_version,
                    });
                }
                let found = read.sha256();
                if found != written {
                    return Err(ReplayError::Plan { found, written });
                }
                plan = Some(*read);
            }
            Line::Calibration(read) => calibration = Some(read),
            Line::Block(block) => blocks.push(*block),
            Line::Check(check) => checks.push(check),
            Line::End { ended, changed } => end = Some((ended, changed)),
        }
    }
    let plan = plan.ok_or(ReplayError::Missing("plan"))?;
    let calibration = calibration.ok_or(ReplayError::Missing("calibration"))?;
    let (ended, changed) = end.ok_or(ReplayError::Missing("end"))?;
    let judgement = decide(
        &plan,
        &Observed {
            calibration,
            blocks,
            checks,
            ended,
            changed,
        },
    );
    Ok((plan, judgement))
}
