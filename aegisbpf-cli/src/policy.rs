//! `aegisbpf policy check|explain|diff|normalize|suggest`: policy files, and what they mean. Only `suggest` asks an
//! enforcer.

mod check;
mod diff;
mod explain;
mod normalize;
mod pictures;
mod suggest;

use std::{io, path::Path};

use aegisbpf_core::{Error, Policy, PolicyFileError, policy::Problems};

pub(crate) use self::{
    check::check, diff::diff, explain::explain, normalize::normalize, pictures::Pictures,
    suggest::suggest,
};
use crate::{
    exit::{Failure, Told},
    out::{self, say},
};

/// Reads a policy file; tells all that is wrong with it, as JSON if asked for.
pub(crate) fn read(file: &Path, json: bool) -> Result<Policy, Failure> {
    match Policy::from_path(file) {
        Ok(policy) => Ok(policy),
        Err(PolicyFileError::Invalid(problems)) => Err(refuse(&problems, json)?),
        Err(error) => Err(Failure::Core(Error::from(error))),
    }
}

/// Tells all that is wrong, and gives the failure that is left.
fn refuse(problems: &Problems, json: bool) -> Result<Failure, Failure> {
    if json {
        out::json(&check::Report::refused(problems))?;
    } else {
        draw(problems);
    }
    Ok(Failure::Told(Told::Policy))
}

/// Draws problems on standard error.
pub(crate) fn draw(problems: &Problems) {
    let mut pictures = Pictures::on(&io::stderr());
    for problem in problems {
        say(format_args!("{}\n", pictures.draw(problem)));
    }
}
