//! From the path of a request to the name of a Broker.
//!
//! `/{namespace}/{broker}`, one trailing slash allowed, the query ignored (Knative Eventing's shared broker ingress).

use std::borrow::Cow;

use pelton_resource::is_dns_label;
use percent_encoding::percent_decode_str;

/// Why a path names no Broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadPath {
    /// It is `/`.
    Root,
    /// It has not exactly two segments.
    Segments,
    /// A segment is no DNS label, so no Broker can have that name.
    Name,
}

/// The path as a key of the table of Brokers. It has not been checked: only a path that names a Broker is in the table,
/// so the check is left for those that are not.
pub(crate) fn key(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path)
}

/// The path as a checked key, percent escapes undone.
pub(crate) fn resolve(path: &str) -> Result<Cow<'_, str>, BadPath> {
    if path == "/" || path.is_empty() {
        return Err(BadPath::Root);
    }
    let Some((namespace, name)) = key(path).split_once('/') else { return Err(BadPath::Segments) };
    if name.contains('/') || name.is_empty() || namespace.is_empty() {
        return Err(BadPath::Segments);
    }
    // Segments are told apart before escapes are undone, so `%2F` cannot make one.
    let (namespace, name) = (decode(namespace)?, decode(name)?);
    if !is_dns_label(&namespace) || !is_dns_label(&name) {
        return Err(BadPath::Name);
    }
    Ok(match (namespace, name) {
        (Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(key(path)),
        (namespace, name) => Cow::Owned(format!("{namespace}/{name}")),
    })
}

fn decode(segment: &str) -> Result<Cow<'_, str>, BadPath> {
    percent_decode_str(segment).decode_utf8().map_err(|_| BadPath::Name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_name_a_broker_or_say_why_not() {
        let longest = "x".repeat(63);
        let too_long = "x".repeat(64);
        for (path, want) in [
            ("/default/orders", Ok("default/orders")),
            ("/default/orders/", Ok("default/orders")),
            ("/d%65fault/orders", Ok("default/orders")),
            (&format!("/a/{longest}"), Ok(&*format!("a/{longest}"))),
            ("/", Err(BadPath::Root)),
            ("", Err(BadPath::Root)),
            ("/default", Err(BadPath::Segments)),
            ("/default/", Err(BadPath::Segments)),
            ("//", Err(BadPath::Segments)),
            ("//orders", Err(BadPath::Segments)),
            ("/default/orders/more", Err(BadPath::Segments)),
            ("/default/orders//", Err(BadPath::Segments)),
            ("//default/orders", Err(BadPath::Segments)),
            ("*", Err(BadPath::Segments)),
            ("/default%2Forders", Err(BadPath::Segments)),
            ("/default/a%2Fb", Err(BadPath::Name)),
            ("/default/Orders", Err(BadPath::Name)),
            ("/default/..", Err(BadPath::Name)),
            ("/../etc", Err(BadPath::Name)),
            ("/%2e%2e/etc", Err(BadPath::Name)),
            ("/default/-a", Err(BadPath::Name)),
            ("/default/a-", Err(BadPath::Name)),
            ("/default/a_b", Err(BadPath::Name)),
            ("/default/a.b", Err(BadPath::Name)),
            ("/default/%ff", Err(BadPath::Name)),
            ("/default/a%00", Err(BadPath::Name)),
            (&format!("/a/{too_long}"), Err(BadPath::Name)),
        ] {
            assert_eq!(resolve(path).as_deref(), want.as_ref().map(|key| *key), "{path}");
        }
    }

    proptest! {
        /// A path that resolves without escapes is found in the table by its unchecked key.
        #[test]
        fn the_fast_key_is_the_checked_key(path in "[/a-zA-Z0-9%.-]{0,20}") {
            if let Ok(checked) = resolve(&path) && !path.contains('%') {
                prop_assert_eq!(key(&path), &*checked);
            }
        }

        /// Nothing that resolves holds anything but two labels and the slash between them.
        #[test]
        fn what_resolves_is_a_name(path in "\\PC{0,30}") {
            if let Ok(checked) = resolve(&path) {
                let (namespace, name) = checked.split_once('/').unwrap();
                prop_assert!(is_dns_label(namespace) && is_dns_label(name));
            }
        }
    }
}
