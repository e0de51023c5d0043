//! As much HTTP/1.1 as the load needs: requests made beforehand, replies with a `Content-Length`.

use std::{net::SocketAddr, ops::Range};

/// One thing to ask for, and the only right answer.
#[derive(Debug, Clone)]
pub struct Page {
    pub(crate) request: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Page {
    /// `GET path`, which must be answered with status 200 and exactly this body.
    #[must_use]
    pub fn new(path: &str, body: Vec<u8>) -> Self {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: aegis-load\r\n\r\n")
                .into_bytes();
        Self { request, body }
    }
}

/// A server and the pages to ask it for.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// What to ask for, chosen evenly by the block's seed. Not empty.
    pub pages: Vec<Page>,
}

/// A whole reply at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Range<usize>,
    /// The server announced that it closes the connection.
    pub(crate) last: bool,
}

/// A reply that is not HTTP/1.x with a length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads a reply; `None` while more bytes are needed.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Reply>, Malformed> {
    const END: &[u8] = b"\r\n\r\n";
    const HEAD_LIMIT: usize = 8 << 10;
    let Some(head) = bytes.windows(END.len()).position(|window| window == END) else {
        return if bytes.len() > HEAD_LIMIT {
            Err(Malformed)
        } else {
            Ok(None)
        };
    };
    let text = std::str::from_utf8(&bytes[..head]).map_err(|_| Malformed)?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|code| code.parse().ok())
        .ok_or(Malformed)?;
    let (mut length, mut last) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            last = value.trim().eq_ignore_ascii_case("close");
        }
    }
    let start = head + END.len();
    let end = start
        .checked_add(length.ok_or(Malformed)?)
        .ok_or(Malformed)?;
    Ok((bytes.len() >= end).then_some(Reply {
        status,
        body: start..end,
        last,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 3\r\n\r\nabc";

    #[test]
    fn a_reply_is_whole_only_with_its_last_byte() {
        for cut in 0..REPLY.len() {
            assert_eq!(parse(&REPLY[..cut]), Ok(None), "cut at {cut}");
        }
        let reply = parse(REPLY).unwrap().unwrap();
        assert_eq!(
            (reply.status, &REPLY[reply.body], reply.last),
            (200, &b"abc"[..], false)
        );
    }

    #[test]
    fn a_reply_without_status_or_length_is_malformed() {
        assert_eq!(parse(b"SSH-2.0-x\r\n\r\n"), Err(Malformed));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Malformed));
        assert_eq!(parse(&[b'x'; 9 << 10]), Err(Malformed));
    }

    #[test]
    fn a_closing_server_is_believed() {
        let reply = parse(b"HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!((reply.status, reply.last), (500, true));
    }
}
