/// A media type (RFC 2046, with the parameter syntax of RFC 9110, section 8.3.1), borrowed from its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MediaType<'a> {
    main: &'a str,
    sub: &'a str,
    parameters: &'a str,
}

/// In which charset text stands, as far as this crate can put text into it and take text out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    Ascii,
    Other,
}

impl<'a> MediaType<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (essence, parameters) = match text.find(';') {
            Some(at) => (text[..at].trim_end_matches([' ', '\t']), &text[at..]),
            None => (text, ""),
        };
        let (main, sub) = essence.split_once('/')?;
        let media_type = Self { main, sub, parameters };
        (is_token(main) && is_token(sub) && media_type.parameters().all(|parameter| parameter.is_some()))
            .then_some(media_type)
    }

    /// Whether the type means JSON: the subtype is `json` or ends in `+json`, whatever stands before it.
    pub(crate) fn is_json(&self) -> bool {
        self.sub.eq_ignore_ascii_case("json") || ends_with(self.sub, "+json")
    }

    /// Whether the type is text that people read, so that a JSON string serves a consumer better than base64.
    pub(crate) fn is_text(&self) -> bool {
        self.main.eq_ignore_ascii_case("text") || self.sub.eq_ignore_ascii_case("xml") || ends_with(self.sub, "+xml")
    }

    /// Whether the type is `application/` and the subtype given, without regard to case.
    pub(crate) fn is_application(&self, sub: &str) -> bool {
        self.main.eq_ignore_ascii_case("application") && self.sub.eq_ignore_ascii_case(sub)
    }

    /// The parameter `charset`; UTF-8 when there is none. The first one counts.
    pub(crate) fn charset(&self) -> Charset {
        let mut named = self.parameters().flatten().filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
        match named.next().map(|(_, value)| value.trim_matches('"')) {
            None => Charset::Utf8,
            Some(name) if name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8") => Charset::Utf8,
            Some(name) if name.eq_ignore_ascii_case("us-ascii") || name.eq_ignore_ascii_case("ascii") => Charset::Ascii,
            Some(_) => Charset::Other,
        }
    }

    fn parameters(&self) -> Parameters<'a> {
        Parameters { rest: self.parameters }
    }
}

fn ends_with(text: &str, suffix: &str) -> bool {
    let Some(at) = text.len().checked_sub(suffix.len()) else {
        return false;
    };
    text.as_bytes()[at..].eq_ignore_ascii_case(suffix.as_bytes())
}

/// Names and values one by one; `Some(None)` for what is none, after which nothing more comes. An empty parameter
/// (`;;`, or `;` at the end) is passed over, as RFC 9110 has it.
struct Parameters<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Option<(&'a str, &'a str)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest.trim_start_matches([' ', '\t']);
            if rest.is_empty() {
                return None;
            }
            let Some(rest) = rest.strip_prefix(';') else {
                self.rest = "";
                return Some(None);
            };
            let rest = rest.trim_start_matches([' ', '\t']);
            if rest.is_empty() || rest.starts_with(';') {
                self.rest = rest;
                continue;
            }
            let Some((parameter, rest)) = parameter(rest) else {
                self.rest = "";
                return Some(None);
            };
            self.rest = rest;
            return Some(Some(parameter));
        }
    }
}

/// `token "=" ( token / quoted-string )`, and what follows it. The quotes stay.
fn parameter(text: &str) -> Option<((&str, &str), &str)> {
    let (name, rest) = text.split_once('=')?;
    let end = match rest.strip_prefix('"') {
        Some(quoted) => 1 + quoted_end(quoted)?,
        None => rest.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(rest.len()),
    };
    let (value, rest) = rest.split_at(end);
    (is_token(name) && !value.is_empty()).then_some(((name, value), rest))
}

/// One past the closing quote.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for (text, want) in [
            ("text/plain", true),
            ("application/vnd.x+json; charset=utf-8", true),
            ("text/plain;charset=\"utf-8\"", true),
            ("text/plain; a=b; c=\"d;\\\"e\"", true),
            ("text/plain ; a=b", true),
            ("text/plain;", true),
            ("text/plain;;a=b", true),
            ("multipart/mixed; boundary=gc0p4Jq0M2Yt08jU534c0p", true),
            ("", false),
            ("xyz", false),
            ("text/", false),
            ("/plain", false),
            ("text/plain/x", false),
            (" text/plain", false),
            ("text/plain ", false),
            ("text /plain", false),
            ("text/plain; a", false),
            ("text/plain; a=", false),
            ("text/plain; =b", false),
            ("text/plain; a=\"b", false),
            ("text/plain; a=b c", false),
            ("text/plain, text/html", false),
        ] {
            assert_eq!(MediaType::parse(text).is_some(), want, "{text:?}");
        }
    }

    /// CloudEvents JSON format, "Handling of data".
    #[test]
    fn which_types_mean_json() {
        for (text, want) in [
            ("application/json", true),
            ("Application/JSON", true),
            ("text/json", true),
            ("model/json", true),
            ("application/vnd.x+json; charset=utf-8", true),
            ("application/cloudevents+JSON", true),
            ("application/json-seq", false),
            ("application/jsonl", false),
            ("application/vnd.json.x", false),
            ("text/plain", false),
        ] {
            assert_eq!(MediaType::parse(text).unwrap().is_json(), want, "{text:?}");
        }
    }

    #[test]
    fn charsets() {
        for (text, want) in [
            ("text/plain", Charset::Utf8),
            ("text/plain; CHARSET=UTF-8", Charset::Utf8),
            ("text/plain; charset=\"utf-8\"", Charset::Utf8),
            ("text/plain; x=y; charset=us-ascii", Charset::Ascii),
            ("text/plain; charset=iso-8859-1", Charset::Other),
            ("text/plain; charset=utf-16", Charset::Other),
        ] {
            assert_eq!(MediaType::parse(text).unwrap().charset(), want, "{text:?}");
        }
    }
}
