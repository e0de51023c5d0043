//! What the enforcer costs, counted: guest instructions of single operations without any program, with one that does
//! nothing, and with ours. Meaningful in a virtual machine that counts one nanosecond for each instruction, where
//! `cargo xtask vm icount` runs it and makes a table of its rows.
//!
//! Each figure is the median of many repetitions, of long operations the lowest tenth; the reading of the clock is in all of them and cancels in the
//! differences. With `all` as an argument the rows that take minutes are there too, with `matches` those
//! of matches alone.

mod calls;
mod clock;
mod hits;
mod network;
mod opens;
mod starts;

use std::{
    error::Error,
    time::{Duration, Instant},
};

use aegisbpf_core::{Backend, Enforcer, EnforcerBuilder, Mode, selftest::EmptyHook};
use serde::Serialize;

type Any = Box<dyn Error>;

/// How often a policy is applied anew and its row measured again; the least counts.
const TIMES: usize = 3;
/// Releasing hooks waits for grace periods, which take their time.
const PATIENCE: Duration = Duration::from_secs(120);

/// One figure.
#[derive(Serialize)]
struct Row {
    /// The operation, and what stands in its way.
    row: &'static str,
    /// Instructions of the operation where no program is attached.
    base: f64,
    /// Above that, with a program that does nothing, where there is one for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    empty: Option<f64>,
    /// Above that, with ours.
    added: f64,
}

impl Row {
    fn new(row: &'static str, base: f64, empty: Option<f64>, with: f64) -> Self {
        Self {
            row,
            base,
            empty,
            added: with - base,
        }
    }

    fn print(self) -> Result<(), Any> {
        println!("{}", serde_json::to_string(&self)?);
        Ok(())
    }
}

/// What becomes a row: an operation, and the policy that is to cost it something or nothing.
struct Subject<'a> {
    row: &'static str,
    sections: String,
    /// Attaches the program that does nothing, where there is one.
    empty: Option<fn() -> aegisbpf_core::Result<EmptyHook>>,
    /// Performs it, and says what it took.
    one: Box<dyn Fn() -> Result<f64, Any> + 'a>,
}

fn main() -> Result<(), Any> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((hits::ELSEWHERE, files)) = arguments.split_first().map(|(w, f)| (w.as_str(), f)) {
        return hits::serve(files);
    }
    if arguments.iter().any(|word| word == starts::STARTS) {
        return starts::serve();
    }
    let (files, scene, sockets) = (
        opens::Files::new()?,
        calls::Scene::new()?,
        network::Sockets::new()?,
    );
    let mut subjects = opens::subjects(&files)?;
    subjects.extend(network::subjects(&sockets));
    subjects.extend(calls::subjects(&scene));
    if !arguments.iter().any(|word| word == "matches") {
        measure(&subjects)?;
    }
    hits::measure(&files)?;
    if arguments.iter().any(|word| word == "all") {
        opens::measure_most(&files)?;
    }
    Ok(())
}

/// The empty programs first, each beside the operation without any; then ours, each beside the same process with nothing
/// attached: what the process has become meanwhile (its heap is in every page table that a fork copies) is in both.
fn measure(subjects: &[Subject<'_>]) -> Result<(), Any> {
    have_been_threaded()?;
    let mut empty = Vec::new();
    for subject in subjects {
        (subject.one)()?;
        let base = (subject.one)()?;
        let hook = subject.empty.map(|attach| attach()).transpose()?;
        let cost = hook.as_ref().map(|_| (subject.one)()).transpose()?;
        empty.push(cost.map(|cost| cost - base));
    }
    let mut aegis = audit().rule_capacity(opens::MANY as u32).attach()?;
    for (subject, empty) in subjects.iter().zip(empty) {
        let (mut without, mut with) = (f64::MAX, f64::MAX);
        for _ in 0..TIMES {
            apply(&mut aegis, "")?;
            be_alone()?;
            without = (subject.one)()?.min(without);
            apply(&mut aegis, &subject.sections)?;
            be_alone()?;
            with = (subject.one)()?.min(with);
        }
        Row::new(subject.row, without, empty, with).print()?;
    }
    Ok(())
}

/// The C library takes a longer way through calls that a thread can be cancelled in (open, close, connect, send) from the
/// first thread on, and for ever: releasing hooks makes some, so there is one before anything is counted.
fn have_been_threaded() -> Result<(), Any> {
    std::thread::spawn(|| {})
        .join()
        .map_err(|_| "a thread that does nothing panicked".into())
}

/// Waits for the enforcer's threads that release hooks: a table of descriptors that threads share is dearer to use.
fn be_alone() -> Result<(), Any> {
    let start = Instant::now();
    while std::fs::read_dir("/proc/self/task")?.count() > 1 {
        if start.elapsed() > PATIENCE {
            return Err("threads of the enforcer do not end".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn audit() -> EnforcerBuilder {
    Enforcer::builder().backend(Backend::Lsm).mode(Mode::Audit)
}

fn apply(aegis: &mut Enforcer, sections: &str) -> Result<(), Any> {
    aegis.apply(&format!("version=7\n{sections}").parse()?)?;
    Ok(())
}
