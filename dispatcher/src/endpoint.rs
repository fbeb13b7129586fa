//! Where a request goes, read out of a URL once.

use std::sync::Arc;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

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
    /// Reads a URL.
    ///
    /// # Errors
    /// Why it cannot be asked, as a sentence.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|why| format!("not a URL: {why}"))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) => return Err(format!("the scheme {scheme} is not spoken")),
            None => return Err("the URL is not absolute".to_owned()),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("the URL has no host")?;
        let is_bare = uri.authority().is_some_and(|authority| authority.as_str().ends_with(host));
        let port = match uri.port_u16() {
            Some(port) => port,
            None if is_bare => 80,
            // A port that is written and is no number must not be asked as 80.
            None => return Err("the port is not a number".to_owned()),
        };
        // User and password are not part of `Host`.
        let name = if !is_bare { format!("{host}:{port}") } else { host.to_owned() };
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self {
            authority: Authority { host: host.trim_start_matches('[').trim_end_matches(']').into(), port },
            host: HeaderValue::try_from(name).map_err(|_| "the host is not valid")?,
            path: Uri::from(path),
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
            ("HTTP://Host/", "Host", 80, "Host", "/"),
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
        for url in ["", "/relative", "bad://uri", "https://example.com/", "http:///x", "http://host:port/", "not a url"]
        {
            assert!(Address::parse(url).is_err(), "{url:?}");
        }
    }
}
