//! Exit codes, and how an error is told.

use std::{io, process::ExitCode};

use aegisbpf_core::{Error, PolicyFileError};

use crate::{out::say, policy::draw};

/// The operation failed.
const FAILED: u8 = 1;
/// What was typed means nothing; clap exits with the same.
const USAGE: u8 = 2;
/// The policy is invalid, or its file is not trusted.
const POLICY: u8 = 3;
/// This host cannot do it.
const UNSUPPORTED: u8 = 4;
/// No enforcer is running.
const NOT_RUNNING: u8 = 5;

/// A measurement's verdict is FAIL.
const TOO_DEAR: u8 = 6;
/// A measurement's verdict is INCONCLUSIVE or INVALID.
const UNRESOLVED: u8 = 7;

/// Why a verb did not succeed.
pub(crate) enum Failure {
    /// The library said why.
    Core(Error),
    /// Standard output could not be written.
    Output(io::Error),
    /// Something outside the library failed: what was attempted, and why.
    Said(String),
    /// An argument means nothing: which, and what to write.
    Usage(String),
    /// This host cannot do it: what, and what would help.
    Unsupported(String),
    /// Everything has been said; only the code is left.
    Told(Told),
}

/// What was told.
pub(crate) enum Told {
    /// The policy has errors.
    Policy,
    /// The host lacks something without which nothing works.
    Host,
    /// The enforcer costs more than is allowed.
    TooDear,
    /// A measurement could not tell.
    Unresolved,
}

impl Failure {
    pub(crate) fn said(message: impl Into<String>) -> Self {
        Self::Said(message.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Says what is left to say, and gives the code.
pub(crate) fn code(outcome: Result<(), Failure>) -> ExitCode {
    let code = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        // Whoever reads us has enough, as `head` does.
        Err(Failure::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => {
            return ExitCode::SUCCESS;
        }
        Err(Failure::Told(Told::Policy)) => POLICY,
        Err(Failure::Told(Told::Host)) => UNSUPPORTED,
        Err(Failure::Told(Told::TooDear)) => TOO_DEAR,
        Err(Failure::Told(Told::Unresolved)) => UNRESOLVED,
        Err(failure) => {
            match &failure {
                Failure::Core(
                    Error::Policy(problems) | Error::PolicyFile(PolicyFileError::Invalid(problems)),
                ) => draw(problems),
                _ => say(format_args!("aegisbpf: {}", message(&failure))),
            }
            match &failure {
                Failure::Usage(_) => USAGE,
                Failure::Unsupported(_) => UNSUPPORTED,
                Failure::Core(error) => of(error),
                _ => FAILED,
            }
        }
    };
    ExitCode::from(code)
}

/// What is said of a failure, if something is left to say.
pub(crate) fn message(failure: &Failure) -> String {
    match failure {
        Failure::Core(error) => error.chain(),
        Failure::Output(e) => format!("writing to standard output: {e}"),
        Failure::Said(message) | Failure::Usage(message) | Failure::Unsupported(message) => {
            message.clone()
        }
        Failure::Told(_) => String::new(),
    }
}

fn of(error: &Error) -> u8 {
    match error {
        Error::Policy(_) => POLICY,
        Error::PolicyFile(PolicyFileError::Read { .. }) => FAILED,
        Error::PolicyFile(_) => POLICY,
        Error::Unsupported { .. } => UNSUPPORTED,
        Error::NotRunning { .. } => NOT_RUNNING,
        _ => FAILED,
    }
}
