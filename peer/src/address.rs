//! Where a node is reached.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types::ServerName;

/// `host:port`, the host a DNS name or an IP address; an IPv6 address is in brackets, as in `[::1]:7400`.
///
/// The host is also the name that the node's certificate must bear.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddress {
    text: Arc<str>,
    /// Where the port begins in `text`, with its colon.
    colon: usize,
    port: u16,
}

impl PeerAddress {
    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        let host = &self.text[..self.colon];
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As it was written: `host:port`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name that the certificate of the node must bear.
    pub(crate) fn server_name(&self) -> ServerName<'static> {
        // Checked when the address was read.
        ServerName::try_from(self.host().to_owned()).expect("the host of an address is a DNS name or an IP address")
    }
}

impl FromStr for PeerAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |reason| BadAddress { address: text.to_owned(), reason };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| bad("it has no port; write host:port"))?;
        let port = port.parse().map_err(|_| bad("its port is not a number from 1 to 65535"))?;
        if port == 0 {
            return Err(bad("its port is not a number from 1 to 65535"));
        }
        let bare = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(|| bad("its bracket is not closed"))?,
            None if host.contains(':') => return Err(bad("an IPv6 address is written in brackets: [::1]:7400")),
            None => host,
        };
        if ServerName::try_from(bare).is_err() {
            return Err(bad("its host is neither a DNS name nor an IP address"));
        }
        Ok(Self { text: text.into(), colon: host.len(), port })
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerAddress({})", self.text)
    }
}

/// The text is not the address of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} is not an address of a node: {reason}")]
pub struct BadAddress {
    address: String,
    reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("localhost:7400", "localhost", 7400),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]:65535", "::1", 65535),
            ("node-1.pelton.internal:7400", "node-1.pelton.internal", 7400),
        ] {
            let address: PeerAddress = text.parse().unwrap();
            assert_eq!((address.host(), address.port(), address.as_str()), (host, port, text));
            address.server_name();
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            ":7400",
            "::1:7400",
            "[::1:7400",
            "a b:1",
        ] {
            assert!(text.parse::<PeerAddress>().is_err(), "{text:?}");
        }
    }
}
