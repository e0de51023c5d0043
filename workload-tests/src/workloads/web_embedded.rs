//! `web::embedded`: a small HTTP server inside the harness, for machines where nothing is installed.
//!
//! It does to the kernel what a static web server does: one thread, `poll`, and for each request open, read, send,
//! and a line in the access log.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{fd::AsFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{
    corpus::{self, file_name},
    cpu::CpuClock,
    load::{Generator, Page, Target},
    workload::{Prepared, Requirement, Workload},
};

pub(crate) const FILES: usize = 1_000;
pub(crate) const FILE_SIZE: usize = 4 << 10;
pub(crate) const CONNECTIONS: usize = 8;
pub(crate) const SEED: u64 = 0x7765_625f_6165_6769;

/// The workload.
#[derive(Debug, Clone, Copy)]
pub struct Embedded;

impl Workload for Embedded {
    fn name(&self) -> &'static str {
        "web::embedded"
    }

    fn configuration(&self) -> String {
        format!("files {FILES} x {FILE_SIZE}, connections {CONNECTIONS}, data seed {SEED}")
    }

    fn requires(&self) -> &'static [Requirement] {
        &[]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let root = scratch.join("www");
        let pages = pages(&root)?;
        let log = scratch.join("access.log");
        let server = Server::start(&root, &log)?;
        let generator = Generator::connect(
            Target {
                address: server.address,
                pages,
            },
            CONNECTIONS,
        )?;
        let session = EmbeddedSession {
            generator,
            server,
            log,
        };
        Ok(Prepared::new(session, one_in_a_hundred(&root)))
    }
}

/// The files of both web workloads.
pub(crate) fn pages(root: &Path) -> Result<Vec<Page>, BoxError> {
    let contents = corpus::random_files(root, FILES, FILE_SIZE, SEED)?;
    Ok(contents
        .into_iter()
        .enumerate()
        .map(|(index, body)| Page::new(&format!("/{}", file_name(index)), body))
        .collect())
}

/// Every hundredth of the files, which are asked for evenly.
pub(crate) fn one_in_a_hundred(root: &Path) -> Vec<PathBuf> {
    let every = (0..FILES).step_by(100);
    every.map(|index| root.join(file_name(index))).collect()
}

/// A loopback address that was free a moment ago. If it is taken meanwhile, the server says so and the case fails.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Empties an access log, so that a long session does not fill the disk.
pub(crate) fn empty(log: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(log)?.set_len(0)
}

struct EmbeddedSession {
    generator: Generator,
    server: Server,
    log: PathBuf,
}

impl Session for EmbeddedSession {
    fn kind(&self) -> Kind {
        Kind::Service
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        empty(&self.log)?;
        let clock = self.server.clock;
        self.generator.run(block, &mut || Ok(clock.read()?))
    }

    fn opens_per_operation(&self) -> f64 {
        1.0
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.generator.hold_up(delay);
        true
    }
}

/// The server's thread, ended by closing `stop`.
struct Server {
    address: SocketAddr,
    clock: CpuClock,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(root: &Path, log: &Path) -> Result<Self, BoxError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let (stop, stopped) = UnixStream::pair()?;
        let (send, clock) = mpsc::channel();
        let root = root.to_owned();
        let thread = thread::Builder::new()
            .name("web-embedded".to_owned())
            .spawn(move || {
                // Nobody waits for the clock only if the harness is on its way out.
                let _ = send.send(CpuClock::of_this_thread());
                let mut serving = Serving {
                    root,
                    log,
                    clients: Vec::new(),
                };
                // An error closes all connections, which the generator reports.
                let _ = serving.run(&listener, &stopped);
            })?;
        Ok(Self {
            address,
            clock: clock.recv_timeout(Duration::from_secs(5))?,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Serving {
    root: PathBuf,
    log: File,
    clients: Vec<Client>,
}

struct Client {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Serving {
    fn run(&mut self, listener: &TcpListener, stopped: &UnixStream) -> io::Result<()> {
        loop {
            let watched = [stopped.as_fd(), listener.as_fd()]
                .into_iter()
                .chain(self.clients.iter().map(|client| client.stream.as_fd()));
            let mut fds: Vec<PollFd<'_>> = watched
                .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
                .collect();
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
            if ready[0] {
                return Ok(());
            }
            let mut ready_clients = ready[2..].iter();
            let Self { root, log, clients } = self;
            clients.retain_mut(|client| {
                !ready_clients.next().copied().unwrap_or(false) || client.serve(root, log).is_ok()
            });
            if ready[1] {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                self.clients.push(Client {
                    stream,
                    request: Vec::with_capacity(1 << 10),
                });
            }
        }
    }
}

impl Client {
    /// Reads what is there and answers a whole request. An error ends the connection.
    fn serve(&mut self, root: &Path, log: &mut File) -> io::Result<()> {
        let mut chunk = [0; 1 << 10];
        let read = self.stream.read(&mut chunk)?;
        if read == 0 || self.request.len() > 8 << 10 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.request.extend_from_slice(&chunk[..read]);
        if !self.request.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&self.request)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        let (status, body) = match file(root, &line).and_then(fs::read) {
            Ok(body) => ("200 OK", body),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                ("403 Forbidden", Vec::new())
            }
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let mut reply = format!("HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        reply.extend_from_slice(&body);
        self.stream.write_all(&reply)?;
        log.write_all(format!("127.0.0.1 - - \"{line}\" {status} {}\n", body.len()).as_bytes())?;
        self.request.clear();
        Ok(())
    }
}

/// The file that a request line asks for: one name, no directories.
fn file(root: &Path, line: &str) -> io::Result<PathBuf> {
    let name = line
        .strip_prefix("GET /")
        .and_then(|rest| rest.split(' ').next());
    match name {
        Some(name) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Ok(root.join(name))
        }
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}
