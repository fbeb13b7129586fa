use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::error::DecodeReason;
use crate::invalid::excerpt;
use crate::rules::media_type::{Charset, MediaType};

/// `Content-Type` of an event in structured mode, JSON format.
pub const STRUCTURED_JSON: &str = "application/cloudevents+json";

/// `Content-Type` of a batch, JSON format.
pub const BATCH_JSON: &str = "application/cloudevents-batch+json";

/// In which of the three ways an event travels in an HTTP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentMode {
    /// Attributes in headers, `data` in the body.
    Binary,
    /// The whole event in the body.
    Structured,
    /// Events in the body.
    Batched,
}

/// What the headers claim to be: the mode by `Content-Type` without regard to case, batch before structured; else
/// binary if there is any header `ce-...`. `None` when the message claims to be no CloudEvent.
///
/// Whether the format is known, and whether the attributes are all there, is for [`decode`](super::decode) to say.
#[must_use]
pub fn peek_mode(headers: &HeaderMap) -> Option<ContentMode> {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes().trim_ascii());
    if has_prefix(content_type, b"application/cloudevents-batch") {
        Some(ContentMode::Batched)
    } else if has_prefix(content_type, b"application/cloudevents") {
        Some(ContentMode::Structured)
    } else {
        headers.keys().any(|name| name.as_str().starts_with("ce-")).then_some(ContentMode::Binary)
    }
}

/// Whether the text, as `Content-Type`, would be taken for an envelope.
pub(super) fn is_envelope(content_type: &str) -> bool {
    has_prefix(content_type.as_bytes(), b"application/cloudevents")
}

fn has_prefix(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Checks that the envelope is in JSON and UTF-8. `want` is the subtype, such as `cloudevents+json`.
pub(super) fn check_format(headers: &HeaderMap, want: &str) -> Result<(), DecodeReason> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let value = values.next().map_or(&b""[..], |value| value.as_bytes().trim_ascii());
    if values.next().is_some() {
        return Err(DecodeReason::RepeatedContentType);
    }
    let text = String::from_utf8_lossy(value);
    let unsupported = || DecodeReason::UnsupportedFormat { media_type: excerpt(&text) };
    let media_type = MediaType::parse(&text).ok_or_else(unsupported)?;
    if !media_type.is_application(want) {
        return Err(unsupported());
    }
    match media_type.charset() {
        Charset::Utf8 | Charset::Ascii => Ok(()),
        Charset::Other => Err(DecodeReason::UnsupportedCharset { media_type: excerpt(&text) }),
    }
}
