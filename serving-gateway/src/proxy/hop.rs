//! Requests that one gateway passes on to another, which has instances of the revision.
//!
//! The first gateway has chosen the revision and made the headers what the instance is to see. What it shows to the second
//! is known to gateways alone, and goes no further.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What only the other gateway and those who pass on to it know.
pub const PASS: HeaderName = HeaderName::from_static("pelton-gateway-pass");

/// The uid of the revision.
pub const REVISION: HeaderName = HeaderName::from_static("pelton-gateway-revision");

/// On an answer of the other gateway: no instance has had the request. Nobody else sees it.
pub const NOT_TAKEN: HeaderName = HeaderName::from_static("pelton-gateway-not-taken");

/// What a request shows to another gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    pass: HeaderValue,
    revision: HeaderValue,
}

impl Hop {
    /// For requests to a revision, passed on to the gateway that knows `pass`. `None` when one of them cannot be in a
    /// header.
    #[must_use]
    pub fn new(pass: &str, revision: &str) -> Option<Self> {
        let mut pass = HeaderValue::from_str(pass).ok()?;
        pass.set_sensitive(true);
        Some(Self { pass, revision: HeaderValue::from_str(revision).ok()? })
    }
}

/// Makes a request show what it should: nothing where it goes to an instance.
pub fn show(hop: Option<&Hop>, headers: &mut HeaderMap) {
    match hop {
        Some(hop) => {
            headers.insert(PASS, hop.pass.clone());
            headers.insert(REVISION, hop.revision.clone());
        }
        None => {
            headers.remove(PASS);
            headers.remove(REVISION);
        }
    }
}

/// Whether an answer says that another gateway has given the request to no instance. An instance's own word is nothing.
#[must_use]
pub fn was_not_taken(hop: Option<&Hop>, headers: &HeaderMap) -> bool {
    hop.is_some() && headers.contains_key(NOT_TAKEN)
}

/// The uid of the revision that another gateway has chosen. `None` when nobody did who knows `pass`: then what the request
/// shows is nothing.
#[must_use]
pub fn passed_on<'a>(headers: &'a HeaderMap, pass: Option<&str>) -> Option<&'a str> {
    let shown = headers.get(PASS)?.as_bytes();
    let known = pass?.as_bytes();
    // All of it is looked at, so that the time does not tell how much of a guess is right.
    let differs = shown.iter().zip(known).fold(0, |differs, (a, b)| differs | (a ^ b));
    let is_known = shown.len() == known.len() && differs == 0 && !known.is_empty();
    headers.get(REVISION).filter(|_| is_known)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_pass_is_believed() {
        let shown = |pass: &str| {
            let mut headers = HeaderMap::new();
            show(Some(&Hop::new(pass, "uid").unwrap()), &mut headers);
            headers
        };
        let rows = [
            ("secret", Some("secret"), Some("uid")),
            ("secret", Some("secres"), None),
            ("secre", Some("secret"), None),
            ("", Some(""), None),
            ("secret", None, None),
        ];
        for (shows, known, want) in rows {
            assert_eq!(passed_on(&shown(shows), known), want, "{shows} {known:?}");
        }
        assert_eq!(passed_on(&HeaderMap::new(), Some("secret")), None);
        let mut headers = shown("secret");
        show(None, &mut headers);
        assert!(headers.is_empty(), "an instance sees neither");
    }
}
