//! CloudEvents JSON event format.

use bytes::Bytes;
use pelton_event::http::{Decoded, encode_structured};
use pelton_event::limits::MAX_DATA_NESTING;
use pelton_event::{AttributeValue, DataKind, Event};

use crate::refusals::{batch, structured};

fn with(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t",{members}}}"#)
}

fn read(body: &str) -> Event {
    match structured(body) {
        Ok(Decoded::Single(event)) => event,
        other => panic!("{body}: {other:?}"),
    }
}

/// "JSON Event Format", sections 2 and 3, and the invalid events of the official fixtures.
#[test]
fn what_is_refused() {
    for (body, attribute, code) in [
        // Attribute values.
        (with(r#""x":{"a":1}"#), Some("x"), "nested_value"),
        (with(r#""x":[1]"#), Some("x"), "nested_value"),
        (with(r#""x":1.5"#), Some("x"), "not_an_integer"),
        (with(r#""x":1.0"#), Some("x"), "not_an_integer"),
        (with(r#""x":1e3"#), Some("x"), "not_an_integer"),
        (with(r#""x":2147483648"#), Some("x"), "not_an_integer"),
        (with(r#""x":-2147483649"#), Some("x"), "not_an_integer"),
        (with(r#""x":3000000000"#), Some("x"), "not_an_integer"),
        (with(r#""x":99999999999999999999999"#), Some("x"), "not_an_integer"),
        (with(r#""x":"\u0000""#), Some("x"), "control_character"),
        (with(r#""x":"a\nb""#), Some("x"), "control_character"),
        (with(r#""x":"\uffff""#), Some("x"), "noncharacter"),
        (with(r#""x":"\ud800""#), Some("x"), "lone_surrogate"),
        (with(r#""x":"\udc00\ud800""#), Some("x"), "lone_surrogate"),
        (with(r#""x":"\ud800x""#), Some("x"), "lone_surrogate"),
        // Core attributes of the wrong JSON type.
        (r#"{"specversion":"1.0","id":25,"source":"/s","type":"t"}"#.into(), Some("id"), "wrong_type"),
        (r#"{"specversion":1.0,"id":"1","source":"/s","type":"t"}"#.into(), Some("specversion"), "wrong_type"),
        (with(r#""subject":true"#), Some("subject"), "wrong_type"),
        (with(r#""time":1234"#), Some("time"), "wrong_type"),
        (with(r#""dataschema":{}"#), Some("dataschema"), "wrong_type"),
        (with(r#""datacontenttype":[]"#), Some("datacontenttype"), "wrong_type"),
        // Required ones missing, null or empty.
        (r#"{"specversion":"1.0","source":"/s","type":"t"}"#.into(), Some("id"), "missing"),
        (r#"{"specversion":"1.0","id":"1","type":"t"}"#.into(), Some("source"), "missing"),
        (r#"{"specversion":"1.0","id":"1","source":"/s"}"#.into(), Some("type"), "missing"),
        (r#"{"id":"1","source":"/s","type":"t"}"#.into(), Some("specversion"), "missing"),
        (r#"{"specversion":null,"id":"1","source":"/s","type":"t"}"#.into(), Some("specversion"), "missing"),
        (r#"{"specversion":"1.0","id":null,"source":"/s","type":"t"}"#.into(), Some("id"), "missing"),
        (r#"{"specversion":"","id":"1","source":"/s","type":"t"}"#.into(), Some("specversion"), "empty"),
        (r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#.into(), Some("id"), "empty"),
        (r#"{"specversion":"1.0","id":"1","source":"","type":"t"}"#.into(), Some("source"), "empty"),
        (r#"{"specversion":"1.0","id":"1","source":"/s","type":""}"#.into(), Some("type"), "empty"),
        ("{}".into(), Some("specversion"), "missing"),
        // Optional ones.
        (with(r#""subject":"""#), Some("subject"), "empty"),
        (with(r#""dataschema":"""#), Some("dataschema"), "empty"),
        (with(r#""dataschema":"x y""#), Some("dataschema"), "not_an_absolute_uri"),
        (with(r#""datacontenttype":"""#), Some("datacontenttype"), "empty"),
        (with(r#""datacontenttype":"xyz""#), Some("datacontenttype"), "not_a_media_type"),
        (with(r#""datacontenttype":"xyz","data":{}"#), Some("datacontenttype"), "not_a_media_type"),
        (with(r#""time":"2018-04-05T18:31Z""#), Some("time"), "not_a_timestamp"),
        (with(r#""time":"2018-04-05T17:31:00+05""#), Some("time"), "not_a_timestamp"),
        (with(r#""time":"2018-04-05T17:31:00+25:00""#), Some("time"), "not_a_timestamp"),
        (with(r#""time":"2018-04-05T17:31:00X""#), Some("time"), "not_a_timestamp"),
        // Names.
        (with(r#""Upper":1"#), Some("Upper"), "name_character"),
        (with(r#""ID":"2""#), Some("ID"), "name_character"),
        (with(r#""my_ext":1"#), Some("my_ext"), "name_character"),
        (with(r#""my-ext":1"#), Some("my-ext"), "name_character"),
        (with(r#""é":1"#), Some("é"), "name_character"),
        (with(r#""":1"#), Some(""), "name_empty"),
        (with(r#""data_base65":"""#), Some("data_base65"), "name_character"),
        // Data.
        (with(r#""data":1,"data_base64":"AA==""#), Some("data"), "both_data_members"),
        (with(r#""data":null,"data_base64":"AA==""#), Some("data"), "both_data_members"),
        (with(r#""data_base64":1"#), Some("data_base64"), "wrong_type"),
        (with(r#""data_base64":"A""#), Some("data_base64"), "not_base64"),
        (with(r#""data_base64":"AA""#), Some("data_base64"), "not_base64"),
        (with(r#""data_base64":"_-==""#), Some("data_base64"), "not_base64"),
        (with(r#""data_base64":"AA==\n""#), Some("data_base64"), "not_base64"),
        (with(r#""datacontenttype":"text/plain","data":{}"#), Some("data"), "data_not_a_string"),
        (with(r#""datacontenttype":"text/plain","data":null"#), Some("data"), "data_not_a_string"),
        (with(r#""data":1,"datacontenttype":"application/json-seq""#), Some("data"), "data_not_a_string"),
        (with(r#""datacontenttype":"text/plain","data":"\ud800""#), Some("data"), "lone_surrogate"),
        (with(r#""datacontenttype":"text/plain; charset=utf-16","data":"a""#), Some("data"), "unsupported_charset"),
        (with(r#""datacontenttype":"text/plain; charset=us-ascii","data":"é""#), Some("data"), "unsupported_charset"),
        // Duplicate members.
        (with(r#""id":"1""#), Some("id"), "duplicate"),
        (with(r#""\u0069d":"1""#), Some("id"), "duplicate"),
        (with(r#""specversion":"1.0""#), Some("specversion"), "duplicate"),
        (with(r#""x":1,"x":1"#), Some("x"), "duplicate"),
        (with(r#""x":null,"x":1"#), Some("x"), "duplicate"),
        (with(r#""x":1,"x":null"#), Some("x"), "duplicate"),
        (with(r#""x":null,"x":null"#), Some("x"), "duplicate"),
        (with(r#""data":1,"data":1"#), Some("data"), "duplicate"),
        (with(r#""data_base64":null,"data_base64":"""#), Some("data_base64"), "duplicate"),
        // Not JSON, or not an object.
        (String::new(), None, "json_syntax"),
        ("{".into(), None, "json_syntax"),
        (with(r#""x":1,"#), None, "json_syntax"),
        (with(r#""x":tru"#), None, "json_syntax"),
        (with(r#""x":01"#), None, "json_syntax"),
        (with(r#""x":"a"b"#), None, "json_syntax"),
        (with(r#""data":{"a":}"#), None, "json_syntax"),
        (with(r#""data":'a'"#), None, "json_syntax"),
        (format!("{} x", with(r#""x":1"#)), None, "json_syntax"),
        ("[]".into(), None, "json_not_an_object"),
        ("\"event\"".into(), None, "json_not_an_object"),
        ("null".into(), None, "json_not_an_object"),
    ] {
        let refused = structured(&body).expect_err(&body);
        assert_eq!((refused.attribute(), refused.code()), (attribute, code), "{body}: {refused}");
        assert_eq!(refused.http_status(), 400, "{body}");
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused() {
    let headers = crate::refusals::headers(&[("content-type", "application/cloudevents+json")]);
    let body = Bytes::from_static(b"{\"specversion\":\"1.0\",\"id\":\"\xff\"}");
    let refused = pelton_event::http::decode(&headers, body, &Default::default()).unwrap_err();
    assert_eq!((refused.code(), refused.http_status()), ("json_not_utf8", 400));
}

/// Nothing here recurses: ten thousand levels and a million are refused alike, wherever they stand.
#[test]
fn deep_nesting() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let event = |depth| with(&format!(r#""data":{}"#, nested(depth)));
    assert_eq!(read(&event(MAX_DATA_NESTING)).data().len(), 2 * MAX_DATA_NESTING);
    for depth in [MAX_DATA_NESTING + 1, 10_000, 400_000] {
        let refused = structured(&event(depth)).unwrap_err();
        assert_eq!((refused.code(), refused.http_status()), ("json_too_deep", 400), "{depth}");
        assert!(refused.to_string().starts_with("nested deeper than 1024 levels"), "{refused}");
        assert_eq!(batch(&format!("[{}]", event(depth))).unwrap_err().code(), "json_too_deep", "{depth}");
    }
    assert!(batch(&format!("[{}]", event(MAX_DATA_NESTING))).is_ok());
    assert_eq!(structured(&with(&format!(r#""x":{}"#, nested(10_000)))).unwrap_err().code(), "nested_value");
    assert_eq!(structured(&with(&format!(r#""id2":1,"subject":{}"#, nested(10_000)))).unwrap_err().http_status(), 400);
    assert_eq!(structured(&nested(10_000)).unwrap_err().http_status(), 400);
    assert_eq!(batch(&nested(10_000)).unwrap_err().http_status(), 400);
    assert_eq!(structured(&with(&format!(r#""data":{}"#, "[".repeat(10_000)))).unwrap_err().code(), "json_too_deep");
}

/// Section 2: the types of attributes.
#[test]
fn attribute_types() {
    let event = read(
        r#" { "specversion" : "1.0", "id":"A234-1234-1234", "source":"/mycontext", "type":"com.example.someevent",
            "time":"2018-04-05T17:31:00.10+01:00", "subject":null, "unset":null,
            "comexampleextension1":"value", "comexampleothervalue":5, "min":-2147483648, "max":2147483647, "zero":-0,
            "yes":true, "no":false, "empty":"", "looksliketime":"2018-04-05T17:31:00Z",
            "escaped":"\"\\\/ \u00e9 \ud83d\ude00 😀", "123":"digits", "opcuametadatamajorversion":1 } "#,
    );
    for (name, want) in [
        ("time", Some(AttributeValue::Timestamp("2018-04-05T17:31:00.10+01:00"))),
        ("subject", None),
        ("unset", None),
        ("comexampleextension1", Some(AttributeValue::String("value"))),
        ("comexampleothervalue", Some(AttributeValue::Integer(5))),
        ("min", Some(AttributeValue::Integer(i32::MIN))),
        ("max", Some(AttributeValue::Integer(i32::MAX))),
        ("zero", Some(AttributeValue::Integer(0))),
        ("yes", Some(AttributeValue::Boolean(true))),
        ("no", Some(AttributeValue::Boolean(false))),
        ("empty", Some(AttributeValue::String(""))),
        ("looksliketime", Some(AttributeValue::String("2018-04-05T17:31:00Z"))),
        ("escaped", Some(AttributeValue::String("\"\\/ é 😀 😀"))),
        ("123", Some(AttributeValue::String("digits"))),
        ("opcuametadatamajorversion", Some(AttributeValue::Integer(1))),
    ] {
        assert_eq!(event.attribute(name), want, "{name}");
    }
    assert_eq!((event.data_kind(), event.datacontenttype()), (DataKind::None, None));
}

/// Section 3.1: what the data members mean. (members, kind, data, datacontenttype, implied)
#[test]
fn data_members() {
    let json = Some("application/json");
    for (members, kind, data, datacontenttype, implied) in [
        (
            r#""data":{ "b":1.10,  "a":12345678901234567890123 }"#,
            DataKind::Json,
            &br#"{ "b":1.10,  "a":12345678901234567890123 }"#[..],
            json,
            true,
        ),
        (r#""data":null"#, DataKind::Json, b"null", json, true),
        (r#""data":"{\"a\":1}""#, DataKind::Json, br#""{\"a\":1}""#, json, true),
        (r#""data":1e400"#, DataKind::Json, b"1e400", json, true),
        (r#""data":"\ud800""#, DataKind::Json, br#""\ud800""#, json, true),
        (r#""data":{"a":1,"a":2}"#, DataKind::Json, br#"{"a":1,"a":2}"#, json, true),
        (r#""data":[],"datacontenttype":"application/json""#, DataKind::Json, b"[]", json, false),
        (r#""data":"","datacontenttype":"application/json""#, DataKind::Json, b"\"\"", json, false),
        (
            r#""datacontenttype":"application/vnd.x+json; charset=utf-8","data":{}"#,
            DataKind::Json,
            b"{}",
            Some("application/vnd.x+json; charset=utf-8"),
            false,
        ),
        (r#""datacontenttype":"Application/JSON","data":{}"#, DataKind::Json, b"{}", Some("Application/JSON"), false),
        (
            r#""datacontenttype":"text/xml","data":"<much wow=\"xml\"/>""#,
            DataKind::Text,
            br#"<much wow="xml"/>"#,
            Some("text/xml"),
            false,
        ),
        (r#""datacontenttype":"text/plain","data":"""#, DataKind::Text, b"", Some("text/plain"), false),
        (
            r#""data":"é\n","datacontenttype":"text/plain; charset=UTF-8""#,
            DataKind::Text,
            "é\n".as_bytes(),
            Some("text/plain; charset=UTF-8"),
            false,
        ),
        (
            r#""datacontenttype":"application/json","data":null,"data_base64":null"#,
            DataKind::Json,
            b"null",
            json,
            false,
        ),
        (r#""data_base64":"AAEC""#, DataKind::Bytes, b"\0\x01\x02", None, false),
        (
            r#""data_base64":"eyJhIjoxfQ==","datacontenttype":"application/json""#,
            DataKind::Bytes,
            br#"{"a":1}"#,
            json,
            false,
        ),
        (r#""data_base64":"\u0041AEC""#, DataKind::Bytes, b"\0\x01\x02", None, false),
        (r#""data_base64":"\/+8=""#, DataKind::Bytes, b"\xff\xef", None, false),
        (r#""data_base64":"""#, DataKind::Bytes, b"", None, false),
        (r#""data_base64":null"#, DataKind::None, b"", None, false),
        (r#""datacontenttype":"text/plain""#, DataKind::None, b"", Some("text/plain"), false),
        (r#""datacontenttype":null,"data":1"#, DataKind::Json, b"1", json, true),
    ] {
        let event = read(&with(members));
        assert_eq!((event.data_kind(), event.data()), (kind, data), "{members}");
        assert_eq!(
            (event.datacontenttype(), event.datacontenttype_is_implied()),
            (datacontenttype, implied),
            "{members}"
        );
    }
}

/// Section 3.1 and 4.4 of our notes: what each kind of data becomes. (datacontenttype, kind, data, members written)
#[test]
fn data_as_written() {
    let deep = "[".repeat(MAX_DATA_NESTING + 1) + &"]".repeat(MAX_DATA_NESTING + 1);
    let rows: &[(Option<&str>, DataKind, &[u8], &str)] = &[
        (None, DataKind::None, b"", ""),
        (Some("text/plain"), DataKind::None, b"", r#","datacontenttype":"text/plain""#),
        (None, DataKind::Json, b"{ \"a\":1.10 }", r#","data":{ "a":1.10 }"#),
        (Some("application/json"), DataKind::Json, b"null", r#","datacontenttype":"application/json","data":null"#),
        (
            Some("application/json"),
            DataKind::Bytes,
            b" {\"a\":1e400}",
            r#","datacontenttype":"application/json","data": {"a":1e400}"#,
        ),
        (Some("a/b+json"), DataKind::Bytes, b"{", r#","datacontenttype":"a/b+json","data_base64":"ew==""#),
        (Some("a/json"), DataKind::Bytes, b"\"\xff\"", r#","datacontenttype":"a/json","data_base64":"Iv8i""#),
        (Some("a/json"), DataKind::Bytes, b"", r#","datacontenttype":"a/json","data_base64":"""#),
        (Some("application/json"), DataKind::Text, b"{}", r#","datacontenttype":"application/json","data":{}"#),
        (
            Some("application/json"),
            DataKind::Text,
            b"no",
            r#","datacontenttype":"application/json","data_base64":"bm8=""#,
        ),
        (
            Some("text/plain"),
            DataKind::Text,
            b"a\"\\\n\x01",
            r#","datacontenttype":"text/plain","data":"a\"\\\n\u0001""#,
        ),
        (Some("text/plain"), DataKind::Text, b"", r#","datacontenttype":"text/plain","data":"""#),
        (Some("text/plain"), DataKind::Bytes, b"hello", r#","datacontenttype":"text/plain","data":"hello""#),
        (Some("image/svg+xml"), DataKind::Bytes, b"<a/>", r#","datacontenttype":"image/svg+xml","data":"<a/>""#),
        (Some("text/plain"), DataKind::Bytes, b"\xff", r#","datacontenttype":"text/plain","data_base64":"/w==""#),
        (Some("a/b"), DataKind::Bytes, b"hello", r#","datacontenttype":"a/b","data_base64":"aGVsbG8=""#),
        (Some("a/b"), DataKind::Text, b"hello", r#","datacontenttype":"a/b","data":"hello""#),
        (
            Some("text/a; charset=utf-16"),
            DataKind::Text,
            b"a",
            r#","datacontenttype":"text/a; charset=utf-16","data_base64":"YQ==""#,
        ),
        (
            Some("text/a; charset=us-ascii"),
            DataKind::Text,
            "é".as_bytes(),
            r#","datacontenttype":"text/a; charset=us-ascii","data_base64":"w6k=""#,
        ),
        (None, DataKind::Text, b"hello", r#","data_base64":"aGVsbG8=""#),
        (None, DataKind::Bytes, b"{}", r#","data_base64":"e30=""#),
        (
            None,
            DataKind::ProtoAny,
            b"\x0a\x03t:x\x12\x01\x07",
            r#","datacontenttype":"application/protobuf","dataschema":"t:x","data_base64":"Bw==""#,
        ),
        (
            Some("x/y"),
            DataKind::ProtoAny,
            b"\x0a\x03t.x\x12\x01\x07",
            r#","datacontenttype":"x/y","data_base64":"Bw==""#,
        ),
    ];
    for (datacontenttype, kind, data, members) in rows {
        let mut builder = Event::builder().id("1").source("/s").ty("t").data(*kind, data);
        if let Some(datacontenttype) = datacontenttype {
            builder = builder.datacontenttype(datacontenttype);
        }
        let event = builder.build().unwrap();
        let want = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#);
        let got = encode_structured(&event);
        assert_eq!(String::from_utf8_lossy(&got), want, "{datacontenttype:?} {kind:?}");
        // By a parser that is not ours.
        serde_json::from_slice::<&serde_json::value::RawValue>(&got).unwrap();
    }
    let event = Event::builder().id("1").source("/s").ty("t").datacontenttype("a/json");
    let written = encode_structured(&event.data(DataKind::Bytes, deep.as_bytes()).build().unwrap());
    assert!(written.windows(13).any(|window| window == b"\"data_base64\""), "deeper than we would read");
}

#[test]
fn attributes_as_written() {
    let event = Event::builder()
        .id("é\"\\")
        .source("/s")
        .ty("t")
        .subject("sub")
        .time("2018-04-05t17:31:00.10+01:00")
        .dataschema("HTTP://Example.COM")
        .extension("flag", AttributeValue::Boolean(false))
        .extension("count", AttributeValue::Integer(-7))
        .extension("bytes", AttributeValue::Binary(b"\0\xff"))
        .build()
        .unwrap();
    let want = r#"{"specversion":"1.0","id":"é\"\\","source":"/s","type":"t","subject":"sub","time":"2018-04-05t17:31:00.10+01:00","dataschema":"HTTP://Example.COM","bytes":"AP8=","count":-7,"flag":false}"#;
    assert_eq!(String::from_utf8_lossy(&encode_structured(&event)), want);
}
