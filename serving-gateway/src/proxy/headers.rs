//! What a gateway changes in the headers that it passes on (RFC 9110, section 7.6; Knative's header contract).
//!
//! Fields that belong to one connection end here. Fields by which Knative's own parts talk to each other are taken from
//! nobody: they would be believed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::hop;

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The custom domain of a request that came by one.
pub const ORIGINAL_HOST: HeaderName = HeaderName::from_static("k-original-host");

/// Fields of one connection, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// What Knative's parts tell each other, or ours do, and nobody else.
const INTERNAL: [HeaderName; 8] = [
    HeaderName::from_static("knative-serving-revision"),
    HeaderName::from_static("knative-serving-namespace"),
    HeaderName::from_static("knative-serving-default-route"),
    HeaderName::from_static("k-proxy-request"),
    HeaderName::from_static("k-passthrough-lb"),
    ORIGINAL_HOST,
    hop::PASS,
    hop::REVISION,
];

/// Why a request is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// A front and a back that choose differently between the two read different requests from one connection.
    #[error("Content-Length and Transfer-Encoding in one request")]
    TwoLengths,
    /// HTTP/1.0 has no chunks.
    #[error("Transfer-Encoding in a request of HTTP/1.0")]
    ChunkedHttp10,
    /// Only `chunked`, once, tells where a request ends.
    #[error("a Transfer-Encoding other than chunked")]
    UnknownCoding,
    /// RFC 9112, section 3.2.
    #[error("there is no Host, or more than one")]
    Host,
}

/// Checks what would let two readers of one connection disagree on where a request ends or whom it is for.
///
/// # Errors
/// [`BadRequest`]; the connection is not to be used again.
pub fn check(version: Version, headers: &HeaderMap) -> Result<(), BadRequest> {
    if version >= Version::HTTP_2 {
        return Ok(());
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(BadRequest::TwoLengths);
        }
        if version == Version::HTTP_10 {
            return Err(BadRequest::ChunkedHttp10);
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(BadRequest::UnknownCoding);
        }
    }
    match (headers.get_all(HOST).iter().count(), version) {
        (1, _) | (0, Version::HTTP_10) => Ok(()),
        _ => Err(BadRequest::Host),
    }
}

/// The protocol that a request asks to change to, such as `websocket`. An offer of HTTP/2 is not taken (RFC 9113, section 3.1
/// has done away with it): clients that make it go on without.
#[must_use]
pub fn upgrade(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    if version != Version::HTTP_11 || !names_in(headers, CONNECTION).any(|name| name.eq_ignore_ascii_case("upgrade")) {
        return None;
    }
    headers.get(UPGRADE).filter(|protocol| !protocol.as_bytes().eq_ignore_ascii_case(b"h2c")).cloned()
}

fn names_in(headers: &HeaderMap, field: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(field).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

/// Takes out what belongs to the connection that a message came on.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = names_in(headers, CONNECTION).filter_map(|name| name.parse().ok()).collect();
        for name in named {
            headers.remove(name);
        }
    }
    remove(headers, &HOP_BY_HOP);
}

/// Takes `names` out. Hardly any message has one of them, and looking for each would be a hash for each.
fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    if headers.keys().any(|name| names.contains(name)) {
        for name in names {
            headers.remove(name);
        }
    }
}

/// Who asked, and by what name.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The address that the request came from; `None` from within this process.
    pub peer: Option<IpAddr>,
    /// The host that the request named, as it was written.
    pub host: &'a str,
    /// The host that the instance is to see, when it is another.
    pub rewritten: Option<&'a str>,
}

