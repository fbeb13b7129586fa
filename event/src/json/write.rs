use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::scan::is_value;
use super::string::write_string;
use crate::any::ProtoAny;
use crate::attribute::{AttributeValue, Core};
use crate::frame::{DataKind, Event};
use crate::rules::media_type::{Charset, MediaType};

/// Writes the event as one JSON object.
pub(crate) fn write_event(event: &Event, out: &mut Vec<u8>) {
    // Names and punctuation take about this much; base64 takes a third more than its bytes.
    out.reserve(event.frame_len() + event.data().len() / 2 + 160);
    out.extend_from_slice(br#"{"specversion":"1.0""#);
    for core in Core::ALL {
        if core == Core::DataContentType && event.datacontenttype_is_implied() {
            continue;
        }
        if let Some(text) = event.core(core) {
            write_name(out, core.name());
            write_string(out, text);
        }
    }
    for (name, value) in event.extensions() {
        write_name(out, name);
        match value {
            AttributeValue::Boolean(_) | AttributeValue::Integer(_) => {
                out.extend_from_slice(value.to_canonical().as_bytes());
            }
            other => write_string(out, &other.to_canonical()),
        }
    }
    write_data(event, out);
    out.push(b'}');
}

/// Writes the events as one JSON array.
pub(crate) fn write_batch(events: &[Event], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_event(event, out);
    }
    out.push(b']');
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// In which member the data goes, and as what.
enum Form<'a> {
    Absent,
    /// A JSON value, copied as it stands.
    Value(&'a [u8]),
    /// A JSON string.
    Text(&'a str),
    Base64(&'a [u8]),
}

fn write_data(event: &Event, out: &mut Vec<u8>) {
    if let (DataKind::ProtoAny, Some(any)) = (event.data_kind(), ProtoAny::parse(event.data())) {
        write_any(event, any, out);
        return;
    }
    match form(event) {
        Form::Absent => {}
        Form::Value(value) => {
            write_name(out, "data");
            out.extend_from_slice(value);
        }
        Form::Text(text) => {
            write_name(out, "data");
            write_string(out, text);
        }
        Form::Base64(bytes) => write_base64(out, bytes),
    }
}

fn form(event: &Event) -> Form<'_> {
    let data = event.data();
    let media_type = event.datacontenttype().and_then(MediaType::parse);
    match (event.data_kind(), media_type) {
        (DataKind::None, _) => Form::Absent,
        (DataKind::Json, _) => Form::Value(data),
        (DataKind::Bytes | DataKind::Text, Some(media_type)) if media_type.is_json() => {
            if is_value(data) {
                Form::Value(data)
            } else {
                Form::Base64(data)
            }
        }
        (DataKind::Bytes, Some(media_type)) if media_type.is_text() => as_text(data, media_type),
        (DataKind::Text, Some(media_type)) => as_text(data, media_type),
        // Without a type a string would be read as JSON.
        (DataKind::Bytes | DataKind::Text | DataKind::ProtoAny, _) => Form::Base64(data),
    }
}

fn as_text<'a>(data: &'a [u8], media_type: MediaType<'_>) -> Form<'a> {
    match (std::str::from_utf8(data), media_type.charset()) {
        (Ok(text), Charset::Utf8) => Form::Text(text),
        (Ok(text), Charset::Ascii) if text.is_ascii() => Form::Text(text),
        _ => Form::Base64(data),
    }
}

fn write_any(event: &Event, any: ProtoAny<'_>, out: &mut Vec<u8>) {
    if event.datacontenttype().is_none() {
        write_name(out, Core::DataContentType.name());
        write_string(out, ProtoAny::MEDIA_TYPE);
    }
    if let (None, Some(uri)) = (event.dataschema(), any.uri()) {
        write_name(out, Core::DataSchema.name());
        write_string(out, uri);
    }
    write_base64(out, any.value);
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    write_name(out, "data_base64");
    out.push(b'"');
    let start = out.len();
    let len = base64::encoded_len(bytes.len(), true).expect("a frame is no longer than 256 MiB");
    out.resize(start + len, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).expect("the slice has the exact length");
    debug_assert_eq!(written, len, "base64 with padding has one length");
    out.push(b'"');
}
