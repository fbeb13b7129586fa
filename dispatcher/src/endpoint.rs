//! Where a request goes, read out of a URL once.

use std::sync::Arc;

use http::{HeaderValue, Uri};
use url::{Host, Position as UrlPart, Url};

use crate::pool::Target;

/// A subscriber or a dead-letter sink.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The URL as it was given.
    pub url: Arc<str>,
    /// How to ask it, or why that is not possible.
    pub route: Result<Route, String>,
}

/// How to ask.
#[derive(Debug, Clone)]
pub struct Route {
    /// Who is asked, shared by everyone who asks there.
    pub target: Arc<Target>,
    /// The value of `Host`.
    pub host: HeaderValue,
    /// The path and query, in origin form.
    pub path: Uri,
}

/// Host and port of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    /// The host: a name, an IPv4 address, or an IPv6 address without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The parts of a URL that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Who is asked.
    pub authority: Authority,
    /// The value of `Host`.
    pub host: HeaderValue,
    /// The path and query, in origin form.
    pub path: Uri,
}

impl Address {
    /// Reads a URL, as admission does: what it mends is mended here too.
    ///
    /// # Errors
    /// Why it cannot be asked, as a sentence.
    pub fn parse(url: &str) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|why| format!("not a URL: {why}"))?;
        if url.scheme() != "http" {
            return Err(format!("the scheme {} is not spoken", url.scheme()));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err("the URL has no host".to_owned()),
        };
        let port = url.port_or_known_default().ok_or("the URL has no port")?;
        // User and password are not part of `Host`, nor is the port that goes without saying.
        let header = &url[UrlPart::BeforeHost..UrlPart::AfterPort];
        Ok(Self {
            authority: Authority { host: host.into(), port },
            host: HeaderValue::try_from(header).map_err(|_| "the host is not valid")?,
            path: url[UrlPart::BeforePath..UrlPart::AfterQuery].parse().map_err(|_| "the path is not valid")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_once() {
        let rows = [
            ("http://example.com", "example.com", 80, "example.com", "/"),
            ("http://example.com:8080/a/b?c=d", "example.com", 8080, "example.com:8080", "/a/b?c=d"),
            ("http://[::1]:9/", "::1", 9, "[::1]:9", "/"),
            ("http://user:secret@host/x", "host", 80, "host", "/x"),
            ("HTTP://Host/", "host", 80, "host", "/"),
            ("http://host:80/a b?c d#e", "host", 80, "host", "/a%20b?c%20d"),
            ("http://b\u{fc}cher.example/\u{20ac}", "xn--bcher-kva.example", 80, "xn--bcher-kva.example", "/%E2%82%AC"),
        ];
        for (url, host, port, header, path) in rows {
            let address = Address::parse(url).unwrap();
            assert_eq!((&*address.authority.host, address.authority.port), (host, port), "{url}");
            assert_eq!(address.host, header, "{url}");
            assert_eq!(address.path.to_string(), path, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_asked_says_why() {
        for url in ["", "/relative", "bad://uri", "https://example.com/", "http://", "http://host:port/", "not a url"] {
            assert!(Address::parse(url).is_err(), "{url:?}");
        }
    }
}
