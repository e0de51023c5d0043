//! `aegisbpf emergency`: the switch that lets everything pass.

use std::{io, io::Write, time::SystemTime};

use aegisbpf_core::{Emergency, EmergencyStatus};

use crate::{
    args::{EmergencyVerb, SwitchArgs},
    exit::Failure,
    out::{self, printable},
};

pub(crate) fn emergency(verb: &EmergencyVerb) -> Result<(), Failure> {
    match verb {
        EmergencyVerb::Disable(args) => {
            let status = open(&args.switch)?.disable(&args.reason)?;
            tell(args.switch.json.json, &status)
        }
        EmergencyVerb::Enable(args) => {
            let status = open(&args.switch)?.enable(&args.reason)?;
            tell(args.switch.json.json, &status)
        }
        EmergencyVerb::Status(args) => {
            let status = Emergency::open(&args.pins.pin_dir)?.status()?;
            tell(args.json.json, &status)
        }
    }
}

fn open(args: &SwitchArgs) -> Result<Emergency, Failure> {
    Ok(Emergency::open(&args.pins.pin_dir)?.log(&args.log))
}

fn tell(json: bool, status: &EmergencyStatus) -> Result<(), Failure> {
    if json {
        return Ok(out::json(status)?);
    }
    let mut out = io::stdout().lock();
    match status.active {
        true => writeln!(out, "EMERGENCY: everything passes, counted and reported")?,
        false => writeln!(out, "no emergency: policy and mode count")?,
    }
    if let Some(last) = &status.last {
        let ago = SystemTime::now()
            .duration_since(last.time)
            .unwrap_or_default();
        writeln!(
            out,
            "last change: {} at {} ({} ago) by user {}, process {}: {}",
            last.action,
            humantime::format_rfc3339_seconds(last.time),
            humantime::format_duration(std::time::Duration::from_secs(ago.as_secs())),
            last.uid,
            last.pid,
            printable(&last.reason)
        )?;
    }
    Ok(())
}
