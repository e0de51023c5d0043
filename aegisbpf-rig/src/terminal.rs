//! What people see while a case runs: a bar on a terminal, plain lines elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use aegisbpf_measure::progress::{Live, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// The progress of one case.
#[derive(Debug)]
pub struct Terminal {
    case: String,
    bar: Option<ProgressBar>,
    to_stderr: bool,
}

impl Terminal {
    /// A bar if standard error is a terminal.
    #[must_use]
    pub fn new(case: &str) -> Self {
        let style =
            ProgressStyle::with_template("{spinner} {prefix} [{bar:24}] {pos}/{len} quads  {msg}");
        let bar = style
            .ok()
            .filter(|_| io::stderr().is_terminal())
            .map(|style| {
                let bar = ProgressBar::new(0)
                    .with_style(style)
                    .with_prefix(case.to_owned());
                bar.enable_steady_tick(Duration::from_millis(250));
                bar
            });
        Self {
            case: case.to_owned(),
            bar,
            to_stderr: false,
        }
    }

    /// The same, but plain lines go to standard error too: standard output belongs to the result.
    #[must_use]
    pub fn on_stderr(case: &str) -> Self {
        let mut terminal = Self::new(case);
        terminal.to_stderr = true;
        terminal
    }

    fn plain(&self, text: &str) {
        if self.to_stderr {
            // Words that go unread end no measurement.
            let _ = writeln!(io::stderr(), "{text}");
        } else {
            println!("{text}");
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("{}: {text}", self.case)),
            None => self.plain(&format!("{}: {text}", self.case)),
        }
    }
}

impl Progress for Terminal {
    fn phase(&mut self, name: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(name.to_owned()),
            None => self.plain(&format!("{}: {name}", self.case)),
        }
    }

    fn quad(&mut self, n: u32, n_max: u32, live: &Live) {
        let text = summary(live);
        match &self.bar {
            Some(bar) => {
                bar.set_length(n_max.into());
                bar.set_position(n.into());
                bar.set_message(text);
            }
            None => self.plain(&format!(
                "{}: quad {n} of at most {n_max}: {text}",
                self.case
            )),
        }
    }

    fn note(&mut self, text: &str) {
        self.line(text);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn summary(live: &Live) -> String {
    let overheads = live
        .overheads
        .iter()
        .map(|(metric, overhead)| format!("{metric} {overhead:+.2}"));
    let seconds = live.remaining.as_secs();
    format!(
        "{}; at most {seconds} s to go",
        overheads.collect::<Vec<_>>().join(", ")
    )
}
