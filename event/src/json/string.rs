use std::borrow::Cow;

use crate::invalid::Rule;

/// A string of JSON text whose grammar has been checked: what stands between its quotes, and whether that holds an
/// escape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawString<'a> {
    pub(crate) inner: &'a str,
    pub(crate) has_escape: bool,
}

impl<'a> RawString<'a> {
    /// The characters, borrowed where no escape is among them. A surrogate escape without its partner is no character.
    pub(crate) fn unescape(self) -> Result<Cow<'a, str>, Rule> {
        if !self.has_escape {
            return Ok(Cow::Borrowed(self.inner));
        }
        let mut out = String::with_capacity(self.inner.len());
        let mut rest = self.inner;
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            let escape = rest.as_bytes()[at + 1];
            rest = &rest[at + 2..];
            out.push(match escape {
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let (character, after) = unicode_escape(rest).ok_or(Rule::LoneSurrogate)?;
                    rest = after;
                    character
                }
                quote_or_slash => char::from(quote_or_slash),
            });
        }
        out.push_str(rest);
        Ok(Cow::Owned(out))
    }
}

/// The character of `XXXX`, or of `XXXX\uXXXX` where the first is a high surrogate, and what follows.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let (first, rest) = hex4(text)?;
    if !(0xd800..=0xdfff).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let (second, rest) = hex4(rest.strip_prefix("\\u")?)?;
    if first >= 0xdc00 || !(0xdc00..=0xdfff).contains(&second) {
        return None;
    }
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, rest))
}

fn hex4(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

/// Writes the text as a JSON string, escaping no more than JSON asks for.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => &[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]],
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..at]);
        out.extend_from_slice(escape);
        start = at + 1;
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}
