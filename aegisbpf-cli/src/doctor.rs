//! `aegisbpf doctor`: what this host can do.

use std::io::{self, Write};

use aegisbpf_core::support::{Status, checks};

use crate::{
    args::DoctorArgs,
    exit::{Failure, Told},
    out,
};

pub(crate) fn doctor(args: &DoctorArgs) -> Result<(), Failure> {
    let checks = checks();
    if args.json {
        out::json(&checks)?;
    } else {
        let mut out = io::stdout().lock();
        for check in &checks {
            let status = match check.status {
                Status::Ok => "ok",
                Status::Warn => "warn",
                Status::Fail => "FAIL",
            };
            write!(out, "{:<20} {status:<5} {}", check.name, check.found)?;
            if !check.remedy.is_empty() {
                write!(out, " | {}", check.remedy)?;
            }
            writeln!(out)?;
        }
    }
    if checks.iter().any(|c| c.status == Status::Fail) {
        return Err(Failure::Told(Told::Host));
    }
    Ok(())
}
