//! The frame: what it keeps, and that no bytes make it fail.

use bytes::Bytes;
use http::HeaderMap;
use pelton_event::http::{HeaderEncoding, binary_cost, encode_batch, encode_binary, encode_structured};
use pelton_event::{AttributeValue, DataKind, Event, FrameError, Rule};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::any_event::any_event;

fn event() -> Event {
    Event::builder()
        .id("1")
        .source("/s")
        .ty("t")
        .extension("b", AttributeValue::Integer(-5))
        .extension("a", AttributeValue::Boolean(true))
        .extension("c", AttributeValue::Binary(&[0xff, 0]))
        .data(DataKind::Bytes, b"data")
        .build()
        .expect("a valid event")
}

/// Uses everything that reads a frame.
fn read_all(event: &Event) {
    let _ = (event.id(), event.source(), event.ty(), event.subject(), event.time());
    let _ = (event.datacontenttype(), event.dataschema(), event.datacontenttype_is_implied());
    for (name, value) in event.attributes() {
        assert_eq!(event.attribute(name), Some(value), "{name}");
        let _ = value.to_canonical();
    }
    let _ = (event.data(), event.data_bytes(), event.data_kind(), event.frame_len(), format!("{event:?}"));
    for encoding in [HeaderEncoding::Percent, HeaderEncoding::Raw] {
        let _ = binary_cost(event, encoding);
        let _ = encode_binary(event, encoding, &mut HeaderMap::new());
    }
    let _ = (encode_structured(event), encode_batch(&[event.clone(), event.clone()]));
    let _ = event.with_attributes(&[("knativearrivaltime", AttributeValue::String("x"))]);
    let _ = (event.without_attribute("time"), event.without_attribute("xa"));
}

#[test]
fn extensions_come_in_order_and_with_their_types() {
    let event = event();
    let all: Vec<_> = event.extensions().collect();
    assert_eq!(
        all,
        [
            ("a", AttributeValue::Boolean(true)),
            ("b", AttributeValue::Integer(-5)),
            ("c", AttributeValue::Binary(&[0xff, 0])),
        ]
    );
    assert_eq!(event.data(), b"data");
    assert_eq!(event.data_bytes().as_ptr(), event.data().as_ptr(), "shared, not copied");
}

/// The layout is on disk and on the wire between nodes: it must not change by accident.
#[test]
fn the_layout_is_fixed() {
    let event = Event::builder()
        .id("i")
        .source("/s")
        .ty("ty")
        .extension("x", AttributeValue::Integer(1))
        .data(DataKind::Json, b"{}")
        .build()
        .unwrap();
    #[rustfmt::skip]
    let want: &[u8] = &[
        76, 0, 0, 0, 1, 2, 1, 0, 1, 0, 0, 0,
        49, 0, 0, 0, 51, 0, 0, 0, 53, 0, 0, 0, 53, 0, 0, 0, 53, 0, 0, 0, 69, 0, 0, 0, 69, 0, 0, 0,
        74, 0, 0, 0, 1, 1, 0, 0,
        b'i', b'/', b's', b't', b'y',
        b'a', b'p', b'p', b'l', b'i', b'c', b'a', b't', b'i', b'o', b'n', b'/', b'j', b's', b'o', b'n',
        b'x', 1, 0, 0, 0,
        b'{', b'}',
    ];
    assert_eq!(&event.as_frame()[..], want);
}

#[test]
fn unsound_frames_are_refused_with_a_reason() {
    let sound = event().as_frame().to_vec();
    let changed = |at: usize, byte: u8| {
        let mut frame = sound.clone();
        frame[at] = byte;
        Event::from_frame(Bytes::from(frame)).unwrap_err()
    };
    assert_eq!(Event::from_frame(Bytes::new()).unwrap_err(), FrameError::Size { len: 0 });
    assert!(matches!(
        Event::from_frame(Bytes::from(sound[..sound.len() - 1].to_vec())),
        Err(FrameError::Length { .. })
    ));
    assert_eq!(changed(4, 2), FrameError::Version { version: 2 });
    assert_eq!(changed(5, 9), FrameError::Header, "undefined data kind");
    assert_eq!(changed(5, 0), FrameError::Header, "data where there is said to be none");
    assert_eq!(changed(6, 2), FrameError::Header, "undefined flag");
    assert_eq!(changed(7, 1), FrameError::Header, "reserved byte");
    assert_eq!(changed(8, 0xff), FrameError::Offsets, "more extensions than bytes");
    assert_eq!(changed(12, 0), FrameError::Offsets, "the id ends before it begins");
    assert_eq!(changed(12, 64), FrameError::Missing { name: "id" });
    assert_eq!(changed(12, 0xff), FrameError::Offsets, "past the end");
    assert_eq!(changed(64, 0xff), FrameError::Text { name: "id" });
    assert_eq!(changed(45, 9), FrameError::Value { index: 0 }, "undefined type");
    assert_eq!(changed(68, b'z'), FrameError::Name { index: 1 }, "names out of order");
    assert_eq!(changed(68, b'A'), FrameError::Name { index: 0 });
    assert_eq!(changed(69, 7), FrameError::Value { index: 0 }, "a Boolean is 0 or 1");
    assert_eq!(changed(40, 69), FrameError::Value { index: 0 }, "a Boolean has one byte");
    assert_eq!(changed(48, 74), FrameError::Value { index: 1 }, "an Integer has four bytes");
    assert_eq!(changed(46, 1), FrameError::Offsets, "reserved bytes of an entry");
    assert_eq!(changed(44, 9), FrameError::Offsets, "a name longer than its entry");
}