/// Makes the headers of a request what an instance is to see.
pub fn for_instance(headers: &mut HeaderMap, asked: Asked<'_>) {
    let wants_trailers = names_in(headers, TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
    strip_hop_by_hop(headers);
    remove(headers, &INTERNAL);
    // The gateway has told the client to go on by itself.
    remove(headers, &[EXPECT, TE]);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    let host = asked.rewritten.unwrap_or(asked.host);
    if headers.get(HOST).is_none_or(|said| said.as_bytes() != host.as_bytes())
        && let Ok(host) = HeaderValue::from_str(host)
    {
        headers.insert(HOST, host);
    }
    if let (Some(_), Ok(original)) = (asked.rewritten, HeaderValue::from_str(asked.host)) {
        headers.insert(ORIGINAL_HOST, original);
    }
    forwarded(headers, asked);
}

/// Takes what belongs to the connection to the instance out of its answer. Trailers go on.
pub fn for_client(headers: &mut HeaderMap) {
    remove(headers, &[hop::NOT_TAKEN]);
    if !headers.contains_key(CONNECTION) {
        return remove(headers, &HOP_BY_HOP);
    }
    // `Connection` may name the field.
    let trailers: Vec<HeaderValue> = headers.get_all(TRAILER).iter().cloned().collect();
    strip_hop_by_hop(headers);
    if !headers.contains_key(TRAILER) {
        for trailer in trailers {
            headers.append(TRAILER, trailer);
        }
    }
}

/// Over HTTP/2 each cookie may have a field of its own; over HTTP/1.1 there is one (RFC 9113, section 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// `X-Forwarded-*` gets this hop; `Forwarded` (RFC 7239) says the same where nobody has said anything.
fn forwarded(headers: &mut HeaderMap, asked: Asked<'_>) {
    if let Some(peer) = asked.peer {
        let mut all: Vec<u8> = Vec::with_capacity(48);
        for value in headers.get_all(X_FORWARDED_FOR) {
            all.extend_from_slice(value.as_bytes());
            all.extend_from_slice(b", ");
        }
        // Nothing that is written to memory fails.
        let _ = write!(all, "{peer}");
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(all)) {
            headers.insert(X_FORWARDED_FOR, value);
        }
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if !headers.contains_key(X_FORWARDED_HOST) {
        let is_said = |said: &&HeaderValue| said.as_bytes() == asked.host.as_bytes();
        let host = headers.get(HOST).filter(is_said).cloned();
        if let Some(host) = host.or_else(|| HeaderValue::from_str(asked.host).ok()) {
            headers.insert(X_FORWARDED_HOST, host);
        }
    }
    if !headers.contains_key(FORWARDED)
        && let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(forwarded_of(headers)))
    {
        headers.insert(FORWARDED, value);
    }
}

/// The first element carries all that is known, each further hop its address.
fn forwarded_of(headers: &HeaderMap) -> String {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let mut out = String::with_capacity(96);
    let mut hops = names_in(headers, X_FORWARDED_FOR);
    if let Some(hop) = hops.next() {
        out.push_str("for=");
        push_node(&mut out, hop);
    }
    for (parameter, value) in [("host=", text(X_FORWARDED_HOST)), ("proto=", text(X_FORWARDED_PROTO))] {
        let Some(value) = value else { continue };
        if !out.is_empty() {
            out.push(';');
        }
        out.push_str(parameter);
        push_token_or_quoted(&mut out, value);
    }
    for hop in hops {
        out.push_str(", for=");
        push_node(&mut out, hop);
    }
    out
}

/// A node of RFC 7239, section 6: IPv6 in brackets and quotes.
fn push_node(out: &mut String, hop: &str) {
    // Nothing that is written to memory fails.
    let _ = match hop.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => write!(out, "\"[{address}]\""),
        Ok(IpAddr::V4(address)) => write!(out, "{address}"),
        Err(_) => {
            push_token_or_quoted(out, hop);
            Ok(())
        }
    };
}

fn push_token_or_quoted(out: &mut String, text: &str) {
    if !text.is_empty() && text.bytes().all(is_token_byte) {
        return out.push_str(text);
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Of RFC 9110, section 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests;
