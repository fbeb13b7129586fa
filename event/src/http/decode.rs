use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use super::error::{DecodeError, DecodeReason};
use super::header_value::{self, HeaderEncoding};
use super::mode::{self, ContentMode, peek_mode};
use crate::attribute::Core;
use crate::frame::{DataKind, Event, Extension, Parts, Value};
use crate::invalid::{InvalidEvent, Rule};
use crate::json::{self, JsonFault};
use crate::limits::{DEFAULT_MAX_BATCH_BYTES, DEFAULT_MAX_BATCH_EVENTS, DEFAULT_MAX_EVENT_BYTES};
use crate::rules::check_core;

/// How to read, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeOptions {
    /// How attribute values stand in headers.
    pub header_encoding: HeaderEncoding,
    /// Largest event, in bytes: attributes and data in binary mode, the text of the event in the others.
    pub max_event_bytes: usize,
    /// Most events in a batch.
    pub max_batch_events: usize,
    /// Largest body of a batch, in bytes.
    pub max_batch_bytes: usize,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            header_encoding: HeaderEncoding::default(),
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            max_batch_events: DEFAULT_MAX_BATCH_EVENTS,
            max_batch_bytes: DEFAULT_MAX_BATCH_BYTES,
        }
    }
}

impl DecodeOptions {
    /// Largest body worth reading in that mode, in bytes. What is longer is answered with 413.
    #[must_use]
    pub fn max_body_bytes(&self, mode: ContentMode) -> usize {
        match mode {
            ContentMode::Binary | ContentMode::Structured => self.max_event_bytes,
            ContentMode::Batched => self.max_batch_bytes,
        }
    }
}

/// What a message held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// One event, in binary or structured mode.
    Single(Event),
    /// A batch, in its order; it may be empty.
    Batch(Vec<Event>),
}

/// Reads the event or the batch that a request or response carries. A batch is read whole or not at all.
///
/// # Errors
///
/// [`DecodeError`] says what is wrong, where, and with which status to answer.
pub fn decode(headers: &HeaderMap, body: Bytes, options: &DecodeOptions) -> Result<Decoded, DecodeError> {
    let mode = peek_mode(headers).ok_or(DecodeReason::NotAnEvent)?;
    match mode {
        ContentMode::Binary => binary(headers, &body, options).map(Decoded::Single),
        ContentMode::Structured => {
            mode::check_format(headers, "cloudevents+json")?;
            if body.len() > options.max_event_bytes {
                return Err(DecodeReason::EventTooLarge { limit_bytes: options.max_event_bytes }.into());
            }
            let event = json::read_event(as_utf8(&body)?);
            event.map(Decoded::Single).map_err(|error| DecodeError::from_json(None, error, *options))
        }
        ContentMode::Batched => {
            mode::check_format(headers, "cloudevents-batch+json")?;
            if body.len() > options.max_batch_bytes {
                return Err(DecodeReason::BatchTooLarge { limit_bytes: options.max_batch_bytes }.into());
            }
            let events = json::read_batch(as_utf8(&body)?, options.max_batch_events, options.max_event_bytes);
            events.map(Decoded::Batch).map_err(|(index, error)| DecodeError::from_json(index, error, *options))
        }
    }
}

fn as_utf8(body: &[u8]) -> Result<&str, DecodeReason> {
    std::str::from_utf8(body).map_err(|error| DecodeReason::Json { fault: JsonFault::NotUtf8, at: error.valid_up_to() })
}

/// Binary mode. Values are borrowed from the headers and copied once, into the frame.
fn binary(headers: &HeaderMap, body: &[u8], options: &DecodeOptions) -> Result<Event, DecodeError> {
    if body.len() > options.max_event_bytes {
        return Err(DecodeReason::EventTooLarge { limit_bytes: options.max_event_bytes }.into());
    }
    check_specversion(headers, options.header_encoding)?;
    let mut parts = Parts::default();
    for (name, value) in headers {
        if let Some(attribute) = name.as_str().strip_prefix("ce-") {
            match attribute {
                "specversion" => {}
                "datacontenttype" => return Err(InvalidEvent::new(attribute, Rule::ContentTypeAsAttribute).into()),
                _ => add(&mut parts, attribute, decode_value(attribute, value, options.header_encoding)?)?,
            }
        } else if name == CONTENT_TYPE {
            // As it stands: a media type is never percent-encoded.
            let content_type = Core::DataContentType.name();
            add(&mut parts, content_type, decode_value(content_type, value, HeaderEncoding::Raw)?)?;
        }
    }
    // HTTP cannot tell empty data from none.
    parts.kind = if body.is_empty() { DataKind::None } else { DataKind::Bytes };
    parts.data = body;
    let event = parts.seal().map_err(|invalid| blame_decoding(invalid, headers))?;
    if event.frame_len() > options.max_event_bytes {
        return Err(DecodeReason::EventTooLarge { limit_bytes: options.max_event_bytes }.into());
    }
    Ok(event)
}

/// First of all, so that an event of another version is told so, whatever else is different in it.
fn check_specversion(headers: &HeaderMap, encoding: HeaderEncoding) -> Result<(), InvalidEvent> {
    let invalid = |rule| InvalidEvent::new("specversion", rule);
    let mut values = headers.get_all("ce-specversion").iter();
    let value = values.next().ok_or_else(|| invalid(Rule::Missing))?;
    if values.next().is_some() {
        return Err(invalid(Rule::Duplicate));
    }
    match &*decode_value("specversion", value, encoding)? {
        "1.0" => Ok(()),
        "" => Err(invalid(Rule::Empty)),
        _ => Err(invalid(Rule::UnsupportedSpecVersion)),
    }
}

fn decode_value<'h>(
    name: &str,
    value: &'h HeaderValue,
    encoding: HeaderEncoding,
) -> Result<Cow<'h, str>, InvalidEvent> {
    header_value::decode(value.as_bytes(), encoding).map_err(|rule| InvalidEvent::new(name, rule))
}

fn add<'h>(parts: &mut Parts<'h>, name: &'h str, value: Cow<'h, str>) -> Result<(), InvalidEvent> {
    match Core::from_name(name) {
        Some(core) => {
            let slot = &mut parts.core[core as usize];
            if slot.is_some() {
                return Err(InvalidEvent::new(name, Rule::Duplicate));
            }
            *slot = Some(value);
        }
        None => parts.extensions.push(Extension { name: Cow::Borrowed(name), value: Value::from(value) }),
    }
    Ok(())
}

/// Where a URI was sound as it stood in the header and is none after decoding, the error says so: the sender's SDK
/// probably does not percent-encode.
fn blame_decoding(invalid: InvalidEvent, headers: &HeaderMap) -> InvalidEvent {
    let (core, header) = match invalid.rule() {
        Rule::NotUriReference => (Core::Source, "ce-source"),
        Rule::NotAbsoluteUri => (Core::DataSchema, "ce-dataschema"),
        _ => return invalid,
    };
    let as_it_stood = headers.get(header).and_then(|value| value.to_str().ok());
    match as_it_stood {
        Some(text) if invalid.attribute() == core.name() && check_core(core, text).is_ok() => {
            InvalidEvent::new(core.name(), Rule::NotUriDecoded)
        }
        _ => invalid,
    }
}

#[cfg(test)]
#[test]
fn header_names_are_lower_case() {
    // `http` folds the case of names; attribute names rely on it.
    let name = http::HeaderName::from_bytes(b"CE-MyExt").unwrap();
    assert!(name.as_str()[3..].bytes().all(crate::rules::is_name_byte));
}
