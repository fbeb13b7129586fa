use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::header_value::{self, HeaderEncoding};
use super::mode::is_envelope;
use crate::any::ProtoAny;
use crate::attribute::{AttributeValue, Core};
use crate::frame::{DataKind, Event};
use crate::json;

/// What an event takes in the header section in binary mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinaryCost {
    /// Number of headers, `Content-Type` included.
    pub headers: usize,
    /// Size in bytes, counted as HTTP/2 does: name, value and 32 bytes a header.
    pub header_bytes: usize,
    /// Whether binary mode would say something else: `datacontenttype` is itself a CloudEvents envelope, so a reader
    /// would take the body for the event.
    pub is_ambiguous: bool,
}

impl BinaryCost {
    /// Whether the event can go in binary mode within the bounds given; else deliver it in structured mode.
    #[must_use]
    pub fn fits(&self, max_headers: usize, max_header_bytes: usize) -> bool {
        !self.is_ambiguous && self.headers <= max_headers && self.header_bytes <= max_header_bytes
    }
}

/// What [`encode_binary`] would write, without writing it.
#[must_use]
pub fn binary_cost(event: &Event, encoding: HeaderEncoding) -> BinaryCost {
    const PER_HEADER: usize = 32;
    let len = |text: &str| match encoding {
        HeaderEncoding::Percent => header_value::encoded_len(text),
        HeaderEncoding::Raw => text.len(),
    };
    let mut cost = BinaryCost {
        headers: 1,
        header_bytes: "ce-specversion".len() + "1.0".len() + PER_HEADER,
        is_ambiguous: event.datacontenttype().is_some_and(is_envelope),
    };
    let mut add = |name_len: usize, value_len: usize| {
        cost.headers += 1;
        cost.header_bytes += name_len + value_len + PER_HEADER;
    };
    for core in Core::ALL {
        match (core, event.core(core)) {
            (Core::DataContentType, Some(text)) => add(CONTENT_TYPE.as_str().len(), text.len()),
            (_, Some(text)) => add("ce-".len() + core.name().len(), len(text)),
            (_, None) => {}
        }
    }
    for (name, value) in event.extensions() {
        add("ce-".len() + name.len(), len(&value.to_canonical()));
    }
    if let Some(any) = proto_any(event) {
        if event.datacontenttype().is_none() {
            add(CONTENT_TYPE.as_str().len(), ProtoAny::MEDIA_TYPE.len());
        }
        if let (None, Some(uri)) = (event.dataschema(), any.uri()) {
            add("ce-dataschema".len(), len(uri));
        }
    }
    cost
}

/// Writes the event in binary mode: attributes into the headers, in place of those of the same name, and answers the
/// body. The body, and each value that needs no escapes, shares the memory of the event.
///
/// Ask [`binary_cost`] first whether binary mode will do.
#[must_use]
pub fn encode_binary(event: &Event, encoding: HeaderEncoding, headers: &mut HeaderMap) -> Bytes {
    headers.reserve(2 + Core::COUNT + event.extensions().len());
    headers.insert(HeaderName::from_static("ce-specversion"), HeaderValue::from_static("1.0"));
    for core in Core::ALL {
        let Some(text) = event.core(core) else { continue };
        let value = match core {
            Core::DataContentType if event.datacontenttype_is_implied() => HeaderValue::from_static("application/json"),
            Core::DataContentType => shared_value(event, text, HeaderEncoding::Raw),
            _ => shared_value(event, text, encoding),
        };
        headers.insert(core_header(core), value);
    }
    for (name, value) in event.extensions() {
        let value = match value {
            AttributeValue::Boolean(true) => HeaderValue::from_static("true"),
            AttributeValue::Boolean(false) => HeaderValue::from_static("false"),
            AttributeValue::Integer(number) => HeaderValue::from(number),
            AttributeValue::Binary(_) => owned_value(&value.to_canonical(), encoding),
            AttributeValue::String(text)
            | AttributeValue::Uri(text)
            | AttributeValue::UriRef(text)
            | AttributeValue::Timestamp(text) => shared_value(event, text, encoding),
        };
        headers.insert(extension_header(name), value);
    }
    let Some(any) = proto_any(event) else {
        return event.data_bytes();
    };
    if event.datacontenttype().is_none() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(ProtoAny::MEDIA_TYPE));
    }
    if let (None, Some(uri)) = (event.dataschema(), any.uri()) {
        headers.insert(core_header(Core::DataSchema), owned_value(uri, encoding));
    }
    event.data_bytes().slice_ref(any.value)
}

