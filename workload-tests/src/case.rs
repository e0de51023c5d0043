//! One case from requirements to reports.

use std::{fs, path::PathBuf, time::Duration};

use aegisbpf_measure::{
    Plan, Record, Verdict,
    baseline::{self, Baseline, BaselineError},
    guard::Guard as _,
    progress::Progress,
    report, run,
    workload::BoxError,
};

use crate::{
    alone::Alone,
    budget::Budget,
    guard::{self, GuardError, RemoteGuard, sha256},
    leftovers,
    options::Options,
    scratch::{self, Scratch},
    workload::{Requirement, Workload, missing},
};

/// What the enforcer needs, whatever the workload.
const ENFORCER: [Requirement; 2] = [Requirement::Root, Requirement::Btf];

/// How a case ended, if nothing broke.
#[derive(Debug)]
pub enum Outcome {
    /// The machine lacks something; what, and how to get it.
    Missing(String),
    /// It was measured.
    Measured(Box<Measured>),
}

/// A measured case.
#[derive(Debug)]
pub struct Measured {
    /// All that was found.
    pub record: Record,
    /// Where the reports are.
    pub reports: PathBuf,
}

impl Measured {
    /// Whether every planned hook was attached at the end of every guarded block.
    #[must_use]
    pub fn attached(&self) -> bool {
        let planned = &self.record.plan.guard.hooks;
        let mut checks = self.record.observed.checks.iter();
        !planned.is_empty()
            && self.record.judgement.quads > 0
            && checks.all(|check| check.guarded_hits > 0 && check.runs > 0)
    }
}

/// Which files the policy under test has rules for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The policy's own: the workload touches none of them, as on most machines at most times.
    Misses,
    /// Also some of the workload's files, so that one operation in a hundred or so hits: a hit costs more than a miss.
    Hits,
}

impl Variant {
    /// What the case is called: as its workload, and `::hits` behind it.
    #[must_use]
    pub fn name(self, workload: &dyn Workload) -> String {
        match self {
            Self::Misses => workload.name().to_owned(),
            Self::Hits => format!("{}::hits", workload.name()),
        }
    }
}

/// Runs a case. Whatever it started has ended when this returns, also by an error or a panic.
///
/// # Errors
/// If workload or enforcer break. A bad result is no error.
pub fn run_case(
    workload: &dyn Workload,
    variant: Variant,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Outcome, BoxError> {
    let missing = missing(&[&ENFORCER, workload.requires()].concat());
    if !missing.is_empty() {
        return Ok(Outcome::Missing(
            missing
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        ));
    }
    let _alone = Alone::new()?;
    for leftover in leftovers::remove(&scratch::parent())? {
        progress.note(&format!(
            "removed {}, left behind by a killed run",
            leftover.display()
        ));
    }
    let scratch = Scratch::new()?;
    let data = scratch.path().join("workload");
    fs::create_dir(&data)?;
    progress.phase("preparing data");
    // Before the enforcer: the rules of the hit variant are for files that must be there.
    let mut prepared = workload.prepare(&data)?;
    let sensitive = match variant {
        Variant::Misses => &[][..],
        Variant::Hits => &prepared.sensitive,
    };
    let mut guard = match guard::start_with_hits(
        scratch.path(),
        &options.policy,
        sensitive,
        options.mode,
        options.backend,
    ) {
        Err(error) if matches!(error.downcast_ref(), Some(GuardError::Unsupported(_))) => {
            return Ok(Outcome::Missing(error.to_string()));
        }
        guard => guard?,
    };
    let plan = plan(workload, variant, options, &guard);
    let mut record = run(&plan, prepared.session.as_mut(), &mut guard, progress)?;
    if variant == Variant::Hits && hits(&record) == 0 {
        return Err(format!(
            "{} never opened what the policy has rules for: {sensitive:?}",
            workload.name()
        )
        .into());
    }
    beside_baseline(&mut record, options, progress)?;
    let name = variant.name(workload);
    record.invocation = Some(invocation(&name));
    let reports = options.report_dir.join(name.replace("::", "-"));
    report::files::write(&record, &reports, options.strict)?;
    Ok(Outcome::Measured(Box::new(Measured { record, reports })))
}

/// Decisions on a matching rule in all guarded windows, without those of the treatment check.
fn hits(record: &Record) -> u64 {
    let blocks = record.observed.blocks.iter();
    blocks.map(|block| block.activity.hits).sum()
}

fn plan(workload: &dyn Workload, variant: Variant, options: &Options, guard: &RemoteGuard) -> Plan {
    let mut plan = Plan::new(variant.name(workload), guard.identity());
    plan.workload_sha256 = sha256(&workload.configuration());
    plan.limits = options.thresholds.of(workload.name());
    plan.budget = match variant {
        Variant::Misses => options.budget.time(),
        Variant::Hits => options.budget.time() / 3,
    };
    if options.budget == Budget::Smoke {
        // To see that everything works, two quads do. They decide nothing, and the verdict says so.
        plan.window = Duration::from_millis(250);
        plan.warmup_blocks = 2;
        plan.min_quads = 2;
        if variant == Variant::Hits {
            plan.min_quads = 1;
        }
    }
    plan
}

/// Compares the run with the recorded baseline, if there is one, and then records it, if asked to.
fn beside_baseline(
    record: &mut Record,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<(), BoxError> {
    let workload = record.plan.workload.clone();
    if let Some((name, baseline)) =
        baseline::find(&options.baselines, &record.fingerprint, &workload)?
    {
        record.baseline = Some(baseline.compare(record, &name));
    }
    if options.record {
        let path = baseline::path(&options.baselines, &record.fingerprint, &workload);
        match Baseline::of(record) {
            Ok(baseline) => {
                baseline.write(&path)?;
                progress.note(&format!("recorded as baseline: {}", path.display()));
            }
            // It has its report all the same, which says what was wrong.
            Err(error @ BaselineError::Invalid(_)) => progress.note(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The command that runs this case again, with a place for the budget.
fn invocation(workload: &str) -> String {
    format!(
        "AEGIS_BUDGET={{budget}} cargo test --release -p workload-tests -- --ignored {workload}"
    )
}

/// The word of a verdict in files and on exit.
#[must_use]
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Invalid => "invalid",
    }
}
