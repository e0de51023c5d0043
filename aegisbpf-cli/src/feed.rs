//! How the process that reads the events tells them to others: one line each, as JSON and as text.

use std::{
    borrow::Cow,
    io::{self, BufRead, BufReader, Write},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixStream},
        },
    },
    path::Path,
};

use aegisbpf_core::{Event, JsonLines, Record, Repeated};
use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::Uid,
};

use crate::out::printable;

/// Comes after the events that had happened before the listener came.
pub(crate) const END_OF_RECENT: u8 = b'\n';

/// What is told.
pub(crate) enum Told {
    /// An access.
    Once(Record),
    /// The last of some that were alike.
    Repeated(Repeated),
}

impl Told {
    pub(crate) fn event(&self) -> Cow<'_, Event> {
        match self {
            Self::Once(record) => Cow::Owned(record.event()),
            Self::Repeated(repeated) => Cow::Borrowed(&repeated.event),
        }
    }

    /// How many like it were left out, this one among them.
    pub(crate) fn repeated(&self) -> Option<u64> {
        match self {
            Self::Once(_) => None,
            Self::Repeated(repeated) => Some(repeated.repeated),
        }
    }

    /// Appends it as a line of JSON.
    pub(crate) fn write_json(&self, json: &mut JsonLines, lines: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Once(record) => json.append(record, lines).map_err(io::Error::other),
            Self::Repeated(repeated) => {
                serde_json::to_writer(&mut *lines, repeated)?;
                lines.push(b'\n');
                Ok(())
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        let event = self.event().to_string();
        let event = printable(&event);
        match self.repeated() {
            Some(repeated) => format!("{event} ({repeated} times)"),
            None => event.into_owned(),
        }
    }

    /// As it is sent, as JSON and as text: neither contains a tab or a line feed of its own.
    pub(crate) fn line(&self, json: &mut JsonLines) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.write_json(json, &mut line)?;
        line.pop();
        writeln!(line, "\t{}", self.text())?;
        Ok(line)
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