/// The event in structured mode, JSON format, to be sent as [`STRUCTURED_JSON`](super::STRUCTURED_JSON).
///
/// `data` that came as JSON is copied as it stands; so is a body in binary mode of a type that means JSON, if it is
/// well-formed. Other text goes as a string, everything else in base64.
#[must_use]
pub fn encode_structured(event: &Event) -> Bytes {
    let mut out = Vec::new();
    json::write_event(event, &mut out);
    Bytes::from(out)
}

/// The events in batched mode, JSON format, to be sent as [`BATCH_JSON`](super::BATCH_JSON) to those who asked for it.
#[must_use]
pub fn encode_batch(events: &[Event]) -> Bytes {
    let mut out = Vec::new();
    json::write_batch(events, &mut out);
    Bytes::from(out)
}

fn proto_any(event: &Event) -> Option<ProtoAny<'_>> {
    (event.data_kind() == DataKind::ProtoAny).then(|| ProtoAny::parse(event.data())).flatten()
}

/// The text as a header value, in the memory of the frame where it needs no escapes.
fn shared_value(event: &Event, text: &str, encoding: HeaderEncoding) -> HeaderValue {
    let encoded = match encoding {
        HeaderEncoding::Percent => header_value::encode(text),
        HeaderEncoding::Raw => Cow::Borrowed(text),
    };
    match encoded {
        Cow::Borrowed(text) => HeaderValue::from_maybe_shared(event.share(text)).unwrap_or_else(|_| fallback(text)),
        Cow::Owned(text) => HeaderValue::try_from(text).unwrap_or_else(|_| fallback("")),
    }
}

fn owned_value(text: &str, encoding: HeaderEncoding) -> HeaderValue {
    let encoded = match encoding {
        HeaderEncoding::Percent => header_value::encode(text),
        HeaderEncoding::Raw => Cow::Borrowed(text),
    };
    HeaderValue::try_from(&*encoded).unwrap_or_else(|_| fallback(text))
}

/// No checked attribute holds what a header may not; a frame from a peer may. It is sent percent-encoded then.
fn fallback(text: &str) -> HeaderValue {
    HeaderValue::try_from(&*header_value::encode(text)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn core_header(core: Core) -> HeaderName {
    match core {
        Core::Id => HeaderName::from_static("ce-id"),
        Core::Source => HeaderName::from_static("ce-source"),
        Core::Type => HeaderName::from_static("ce-type"),
        Core::Subject => HeaderName::from_static("ce-subject"),
        Core::Time => HeaderName::from_static("ce-time"),
        Core::DataContentType => CONTENT_TYPE,
        Core::DataSchema => HeaderName::from_static("ce-dataschema"),
    }
}

fn extension_header(name: &str) -> HeaderName {
    match name {
        // Those that nearly every event here carries, without an allocation.
        "knativearrivaltime" => HeaderName::from_static("ce-knativearrivaltime"),
        "partitionkey" => HeaderName::from_static("ce-partitionkey"),
        "traceparent" => HeaderName::from_static("ce-traceparent"),
        "tracestate" => HeaderName::from_static("ce-tracestate"),
        other => HeaderName::try_from(format!("ce-{other}"))
            .expect("the characters of an attribute name may stand in a header name, and it is short"),
    }
}
