//! Events as they may come, for properties.

use std::collections::BTreeMap;

use pelton_event::{AttributeValue, DataKind, Event};
use proptest::prelude::*;

/// The value of an extension, owned.
#[derive(Debug, Clone)]
pub enum Value {
    Boolean(bool),
    Integer(i32),
    String(String),
    Binary(Vec<u8>),
    Uri(String),
    UriRef(String),
    Timestamp(String),
}

impl Value {
    fn get(&self) -> AttributeValue<'_> {
        match self {
            Self::Boolean(value) => AttributeValue::Boolean(*value),
            Self::Integer(number) => AttributeValue::Integer(*number),
            Self::String(text) => AttributeValue::String(text),
            Self::Binary(bytes) => AttributeValue::Binary(bytes),
            Self::Uri(text) => AttributeValue::Uri(text),
            Self::UriRef(text) => AttributeValue::UriRef(text),
            Self::Timestamp(text) => AttributeValue::Timestamp(text),
        }
    }
}

/// Text that a String may hold, hard cases for headers and JSON among it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,20}",
        "[\"%\\\\ é€😀\u{a0}\u{fffd}/]{1,12}",
        "\\PC{1,12}".prop_filter("noncharacters", |text| !text.chars().any(|c| {
            let point = u32::from(c);
            c.is_control() || point & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&point)
        })),
    ]
}

fn uri() -> impl Strategy<Value = String> {
    "https://[A-Za-z0-9.]{1,10}(:[0-9]{1,4})?(/[a-zA-Z%2050~!$&'()*+,;=:@-]{0,8}){0,3}(\\?[a-z=&]{0,6})?"
        .prop_map(|text| text.replace('%', "%20"))
}

fn uri_ref() -> impl Strategy<Value = String> {
    prop_oneof![uri(), "/[a-z0-9._~/]{0,16}", "urn:[a-z]{1,4}:[a-zA-Z0-9]{1,8}"]
        .prop_map(|text| if text.starts_with("//") { text.replacen("//", "/", 1) } else { text })
        .prop_filter("a second slash would begin an authority", |text| !text.starts_with("//"))
}

fn time() -> impl Strategy<Value = String> {
    "(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?([Zz]|[+-](0[0-9]|1[0-3]):[0-5][0-9])"
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(Value::Integer),
        prop_oneof![text(), Just(String::new())].prop_map(Value::String),
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(Value::Binary),
        uri().prop_map(Value::Uri),
        uri_ref().prop_map(Value::UriRef),
        time().prop_map(Value::Timestamp),
    ]
}

fn json() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"null".to_vec()),
        Just(br#"{ "b" : 1.10, "a":12345678901234567890123, "a":[ ] }"#.to_vec()),
        Just(br#""a \ud800 string""#.to_vec()),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,9})?(e[+-]?[0-9]{1,3})?".prop_map(String::into_bytes),
        proptest::collection::vec("[a-z]{0,4}", 0..4).prop_map(|names| format!(
            "{{{}}}",
            names.iter().map(|n| format!("\"{n}\": [{{}},\t0]")).collect::<Vec<_>>().join(" ,")
        )
        .into_bytes()),
    ]
}

/// `datacontenttype`, kind and data that fit each other.
fn data() -> impl Strategy<Value = (Option<&'static str>, DataKind, Vec<u8>)> {
    let bytes =
        || prop_oneof![proptest::collection::vec(any::<u8>(), 0..64), json(), text().prop_map(String::into_bytes)];
    let json_type = || {
        prop::sample::select(vec![
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/vnd.x+json",
            "model/json",
        ])
    };
    let other_type = || {
        prop::sample::select(vec![
            "text/plain",
            "text/plain; charset=us-ascii",
            "application/xml",
            "application/octet-stream",
            "text/xml; charset=utf-16",
            "application/json-seq",
        ])
    };
    prop_oneof![
        Just((None, DataKind::None, vec![])),
        other_type().prop_map(|media| (Some(media), DataKind::None, vec![])),
        bytes().prop_map(|data| (None, DataKind::Bytes, data)),
        (json_type(), bytes()).prop_map(|(media, data)| (Some(media), DataKind::Bytes, data)),
        (other_type(), bytes()).prop_map(|(media, data)| (Some(media), DataKind::Bytes, data)),
        json().prop_map(|data| (None, DataKind::Json, data)),
        (json_type(), json()).prop_map(|(media, data)| (Some(media), DataKind::Json, data)),
        (other_type(), prop_oneof![text(), "[ -~\n\r\t\u{0}\u{1f}]{0,12}"]).prop_map(|(media, text)| (
            Some(media),
            DataKind::Text,
            text.into_bytes()
        )),
        (json_type(), text()).prop_map(|(media, text)| (Some(media), DataKind::Text, text.into_bytes())),
    ]
}

prop_compose! {
    /// Any event without protobuf data.
    pub fn any_event()(
        (id, source, ty) in (text(), uri_ref(), text()),
        subject in proptest::option::of(text()),
        time in proptest::option::of(time()),
        dataschema in proptest::option::of(uri()),
        (datacontenttype, kind, data) in data(),
        extensions in proptest::collection::btree_map("x[a-z0-9]{0,24}", value(), 0..6),
    ) -> Event {
        let extensions: BTreeMap<String, Value> = extensions;
        let mut builder = Event::builder().id(&id).source(&source).ty(&ty).data(kind, &data);
        if let Some(subject) = &subject {
            builder = builder.subject(subject);
        }
        if let Some(time) = &time {
            builder = builder.time(time);
        }
        if let Some(dataschema) = &dataschema {
            builder = builder.dataschema(dataschema);
        }
        if let Some(datacontenttype) = datacontenttype {
            builder = builder.datacontenttype(datacontenttype);
        }
        for (name, value) in &extensions {
            builder = builder.extension(name, value.get());
        }
        builder.build().expect("the strategy makes only valid events")
    }
}
