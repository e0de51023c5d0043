//! Peers and ports.

use std::net::{IpAddr, Ipv6Addr};

use super::super::object::{IpPrefix, Object, Proto, canonical};
use super::super::problem::{Problems, quote};
use super::super::rule::Operation;
use super::super::text::Part;
use super::{Meaning, deny};
use crate::file_id::is_decimal;

pub(super) fn deny_ip(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let address = address(part, problems)?;
    Some(deny(Operation::Network, Object::Address(address)))
}

pub(super) fn deny_cidr(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let prefix = prefix(part, problems)?;
    Some(deny(Operation::Network, Object::Prefix(prefix)))
}

pub(super) fn deny_port(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let (operation, object) = port(part, problems)?;
    Some(deny(operation, object))
}

pub(super) fn deny_ip_port(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let object = endpoint(part, problems)?;
    Some(deny(Operation::Network, object))
}

/// An address, as rules hold it.
pub(super) fn address(part: Part<'_>, problems: &mut Problems) -> Option<IpAddr> {
    let text = part.text;
    if let Ok(address) = text.parse() {
        return Some(canonical(address));
    }
    let unbracketed = text.trim_start_matches('[').trim_end_matches(']');
    let remedy = if unbracketed != text && unbracketed.parse::<IpAddr>().is_ok() {
        format!("write an address without brackets: `{unbracketed}`")
    } else if prefix_of(text).is_some() {
        "put a prefix under [deny_cidr]".to_owned()
    } else if text.parse::<std::net::SocketAddr>().is_ok() {
        "put an address with a port under [deny_ip_port]".to_owned()
    } else if text.split('.').count() == 4 && text.split('.').all(is_decimal) {
        "write four numbers from 0 to 255, without leading zeros".to_owned()
    } else if text.contains('%') {
        "write the address without its zone: a rule holds on every interface".to_owned()
    } else if text.contains('.') && text.contains(|c: char| c.is_ascii_alphabetic()) {
        "names are not looked up: write each address of the host, which `getent ahosts NAME` prints"
            .to_owned()
    } else {
        "write an address, as `192.0.2.1` or `2001:db8::1`".to_owned()
    };
    problems.error(
        part.span(),
        format!("{} is not an IP address", quote(text)),
        remedy,
    );
    None
}

fn prefix(part: Part<'_>, problems: &mut Problems) -> Option<IpPrefix> {
    let text = part.text;
    let Some((address, len)) = text.split_once('/') else {
        let remedy = match text.parse() {
            Ok(address) => format!(
                "write `{text}/{}`, or put the address under [deny_ip]",
                bits(address)
            ),
            Err(_) => "write an address, a slash and a length, as `192.0.2.0/24`".to_owned(),
        };
        problems.error(
            part.span(),
            format!("{} is not `address/length`", quote(text)),
            remedy,
        );
        return None;
    };
    let address: IpAddr = match address.parse() {
        Ok(address) => address,
        Err(_) => {
            self::address(part.narrow(address), problems);
            return None;
        }
    };
    let most = bits(address);
    let len = Some(len)
        .filter(|len| is_decimal(len))
        .and_then(|len| len.parse().ok());
    let Some((len, prefix)) = len.and_then(|len: u8| Some((len, IpPrefix::new(address, len)?)))
    else {
        let message = format!(
            "{}: the length is not a number from 0 to {most}",
            quote(text)
        );
        let digits: String = text
            .split_once('/')
            .map(|(_, len)| len.chars().take_while(char::is_ascii_digit).collect())
            .unwrap_or_default();
        let remedy = match digits.parse::<u8>() {
            Ok(len) if len <= most => format!("write `{address}/{len}`, and nothing behind it"),
            _ => format!("write `{address}/{most}` for this address alone"),
        };
        problems.error(part.span(), message, remedy);
        return None;
    };
    warn_of_bits(part, address, len, prefix, problems);
    Some(prefix)
}

