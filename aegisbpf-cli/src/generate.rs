//! `aegisbpf generate`: man pages and completions, from the definitions of the verbs.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{
    args::{Aegis, GenerateVerb},
    exit::Failure,
};

pub(crate) fn generate(verb: &GenerateVerb) -> Result<(), Failure> {
    match verb {
        GenerateVerb::Man { dir: Some(dir) } => pages(dir),
        GenerateVerb::Man { dir: None } => {
            // The word `help` has no page of its own; the pages in a directory do not name it either.
            let command = Aegis::command().disable_help_subcommand(true);
            print(|out| clap_mangen::Man::new(command).render(out))
        }
        GenerateVerb::Bash => completions(Shell::Bash),
        GenerateVerb::Zsh => completions(Shell::Zsh),
        GenerateVerb::Fish => completions(Shell::Fish),
    }
}

/// `aegisbpf.1`, `aegisbpf-run.1`, `aegisbpf-policy-check.1`, …
fn pages(dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Aegis::command(), dir))
        .map_err(|e| Failure::said(format!("writing man pages into {}: {e}", dir.display())))
}

fn completions(shell: Shell) -> Result<(), Failure> {
    print(|out| {
        clap_complete::generate(shell, &mut Aegis::command(), "aegisbpf", out);
        Ok(())
    })
}

/// Made in memory first: the generators panic, or stop half-way, when nobody reads.
fn print(make: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<(), Failure> {
    let mut text = Vec::new();
    make(&mut text)?;
    io::stdout().lock().write_all(&text)?;
    Ok(())
}
