//! Where events go: standard output, the journal, other processes.

use std::{
    io::{self, BufWriter, StdoutLock, Write},
    time::{Duration, SystemTime},
};

use super::{feed::Feed, journal::Journal};
use crate::{
    args::{Format, Log, RunArgs},
    exit::Failure,
    feed::Line,
};
use aegisbpf_core::{Dedup, Event, Repeated};

/// Bytes of one write: that of a batch which woke us because a quarter of the ring buffer was full.
const BUFFER: usize = 64 << 10;

pub(super) struct Sink {
    dedup: Option<Dedup>,
    stdout: Option<Stdout>,
    journal: Option<Journal>,
    feed: Option<Feed>,
}

struct Stdout {
    format: Format,
    out: BufWriter<StdoutLock<'static>>,
    line: Vec<u8>,
}

impl Sink {
    pub(super) fn open(args: &RunArgs) -> Result<Self, Failure> {
        let stdout = || Stdout {
            format: args.format,
            out: BufWriter::with_capacity(BUFFER, io::stdout().lock()),
            line: Vec::new(),
        };
        Ok(Self {
            dedup: args
                .dedup_window
                .filter(|window| *window > Duration::ZERO)
                .map(Dedup::new),
            stdout: (args.log != Log::Journald).then(stdout),
            journal: (args.log != Log::Stdout)
                .then(Journal::connect)
                .transpose()?,
            feed: None,
        })
    }

    /// Other processes hear the events too.
    pub(super) fn offer(&mut self, feed: Feed) {
        self.feed = Some(feed);
    }

    pub(super) fn take(&mut self, event: &Event) -> io::Result<()> {
        if self.dedup.as_mut().is_some_and(|dedup| !dedup.admit(event)) {
            return Ok(());
        }
        self.tell(event, None)
    }

    /// After each batch: what was left out and is due, and what is still in our buffer.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let due = self
            .dedup
            .as_mut()
            .map(|dedup| dedup.due(SystemTime::now()));
        self.tell_repeated(due)
    }

    /// The last words.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let rest = self.dedup.as_mut().map(Dedup::finish);
        self.tell_repeated(rest)
    }

    fn tell_repeated(&mut self, repeated: Option<Vec<Repeated>>) -> io::Result<()> {
        for Repeated {
            event, repeated, ..
        } in repeated.into_iter().flatten()
        {
            self.tell(&event, Some(repeated))?;
        }
        match &mut self.stdout {
            Some(stdout) => stdout.out.flush(),
            None => Ok(()),
        }
    }

    fn tell(&mut self, event: &Event, repeated: Option<u64>) -> io::Result<()> {
        if let Some(feed) = &self.feed {
            feed.tell(event, repeated);
        }
        if let Some(journal) = &mut self.journal {
            journal.tell(event, repeated);
        }
        match &mut self.stdout {
            Some(stdout) => stdout.tell(event, repeated),
            None => Ok(()),
        }
    }
}

impl Stdout {
    fn tell(&mut self, event: &Event, repeated: Option<u64>) -> io::Result<()> {
        let line = Line::new(event, repeated);
        match self.format {
            Format::Json => {
                line.write_json(&mut self.line);
                self.out.write_all(&self.line)
            }
            Format::Text => writeln!(self.out, "{}", line.text()),
        }
    }
}
