//! `--listen`: one small answer for each scrape. No keep-alive, one connection at a time, nothing that can wait long.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use super::{families::Exposition, text};
use crate::{
    args::PinArgs,
    exit::{self, Failure},
    out::say,
    signals::Signals,
};

/// Longer requests are none of Prometheus's.
const REQUEST_MAX: usize = 8 << 10;
/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn serve(address: SocketAddr, pins: &PinArgs) -> Result<(), Failure> {
    if !address.ip().is_loopback() {
        return Err(Failure::Usage(format!(
            "--listen {address} is no loopback address, and whoever reads the metrics reads the policy\n\
             help: listen on 127.0.0.1:PORT or [::1]:PORT, and let a proxy with authentication go further"
        )));
    }
    // Refused here and now rather than at each scrape.
    text(pins, Exposition::OpenMetrics)?;
    let signals = Signals::catch()?;
    let attempt = |e: io::Error| Failure::said(format!("listening on {address}: {e}"));
    let listener = TcpListener::bind(address).map_err(attempt)?;
    listener.set_nonblocking(true).map_err(attempt)?;
    let address = listener.local_addr().map_err(attempt)?;
    say(format_args!(
        "aegisbpf: metrics at http://{address}/metrics"
    ));
    while !signals.stop.load(Ordering::Acquire) {
        match listener.accept() {
            // A client that goes away in the middle is its own business.
            Ok((client, _)) => drop(answer(client, pins)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(50));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                say(format_args!("aegisbpf: accepting a connection: {e}"));
                thread::sleep(Duration::from_secs(1));
            }
        }
    }
    Ok(())
}

fn answer(mut client: TcpStream, pins: &PinArgs) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_write_timeout(Some(PATIENCE))?;
    let (status, kind, body) = match request(&mut client)? {
        Request::Metrics(exposition) => match text(pins, exposition) {
            Ok(text) => ("200 OK", exposition.content_type(), text),
            Err(failure) => (
                "503 Service Unavailable",
                PLAIN,
                format!("{}\n", exit::message(&failure)),
            ),
        },
        Request::Elsewhere => (
            "404 Not Found",
            PLAIN,
            "metrics are at /metrics\n".to_owned(),
        ),
        Request::Wrong => (
            "400 Bad Request",
            PLAIN,
            "this is no GET of HTTP/1\n".to_owned(),
        ),
    };
    let length = body.len();
    client.write_all(
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            .as_bytes(),
    )?;
    client.flush()
}

const PLAIN: &str = "text/plain; charset=utf-8";

enum Request {
    Metrics(Exposition),
    Elsewhere,
    Wrong,
}

fn request(client: &mut TcpStream) -> io::Result<Request> {
    let until = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let mut part = [0; 1024];
    loop {
        if let Some(request) = parse(&bytes) {
            return Ok(request);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > REQUEST_MAX {
            return Ok(Request::Wrong);
        }
        client.set_read_timeout(Some(left))?;
        match client.read(&mut part)? {
            0 => return Ok(Request::Wrong),
            read => bytes.extend_from_slice(&part[..read]),
        }
    }
}

/// What is asked for, once the head of the request is whole.
fn parse(bytes: &[u8]) -> Option<Request> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) if request.method == Some("GET") => {}
        _ => return Some(Request::Wrong),
    }
    let path = request.path.unwrap_or_default();
    if path != "/metrics" && !path.starts_with("/metrics?") {
        return Some(Request::Elsewhere);
    }
    let accepts = request
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("accept"))
        .any(|header| {
            String::from_utf8_lossy(header.value).contains("application/openmetrics-text")
        });
    Some(Request::Metrics(if accepts {
        Exposition::OpenMetrics
    } else {
        Exposition::Prometheus
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(request: &str) -> &'static str {
        match parse(request.as_bytes()) {
            None => "partial",
            Some(Request::Metrics(Exposition::OpenMetrics)) => "openmetrics",
            Some(Request::Metrics(Exposition::Prometheus)) => "prometheus",
            Some(Request::Elsewhere) => "elsewhere",
            Some(Request::Wrong) => "wrong",
        }
    }

    #[test]
    fn requests_are_told_apart() {
        let asks = "Accept: text/plain;q=0.5, application/openmetrics-text;version=1.0.0\r\n";
        for (request, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "prometheus"),
            (
                &format!("GET /metrics HTTP/1.1\r\n{asks}\r\n"),
                "openmetrics",
            ),
            ("GET /metrics?name=x HTTP/1.0\r\n\r\n", "prometheus"),
            ("GET / HTTP/1.1\r\n\r\n", "elsewhere"),
            ("GET /metricsx HTTP/1.1\r\n\r\n", "elsewhere"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "wrong"),
            ("\x16\x03\x01 hello", "wrong"),
            ("GET /metrics HTTP/1.1\r\nHost:", "partial"),
            ("", "partial"),
        ] {
            assert_eq!(kind(request), expected, "{request:?}");
        }
    }
}
