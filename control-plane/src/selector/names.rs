//! What Kubernetes takes as the key and the value of a label.

/// Longest value, and longest key behind its prefix, in bytes.
const MAX_NAME_BYTES: usize = 63;
/// Longest prefix of a key, in bytes: that of a DNS name.
const MAX_PREFIX_BYTES: usize = 253;

/// What is wrong with a key or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A key has a name, behind the `/` if there is one.
    #[error("the name is missing")]
    Empty,
    /// The name or the value is too long.
    #[error("must be no more than 63 bytes")]
    TooLong,
    /// The name or the value has other characters.
    #[error("must consist of letters, digits, '-', '_' or '.', and start and end with a letter or a digit")]
    Characters,
    /// The prefix is no DNS name.
    #[error("the part before '/' must be a DNS subdomain in lower case of no more than 253 bytes")]
    Prefix,
}

/// `name`, or `dns.subdomain/name`.
pub(super) fn check_key(key: &str) -> Result<(), NameError> {
    let name = match key.split_once('/') {
        Some((prefix, _)) if !is_dns_subdomain(prefix) => return Err(NameError::Prefix),
        Some((_, name)) => name,
        None => key,
    };
    if name.is_empty() { Err(NameError::Empty) } else { check_value(name) }
}

/// As a name, but empty is one as well.
pub(super) fn check_value(value: &str) -> Result<(), NameError> {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if value.len() > MAX_NAME_BYTES {
        Err(NameError::TooLong)
    } else if value.bytes().all(is_inner) && is_framed(value, |b| b.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(NameError::Characters)
    }
}

fn is_dns_subdomain(text: &str) -> bool {
    let is_outer = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| is_outer(b) || b == b'-') && is_framed(label, is_outer)
    };
    text.len() <= MAX_PREFIX_BYTES && text.split('.').all(is_label)
}

/// Whether the first and the last byte are such; there may be none.
fn is_framed(text: &str, is_outer: impl Fn(u8) -> bool) -> bool {
    [text.bytes().next(), text.bytes().next_back()].into_iter().flatten().all(is_outer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_qualified_names() {
        let (n63, n64) = ("n".repeat(63), "n".repeat(64));
        let (p253, p254) = (format!("{}a/x", "a.".repeat(126)), format!("{}aa/x", "a.".repeat(126)));
        let long_label = format!("{}/x", "l".repeat(100));
        for key in
            ["a", "A", "0", "a.b", "a-b_c.D", "app.kubernetes.io/name", "a/b", "0-a.1/B_c", &n63, &p253, &long_label]
        {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        use NameError::{Characters, Empty, Prefix, TooLong};
        let rows = [
            ("", Empty),
            ("a/", Empty),
            ("/a", Prefix),
            ("/", Prefix),
            ("A/a", Prefix),
            ("a_b/a", Prefix),
            ("-a/a", Prefix),
            ("a-/a", Prefix),
            ("a..b/a", Prefix),
            (".a/a", Prefix),
            ("a./a", Prefix),
            ("a/b/c", Characters),
            ("-a", Characters),
            ("a-", Characters),
            (".", Characters),
            ("a b", Characters),
            ("é", Characters),
            ("a\0", Characters),
            (&n64, TooLong),
            (&p254, Prefix),
        ];
        for (key, want) in rows {
            assert_eq!(check_key(key), Err(want), "{key}");
        }
    }

    #[test]
    fn values_may_be_empty() {
        let (n63, n64) = ("n".repeat(63), "n".repeat(64));
        for value in ["", "a", "A.b-c_0", &n63] {
            assert_eq!(check_value(value), Ok(()), "{value}");
        }
        for value in ["-", "a-", "_a", "a/b", "a b", "ß"] {
            assert_eq!(check_value(value), Err(NameError::Characters), "{value}");
        }
        assert_eq!(check_value(&n64), Err(NameError::TooLong));
    }
}
