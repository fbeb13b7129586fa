//! What an HTTP message must not hold, and the status that says so. CloudEvents core, HTTP binding and JSON format.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use pelton_event::Rule;
use pelton_event::http::{DecodeError, DecodeOptions, Decoded, HeaderEncoding, decode};

pub fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a legal header name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a legal header value"));
    }
    headers
}

/// A valid binary request with headers put in place of its own; `<absent>` for the value means without it.
fn binary(changes: &[(&str, &str)]) -> Result<Decoded, DecodeError> {
    let mut pairs = vec![("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
    for (name, _) in changes {
        pairs.retain(|(kept, _)| kept != name);
    }
    pairs.extend(changes.iter().filter(|(_, value)| *value != "<absent>"));
    decode(&headers(&pairs), Bytes::from_static(b"{}"), &DecodeOptions::default())
}

pub fn structured(body: &str) -> Result<Decoded, DecodeError> {
    let headers = headers(&[("content-type", "application/cloudevents+json")]);
    decode(&headers, Bytes::copy_from_slice(body.as_bytes()), &DecodeOptions::default())
}

pub fn batch(body: &str) -> Result<Decoded, DecodeError> {
    let headers = headers(&[("content-type", "application/cloudevents-batch+json")]);
    decode(&headers, Bytes::copy_from_slice(body.as_bytes()), &DecodeOptions::default())
}

/// Headers changed, the attribute named, the rule named.
type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, Rule);

#[test]
fn binary_mode() {
    let ok = binary(&[]).unwrap();
    assert!(matches!(ok, Decoded::Single(_)));
    let rows: &[Row<'_>] = &[
        // A required attribute missing or empty.
        (&[("ce-id", "<absent>")], "id", Rule::Missing),
        (&[("ce-source", "<absent>")], "source", Rule::Missing),
        (&[("ce-type", "<absent>")], "type", Rule::Missing),
        (&[("ce-specversion", "<absent>")], "specversion", Rule::Missing),
        (&[("ce-id", "")], "id", Rule::Empty),
        (&[("ce-source", "")], "source", Rule::Empty),
        (&[("ce-type", "")], "type", Rule::Empty),
        (&[("ce-specversion", "")], "specversion", Rule::Empty),
        // Another version.
        (&[("ce-specversion", "0.3")], "specversion", Rule::UnsupportedSpecVersion),
        (&[("ce-specversion", "1.1")], "specversion", Rule::UnsupportedSpecVersion),
        (&[("ce-specversion", "1")], "specversion", Rule::UnsupportedSpecVersion),
        // Names.
        (&[("ce-my_ext", "x")], "my_ext", Rule::NameCharacter),
        (&[("ce-my-ext", "x")], "my-ext", Rule::NameCharacter),
        (&[("ce-", "x")], "", Rule::NameEmpty),
        (&[("ce-data", "x")], "data", Rule::NameReserved),
        (&[("ce-data_base64", "x")], "data_base64", Rule::NameCharacter),
        // The same attribute twice.
        (&[("ce-id", "1"), ("ce-id", "1")], "id", Rule::Duplicate),
        (&[("ce-specversion", "1.0"), ("ce-specversion", "1.0")], "specversion", Rule::Duplicate),
        (&[("ce-ext", "1"), ("CE-Ext", "2")], "ext", Rule::Duplicate),
        (&[("content-type", "a/b"), ("content-type", "a/b")], "datacontenttype", Rule::Duplicate),
        // The mapping of datacontenttype.
        (&[("ce-datacontenttype", "text/plain")], "datacontenttype", Rule::ContentTypeAsAttribute),
        // Escapes that are not UTF-8.
        (&[("ce-subject", "%C0%A0")], "subject", Rule::NotUtf8),
        (&[("ce-ext", "%ED%A0%80")], "ext", Rule::NotUtf8),
        (&[("ce-ext", "\"open")], "ext", Rule::UnclosedQuote),
        // Control characters and noncharacters.
        (&[("ce-id", "a%0Ab")], "id", Rule::ControlCharacter),
        (&[("ce-ext", "%00")], "ext", Rule::ControlCharacter),
        (&[("ce-ext", "%C2%85")], "ext", Rule::ControlCharacter),
        (&[("ce-ext", "%EF%BF%BE")], "ext", Rule::Noncharacter),
        (&[("ce-ext", "a\tb")], "ext", Rule::ControlCharacter),
        // Values.
        (&[("ce-time", "yesterday")], "time", Rule::NotTimestamp),
        (&[("ce-time", "")], "time", Rule::Empty),
        (&[("ce-dataschema", "relative/schema")], "dataschema", Rule::NotAbsoluteUri),
        (&[("ce-dataschema", "")], "dataschema", Rule::Empty),
        (&[("ce-source", "a%20b%20c d")], "source", Rule::NotUriReference),
        (&[("ce-subject", "")], "subject", Rule::Empty),
        (&[("content-type", "xyz")], "datacontenttype", Rule::NotMediaType),
        (&[("content-type", "")], "datacontenttype", Rule::Empty),
        // Sound as it stands, and none once decoded: the cause is named.
        (&[("ce-source", "https://example.com/a%20b")], "source", Rule::NotUriDecoded),
        (&[("ce-dataschema", "https://example.com/%C3%A9")], "dataschema", Rule::NotUriDecoded),
    ];
    for (changes, attribute, rule) in rows {
        let refused = binary(changes).expect_err(&format!("{changes:?}"));
        assert_eq!((refused.attribute(), refused.rule()), (Some(*attribute), Some(*rule)), "{changes:?}: {refused}");
        assert_eq!((refused.http_status(), refused.batch_index()), (400, None), "{changes:?}");
        assert_eq!(refused.code(), rule.code());
    }
}

#[test]
fn version_0_3_is_told_what_is_accepted() {
    let want = "attribute `specversion`: only specversion 1.0 is accepted";
    assert_eq!(binary(&[("ce-specversion", "0.3")]).unwrap_err().to_string(), want);
    let refused = structured(r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#).unwrap_err();
    assert_eq!((refused.to_string().as_str(), refused.http_status()), (want, 400));
}

#[test]
fn a_uri_that_decoding_broke_passes_raw() {
    let headers = headers(&[
        ("ce-specversion", "1.0"),
        ("ce-id", "100%"),
        ("ce-source", "https://example.com/a%20b"),
        ("ce-type", "t"),
    ]);
    let options = DecodeOptions { header_encoding: HeaderEncoding::Raw, ..DecodeOptions::default() };
    let Decoded::Single(event) = decode(&headers, Bytes::new(), &options).unwrap() else { panic!("a single event") };
    assert_eq!((event.source(), event.id()), ("https://example.com/a%20b", "100%"));
}

#[test]
fn content_types() {
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    for (content_type, body, want) in [
        ("application/cloudevents+json", event, Ok(())),
        ("Application/CloudEvents+JSON", event, Ok(())),
        ("application/cloudevents+json; charset=utf-8", event, Ok(())),
        ("application/cloudevents+json;charset=\"UTF-8\"", event, Ok(())),
        ("application/cloudevents+json; charset=us-ascii", event, Ok(())),
        ("application/cloudevents+json; charset=utf-16", event, Err((415, "unsupported_envelope_charset"))),
        ("application/cloudevents+jsonx", event, Err((415, "unsupported_format"))),
        ("application/cloudevents", event, Err((415, "unsupported_format"))),
        ("application/cloudevents+xml", event, Err((415, "unsupported_format"))),
        ("application/cloudevents+avro", event, Err((415, "unsupported_format"))),
        ("application/cloudeventsx", event, Err((415, "unsupported_format"))),
        ("application/cloudevents-batch+json", "[]", Ok(())),
        ("APPLICATION/CLOUDEVENTS-BATCH+JSON; charset=utf-8", "[]", Ok(())),
        ("application/cloudevents-batch+protobuf", "[]", Err((415, "unsupported_format"))),
        ("application/cloudevents-batch", "[]", Err((415, "unsupported_format"))),
        ("application/cloudevents-batch+json", event, Err((400, "json_not_an_array"))),
        ("application/cloudevents+json", "[]", Err((400, "json_not_an_object"))),
        ("application/json", "{}", Err((400, "not_a_cloudevent"))),
        ("text/plain", "", Err((400, "not_a_cloudevent"))),
    ] {
        let headers = headers(&[("content-type", content_type)]);
        let got = decode(&headers, Bytes::copy_from_slice(body.as_bytes()), &DecodeOptions::default());
        let got = got.map(drop).map_err(|error| (error.http_status(), error.code()));
        assert_eq!(got, want, "{content_type}");
    }
    let none = decode(&HeaderMap::new(), Bytes::from_static(b"{}"), &DecodeOptions::default()).unwrap_err();
    assert_eq!((none.http_status(), none.code()), (400, "not_a_cloudevent"));
    let mut twice = headers(&[("content-type", "application/cloudevents+json")]);
    twice.append(CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"));
    let twice = decode(&twice, Bytes::from_static(event.as_bytes()), &DecodeOptions::default()).unwrap_err();
    assert_eq!((twice.http_status(), twice.code()), (400, "repeated_content_type"));
}

#[test]
fn sizes_at_the_limit_and_one_past_it() {
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"0123456789"}"#;
    let two = format!("[{event},{event}]");
    let run = |content_type: &str, body: &str, options: DecodeOptions| {
        decode(&headers(&[("content-type", content_type)]), Bytes::copy_from_slice(body.as_bytes()), &options)
            .map(drop)
            .map_err(|error| (error.http_status(), error.code(), error.batch_index()))
    };
    let options = DecodeOptions::default();
    let structured = "application/cloudevents+json";
    let batched = "application/cloudevents-batch+json";
    for (content_type, body, options, want) in [
        (structured, event, DecodeOptions { max_event_bytes: event.len(), ..options }, Ok(())),
        (
            structured,
            event,
            DecodeOptions { max_event_bytes: event.len() - 1, ..options },
            Err((413, "event_too_large", None)),
        ),
        (batched, &two, DecodeOptions { max_event_bytes: event.len(), ..options }, Ok(())),
        (
            batched,
            &two,
            DecodeOptions { max_event_bytes: event.len() - 1, ..options },
            Err((413, "event_too_large", Some(0))),
        ),
        (batched, &two, DecodeOptions { max_batch_events: 2, ..options }, Ok(())),
        (batched, &two, DecodeOptions { max_batch_events: 1, ..options }, Err((413, "too_many_events", None))),
        (batched, &two, DecodeOptions { max_batch_bytes: two.len(), ..options }, Ok(())),
        (
            batched,
            &two,
            DecodeOptions { max_batch_bytes: two.len() - 1, ..options },
            Err((413, "batch_too_large", None)),
        ),
    ] {
        assert_eq!(run(content_type, body, options), want, "{content_type} {options:?}");
    }
    let required = headers(&[("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")]);
    let body = Bytes::from(vec![b'x'; 1000]);
    let Decoded::Single(event) = decode(&required, body.clone(), &options).unwrap() else { panic!("a single event") };
    let at = DecodeOptions { max_event_bytes: event.frame_len(), ..options };
    assert!(decode(&required, body.clone(), &at).is_ok());
    let past = DecodeOptions { max_event_bytes: event.frame_len() - 1, ..options };
    assert_eq!(decode(&required, body, &past).unwrap_err().http_status(), 413);
}

/// All or nothing, and the error names the index.
#[test]
fn batches() {
    let good = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    let with = |bad: &str| format!("[{good},{bad}, {good}]");
    for (body, index, code) in [
        (with(r#"{"specversion":"1.0","id":"1","source":"/s"}"#), Some(1), "missing"),
        (with(r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#), Some(1), "unsupported_specversion"),
        (with("1"), Some(1), "json_not_an_object"),
        (with("[]"), Some(1), "json_not_an_object"),
        (with("null"), Some(1), "json_not_an_object"),
        (with("{"), Some(1), "json_syntax"),
        (with(""), Some(1), "json_syntax"),
        (format!("[{good}"), None, "json_syntax"),
        (format!("[{good}]x"), None, "json_syntax"),
        (format!("[{good},]"), Some(1), "json_syntax"),
        (good.to_owned(), None, "json_not_an_array"),
        (String::new(), None, "json_not_an_array"),
        ("null".to_owned(), None, "json_not_an_array"),
    ] {
        let refused = batch(&body).expect_err(&body);
        assert_eq!((refused.batch_index(), refused.code(), refused.http_status()), (index, code, 400), "{body}");
    }
    let refused = batch(&with(r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#)).unwrap_err();
    assert_eq!(refused.to_string(), "event 1 of the batch: attribute `id`: must not be empty");
    assert_eq!(batch("[]").unwrap(), Decoded::Batch(vec![]));
    assert_eq!(batch(" [ ] ").unwrap(), Decoded::Batch(vec![]));
    let Decoded::Batch(events) = batch(&format!(" [{good} , {good}]\n")).unwrap() else { panic!("a batch") };
    assert_eq!(events.len(), 2);
}
