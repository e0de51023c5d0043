//! How the process that reads the events tells them to others: one line each, as JSON and as text.

use std::{
    io::{self, BufRead, BufReader},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixStream},
        },
    },
    path::Path,
};

use aegisbpf_core::Event;
use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::Uid,
};
use serde::Serialize;

use crate::out::printable;

/// Comes after the events that had happened before the listener came.
pub(crate) const END_OF_RECENT: &str = "\n";

/// An event, and how many like it were left out, this one among them.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<u64>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(event: &'a Event, repeated: Option<u64>) -> Self {
        Self { event, repeated }
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// [`Line::json`] and a line feed, in place of what `line` held: a buffer that grows once, not once an event.
    pub(crate) fn write_json(&self, line: &mut Vec<u8>) {
        line.clear();
        if serde_json::to_writer(&mut *line, self).is_err() {
            line.clear();
        }
        line.push(b'\n');
    }

    pub(crate) fn text(&self) -> String {
        let event = self.event.to_string();
        let event = printable(&event);
        match self.repeated {
            Some(repeated) => format!("{event} ({repeated} times)"),
            None => event.into_owned(),
        }
    }

    /// As it is sent: neither form contains a tab or a line feed of its own.
    pub(crate) fn of(event: &'a Event, repeated: Option<u64>) -> String {
        let line = Self::new(event, repeated);
        format!("{}\t{}\n", line.json(), line.text())
    }
}

/// A name that vanishes with the process, of the network name space that it runs in.
pub(crate) fn address(pin_dir: &Path) -> io::Result<SocketAddr> {
    let dir = std::path::absolute(pin_dir)?;
    let mut name = b"aegisbpf-events:".to_vec();
    name.extend_from_slice(dir.as_os_str().as_bytes());
    SocketAddr::from_abstract_name(name)
}

/// Events told by another process.
pub(crate) struct Heard(BufReader<UnixStream>);

/// What was heard.
pub(crate) enum Word {
    /// An event as JSON and as text.
    Event(String, String),
    /// What follows happens from now on.
    Now,
    /// The other process has ended.
    End,
}

impl Heard {
    pub(crate) fn listen(pin_dir: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect_addr(&address(pin_dir)?)?;
        let speaker = getsockopt(&stream, PeerCredentials)?.uid();
        if speaker != 0 && speaker != Uid::effective().as_raw() {
            // The name is free to whoever takes it first.
            let message = format!("user {speaker} speaks there, who is neither root nor we");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        self.0.get_ref()
    }

    pub(crate) fn next(&mut self) -> io::Result<Word> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(match line.strip_suffix('\n') {
            None => Word::End,
            Some("") => Word::Now,
            Some(line) => match line.split_once('\t') {
                Some((json, text)) => Word::Event(json.to_owned(), text.to_owned()),
                None => Word::Event(line.to_owned(), line.to_owned()),
            },
        })
    }
}
