//! Whether connections are protected.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::{BoxedIo, PeerAddress, Tls};

/// Whether connections between nodes are protected. All nodes of a cluster have the same.
#[derive(Debug, Clone)]
pub enum Security {
    /// Not at all: whoever can reach the port is a node. For one machine, and for networks that protect themselves.
    Plaintext,
    /// TLS with a certificate on both sides.
    Tls(Arc<Tls>),
}

impl Security {
    /// Refuses to listen without protection where others can reach it, unless told to (`insecure`).
    ///
    /// # Errors
    /// [`PlaintextNotAllowed`].
    pub fn check_listen(&self, address: SocketAddr, insecure: bool) -> Result<(), PlaintextNotAllowed> {
        match self {
            Self::Plaintext if !insecure && !address.ip().to_canonical().is_loopback() => {
                Err(PlaintextNotAllowed { address })
            }
            Self::Plaintext | Self::Tls(_) => Ok(()),
        }
    }

    /// The client's side of the handshake, with the node at `address`.
    pub(crate) async fn connect(&self, io: BoxedIo, address: &PeerAddress) -> io::Result<BoxedIo> {
        match self {
            Self::Plaintext => Ok(io),
            Self::Tls(tls) => tls.connect(io, address).await,
        }
    }

    /// The server's side of the handshake.
    pub(crate) async fn accept(&self, io: BoxedIo) -> io::Result<BoxedIo> {
        match self {
            Self::Plaintext => Ok(io),
            Self::Tls(tls) => tls.accept(io).await,
        }
    }
}

/// A node was asked to listen for other nodes without TLS, on an address that other machines can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "without TLS, nodes listen on a loopback address only, and {address} is none: configure a certificate, or set \
     peer-insecure if the network protects itself"
)]
pub struct PlaintextNotAllowed {
    address: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_is_for_loopback_unless_told_otherwise() {
        for (address, insecure, want) in [
            ("127.0.0.1:7400", false, true),
            ("127.8.0.1:7400", false, true),
            ("[::1]:7400", false, true),
            ("[::ffff:127.0.0.1]:7400", false, true),
            ("0.0.0.0:7400", false, false),
            ("[::]:7400", false, false),
            ("10.0.0.1:7400", false, false),
            ("10.0.0.1:7400", true, true),
        ] {
            let answer = Security::Plaintext.check_listen(address.parse().unwrap(), insecure);
            assert_eq!(answer.is_ok(), want, "{address}, insecure {insecure}");
        }
    }

    #[test]
    fn the_refusal_names_the_address_and_the_key() {
        let error = Security::Plaintext.check_listen("10.0.0.1:7400".parse().unwrap(), false).unwrap_err().to_string();
        assert!(error.contains("10.0.0.1:7400") && error.contains("peer-insecure"), "{error}");
    }
}
