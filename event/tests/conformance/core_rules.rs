//! CloudEvents 1.0, "Context Attributes" and "Type System", through the builder.

use pelton_event::limits::{MAX_ATTRIBUTE_NAME, MAX_EXTENSIONS};
use pelton_event::{AttributeValue, DataKind, Event, EventBuilder, Rule};

fn valid<'a>() -> EventBuilder<'a> {
    Event::builder().id("1").source("/s").ty("t")
}

/// "Required attributes", "Optional attributes": one broken rule a row.
#[test]
fn core_attributes() {
    type Change = fn(EventBuilder<'static>) -> EventBuilder<'static>;
    let rows: &[(Change, &str, Rule)] = &[
        (|b| b.id(""), "id", Rule::Empty),
        (|b| b.id("a\nb"), "id", Rule::ControlCharacter),
        (|b| b.id("\u{fffe}"), "id", Rule::Noncharacter),
        (|b| b.source(""), "source", Rule::Empty),
        (|b| b.source("a b"), "source", Rule::NotUriReference),
        (|b| b.source("/%zz"), "source", Rule::NotUriReference),
        (|b| b.ty(""), "type", Rule::Empty),
        (|b| b.ty("\u{7f}"), "type", Rule::ControlCharacter),
        (|b| b.subject(""), "subject", Rule::Empty),
        (|b| b.subject("\u{85}"), "subject", Rule::ControlCharacter),
        (|b| b.time(""), "time", Rule::Empty),
        (|b| b.time("2018-04-05T18:31Z"), "time", Rule::NotTimestamp),
        (|b| b.time("2018-04-05T17:31:00+25:00"), "time", Rule::NotTimestamp),
        (|b| b.time("2018-04-05T17:31:00X"), "time", Rule::NotTimestamp),
        (|b| b.datacontenttype(""), "datacontenttype", Rule::Empty),
        (|b| b.datacontenttype("xyz"), "datacontenttype", Rule::NotMediaType),
        (|b| b.datacontenttype("text/plain; a=\"\n\""), "datacontenttype", Rule::ControlCharacter),
        (|b| b.dataschema(""), "dataschema", Rule::Empty),
        (|b| b.dataschema("/relative"), "dataschema", Rule::NotAbsoluteUri),
        (|b| b.attribute("specversion", "0.3".into()), "specversion", Rule::UnsupportedSpecVersion),
        (|b| b.attribute("specversion", 1.into()), "specversion", Rule::WrongType),
        (|b| b.attribute("subject", 1.into()), "subject", Rule::WrongType),
        (|b| b.attribute("subject", AttributeValue::Uri("a:b")), "subject", Rule::WrongType),
        (|b| b.attribute("time", 1.into()), "time", Rule::WrongType),
        (|b| b.attribute("dataschema", AttributeValue::Binary(b"x")), "dataschema", Rule::WrongType),
        (|b| b.extension("", true.into()), "", Rule::NameEmpty),
        (|b| b.extension("Upper", true.into()), "Upper", Rule::NameCharacter),
        (|b| b.extension("a-b", true.into()), "a-b", Rule::NameCharacter),
        (|b| b.extension("data", true.into()), "data", Rule::NameReserved),
        (|b| b.extension("id", "2".into()), "id", Rule::CoreAsExtension),
        (|b| b.extension("specversion", "1.0".into()), "specversion", Rule::CoreAsExtension),
        (|b| b.extension("x", "1".into()).extension("x", "1".into()), "x", Rule::Duplicate),
        (|b| b.extension("x", "a\0".into()), "x", Rule::ControlCharacter),
        (|b| b.extension("x", AttributeValue::Uri("a")), "x", Rule::NotAbsoluteUri),
        (|b| b.extension("x", AttributeValue::UriRef(" ")), "x", Rule::NotUriReference),
        (|b| b.extension("x", AttributeValue::Timestamp("now")), "x", Rule::NotTimestamp),
        (|b| b.data(DataKind::None, b"x"), "data", Rule::DataUnexpected),
        (|b| b.data(DataKind::Json, b"{"), "data", Rule::DataNotJson),
        (|b| b.data(DataKind::Json, b""), "data", Rule::DataNotJson),
        (|b| b.data(DataKind::Json, b"{}").datacontenttype("text/plain"), "data", Rule::DataKindMismatch),
        (|b| b.data(DataKind::Text, b"\xff"), "data", Rule::DataNotText),
        (|b| b.data(DataKind::ProtoAny, b"\xff"), "data", Rule::DataNotAny),
    ];
    for (row, (change, attribute, rule)) in rows.iter().enumerate() {
        let refused = change(valid()).build().expect_err(&format!("row {row}: {attribute} {rule:?}"));
        assert_eq!((refused.attribute(), refused.rule()), (*attribute, *rule), "row {row}");
        assert_eq!(refused.code(), rule.code());
    }
}

#[test]
fn required_attributes() {
    for (builder, missing) in [
        (Event::builder().source("/s").ty("t"), "id"),
        (Event::builder().id("1").ty("t"), "source"),
        (Event::builder().id("1").source("/s"), "type"),
    ] {
        let refused = builder.build().unwrap_err();
        assert_eq!((refused.attribute(), refused.rule()), (missing, Rule::Missing));
    }
}

#[test]
fn errors_read_well() {
    let refused = valid().time("TIME").build().unwrap_err();
    assert_eq!(refused.to_string(), "attribute `time`: not an RFC 3339 timestamp");
    let refused = valid().data(DataKind::Json, b"{").build().unwrap_err();
    assert_eq!(refused.to_string(), "`data`: not well-formed JSON");
    let long = format!("evil\n{}", "x".repeat(500));
    let refused = valid().extension(&long, true.into()).build().unwrap_err();
    assert!(refused.attribute().starts_with("evil\\nxxx") && refused.attribute().len() < 80, "{refused}");
}

#[test]
fn codes_are_distinct() {
    let mut codes: Vec<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Rule::ALL.len());
    assert!(
        codes.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte)))
    );
}