#[test]
fn attributes_are_added_replaced_and_removed() {
    let event = event();
    let more = event
        .with_attributes(&[
            ("knativearrivaltime", AttributeValue::Timestamp("2018-04-05T17:31:00.123456789Z")),
            ("b", AttributeValue::String("new")),
        ])
        .unwrap();
    assert_eq!(more.attribute("b"), Some(AttributeValue::String("new")));
    assert_eq!(more.attribute("a"), Some(AttributeValue::Boolean(true)));
    assert_eq!(more.extensions().len(), 4);
    assert_eq!((more.data(), more.data_kind(), more.id()), (event.data(), event.data_kind(), "1"));
    let back = more.without_attribute("knativearrivaltime").with_attributes(&[("b", (-5).into())]).unwrap();
    assert_eq!(back, event);
    assert_eq!(event.with_attributes(&[]).unwrap(), event);
    assert_eq!(event.without_attribute("nothere"), event);
    assert_eq!(event.without_attribute("id"), event, "required");

    for (name, value, rule) in [
        ("id", AttributeValue::String("2"), Rule::CoreAsExtension),
        ("Upper", AttributeValue::String("2"), Rule::NameCharacter),
        ("x", AttributeValue::String("\n"), Rule::ControlCharacter),
        ("x", AttributeValue::Timestamp("x"), Rule::NotTimestamp),
    ] {
        assert_eq!(event.with_attributes(&[(name, value)]).unwrap_err().rule(), rule, "{name}");
    }
    let twice = event.with_attributes(&[("x", 1.into()), ("x", 2.into())]);
    assert_eq!(twice.unwrap_err().rule(), Rule::Duplicate);
}

#[test]
fn the_implied_type_stays_with_json() {
    let event = Event::builder().id("1").source("/s").ty("t").data(DataKind::Json, b"1").build().unwrap();
    assert!(event.with_attributes(&[("x", 1.into())]).unwrap().datacontenttype_is_implied());
    assert_eq!(event.without_attribute("datacontenttype"), event);
    let sent = Event::builder().id("1").source("/s").ty("t").datacontenttype("text/json").data(DataKind::Json, b"1");
    assert_eq!(sent.build().unwrap().without_attribute("datacontenttype"), event);
}

proptest! {
    #[test]
    fn a_frame_reads_back_as_the_same_event(event in any_event()) {
        let again = Event::from_frame(Bytes::copy_from_slice(event.as_frame())).unwrap();
        prop_assert_eq!(&again, &event);
        read_all(&again);
    }

    /// Whatever the bytes, reading them gives an error or an event of which every accessor and codec works.
    #[test]
    fn damaged_frames_never_panic(
        event in any_event(),
        damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        in_tables in any::<bool>(),
    ) {
        let mut frame = event.as_frame().to_vec();
        let range = if in_tables { frame.len().min(72) } else { frame.len() };
        for (at, byte) in damage {
            frame[at.index(range)] = byte;
        }
        if let Ok(event) = Event::from_frame(Bytes::from(frame)) {
            read_all(&event);
        }
    }

    #[test]
    fn cut_frames_are_refused(event in any_event(), cut in any::<Index>()) {
        let frame = event.as_frame();
        prop_assert!(Event::from_frame(frame.slice(..cut.index(frame.len()))).is_err());
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if bytes.len() >= 12 {
            let len = bytes.len() as u32;
            bytes[..4].copy_from_slice(&len.to_le_bytes());
            let extensions = bytes[8] % 4;
            bytes[4..12].copy_from_slice(&[1, 1, 0, 0, extensions, 0, 0, 0]);
        }
        if let Ok(event) = Event::from_frame(Bytes::from(bytes)) {
            read_all(&event);
        }
    }
}
