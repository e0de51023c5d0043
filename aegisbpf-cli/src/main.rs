//! The command `aegisbpf`: a thin layer over `aegisbpf-core`. What was typed is in `args`, one file a verb.
#![forbid(unsafe_code)]

mod args;
mod doctor;
mod exit;
mod generate;
mod out;
mod policy;
mod run;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Aegis, PolicyVerb, Verb};

fn main() -> ExitCode {
    let aegis = Aegis::parse();
    let outcome = match aegis.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Policy {
            verb: PolicyVerb::Check(args),
        } => policy::check(&args),
        Verb::Doctor(args) => doctor::doctor(&args),
        Verb::Generate { verb } => generate::generate(&verb),
    };
    exit::code(outcome)
}
