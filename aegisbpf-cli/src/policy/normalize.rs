//! `aegisbpf policy normalize`: a policy file and all that it includes as one canonical text.

use std::io::{self, Write};

use super::{draw, read};
use crate::{args::NormalizeArgs, exit::Failure};

pub(crate) fn normalize(args: &NormalizeArgs) -> Result<(), Failure> {
    let policy = read(&args.file, false)?;
    draw(policy.warnings());
    Ok(write!(io::stdout().lock(), "{policy}")?)
}
