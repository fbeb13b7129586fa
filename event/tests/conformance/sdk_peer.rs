//! The crate `cloudevents-sdk` as a peer, within the range where it keeps to the specification: printable ASCII without
//! percent signs, times in UTC, lower-case media types, integers of 32 bits.

use bytes::Bytes;
use cloudevents::binding::http::{Builder, Serializer, to_event};
use cloudevents::event::{Data, ExtensionValue};
use cloudevents::message::{BinaryDeserializer, Result as SdkResult};
use cloudevents::{AttributesReader, EventBuilder, EventBuilderV10};
use http::{HeaderMap, HeaderName, HeaderValue};
use pelton_event::http::{
    DecodeOptions, Decoded, HeaderEncoding, STRUCTURED_JSON, decode, encode_binary, encode_structured,
};
use pelton_event::{AttributeValue, DataKind, Event};

fn ours(kind: DataKind, datacontenttype: &str, data: &[u8]) -> Event {
    Event::builder()
        .id("A234-1234-1234")
        .source("https://github.com/cloudevents/spec/pull")
        .ty("com.example.someevent")
        .subject("123")
        .time("2018-04-05T17:31:00Z")
        .datacontenttype(datacontenttype)
        .dataschema("https://example.com/schema")
        .extension("text", AttributeValue::String("a;b=c"))
        .extension("count", AttributeValue::Integer(-7))
        .extension("flag", AttributeValue::Boolean(true))
        .data(kind, data)
        .build()
        .expect("a valid event")
}

fn rows() -> [(DataKind, &'static str, &'static [u8]); 4] {
    [
        (DataKind::Json, "application/json", br#"{"a":[1,"x",null],"b":1.5}"#),
        (DataKind::Json, "application/vnd.x+json", b"[true]"),
        (DataKind::Text, "text/xml", br#"<much wow="xml"/>"#),
        (DataKind::Bytes, "application/octet-stream", b"\0\xff\x10"),
    ]
}

fn assert_core(sdk: &cloudevents::Event, event: &Event) {
    assert_eq!(sdk.id(), event.id());
    assert_eq!(sdk.source(), event.source());
    assert_eq!(sdk.ty(), event.ty());
    assert_eq!(sdk.subject(), event.subject());
    assert_eq!(sdk.datacontenttype(), event.datacontenttype());
    assert_eq!(sdk.dataschema().map(|url| url.as_str()), event.dataschema());
    assert_eq!(sdk.time().map(|time| time.to_rfc3339().replace("+00:00", "Z")).as_deref(), event.time());
}

#[test]
fn the_sdk_reads_our_binary_mode() {
    for (kind, datacontenttype, data) in rows() {
        let event = ours(kind, datacontenttype, data);
        let mut headers = HeaderMap::new();
        let body = encode_binary(&event, HeaderEncoding::Percent, &mut headers);
        let sdk = to_event(&headers, body.to_vec()).unwrap();
        assert_core(&sdk, &event);
        assert_eq!(sdk.extension("count"), Some(&ExtensionValue::String("-7".into())), "headers have only strings");
        assert_eq!(sdk.extension("text"), Some(&ExtensionValue::String("a;b=c".into())));
        assert_eq!(Vec::<u8>::try_from(sdk.data().unwrap().clone()).unwrap(), data, "{datacontenttype}");
    }
}

#[test]
fn the_sdk_reads_our_structured_mode() {
    for (kind, datacontenttype, data) in rows() {
        let event = ours(kind, datacontenttype, data);
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED_JSON))]);
        let sdk = to_event(&headers, encode_structured(&event).to_vec()).unwrap();
        assert_core(&sdk, &event);
        assert_eq!(sdk.extension("count"), Some(&ExtensionValue::Integer(-7)));
        assert_eq!(sdk.extension("flag"), Some(&ExtensionValue::Boolean(true)));
        match sdk.data().unwrap() {
            Data::Json(value) => assert_eq!(value, &serde_json::from_slice::<serde_json::Value>(data).unwrap()),
            Data::String(text) => assert_eq!(text.as_bytes(), data),
            Data::Binary(bytes) => assert_eq!(bytes, data),
        }
    }
}

