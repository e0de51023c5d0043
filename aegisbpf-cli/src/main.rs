//! The command `aegisbpf`: a thin layer over `aegisbpf-core`. What was typed is in `args`, one file a verb.
#![forbid(unsafe_code)]

mod args;
mod doctor;
mod emergency;
mod events;
mod exit;
mod feed;
mod generate;
mod measure;
mod memory;
mod metrics;
mod online;
mod out;
mod policy;
mod rules;
mod run;
mod signals;
mod stats;
mod table;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Aegis, CgroupVerb, NetworkVerb, PolicyVerb, Verb};

fn main() -> ExitCode {
    // The enforcer that `measure` starts is this very program.
    if let Some(code) = aegisbpf_rig::guard::enforcer::main_if_asked() {
        return code;
    }
    if let Some(outcome) = run::swept() {
        return exit::code(outcome);
    }
    let aegis = Aegis::parse();
    let outcome = match aegis.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Policy { verb } => policy(&verb),
        Verb::Block { verb } => rules::block(&verb),
        Verb::Allow { verb } => rules::allow(&verb),
        Verb::Network {
            verb: NetworkVerb::Deny { verb },
        } => rules::network(&verb),
        Verb::Cgroup {
            verb: CgroupVerb::Deny { verb },
        } => rules::cgroup(&verb),
        Verb::Stats(args) => stats::stats(&args),
        Verb::Events(args) => events::events(&args),
        Verb::Metrics(args) => metrics::metrics(&args),
        Verb::Emergency { verb } => emergency::emergency(&verb),
        Verb::Measure(args) => measure::measure(&args),
        Verb::Doctor(args) => doctor::doctor(&args),
        Verb::Generate { verb } => generate::generate(&verb),
    };
    exit::code(outcome)
}

fn policy(verb: &PolicyVerb) -> Result<(), exit::Failure> {
    match verb {
        PolicyVerb::Check(args) => policy::check(args),
        PolicyVerb::Explain(args) => policy::explain(args),
        PolicyVerb::Diff(args) => policy::diff(args),
        PolicyVerb::Normalize(args) => policy::normalize(args),
        PolicyVerb::Suggest(args) => policy::suggest(args),
        PolicyVerb::Apply(args) => online::apply(args),
        PolicyVerb::Show(args) => online::show(args),
        PolicyVerb::Export(args) => online::export(args),
        PolicyVerb::Rollback(args) => online::rollback(args),
    }
}
