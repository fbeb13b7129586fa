//! CloudEvents HTTP binding: which mode, what is read, what is written.

use bytes::Bytes;
use http::HeaderMap;
use pelton_event::http::{
    ContentMode, DecodeOptions, Decoded, HeaderEncoding, binary_cost, decode, encode_batch, encode_binary, peek_mode,
};
use pelton_event::{AttributeValue, DataKind, Event};

use crate::refusals::headers;

fn read(pairs: &[(&str, &str)], body: &'static [u8]) -> Event {
    match decode(&headers(pairs), Bytes::from_static(body), &DecodeOptions::default()) {
        Ok(Decoded::Single(event)) => event,
        other => panic!("{pairs:?}: {other:?}"),
    }
}

/// Section 3, "HTTP Message Mapping": by Content-Type only, without regard to case, batch before structured.
#[test]
fn modes() {
    for (pairs, want) in [
        (&[("content-type", "application/cloudevents+json")][..], Some(ContentMode::Structured)),
        (&[("content-type", "APPLICATION/CloudEvents+JSON; charset=utf-8")], Some(ContentMode::Structured)),
        (&[("content-type", "application/cloudevents")], Some(ContentMode::Structured)),
        (&[("content-type", "application/cloudevents+xml"), ("ce-id", "1")], Some(ContentMode::Structured)),
        (&[("content-type", "application/cloudevents-batch+json")], Some(ContentMode::Batched)),
        (&[("content-type", "Application/CloudEvents-Batch")], Some(ContentMode::Batched)),
        (&[("content-type", "application/json"), ("ce-id", "1")], Some(ContentMode::Binary)),
        (&[("Ce-Id", "1")], Some(ContentMode::Binary)),
        (&[("content-type", "application/json")], None),
        (&[("x-ce-id", "1"), ("cent", "1")], None),
        (&[], None),
    ] {
        assert_eq!(peek_mode(&headers(pairs)), want, "{pairs:?}");
    }
}

#[test]
fn binary_mode_is_read() {
    let event = read(
        &[
            ("Ce-Specversion", "1.0"),
            ("CE-ID", "Euro%20%E2%82%AC"),
            ("ce-source", "/my/source"),
            ("ce-type", "com.example"),
            ("ce-subject", "\"a b\""),
            ("ce-time", "2018-04-05T17%3a31:00+01:00"),
            ("ce-dataschema", "https://example.com/schema#part"),
            ("ce-Ext", "100%"),
            ("ce-raw", "é€"),
            ("ce-empty", ""),
            ("ce-opcuametadatamajorversion", "7"),
            ("content-type", "Text/Plain; charset=\"x%20y\""),
            ("traceparent", "not an attribute"),
            ("host", "example.com"),
        ],
        b"\xff\0",
    );
    for (name, want) in [
        ("id", Some(AttributeValue::String("Euro €"))),
        ("source", Some(AttributeValue::UriRef("/my/source"))),
        ("subject", Some(AttributeValue::String("a b"))),
        ("time", Some(AttributeValue::Timestamp("2018-04-05T17:31:00+01:00"))),
        ("dataschema", Some(AttributeValue::Uri("https://example.com/schema#part"))),
        ("datacontenttype", Some(AttributeValue::String("Text/Plain; charset=\"x%20y\""))),
        ("ext", Some(AttributeValue::String("100%"))),
        ("raw", Some(AttributeValue::String("é€"))),
        ("empty", Some(AttributeValue::String(""))),
        ("opcuametadatamajorversion", Some(AttributeValue::String("7"))),
        ("traceparent", None),
    ] {
        assert_eq!(event.attribute(name), want, "{name}");
    }
    assert_eq!((event.data_kind(), event.data(), event.extensions().len()), (DataKind::Bytes, &b"\xff\0"[..], 4));
}

#[test]
fn no_content_type_is_no_datacontenttype_and_no_body_is_no_data() {
    let required = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
    let event = read(&required, b"");
    assert_eq!((event.datacontenttype(), event.data_kind()), (None, DataKind::None));
    let event = read(&required, b"{}");
    assert_eq!((event.datacontenttype(), event.data_kind()), (None, DataKind::Bytes));
}

/// Section 3.2: the body counts; attributes repeated in headers are ignored.
#[test]
fn structured_mode_does_not_look_at_attribute_headers() {
    let event = read(
        &[
            ("content-type", "application/cloudevents+json"),
            ("ce-id", "other"),
            ("ce-specversion", "0.3"),
            ("ce-a_b", ""),
        ],
        br#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#,
    );
    assert_eq!(event.id(), "1");
}

fn written(event: &Event, encoding: HeaderEncoding) -> (Vec<(String, Vec<u8>)>, Bytes) {
    let mut map = HeaderMap::new();
    let body = encode_binary(event, encoding, &mut map);
    let mut pairs: Vec<_> =
        map.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    pairs.sort();
    let cost = binary_cost(event, encoding);
    assert_eq!(cost.headers, pairs.len(), "{event:?}");
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    assert_eq!(cost.header_bytes, bytes, "{event:?}");
    (pairs, body)
}

