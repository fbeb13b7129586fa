use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use encode::{Encoder, bytes_field, envelope, int_field};

mod encode;
mod fixtures;

/// Any kind and an object of it, with `apiVersion` and `kind`.
fn any_object() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    let kinds: Vec<_> = tables::all().collect();
    let kind = proptest::sample::select(kinds);
    kind.prop_flat_map(|(api_version, kind, fields)| {
        encode::any_object(fields).prop_map(move |mut object| {
            object["apiVersion"] = api_version.into();
            object["kind"] = kind.into();
            (api_version, kind, object)
        })
    })
}

fn encode(api_version: &str, kind: &str, object: &Value, encoder: Encoder) -> Vec<u8> {
    let fields = tables::find(api_version, kind).expect("the kind has a table");
    envelope(api_version, kind, &encoder.message(fields, object))
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// What is true of any bytes. That nothing panics is true when this returns.
fn check_any(body: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = decode(body) {
        prop_assert!(value["apiVersion"].is_string() && value["kind"].is_string());
        prop_assert!(count(&value) <= body.len(), "{} B became {} values", body.len(), count(&value));
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded((api_version, kind, object) in any_object()) {
        let body = encode(api_version, kind, &object, Encoder { writes_zeros: false });
        prop_assert_eq!(decode(&body), Ok(object));
    }

    /// As Go does it: each field that is not a pointer, whether it is set or not.
    #[test]
    fn zeros_that_are_written_are_not_there((api_version, kind, object) in any_object()) {
        let body = encode(api_version, kind, &object, Encoder { writes_zeros: true });
        prop_assert_eq!(decode(&body), Ok(object));
    }

    #[test]
    fn fields_that_are_not_known_are_skipped(
        (api_version, kind, object) in any_object(),
        number in 100u32..(1 << 29),
        text in any::<Vec<u8>>(),
    ) {
        let raw = Encoder { writes_zeros: false }.message(tables::find(api_version, kind).unwrap(), &object);
        let unknown = [int_field(number, u64::MAX), bytes_field(number, &text)].concat();
        let body = envelope(api_version, kind, &[&unknown[..], &raw, &unknown].concat());
        prop_assert_eq!(decode(&[&body[..], &unknown].concat()), Ok(object));
    }

    /// Protocol Buffers, "Last One Wins": the messages one after the other are the message of both.
    #[test]
    fn a_message_that_comes_twice_is_merged((api_version, kind, object) in any_object()) {
        let raw = Encoder { writes_zeros: false }.message(tables::find(api_version, kind).unwrap(), &object);
        let twice = decode(&envelope(api_version, kind, &raw.repeat(2)));
        prop_assert_eq!(twice, Ok(encode::merged(&object, &object)));
    }

    #[test]
    fn bytes_that_were_cut_or_changed_are_survived(
        (api_version, kind, object) in any_object(),
        cut in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut body = encode(api_version, kind, &object, Encoder { writes_zeros: true });
        check_any(&body[..cut.index(body.len())])?;
        let at = at.index(body.len());
        body[at] = byte;
        check_any(&body)?;
    }

    #[test]
    fn any_bytes_are_survived(bytes in any::<Vec<u8>>(), row in 0usize..13) {
        check_any(&bytes)?;
        check_any(&[PREFIX, &bytes].concat())?;
        let (api_version, kind, _) = tables::all().nth(row).unwrap();
        check_any(&envelope(api_version, kind, &bytes))?;
        check_any(&envelope(api_version, kind, &bytes_field(1, &bytes)))?;
        check_any(&envelope(api_version, kind, &bytes_field(2, &bytes)))?;
    }
}

fn config_map(raw: &[u8]) -> Result<Value, ProtobufError> {
    decode(&envelope("v1", "ConfigMap", raw))
}

/// What is in a ConfigMap besides what says that it is one.
fn inside(object: Value) -> Value {
    let Value::Object(mut map) = object else { panic!("{object} is no object") };
    assert_eq!((map.remove("apiVersion"), map.remove("kind")), (Some(json!("v1")), Some(json!("ConfigMap"))));
    Value::Object(map)
}

#[test]
fn each_rule_has_its_bytes() {
    let rows: [(&str, &[u8], Value); 18] = [
        ("no bytes are an object without fields", b"", json!({})),
        ("a message without bytes is there", b"\x0a\x00", json!({"metadata": {}})),
        ("an empty text is absent", b"\x0a\x05\x0a\x00\x0a\x01n", json!({"metadata": {"name": "n"}})),
        ("the last text wins", b"\x0a\x06\x0a\x01a\x0a\x01b", json!({"metadata": {"name": "b"}})),
        ("and when it is empty, nothing is left", b"\x0a\x05\x0a\x01a\x0a\x00", json!({"metadata": {}})),
        ("generation 0 is absent", b"\x0a\x02\x38\x00", json!({"metadata": {}})),
        ("generation 5 is not", b"\x0a\x02\x38\x05", json!({"metadata": {"generation": 5}})),
        (
            "a number below zero has ten bytes",
            b"\x0a\x0b\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            json!({"metadata": {"generation": -1}}),
        ),
        ("a grace period of 0 is one", b"\x0a\x02\x50\x00", json!({"metadata": {"deletionGracePeriodSeconds": 0}})),
        ("an empty time is absent", b"\x0a\x04\x42\x00\x4a\x00", json!({"metadata": {}})),
        ("false is kept where it is not the same as nothing", b"\x20\x00", json!({"immutable": false})),
        ("any number but 0 is true", b"\x20\x02", json!({"immutable": true})),
        (
            "messages are merged",
            b"\x0a\x03\x0a\x01n\x20\x01\x0a\x03\x1a\x01s",
            json!({"metadata": {"name": "n", "namespace": "s"}, "immutable": true}),
        ),
        (
            "entries of a map are kept, also without a value, and the last of a key wins",
            b"\x12\x06\x0a\x01a\x12\x01x\x12\x03\x0a\x01b\x12\x05\x12\x01y\x0a\x00\x12\x06\x12\x01z\x0a\x01a",
            json!({"data": {"a": "z", "b": "", "": "y"}}),
        ),
        (
            "bytes are base64",
            b"\x1a\x07\x0a\x01b\x12\x02\x00\xff\x1a\x03\x0a\x01e",
            json!({"binaryData": {"b": "AP8=", "e": ""}}),
        ),
        (
            "entries of a list are kept in their order, empty ones too",
            b"\x0a\x08\x72\x01b\x72\x00\x72\x01a",
            json!({"metadata": {"finalizers": ["b", "", "a"]}}),
        ),
        (
            "controller: false is kept",
            b"\x0a\x0c\x6a\x05\x30\x00\x1a\x01n\x6a\x03\x1a\x01m",
            json!({"metadata": {"ownerReferences": [{"controller": false, "name": "n"}, {"name": "m"}]}}),
        ),
        (
            "fieldsV1 is JSON in JSON",
            b"\x0a\x0a\x8a\x01\x07\x3a\x05\x0a\x03{ }\x0a\x05\x8a\x01\x02\x3a\x00",
            json!({"metadata": {"managedFields": [{"fieldsV1": {}}, {}]}}),
        ),
    ];
    for (rule, raw, want) in rows {
        assert_eq!(config_map(raw).map(inside), Ok(want), "{rule}");
    }
}

#[test]
fn a_fault_is_told_with_its_place() {
    let rows: [(&[u8], &str, Fault); 13] = [
        (b"\x0a\x03\x0a\x01\xff", "ConfigMap.metadata.name", Fault::NotUtf8),
        (b"\x0a\x02\x0a\x05", "ConfigMap.metadata", Fault::Truncated),
        (b"\x0a\x02\x08\x01", "ConfigMap.metadata.name", Fault::WrongWireType),
        (b"\x08\x01", "ConfigMap.metadata", Fault::WrongWireType),
        (b"\x22\x00", "ConfigMap.immutable", Fault::WrongWireType),
        (b"\x12\x03\x0a\x01\xff", "ConfigMap.data", Fault::NotUtf8),
        (b"\x12\x03\x12\x01\xff", "ConfigMap.data", Fault::NotUtf8),
        (b"\x12\x02\x10\x01", "ConfigMap.data", Fault::WrongWireType),
        (
            b"\x0a\x0c\x6a\x03\x1a\x01n\x6a\x05\x1a\x03a\xffb",
            "ConfigMap.metadata.ownerReferences[1].name",
            Fault::NotUtf8,
        ),
        (b"\x0a\x04\x42\x02\x10\xff", "ConfigMap.metadata.creationTimestamp", Fault::Truncated),
        (
            b"\x0a\x08\x8a\x01\x05\x3a\x03\x0a\x01[",
            "ConfigMap.metadata.managedFields[0].fieldsV1",
            Fault::NotJsonObject,
        ),
        (b"\x1b\x1c", "ConfigMap", Fault::ForbiddenWireType(3)),
        (b"\xff", "ConfigMap", Fault::Truncated),
    ];
    for (raw, at, fault) in rows {
        let want = ProtobufError::Malformed { at: at.to_owned(), fault };
        assert_eq!(config_map(raw), Err(want), "{raw:02x?}");
    }
}

#[test]
fn the_envelope_says_what_is_inside() {
    let type_meta = bytes_field(1, &[bytes_field(1, b"v1"), bytes_field(2, b"ConfigMap")].concat());
    let raw = bytes_field(2, b"\x20\x01");
    let body = |parts: &[&[u8]]| decode(&[PREFIX, &parts.concat()].concat());
    let want = json!({"apiVersion": "v1", "kind": "ConfigMap", "immutable": true});
    assert_eq!(body(&[&type_meta, &raw]).as_ref(), Ok(&want));
    assert_eq!(body(&[&raw, &type_meta]).as_ref(), Ok(&want), "in any order");
    let (first, second) = (bytes_field(1, &bytes_field(1, b"v1")), bytes_field(1, &bytes_field(2, b"ConfigMap")));
    assert_eq!(body(&[&first, &raw, &second]).as_ref(), Ok(&want), "typeMeta is merged");
    let plain = [bytes_field(3, b""), bytes_field(4, CONTENT_TYPE.as_bytes()), int_field(9, 1)].concat();
    assert_eq!(body(&[&type_meta, &raw, &plain]).as_ref(), Ok(&want));
    assert_eq!(body(&[&type_meta]), Ok(json!({"apiVersion": "v1", "kind": "ConfigMap"})), "no raw is an empty one");

    for (field, number, found) in [("contentEncoding", 3, "gzip"), ("contentType", 4, "application/json")] {
        let foreign = bytes_field(number, found.as_bytes());
        let want = ProtobufError::Foreign { field, found: found.to_owned() };
        assert_eq!(body(&[&type_meta, &raw, &foreign]), Err(want), "an object in another form is refused");
    }
    let rows: [(&[u8], &str, Fault); 6] = [
        (b"\x0a\x05\x0a", "Unknown", Fault::Truncated),
        (b"\x0a\x02\x0a\x05", "Unknown.typeMeta", Fault::Truncated),
        (b"\x0a\x03\x12\x01\xff", "Unknown.typeMeta", Fault::NotUtf8),
        (b"\x10\x01", "Unknown.raw", Fault::WrongWireType),
        (b"\x20\x01", "Unknown.contentType", Fault::WrongWireType),
        (b"\x13", "Unknown", Fault::ForbiddenWireType(3)),
    ];
    for (bytes, at, fault) in rows {
        assert_eq!(body(&[bytes]), Err(ProtobufError::Malformed { at: at.to_owned(), fault }), "{bytes:02x?}");
    }
}

#[test]
fn other_bodies_are_refused() {
    for body in [&b""[..], b"k8s", b"k8s\x01", b"{}", br#"{"apiVersion":"v1","kind":"ConfigMap"}"#, b"\0k8s"] {
        assert_eq!(decode(body), Err(ProtobufError::NoPrefix), "{body:02x?}");
    }
    let unknown = |api_version: &str, kind: &str| {
        let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
        Err(ProtobufError::UnknownKind { api_version, kind })
    };
    assert_eq!(decode(PREFIX), unknown("", ""), "nothing says what it is");
    for (api_version, kind) in [("v1", "Pod"), ("apps/v1", "Deployment"), ("eventing.knative.dev/v1", "Broker")] {
        assert_eq!(decode(&envelope(api_version, kind, b"")), unknown(api_version, kind));
        // What cannot be read is not looked at.
        assert_eq!(decode(&envelope(api_version, kind, b"\xff")), unknown(api_version, kind));
    }
    let long = "ä".repeat(MAX_NAME_CHARS + 1);
    let cut = "ä".repeat(MAX_NAME_CHARS);
    assert_eq!(decode(&envelope(&long, &long, b"")), unknown(&cut, &cut));
}

#[test]
fn messages_name_the_field() {
    let rows = [
        (config_map(b"\x0a\x03\x0a\x01\xff"), "protobuf body: ConfigMap.metadata.name: text is not UTF-8"),
        (
            decode(&envelope("v1", "Pod", b"")),
            r#"protobuf is not supported for kind "Pod" of apiVersion "v1": send JSON"#,
        ),
    ];
    for (result, want) in rows {
        assert_eq!(result.unwrap_err().to_string(), want);
    }
}

/// Bodies as clients send them, and as Kubernetes' own encoder writes objects in which every field is set.
#[test]
fn bodies_of_others_are_read() {
    for (name, hex, want) in fixtures::ALL {
        let want: Value = serde_json::from_str(want).unwrap();
        assert_eq!(decode(&fixtures::bytes(hex)), Ok(want), "{name}");
    }
}

/// So that no number of a table goes unproved. The table of `metadata` is the same for all, and proved once.
#[test]
fn every_field_is_in_a_body_of_others() {
    let bodies: Vec<Value> = fixtures::ALL.iter().map(|(_, hex, _)| decode(&fixtures::bytes(hex)).unwrap()).collect();
    for (_, kind, fields) in tables::all() {
        let of_kind: Vec<_> = bodies.iter().filter(|body| body["kind"] == kind).collect();
        let mut missing = encode::missing(fields, &of_kind);
        missing.retain(|name| !name.starts_with("metadata.") || kind == "ConfigMap");
        assert_eq!(missing, Vec::<String>::new(), "{kind}");
    }
}
