//! Where requests to Routes come in.

use std::fmt;

/// The gateway as clients reach it. Its hosts are below `domain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayAddress {
    /// The domain of Routes that are seen from outside, such as `localhost`.
    pub domain: String,
    /// The port.
    pub port: u16,
}

impl GatewayAddress {
    /// The URL of a host.
    #[must_use]
    pub fn url(&self, host: impl fmt::Display) -> String {
        match self.port {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_port_unless_everybody_knows_it() {
        for (port, want) in [(80, "http://a.b.c"), (8081, "http://a.b.c:8081"), (443, "http://a.b.c:443")] {
            assert_eq!(GatewayAddress { domain: "c".to_owned(), port }.url("a.b.c"), want);
        }
    }
}
