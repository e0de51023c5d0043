//! `aegisbpf stats`: what a running enforcer has counted.

mod report;
mod text;

use std::{io, thread};

use aegisbpf_core::{Control, cgroup::CgroupTree};

use self::report::Report;
use crate::{args::StatsArgs, exit::Failure, out};

pub(crate) fn stats(args: &StatsArgs) -> Result<(), Failure> {
    let mut control = Control::open(&args.pins.pin_dir)?;
    let runs = args
        .runs
        .map(|time| {
            // Counting costs every BPF program on the machine a little, so it ends with the answer.
            control.count_runs(true)?;
            let before = control.hook_runs()?;
            thread::sleep(time);
            let after = control.hook_runs()?;
            control.count_runs(false)?;
            Ok::<_, Failure>(report::runs(&before, after, time))
        })
        .transpose()?;
    let tree = CgroupTree::find().ok();
    let report = Report::new(&control, tree.as_ref(), args, runs)?;
    if args.json.json {
        return Ok(out::json(&report)?);
    }
    Ok(text::write(&mut io::stdout().lock(), &report)?)
}
