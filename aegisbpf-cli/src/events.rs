//! `aegisbpf events`: what happened lately, and what happens now.

use std::{
    io::{self, Write},
    sync::atomic::Ordering,
    thread,
};

use aegisbpf_core::{Control, Events, JsonLines};

use crate::{
    args::{EventsArgs, Format},
    exit::Failure,
    feed::{Heard, Told, Word},
    signals::Signals,
};

pub(crate) fn events(args: &EventsArgs) -> Result<(), Failure> {
    let mut control = Control::open(&args.pins.pin_dir)?;
    match control.daemon() {
        // Pinned, and its process has gone: the ring buffer waits for a reader.
        None => read(args, &mut control.events()?),
        Some(pid) => {
            let heard = Heard::listen(&args.pins.pin_dir).map_err(|e| {
                Failure::said(format!(
                    "listening to process {pid}, which reads the events: {e}"
                ))
            })?;
            listen(args, heard)
        }
    }
}

fn is_json(args: &EventsArgs) -> bool {
    args.json || args.format == Format::Json
}

fn listen(args: &EventsArgs, mut heard: Heard) -> Result<(), Failure> {
    let signals = Signals::catch()?;
    end_on_signal(&signals, &heard)?;
    let mut out = io::stdout().lock();
    loop {
        let lost = |e: io::Error| Failure::said(format!("listening to the events: {e}"));
        match heard.next().map_err(lost)? {
            Word::Event(line, _) if is_json(args) => writeln!(out, "{line}")?,
            Word::Event(_, line) => writeln!(out, "{line}")?,
            Word::Now if args.follow => out.flush()?,
            Word::Now | Word::End => return Ok(()),
        }
    }
}

/// A read that waits is not ended by a flag: the stream is.
fn end_on_signal(signals: &Signals, heard: &Heard) -> Result<(), Failure> {
    let failed = |e: io::Error| Failure::said(format!("listening to the events: {e}"));
    let stream = heard.stream().try_clone().map_err(failed)?;
    let stop = signals.stop.clone();
    thread::spawn(move || {
        while !stop.load(Ordering::Acquire) {
            thread::sleep(std::time::Duration::from_millis(50));
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    Ok(())
}

fn read(args: &EventsArgs, events: &mut Events) -> Result<(), Failure> {
    let signals = Signals::catch()?;
    let mut out = io::stdout().lock();
    let (mut json, mut lines) = (JsonLines::default(), Vec::new());
    loop {
        let stopped = signals.stop.load(Ordering::Acquire);
        while let Some(record) = events.try_next_record()? {
            let told = Told::Once(record);
            if is_json(args) {
                told.write_json(&mut json, &mut lines)?;
            } else {
                writeln!(lines, "{}", told.text())?;
            }
        }
        out.write_all(&lines)?;
        out.flush()?;
        lines.clear();
        if stopped || !args.follow {
            return Ok(());
        }
        events.wait()?;
    }
}
