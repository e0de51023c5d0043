//! One run at a time on a machine: two would measure each other, and each other's enforcer.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

/// Why we may not run now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AloneError {
    /// Somebody else does.
    #[error(
        "another measurement of AegisBPF is under way on this machine; start again when it has ended"
    )]
    Taken,
    /// The name could not be taken.
    #[error("taking the name {name:?} that keeps two runs apart: {source}")]
    Name {
        /// Name of the socket.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// The right to measure, as long as this is held. An abstract socket: no file, and gone with its process.
#[derive(Debug)]
pub struct Alone(#[expect(dead_code, reason = "held for its name")] UnixListener);

impl Alone {
    /// Takes the right.
    ///
    /// # Errors
    /// [`AloneError::Taken`] while another run has it.
    pub fn new() -> Result<Self, AloneError> {
        Self::named("aegisbpf-workload-tests")
    }

    fn named(name: &str) -> Result<Self, AloneError> {
        let bound = SocketAddr::from_abstract_name(name)
            .and_then(|address| UnixListener::bind_addr(&address));
        bound.map(Self).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => AloneError::Taken,
            _ => AloneError::Name {
                name: name.to_owned(),
                source,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_refused_until_the_first_has_ended() {
        let name = format!("aegisbpf-test-{}", std::process::id());
        let first = Alone::named(&name).unwrap();
        assert!(matches!(Alone::named(&name), Err(AloneError::Taken)));
        drop(first);
        Alone::named(&name).unwrap();
    }
}