#[test]
fn binary_mode_is_written() {
    let event = Event::builder()
        .id("Euro € 😀")
        .source("https://example.com/a%20b")
        .ty("t")
        .subject("say \"hi\"")
        .time("2018-04-05T17:31:00Z")
        .datacontenttype("text/plain; a=\"b c\"")
        .extension("flag", AttributeValue::Boolean(true))
        .extension("count", AttributeValue::Integer(-7))
        .extension("bytes", AttributeValue::Binary(b"\0\xff"))
        .extension("partitionkey", AttributeValue::String("100%"))
        .data(DataKind::Bytes, b"\xff")
        .build()
        .unwrap();
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, Vec<u8>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    };
    let (pairs, body) = written(&event, HeaderEncoding::Percent);
    let want = own(&[
        ("ce-bytes", "AP8="),
        ("ce-count", "-7"),
        ("ce-flag", "true"),
        ("ce-id", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("ce-partitionkey", "100%25"),
        ("ce-source", "https://example.com/a%2520b"),
        ("ce-specversion", "1.0"),
        ("ce-subject", "say%20%22hi%22"),
        ("ce-time", "2018-04-05T17:31:00Z"),
        ("ce-type", "t"),
        ("content-type", "text/plain; a=\"b c\""),
    ]);
    assert_eq!(pairs, want);
    assert_eq!(&body[..], b"\xff");
    assert_eq!(body.as_ptr(), event.data().as_ptr(), "shared, not copied");

    let (pairs, _) = written(&event, HeaderEncoding::Raw);
    let value = |name: &str| pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone()).unwrap();
    assert_eq!(value("ce-id"), "Euro € 😀".as_bytes());
    assert_eq!(value("ce-source"), b"https://example.com/a%20b");
    assert_eq!(value("ce-subject"), b"say \"hi\"");
}

/// "JSON Event Format" 3.1: an event that leaves the format takes along the type that the format implied.
#[test]
fn the_implied_type_is_sent() {
    let body = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{ "a" : 1.10 }}"#;
    let event = read(&[("content-type", "application/cloudevents+json")], body);
    let (pairs, body) = written(&event, HeaderEncoding::Percent);
    assert!(pairs.contains(&("content-type".into(), b"application/json".to_vec())), "{pairs:?}");
    assert_eq!(&body[..], b"{ \"a\" : 1.10 }");

    let body = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"e30="}"#;
    let event = read(&[("content-type", "application/cloudevents+json")], body);
    let (pairs, body) = written(&event, HeaderEncoding::Percent);
    assert!(!pairs.iter().any(|(name, _)| name == "content-type"), "nothing may be assumed of bytes");
    assert_eq!(&body[..], b"{}");
}

#[test]
fn a_protobuf_any_travels_as_its_value() {
    let any = b"\x0a\x03t:x\x12\x01\x07";
    let event = Event::builder().id("1").source("/s").ty("t").data(DataKind::ProtoAny, any).build().unwrap();
    let (pairs, body) = written(&event, HeaderEncoding::Percent);
    assert!(pairs.contains(&("content-type".into(), b"application/protobuf".to_vec())));
    assert!(pairs.contains(&("ce-dataschema".into(), b"t:x".to_vec())));
    assert_eq!(&body[..], b"\x07");
}

/// An event that holds an event: in binary mode its Content-Type would be taken for the envelope.
#[test]
fn an_ambiguous_event_does_not_fit_binary_mode() {
    let event = Event::builder().id("1").source("/s").ty("t");
    let plain = event.datacontenttype("application/json").build().unwrap();
    let cost = binary_cost(&plain, HeaderEncoding::Percent);
    assert!(cost.fits(cost.headers, cost.header_bytes));
    assert!(!cost.fits(cost.headers - 1, cost.header_bytes));
    assert!(!cost.fits(cost.headers, cost.header_bytes - 1));
    let event = Event::builder().id("1").source("/s").ty("t");
    let nested = event.datacontenttype("Application/CloudEvents+json").build().unwrap();
    assert!(binary_cost(&nested, HeaderEncoding::Percent).is_ambiguous);
    assert!(!binary_cost(&nested, HeaderEncoding::Percent).fits(100, 8192));
}

#[test]
fn headers_of_the_same_name_are_replaced_and_others_stay() {
    let event = Event::builder().id("1").source("/s").ty("t").build().unwrap();
    let mut map = headers(&[("ce-id", "old"), ("x-other", "stays")]);
    assert!(encode_binary(&event, HeaderEncoding::Percent, &mut map).is_empty());
    assert_eq!((map["ce-id"].as_bytes(), map["x-other"].as_bytes(), map.len()), (&b"1"[..], &b"stays"[..], 5));
}

#[test]
fn an_empty_batch_is_written() {
    assert_eq!(&encode_batch(&[])[..], b"[]");
}
