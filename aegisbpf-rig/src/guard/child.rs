//! The enforcer's side: obeys one command after the other until its input ends.

use std::io::{self, BufRead, Write};

use aegisbpf_measure::{
    guard::{EmptyProgram, Identity, Matches},
    workload::BoxError,
};

use crate::guard::protocol::{Answer, Command, Counters};

/// What the process can switch: the real enforcer, or a fake in tests.
pub trait Switch {
    /// Who it is.
    fn identity(&self) -> Identity;

    /// Attaches.
    ///
    /// # Errors
    /// If a planned hook could not be attached.
    fn protect(&mut self) -> Result<(), BoxError>;

    /// Detaches.
    ///
    /// # Errors
    /// If a hook could not be detached.
    fn release(&mut self) -> Result<(), BoxError>;

    /// The counters.
    ///
    /// # Errors
    /// If they cannot be read.
    fn counters(&mut self) -> Result<Counters, BoxError>;

    /// Switches the counting of hook runs.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn count_runs(&mut self, on: bool) -> Result<(), BoxError>;

    /// Bytes of its maps and programs.
    ///
    /// # Errors
    /// If they cannot be read.
    fn kernel_memory(&mut self) -> Result<u64, BoxError>;

    /// Measures an empty program; `None` where it has none.
    ///
    /// # Errors
    /// If the kernel refuses it.
    fn calibrate(&mut self) -> Result<Option<EmptyProgram>, BoxError> {
        Ok(None)
    }

    /// What of the policy was met.
    ///
    /// # Errors
    /// If it cannot be read.
    fn matches(&mut self) -> Result<Matches, BoxError>;
}

/// Obeys until the input ends or says `quit`.
///
/// # Errors
/// If input or output break, or a command is not one.
pub fn serve(
    switch: &mut dyn Switch,
    input: impl BufRead,
    mut output: impl Write,
) -> io::Result<()> {
    say(&mut output, &Answer::Ready(switch.identity()))?;
    for line in input.lines() {
        let answer = match serde_json::from_str(&line?)? {
            Command::Protect => done(switch.protect()),
            Command::Release => done(switch.release()),
            Command::CountRuns(on) => done(switch.count_runs(on)),
            Command::Evidence => switch
                .counters()
                .map_or_else(|error| failed(&error), Answer::Evidence),
            Command::Memory => switch
                .kernel_memory()
                .map_or_else(|error| failed(&error), Answer::Memory),
            Command::Matches => switch
                .matches()
                .map_or_else(|error| failed(&error), Answer::Matches),
            Command::Calibrate => switch
                .calibrate()
                .map_or_else(|error| failed(&error), Answer::Empty),
            Command::Quit => return say(&mut output, &Answer::Done),
        };
        say(&mut output, &answer)?;
    }
    Ok(())
}

/// Writes one answer.
///
/// # Errors
/// If the output breaks.
pub fn say(output: &mut impl Write, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

fn done(outcome: Result<(), BoxError>) -> Answer {
    outcome.map_or_else(|error| failed(&error), |()| Answer::Done)
}

/// The whole chain of an error: the harness has nothing else to go by.
pub fn failed(error: &BoxError) -> Answer {
    Answer::Failed(crate::errors::chain(error))
}