fn theirs(datacontenttype: &str, data: Data) -> cloudevents::Event {
    EventBuilderV10::new()
        .id("0001")
        .ty("test_event.test_application")
        .source("http://localhost/")
        .subject("cloudevents-sdk")
        .time("2020-03-16T11:50:00Z")
        .extension("string_ext".replace('_', "").as_str(), "val")
        .extension("boolext", true)
        .extension("intext", 10)
        .data(datacontenttype, data)
        .build()
        .expect("an event that the SDK takes")
}

fn sdk_rows() -> [(&'static str, Data, &'static [u8]); 3] {
    [
        ("application/json", Data::Json(serde_json::json!({"hello": "world"})), br#"{"hello":"world"}"#),
        ("application/xml", Data::String("<hello>world</hello>".into()), b"<hello>world</hello>"),
        ("application/octet-stream", Data::Binary(vec![0, 255]), b"\0\xff"),
    ]
}

fn single(headers: &HeaderMap, body: Vec<u8>) -> Event {
    match decode(headers, Bytes::from(body), &DecodeOptions::default()) {
        Ok(Decoded::Single(event)) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn we_read_the_structured_mode_of_the_sdk() {
    for (datacontenttype, data, bytes) in sdk_rows() {
        let sdk = theirs(datacontenttype, data);
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED_JSON))]);
        let event = single(&headers, serde_json::to_vec(&sdk).unwrap());
        assert_eq!(
            (event.id(), event.source(), event.ty()),
            ("0001", "http://localhost/", "test_event.test_application")
        );
        assert_eq!((event.subject(), event.datacontenttype()), (Some("cloudevents-sdk"), Some(datacontenttype)));
        assert_eq!(event.attribute("boolext"), Some(AttributeValue::Boolean(true)));
        assert_eq!(event.attribute("intext"), Some(AttributeValue::Integer(10)));
        assert_eq!(event.attribute("stringext"), Some(AttributeValue::String("val")));
        assert_eq!(event.data(), bytes, "{datacontenttype}");
    }
}

/// Takes what the SDK writes in binary mode.
#[derive(Default)]
struct Message {
    headers: HeaderMap,
}

impl Builder<(HeaderMap, Vec<u8>)> for Message {
    fn header(&mut self, key: &str, value: HeaderValue) {
        self.headers.append(HeaderName::try_from(key).expect("a legal header name"), value);
    }

    fn body(&mut self, bytes: Vec<u8>) -> SdkResult<(HeaderMap, Vec<u8>)> {
        Ok((std::mem::take(&mut self.headers), bytes))
    }

    fn finish(&mut self) -> SdkResult<(HeaderMap, Vec<u8>)> {
        self.body(Vec::new())
    }
}

#[test]
fn we_read_the_binary_mode_of_the_sdk() {
    for (datacontenttype, data, bytes) in sdk_rows() {
        let sdk = theirs(datacontenttype, data);
        let (headers, body) = BinaryDeserializer::deserialize_binary(sdk, Serializer::new(Message::default())).unwrap();
        let event = single(&headers, body);
        assert_eq!(
            (event.id(), event.source(), event.ty()),
            ("0001", "http://localhost/", "test_event.test_application")
        );
        assert_eq!(event.time(), Some("2020-03-16T11:50:00+00:00"));
        assert_eq!(event.attribute("boolext"), Some(AttributeValue::String("true")));
        assert_eq!(event.attribute("intext"), Some(AttributeValue::String("10")));
        assert_eq!((event.data(), event.datacontenttype()), (bytes, Some(datacontenttype)));
    }
}
