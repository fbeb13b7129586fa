use std::borrow::Cow;

use crate::invalid::Rule;

/// How attribute values stand in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HeaderEncoding {
    /// Percent-encoded, as the CloudEvents HTTP binding demands (section 3.1.3.2).
    #[default]
    Percent,
    /// As they are, for the SDKs that neither encode nor decode. White space at either end of a value is lost.
    Raw,
}

/// Whether the byte may stand in a header as it is: printable ASCII without space, double quote and percent.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && byte != b'"' && byte != b'%'
}

/// The value as it goes into a header.
pub(super) fn encode(text: &str) -> Cow<'_, str> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(encoded_len(text));
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Cow::Owned(out)
}

/// Length of [`encode`]'s answer in bytes.
pub(super) fn encoded_len(text: &str) -> usize {
    text.bytes().map(|byte| if is_plain(byte) { 1 } else { 3 }).sum()
}

/// The value that a header stands for: trimmed, unquoted, percent-decoded once, and UTF-8.
///
/// Borrowed where nothing needs to be undone, as nearly always. A percent sign without two hex digits stays, as several
/// SDKs send `100%` so; so do bytes past ASCII, as others send UTF-8 so.
pub(super) fn decode(raw: &[u8], encoding: HeaderEncoding) -> Result<Cow<'_, str>, Rule> {
    let raw = raw.trim_ascii();
    let is_coded = || raw.iter().any(|&byte| byte == b'%' || byte == b'"');
    if encoding == HeaderEncoding::Raw || !is_coded() {
        return std::str::from_utf8(raw).map(Cow::Borrowed).map_err(|_| Rule::NotUtf8);
    }
    let decoded = percent_decode(&unquote(raw)?);
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Rule::NotUtf8)
}

/// Undoes the quoting of RFC 9110, section 5.6.4, for stretches anywhere in the value. Older senders quote.
fn unquote(raw: &[u8]) -> Result<Cow<'_, [u8]>, Rule> {
    if !raw.contains(&b'"') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut in_quotes = false;
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_quotes = !in_quotes,
            b'\\' if in_quotes => out.push(bytes.next().ok_or(Rule::UnclosedQuote)?),
            other => out.push(other),
        }
    }
    if in_quotes { Err(Rule::UnclosedQuote) } else { Ok(Cow::Owned(out)) }
}

fn percent_decode(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if let (b'%', &[high, low, ref after @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (hex_digit(high), hex_digit(low))
        {
            out.push((high << 4) | low);
            rest = after;
        } else {
            out.push(byte);
        }
    }
    out
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CloudEvents HTTP binding, section 3.1.3.2: encoding, and back.
    #[test]
    fn values_are_percent_encoded() {
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("100%", "100%25"),
            ("%20", "%2520"),
            ("say \"hi\"", "say%20%22hi%22"),
            ("a\\b", "a\\b"),
            ("!#$&'()*+,-./:;<=>?@[]^_`{|}~", "!#$&'()*+,-./:;<=>?@[]^_`{|}~"),
            (" both ends ", "%20both%20ends%20"),
            ("\u{a0}", "%C2%A0"),
            ("\u{7f}", "%7F"),
        ] {
            assert_eq!(encode(text), want, "{text:?}");
            assert_eq!(encoded_len(text), want.len(), "{text:?}");
            assert_eq!(decode(want.as_bytes(), HeaderEncoding::Percent).as_deref(), Ok(text), "{want:?}");
        }
    }

    /// CloudEvents HTTP binding, section 3.1.3.2: decoding, with the cases that the text leaves open.
    #[test]
    fn values_are_decoded() {
        for (raw, want) in [
            (&b" \tx\t "[..], Ok("x")),
            (b"Euro%20%e2%82%ac", Ok("Euro €")),
            (b"%41%42", Ok("AB")),
            (b"%2520", Ok("%20")),
            (b"a%0Ab", Ok("a\nb")), // refused later, as no attribute may hold it
            // Quotes.
            (b"\"quoted value\"", Ok("quoted value")),
            (b"\"a\\\"b\\\\c\"", Ok("a\"b\\c")),
            (b"\"a%20b\"", Ok("a b")),
            (b"a\" b \"c\" d\"", Ok("a b c d")),
            (b"\"\"", Ok("")),
            (b"a\\b", Ok("a\\b")),
            (b"\"open", Err(Rule::UnclosedQuote)),
            (b"\"open\\", Err(Rule::UnclosedQuote)),
            (b"5\" disk", Err(Rule::UnclosedQuote)),
            // Not settled by the text: a percent sign without two hex digits stays.
            (b"100%", Ok("100%")),
            (b"100% sure", Ok("100% sure")),
            (b"%4", Ok("%4")),
            (b"%zz", Ok("%zz")),
            (b"%%41", Ok("%A")),
            // Not settled by the text: raw bytes that are UTF-8 are taken.
            ("é€😀".as_bytes(), Ok("é€😀")),
            ("é%20".as_bytes(), Ok("é ")),
            (b"\xff", Err(Rule::NotUtf8)),
            (b"\xc3%20", Err(Rule::NotUtf8)),
            // Escapes that are not UTF-8.
            (b"%C0%A0", Err(Rule::NotUtf8)),
            (b"%80", Err(Rule::NotUtf8)),
            (b"%ED%A0%80", Err(Rule::NotUtf8)),
            (b"%E2%82", Err(Rule::NotUtf8)),
            (b"%F4%90%80%80", Err(Rule::NotUtf8)),
        ] {
            let got = decode(raw, HeaderEncoding::Percent);
            assert_eq!(got.as_deref(), want.as_ref().map(|text| &**text), "{:?}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn raw_values_stay_as_they_are() {
        for (raw, want) in [
            (&b" a%20b "[..], Ok("a%20b")),
            (b"\"q\"", Ok("\"q\"")),
            (b"\"open", Ok("\"open")),
            ("é".as_bytes(), Ok("é")),
            (b"\xff", Err(Rule::NotUtf8)),
        ] {
            let got = decode(raw, HeaderEncoding::Raw);
            assert_eq!(got.as_deref(), want.as_ref().map(|text| &**text), "{:?}", String::from_utf8_lossy(raw));
        }
    }
}