fn warn_of_bits(
    part: Part<'_>,
    address: IpAddr,
    len: u8,
    prefix: IpPrefix,
    problems: &mut Problems,
) {
    let text = quote(part.text);
    let mapped = |address: Ipv6Addr| address.to_ipv4_mapped().is_some();
    if matches!(address, IpAddr::V6(v6) if len < 96 && mapped(v6)) {
        problems.warning(
            part.span(),
            format!("{text} is an IPv6 prefix, and v4-mapped addresses count as IPv4: it matches none of them"),
            "write the IPv4 prefix that is meant, as `0.0.0.0/0`",
        );
    } else if prefix.address() != canonical(address) {
        problems.warning(
            part.span(),
            format!("{text} has bits beyond its length, which do not count"),
            format!("write `{prefix}`"),
        );
    }
}

fn prefix_of(text: &str) -> Option<IpPrefix> {
    let (address, len) = text.split_once('/')?;
    IpPrefix::new(address.parse().ok()?, len.parse().ok()?)
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// `port[:proto[:direction]]`
pub(super) fn port(part: Part<'_>, problems: &mut Problems) -> Option<(Operation, Object)> {
    let text = part.text;
    let parts: Vec<&str> = text.split(':').collect();
    if let Some(right) = reordered(&parts) {
        let message = format!("{} does not begin with the port", quote(text));
        return fault(part, problems, message, format!("write `{right}`"));
    }
    let [number, rest @ ..] = parts.as_slice() else {
        return None;
    };
    let Some(port) = port_number(number) else {
        let remedy = if text.parse::<std::net::SocketAddr>().is_ok() {
            "put an address with a port under [deny_ip_port]"
        } else if number
            .split_once('-')
            .is_some_and(|(first, last)| is_decimal(first) && is_decimal(last))
        {
            "there are no ranges: write each port on a line of its own"
        } else {
            "write the port as a number, as `443` or `443:tcp:egress`"
        };
        return fault(
            part.narrow(number),
            problems,
            format!("{} is not a port from 1 to 65535", quote(number)),
            remedy.to_owned(),
        );
    };
    let proto = match rest.first() {
        None => Proto::Any,
        Some(text) => match proto(text) {
            Some(proto) => proto,
            None => {
                let remedy = match rest {
                    [dir] if operation(dir).is_some() => {
                        format!("the protocol comes first: write `{port}:any:{dir}`")
                    }
                    _ => near(text, &["tcp", "udp", "any"]),
                };
                return fault(
                    part.narrow(text),
                    problems,
                    format!("{} is not a protocol", quote(text)),
                    remedy,
                );
            }
        },
    };
    let operation = match rest.get(1) {
        None => Operation::Network,
        Some(text) => match operation(text) {
            Some(operation) => operation,
            None => {
                let remedy = near(text, &["egress", "bind", "both", "connect"]);
                return fault(
                    part.narrow(text),
                    problems,
                    format!("{} is not a direction", quote(text)),
                    remedy,
                );
            }
        },
    };
    if let Some(more) = rest.get(2) {
        let message = format!("there is a fourth part in {}", quote(text));
        let right = text.splitn(4, ':').take(3).collect::<Vec<_>>().join(":");
        return fault(
            part.narrow(more),
            problems,
            message,
            format!("write `{right}`: port, protocol, direction"),
        );
    }
    Some((operation, Object::Port { port, proto }))
}

/// `tcp:22:egress`, as some write it, in the right order.
fn reordered(parts: &[&str]) -> Option<String> {
    let [first, second, rest @ ..] = parts else {
        return None;
    };
    proto(first).filter(|_| !first.is_empty())?;
    port_number(second)?;
    match rest {
        [] => Some(format!("{second}:{first}")),
        [dir] if operation(dir).is_some() => Some(format!("{second}:{first}:{dir}")),
        _ => None,
    }
}

/// Reports, and gives nothing.
fn fault<T>(part: Part<'_>, problems: &mut Problems, message: String, remedy: String) -> Option<T> {
    problems.error(part.span(), message, remedy);
    None
}

fn port_number(text: &str) -> Option<u16> {
    Some(text)
        .filter(|text| is_decimal(text))
        .and_then(|text| text.parse().ok())
        .filter(|port| *port != 0)
}

fn proto(text: &str) -> Option<Proto> {
    match text {
        "" | "any" => Some(Proto::Any),
        "tcp" => Some(Proto::Tcp),
        "udp" => Some(Proto::Udp),
        _ => None,
    }
}

fn operation(text: &str) -> Option<Operation> {
    match text {
        "" | "both" => Some(Operation::Network),
        "egress" | "connect" => Some(Operation::Connect),
        "bind" => Some(Operation::Bind),
        _ => None,
    }
}

/// Which of `words` was probably meant.
fn near(text: &str, words: &[&str]) -> String {
    let wanted = text.to_lowercase();
    let near = words
        .iter()
        .filter(|_| wanted.len() < 20)
        .map(|word| (strsim::damerau_levenshtein(&wanted, word), word))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    match near {
        Some((_, word)) => format!("did you mean `{word}`?"),
        None => format!("write one of {}", words.join(", ")),
    }
}

/// `v4:port[:proto]`, `[v6]:port[:proto]`, or `v6:port[:proto]` where that has one meaning.
fn endpoint(part: Part<'_>, problems: &mut Problems) -> Option<Object> {
    let text = part.text;
    match read_endpoint(text) {
        Ok((addr, port, proto)) => Some(Object::Endpoint {
            addr: canonical(addr),
            port,
            proto,
        }),
        Err((message, remedy)) => {
            problems.error(part.span(), format!("{} {message}", quote(text)), remedy);
            None
        }
    }
}

type Fault = (String, String);

fn read_endpoint(text: &str) -> Result<(IpAddr, u16, Proto), Fault> {
    let shape = "write `192.0.2.1:443`, `192.0.2.1:443:tcp` or `[2001:db8::1]:443`";
    let (address, rest) = if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner
            .split_once("]:")
            .ok_or_else(|| ("is not `[address]:port`".to_owned(), shape.to_owned()))?;
        let address: Ipv6Addr = address.parse().map_err(|_| {
            (
                "has no IPv6 address in its brackets".to_owned(),
                shape.to_owned(),
            )
        })?;
        (address.into(), rest)
    } else if let Some((v4, rest)) = text
        .split_once(':')
        .filter(|(first, _)| first.contains('.'))
    {
        let address = v4.parse().map_err(|_| {
            (
                "does not begin with an address".to_owned(),
                shape.to_owned(),
            )
        })?;
        (address, rest)
    } else {
        return bare_v6(text).ok_or_else(|| bare_fault(text, shape));
    };
    let mut parts = rest.split(':');
    let port = parts.next().and_then(port_number).ok_or_else(|| {
        let message = "has no port from 1 to 65535 behind the address";
        (message.to_owned(), shape.to_owned())
    })?;
    let proto = match parts.next() {
        None => Proto::Any,
        Some(word) => proto(word).ok_or_else(|| {
            (
                "has no protocol behind the port".to_owned(),
                near(word, &["tcp", "udp", "any"]),
            )
        })?,
    };
    match parts.next() {
        None => Ok((address, port, proto)),
        Some(_) => Err((
            "has more parts than address, port and protocol".to_owned(),
            "an endpoint has no direction: remove what follows the protocol".to_owned(),
        )),
    }
}

