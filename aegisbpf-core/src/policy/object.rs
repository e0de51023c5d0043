//! To what something is done: files, addresses, ports, contents.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::file_id::FileId;

/// To what it is done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Object {
    /// The file at an absolute path, and whatever file bears that name later.
    Path(PathBuf),
    /// A file by its identity.
    Inode(FileId),
    /// Everything below an absolute path.
    Dir(PathBuf),
    /// An executable file by its name, without directories: at most 15 bytes.
    Name(String),
    /// A file by its content.
    Hash(Sha256),
    /// A file by its content, as IMA measures it.
    ImaHash(Sha256),
    /// A peer. Never a v4-mapped IPv6 address: that is the IPv4 one.
    Address(IpAddr),
    /// All peers in a network. Never below `::ffff:0:0/96`: that is an IPv4 network.
    Prefix(IpPrefix),
    /// A port: of the peer for [`Operation::Connect`](super::Operation::Connect), our own for
    /// [`Operation::Bind`](super::Operation::Bind), both for [`Operation::Network`](super::Operation::Network).
    Port {
        /// From 1.
        port: u16,
        /// The protocols that are meant.
        proto: Proto,
    },
    /// A port of a peer.
    Endpoint {
        /// The peer; as [`Object::Address`].
        addr: IpAddr,
        /// From 1.
        port: u16,
        /// The protocols that are meant.
        proto: Proto,
    },
    /// Everything.
    Any,
}

/// The spelling of an entry, as far as the object has a part in it.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) | Self::Dir(path) => path.display().fmt(f),
            Self::Inode(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Hash(hash) | Self::ImaHash(hash) => hash.fmt(f),
            Self::Address(addr) => addr.fmt(f),
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Port { port, proto } => write!(f, "{port}{}", suffix(*proto)),
            Self::Endpoint { addr, port, proto } => {
                let suffix = suffix(*proto);
                match addr {
                    IpAddr::V4(addr) => write!(f, "{addr}:{port}{suffix}"),
                    IpAddr::V6(addr) => write!(f, "[{addr}]:{port}{suffix}"),
                }
            }
            Self::Any => f.write_str("any"),
        }
    }
}

/// What stands behind a port: nothing for the default.
fn suffix(proto: Proto) -> &'static str {
    match proto {
        Proto::Any => "",
        Proto::Tcp => ":tcp",
        Proto::Udp => ":udp",
    }
}

/// A transport protocol, or each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Proto {
    /// Each.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Any => "any",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A network: an address and the number of leading bits that count. The other bits are zero.
///
/// ```
/// use aegisbpf_core::policy::IpPrefix;
///
/// let prefix = IpPrefix::new("10.1.2.3".parse()?, 8).expect("an IPv4 address has 32 bits");
/// assert_eq!(prefix.to_string(), "10.0.0.0/8");
/// assert!(prefix.contains("10.9.9.9".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpPrefix(IpNet);

impl IpPrefix {
    /// The network of `address`; `None` if the address has fewer than `len` bits. A network of v4-mapped addresses
    /// is the IPv4 one.
    #[must_use]
    pub fn new(address: IpAddr, len: u8) -> Option<Self> {
        let net = IpNet::new(address, len).ok()?.trunc();
        let mapped = match net {
            IpNet::V6(v6) if len >= 96 => v6.network().to_ipv4_mapped(),
            _ => None,
        };
        match mapped {
            Some(v4) => IpNet::new(v4.into(), len - 96).ok().map(Self),
            None => Some(Self(net)),
        }
    }

    /// The network's first address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0.network()
    }

    /// The number of leading bits that count.
    #[must_use]
    #[allow(
        clippy::len_without_is_empty,
        reason = "it is the length of a prefix, and 0 is not empty"
    )]
    pub fn len(self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether the network has this address.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&canonical(address))
    }

    /// Whether the network has all addresses of `other`.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }
}

/// `10.0.0.0/8`, the spelling of `[deny_cidr]`.
impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for IpPrefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The address as rules hold it: a v4-mapped one is the IPv4 one.
#[must_use]
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// A SHA-256 sum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

/// `sha256:` and 64 hexadecimal digits, the spelling of the hash sections.
impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::SCHEME)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Sha256 {
    const SCHEME: &str = "sha256:";
}

/// The text is not `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `sha256:` and 64 hexadecimal digits")]
pub struct ParseSha256Error;

impl FromStr for Sha256 {
    type Err = ParseSha256Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(Self::SCHEME).ok_or(ParseSha256Error)?;
        let digits = digits.as_bytes();
        if digits.len() != 64 {
            return Err(ParseSha256Error);
        }
        let mut sum = [0; 32];
        for (byte, pair) in sum.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or(ParseSha256Error);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).map_err(|_| ParseSha256Error)?;
        }
        Ok(Self(sum))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.1.2.3", 8, Some("10.0.0.0/8"))]
    #[case("10.1.2.3", 0, Some("0.0.0.0/0"))]
    #[case("10.1.2.3", 33, None)]
    #[case("2001:db8::1", 32, Some("2001:db8::/32"))]
    #[case("::1", 129, None)]
    #[case("::ffff:10.1.2.3", 104, Some("10.0.0.0/8"))]
    #[case("::ffff:10.1.2.3", 95, Some("::fffe:0:0/95"))]
    #[case("::", 96, Some("::/96"))]
    fn a_prefix_is_masked(#[case] address: &str, #[case] len: u8, #[case] text: Option<&str>) {
        let prefix = IpPrefix::new(address.parse().unwrap(), len);
        assert_eq!(prefix.map(|prefix| prefix.to_string()).as_deref(), text);
    }

    #[test]
    fn a_mapped_address_is_in_the_network_of_version_4() {
        let prefix = IpPrefix::new(Ipv4Addr::new(10, 0, 0, 0).into(), 8).unwrap();
        assert!(prefix.contains("::ffff:10.1.1.1".parse().unwrap()));
        assert!(!prefix.contains("::10.1.1.1".parse().unwrap()));
    }

    #[rstest]
    #[case("")]
    #[case("sha256:")]
    #[case("SHA256:0000000000000000000000000000000000000000000000000000000000000000")]
    #[case("sha256:000000000000000000000000000000000000000000000000000000000000000")]
    #[case("sha256:00000000000000000000000000000000000000000000000000000000000000000")]
    #[case("sha256:+000000000000000000000000000000000000000000000000000000000000000")]
    #[case(
        "sha256:\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}"
    )]
    fn what_is_no_sum_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Sha256>(), Err(ParseSha256Error));
    }

    #[test]
    fn a_sum_is_written_in_small_letters() {
        let text = format!("sha256:{}{}", "0A".repeat(16), "fF".repeat(16));
        assert_eq!(
            text.parse::<Sha256>().unwrap().to_string(),
            text.to_lowercase()
        );
    }
}
