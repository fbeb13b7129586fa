use std::net::Ipv6Addr;

/// Whether the text is a URI-reference (RFC 3986, section 4.1): a URI, or relative. Only ASCII, as the RFC has it.
pub(crate) fn is_uri_reference(text: &str) -> bool {
    check(text.as_bytes()).is_some()
}

/// Whether the text is a URI with a scheme.
///
/// RFC 3986, section 4.3, allows no fragment in an absolute URI; one is accepted here, because schemas are often named
/// with one and no SDK refuses it.
pub(crate) fn is_absolute_uri(text: &str) -> bool {
    check(text.as_bytes()) == Some(Form::Uri)
}

#[derive(PartialEq, Eq)]
enum Form {
    Uri,
    Relative,
}

// What a byte may be part of. A colon is a path character, but not in the first segment of a relative path.
const PATH: u8 = 1;
const QUERY: u8 = 2;
const USER: u8 = 4;
const HOST: u8 = 8;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => PATH | QUERY | USER | HOST,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => PATH | QUERY | USER | HOST,
            b':' => PATH | QUERY | USER,
            b'@' => PATH | QUERY,
            b'/' => PATH | QUERY,
            b'?' => QUERY,
            _ => 0,
        };
        byte += 1;
    }
    table
};

fn check(text: &[u8]) -> Option<Form> {
    let (text, fragment) = split(text, b'#');
    let (text, query) = split(text, b'?');
    fragment.is_none_or(|fragment| holds(fragment, QUERY)).then_some(())?;
    query.is_none_or(|query| holds(query, QUERY)).then_some(())?;
    // A colon before the first slash ends a scheme, or the text is nothing at all.
    let first_segment = text.iter().position(|&byte| byte == b'/').unwrap_or(text.len());
    let (form, rest) = match text[..first_segment].iter().position(|&byte| byte == b':') {
        Some(colon) => {
            is_scheme(&text[..colon]).then_some(())?;
            (Form::Uri, &text[colon + 1..])
        }
        None => (Form::Relative, text),
    };
    let path = match rest.strip_prefix(b"//") {
        Some(rest) => {
            let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
            is_authority(&rest[..end]).then_some(())?;
            &rest[end..]
        }
        None => rest,
    };
    holds(path, PATH).then_some(form)
}

fn split(text: &[u8], mark: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&byte| byte == mark) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// Whether every byte is of the class, or part of a percent escape.
fn holds(mut text: &[u8], class: u8) -> bool {
    while let Some((&byte, rest)) = text.split_first() {
        text = rest;
        if CLASS[usize::from(byte)] & class != 0 {
            continue;
        }
        match rest {
            [high, low, rest @ ..] if byte == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                text = rest;
            }
            _ => return false,
        }
    }
    true
}

fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

/// `[ userinfo "@" ] host [ ":" port ]`.
fn is_authority(text: &[u8]) -> bool {
    let (user, host_port) = match text.iter().rposition(|&byte| byte == b'@') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (&[][..], text),
    };
    let (host_ok, port) = if let Some(literal) = host_port.strip_prefix(b"[") {
        let (address, rest) = split(literal, b']');
        match rest {
            Some(rest) => (is_ip_literal(address), rest),
            None => return false,
        }
    } else {
        let colon = host_port.iter().position(|&byte| byte == b':').unwrap_or(host_port.len());
        (holds(&host_port[..colon], HOST), &host_port[colon..])
    };
    let port_ok = match port.split_first() {
        None => true,
        Some((b':', digits)) => digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    holds(user, USER) && host_ok && port_ok
}

/// What stands between the brackets: an IPv6 address, or `v`, a version and an address of that version.
fn is_ip_literal(text: &[u8]) -> bool {
    if let Some(future) = text.strip_prefix(b"v").or_else(|| text.strip_prefix(b"V")) {
        let (version, address) = split(future, b'.');
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && address.is_some_and(|address| {
                !address.is_empty() && address.iter().all(|&byte| CLASS[usize::from(byte)] & USER != 0)
            });
    }
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3986, sections 1.1.2, 4.1 and 4.3: (text, is a URI-reference, is a URI).
    #[test]
    fn uris() {
        for (text, reference, uri) in [
            ("https://example.com/a/b?c=d#e", true, true),
            ("https://github.com/cloudevents/spec/pull", true, true),
            ("mailto:cncf-wg-serverless@lists.cncf.io", true, true),
            ("urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", true, true),
            ("ldap://[2001:db8::7]/c=GB?objectClass?one", true, true),
            ("http://[v7.a:b]/", true, true),
            ("http://u:p@h:80/", true, true),
            ("http://h:/", true, true),
            ("file:///etc/hosts", true, true),
            ("HTTP://Example.COM", true, true),
            ("a:", true, true),
            ("https://example.com/a%20b", true, true),
            ("/cloudevents/spec/pull/123", true, false),
            ("1-555-123-4567", true, false),
            ("//host/path", true, false),
            ("../up", true, false),
            ("?query", true, false),
            ("#fragment", true, false),
            ("a/b:c", true, false),
            ("", true, false),
            ("https://example.com/a b", false, false),
            ("https://example.com/%", false, false),
            ("https://example.com/%2", false, false),
            ("https://example.com/%zz", false, false),
            ("https://example.com/é", false, false),
            ("http://[::1", false, false),
            ("http://[::g]/", false, false),
            ("http://[v.a]/", false, false),
            ("http://h:80a/", false, false),
            ("http://[::1]x/", false, false),
            ("1:2", false, false),
            (":a", false, false),
            ("my_service:thing", false, false),
            ("a[b]", false, false),
            ("a\"b", false, false),
            ("a<b>", false, false),
            ("a\\b", false, false),
            ("a^b", false, false),
            ("{a}", false, false),
            ("a#b#c", false, false),
        ] {
            assert_eq!(is_uri_reference(text), reference, "URI-reference {text:?}");
            assert_eq!(is_absolute_uri(text), uri, "URI {text:?}");
        }
    }
}