/// Reads `v6:port[:proto]`. Without a protocol it must not read as one longer address.
fn bare_v6(text: &str) -> Option<(IpAddr, u16, Proto)> {
    let (before, last) = text.rsplit_once(':')?;
    if let Some(proto) = proto(last).filter(|_| before.contains(':')) {
        let (address, port) = before.rsplit_once(':')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return Some((address.into(), port_number(port)?, proto));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return None;
    }
    let address: Ipv6Addr = before.parse().ok()?;
    Some((address.into(), port_number(last)?, Proto::Any))
}

fn bare_fault(text: &str, shape: &str) -> Fault {
    if text.parse::<Ipv6Addr>().is_ok() {
        let read = text.rsplit_once(':').and_then(|(address, port)| {
            Some((address.parse::<Ipv6Addr>().ok()?, port_number(port)?))
        });
        return match read {
            Some((address, port)) => (
                "is an address, with or without a port".to_owned(),
                format!("write `[{address}]:{port}`, or put an address alone under [deny_ip]"),
            ),
            None => (
                "is an address without a port".to_owned(),
                format!("write `[{text}]:443`, or put it under [deny_ip]"),
            ),
        };
    }
    if text.parse::<IpAddr>().is_ok() {
        return (
            "is an address without a port".to_owned(),
            format!("write `{text}:443`, or put it under [deny_ip]"),
        );
    }
    ("is not an address and a port".to_owned(), shape.to_owned())
}
