//! Properties: what survives each way an event can travel.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use pelton_event::http::{
    BATCH_JSON, DecodeOptions, Decoded, HeaderEncoding, STRUCTURED_JSON, binary_cost, decode, encode_batch,
    encode_binary, encode_structured,
};
use pelton_event::{AttributeValue, DataKind, Event};
use proptest::prelude::*;

use crate::any_event::any_event;

/// Every attribute by name and canonical string.
fn attributes(event: &Event) -> Vec<(String, String)> {
    event.attributes().map(|(name, value)| (name.to_owned(), value.to_canonical().into_owned())).collect()
}

fn with_type(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

fn single(decoded: Decoded) -> Event {
    match decoded {
        Decoded::Single(event) => event,
        Decoded::Batch(_) => panic!("a batch, where one event was sent"),
    }
}

fn through_binary(event: &Event, encoding: HeaderEncoding) -> Event {
    let mut headers = HeaderMap::new();
    let body = encode_binary(event, encoding, &mut headers);
    let options = DecodeOptions { header_encoding: encoding, ..DecodeOptions::default() };
    single(decode(&headers, body, &options).unwrap_or_else(|error| panic!("{error}: {headers:?}")))
}

fn through_structured(event: &Event) -> Event {
    let body = encode_structured(event);
    let text = String::from_utf8_lossy(&body).into_owned();
    single(
        decode(&with_type(STRUCTURED_JSON), body, &DecodeOptions::default())
            .unwrap_or_else(|error| panic!("{error}: {text}")),
    )
}

/// What a Boolean or an Integer was comes back as one; every other type comes back as a String.
fn json_typed(value: AttributeValue<'_>) -> (bool, String) {
    (matches!(value, AttributeValue::Boolean(_) | AttributeValue::Integer(_)), value.to_canonical().into_owned())
}

fn check_structured(event: &Event, back: &Event) -> Result<(), TestCaseError> {
    prop_assert_eq!(attributes(back), attributes(event));
    prop_assert_eq!(back.datacontenttype_is_implied(), event.datacontenttype_is_implied());
    let types = |event: &Event| event.extensions().map(|(_, value)| json_typed(value)).collect::<Vec<_>>();
    prop_assert_eq!(types(back), types(event));
    if back.data_kind() == DataKind::Json {
        // White space around a JSON value belongs to the document it stands in, not to the value.
        prop_assert_eq!(back.data(), event.data().trim_ascii());
    } else {
        prop_assert_eq!(back.data(), event.data());
    }
    if event.data_kind() == DataKind::Json {
        prop_assert_eq!(back.data_kind(), DataKind::Json);
    }
    prop_assert_eq!(back.data_kind() == DataKind::None, event.data_kind() == DataKind::None);
    Ok(())
}

/// Found by `structured_mode_keeps_everything`: a media type is compared without regard to case.
#[test]
fn json_text_is_a_value_however_its_type_is_spelt() {
    for datacontenttype in ["application/json", "Application/JSON; charset=utf-8", "Model/X+Json"] {
        let event = Event::builder()
            .id("0")
            .source("/a")
            .ty("a")
            .datacontenttype(datacontenttype)
            .data(DataKind::Text, b"\"\" ")
            .build()
            .unwrap();
        let back = through_structured(&event);
        assert_eq!((back.data_kind(), back.data()), (DataKind::Json, &b"\"\""[..]), "{datacontenttype}");
    }
}

proptest! {
    /// Binary mode keeps every attribute and every byte of the data; what has no bytes comes back as no data.
    #[test]
    fn binary_mode_keeps_everything(event in any_event()) {
        prop_assume!(!binary_cost(&event, HeaderEncoding::Percent).is_ambiguous);
        let back = through_binary(&event, HeaderEncoding::Percent);
        prop_assert_eq!(attributes(&back), attributes(&event));
        prop_assert_eq!(back.data(), event.data());
        prop_assert_eq!(back.data_kind() == DataKind::None, event.data().is_empty());
    }

    /// So does the raw form, save for white space at either end of a value.
    #[test]
    fn raw_binary_mode_keeps_all_but_outer_space(event in any_event()) {
        let has_outer_space = attributes(&event).iter().any(|(_, value)| value.trim_ascii() != value);
        prop_assume!(!has_outer_space);
        let back = through_binary(&event, HeaderEncoding::Raw);
        prop_assert_eq!(attributes(&back), attributes(&event));
        prop_assert_eq!(back.data(), event.data());
    }

    #[test]
    fn structured_mode_keeps_everything(event in any_event()) {
        check_structured(&event, &through_structured(&event))?;
    }

    /// What came in JSON leaves in JSON as the same event, to the byte, but for types that JSON does not have.
    #[test]
    fn structured_mode_is_stable(event in any_event()) {
        let once = through_structured(&event);
        prop_assert_eq!(&through_structured(&once), &once);
    }

    #[test]
    fn batched_mode_keeps_everything(events in proptest::collection::vec(any_event(), 0..4)) {
        let body = encode_batch(&events);
        let Decoded::Batch(back) = decode(&with_type(BATCH_JSON), body, &DecodeOptions::default()).unwrap() else {
            panic!("a batch was sent");
        };
        prop_assert_eq!(back.len(), events.len());
        for (event, back) in events.iter().zip(&back) {
            check_structured(event, back)?;
        }
    }

    /// In binary, out structured, in structured, out binary: as through two brokers.
    #[test]
    fn all_modes_in_turn(event in any_event()) {
        let back = through_binary(&through_structured(&through_binary(&event, HeaderEncoding::Percent)), HeaderEncoding::Percent);
        prop_assert_eq!(attributes(&back), attributes(&event));
        prop_assert_eq!(back.data().trim_ascii(), event.data().trim_ascii());
    }

    /// An independent parser reads what we write.
    #[test]
    fn what_is_written_is_json(event in any_event()) {
        let body = encode_structured(&event);
        let parsed: Result<&serde_json::value::RawValue, _> = serde_json::from_slice(&body);
        prop_assert!(parsed.is_ok(), "{}", String::from_utf8_lossy(&body));
    }

    /// No headers and no body make the reader panic.
    #[test]
    fn reading_never_panics(
        mode in 0..3,
        names in proptest::collection::vec("(ce-)?(id|type|source|specversion|time|x|[a-z_0-9-]{1,8}|content-type)", 0..8),
        values in proptest::collection::vec(proptest::collection::vec(prop_oneof![0x20..=0x7e_u8, 0x80..=0xff_u8], 0..12), 8),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        json in "\\{(\"(id|type|data|data_base64|x)\":(\"[\\\\\"a-zu0-9]{0,6}\"|[0-9e.-]{1,4}|[\\[\\]{}]{0,4}),?){0,6}\\}?",
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in names.iter().zip(&values) {
            headers.append(HeaderName::try_from(name.as_str()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        let body = match mode {
            0 => Bytes::from(body),
            1 => {
                headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED_JSON));
                Bytes::from(json)
            }
            _ => {
                headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(BATCH_JSON));
                Bytes::from(format!("[{json},{json}]"))
            }
        };
        if let Err(error) = decode(&headers, body, &DecodeOptions::default()) {
            prop_assert!((400..500).contains(&error.http_status()));
            prop_assert!(!error.to_string().is_empty() && !error.code().is_empty());
        }
    }
}
