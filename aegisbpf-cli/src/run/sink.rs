//! Where events go: standard output, the journal, other processes.

use std::{
    io::{self, StdoutLock, Write},
    time::{Duration, SystemTime},
};

use super::{feed::Feed, journal::Journal};
use crate::{
    args::{Format, Log, RunArgs},
    exit::Failure,
    feed::Told,
};
use aegisbpf_core::{Dedup, JsonLines, Record, Repeated};

/// Bytes of one write, about: those of a batch which woke us because a quarter of the ring buffer was full.
const BUFFER: usize = 64 << 10;

pub(super) struct Sink {
    dedup: Option<Dedup>,
    stdout: Option<Stdout>,
    journal: Option<Journal>,
    feed: Option<Feed>,
}

struct Stdout {
    format: Format,
    json: JsonLines,
    /// Whole lines that are not written yet.
    lines: Vec<u8>,
    out: StdoutLock<'static>,
}

impl Sink {
    pub(super) fn open(args: &RunArgs) -> Result<Self, Failure> {
        let stdout = || Stdout {
            format: args.format,
            json: JsonLines::default(),
            lines: Vec::with_capacity(BUFFER),
            out: io::stdout().lock(),
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

    pub(super) fn take(&mut self, record: Record) -> io::Result<()> {
        let dedup = self.dedup.as_mut();
        if dedup.is_some_and(|dedup| !dedup.admit(&record.event())) {
            return Ok(());
        }
        self.tell(Told::Once(record))
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
        for repeated in repeated.into_iter().flatten() {
            self.tell(Told::Repeated(repeated))?;
        }
        match &mut self.stdout {
            Some(stdout) => stdout.flush(),
            None => Ok(()),
        }
    }

    fn tell(&mut self, told: Told) -> io::Result<()> {
        if let Some(journal) = &mut self.journal {
            journal.tell(&told.event(), told.repeated());
        }
        let written = match &mut self.stdout {
            Some(stdout) => stdout.tell(&told),
            None => Ok(()),
        };
        // It keeps what it is told. Whoever listens there hears also what a closed pipe did not take.
        match &self.feed {
            Some(feed) => feed.tell(told).and(written),
            None => written,
        }
    }
}

impl Stdout {
    fn tell(&mut self, told: &Told) -> io::Result<()> {
        match self.format {
            Format::Json => told.write_json(&mut self.json, &mut self.lines)?,
            Format::Text => writeln!(self.lines, "{}", told.text())?,
        }
        if self.lines.len() < BUFFER {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.lines);
        self.lines.clear();
        written.and_then(|()| self.out.flush())
    }
}