/// Names of 20 characters are advised, longer ones are in use.
#[test]
fn long_names_are_taken_up_to_the_limit() {
    for len in [20, 21, 25, MAX_ATTRIBUTE_NAME] {
        let name = "n".repeat(len);
        let event = valid().extension(&name, "x".into()).build().unwrap();
        assert_eq!(event.attribute(&name), Some(AttributeValue::String("x")), "{len}");
    }
    let name = "n".repeat(MAX_ATTRIBUTE_NAME + 1);
    assert_eq!(valid().extension(&name, "x".into()).build().unwrap_err().rule(), Rule::NameTooLong);
}

#[test]
fn the_number_of_extensions_is_bounded() {
    let names: Vec<_> = (0..=MAX_EXTENSIONS).map(|n| format!("x{n}")).collect();
    let with =
        |count: usize| names[..count].iter().fold(valid(), |builder, name| builder.extension(name, 1.into())).build();
    assert_eq!(with(MAX_EXTENSIONS).unwrap().extensions().len(), MAX_EXTENSIONS);
    assert_eq!(with(MAX_EXTENSIONS + 1).unwrap_err().rule(), Rule::TooManyExtensions);
}

/// A core attribute may come as its own type or as its canonical string (protobuf format, "attributes").
#[test]
fn core_attributes_by_name() {
    let event = Event::builder()
        .attribute("specversion", "1.0".into())
        .attribute("id", "1".into())
        .attribute("source", AttributeValue::Uri("a:b"))
        .attribute("type", "t".into())
        .attribute("time", AttributeValue::Timestamp("2018-04-05T17:31:00Z"))
        .attribute("dataschema", "https://x".into())
        .attribute("count", 7.into())
        .build()
        .unwrap();
    for (name, want) in [
        ("specversion", Some(AttributeValue::String("1.0"))),
        ("id", Some(AttributeValue::String("1"))),
        ("source", Some(AttributeValue::UriRef("a:b"))),
        ("type", Some(AttributeValue::String("t"))),
        ("time", Some(AttributeValue::Timestamp("2018-04-05T17:31:00Z"))),
        ("dataschema", Some(AttributeValue::Uri("https://x"))),
        ("count", Some(AttributeValue::Integer(7))),
        ("subject", None),
        ("datacontenttype", None),
        ("data", None),
        ("other", None),
        ("", None),
    ] {
        assert_eq!(event.attribute(name), want, "{name}");
    }
}

/// "Type System": the canonical string of each type.
#[test]
fn canonical_strings() {
    for (value, want) in [
        (AttributeValue::Boolean(true), "true"),
        (AttributeValue::Boolean(false), "false"),
        (AttributeValue::Integer(i32::MIN), "-2147483648"),
        (AttributeValue::Integer(i32::MAX), "2147483647"),
        (AttributeValue::Integer(0), "0"),
        (AttributeValue::String("é \""), "é \""),
        (AttributeValue::Binary(b"\xfb\xff\xfe\0"), "+//+AA=="),
        (AttributeValue::Uri("HTTP://Example.COM"), "HTTP://Example.COM"),
        (AttributeValue::UriRef("../x"), "../x"),
        (AttributeValue::Timestamp("2018-04-05t17:31:00.10+01:00"), "2018-04-05t17:31:00.10+01:00"),
    ] {
        assert_eq!(value.to_canonical(), want);
    }
}

#[test]
fn json_data_implies_its_type() {
    let implied = valid().data(DataKind::Json, b"{}").build().unwrap();
    assert_eq!((implied.datacontenttype(), implied.datacontenttype_is_implied()), (Some("application/json"), true));
    let sent = valid().data(DataKind::Json, b"{}").datacontenttype("application/json").build().unwrap();
    assert!(!sent.datacontenttype_is_implied());
    let none = valid().data(DataKind::Bytes, b"{}").build().unwrap();
    assert_eq!((none.datacontenttype(), none.datacontenttype_is_implied()), (None, false));
}
