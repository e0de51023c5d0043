//! One keep-alive connection with at most one request under way.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use crate::load::http::{self, Page};

/// A request under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) page: usize,
    /// Latency counts from here.
    pub(crate) intended: Instant,
    pub(crate) sent: Instant,
    /// Belongs to the window, not to the settle time.
    pub(crate) counted: bool,
}

#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    pub(crate) request: Option<Request>,
    /// Since when it could have carried a request.
    pub(crate) free_since: Instant,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = connect(address)?;
        Ok(Self {
            address,
            stream,
            buffer: vec![0; 32 << 10],
            filled: 0,
            request: None,
            free_since: Instant::now(),
        })
    }

    /// Puts a new stream in place of a broken one.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.stream = connect(self.address)?;
        self.filled = 0;
        self.free_since = Instant::now();
        Ok(())
    }

    /// Sends a whole request. An error leaves the connection free, but in need of [`Connection::reopen`].
    pub(crate) fn send(&mut self, request: Request, page: &Page) -> Result<(), String> {
        // A request is a few hundred bytes into an empty socket buffer: it goes whole or the connection is broken.
        match self.stream.write(&page.request) {
            Ok(written) if written == page.request.len() => {
                self.request = Some(request);
                Ok(())
            }
            Ok(_) => Err("short write".to_owned()),
            Err(error) => Err(class(&error)),
        }
    }

    /// Reads what is there: `None` while the reply is not whole, or why it does not count.
    pub(crate) fn receive(&mut self, pages: &[Page]) -> Option<Result<(), Failure>> {
        let request = self.request?;
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => Some(Err(Failure::broken("connection closed".to_owned()))),
            Ok(read) => {
                self.filled += read;
                self.judge(&pages[request.page])
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                None
            }
            Err(error) => Some(Err(Failure::broken(class(&error)))),
        }
    }

    /// The request is over, however it went.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.request = None;
        self.filled = 0;
        self.free_since = now;
    }

    pub(crate) fn is_overdue(&self, now: Instant, limit: Duration) -> bool {
        self.request
            .is_some_and(|request| now.saturating_duration_since(request.sent) > limit)
    }

    fn judge(&self, page: &Page) -> Option<Result<(), Failure>> {
        let bytes = &self.buffer[..self.filled];
        let reply = match http::parse(bytes) {
            Ok(Some(reply)) => reply,
            Ok(None) if self.filled < self.buffer.len() => return None,
            Ok(None) => return Some(Err(Failure::broken("body too long".to_owned()))),
            Err(http::Malformed) => {
                return Some(Err(Failure::broken("malformed reply".to_owned())));
            }
        };
        // Bytes after the reply would be read as the start of the next one.
        let broken = reply.last || reply.body.end != self.filled;
        Some(if reply.status != 200 {
            Err(Failure {
                class: format!("http {}", reply.status),
                broken,
            })
        } else if bytes[reply.body.clone()] != page.body {
            Err(Failure {
                class: "wrong body".to_owned(),
                broken,
            })
        } else if broken {
            Err(Failure::broken("unasked bytes".to_owned()))
        } else {
            Ok(())
        })
    }
}

/// Why a request does not count as an operation.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: String,
    /// The connection cannot be used again.
    pub(crate) broken: bool,
}

impl Failure {
    pub(crate) fn broken(class: String) -> Self {
        Self {
            class,
            broken: true,
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn class(error: &io::Error) -> String {
    error.kind().to_string()
}
