//! S18: what reads a request takes any bytes. It gives an event that is sound, or a refusal that blames the sender; it
//! does not panic.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use pelton_event::http::{
    BATCH_JSON, DecodeError, DecodeOptions, Decoded, HeaderEncoding, STRUCTURED_JSON, decode, encode_structured,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const STRUCTURED: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2024-02-29T12:34:56.789Z",
"dataschema":"http://x/y","anext":"ü\n","n":-1,"b":true,"datacontenttype":"application/json","data":{"a":[1.5e3,"\u00e9"]}}"#;

/// One thing done to a text: a byte put in place of another, put before it, or taken out.
fn damage() -> impl Strategy<Value = Vec<(Index, Option<u8>, bool)>> {
    let byte = prop_oneof![any::<u8>(), select(&b"\"\\{}[],:u0e-.%\0\x80\xff"[..])];
    vec((any::<Index>(), proptest::option::of(byte), any::<bool>()), 1..6)
}

fn damaged(text: &str, damages: &[(Index, Option<u8>, bool)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, byte, insert) in damages {
        let at = at.index(bytes.len());
        match byte {
            Some(byte) if *insert => bytes.insert(at, *byte),
            Some(byte) => bytes[at] = *byte,
            None => drop(bytes.remove(at)),
        }
    }
    bytes
}

fn typed(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

/// Whatever was read is an event: it reads back from its frame, and from the JSON that it is written to.
fn is_sound(outcome: Result<Decoded, DecodeError>) -> Result<(), TestCaseError> {
    let events = match outcome {
        Ok(Decoded::Single(event)) => vec![event],
        Ok(Decoded::Batch(events)) => events,
        Err(error) => {
            let (status, text) = (error.http_status(), error.to_string());
            prop_assert!((400..500).contains(&status) && !text.is_empty(), "{status} {text}");
            return Ok(());
        }
    };
    for event in events {
        let again = pelton_event::Event::from_frame(Bytes::copy_from_slice(event.as_frame()));
        prop_assert_eq!(again.as_ref(), Ok(&event));
        let json = encode_structured(&event);
        let back = decode(&typed(STRUCTURED_JSON), json.clone(), &DecodeOptions::default());
        prop_assert!(matches!(back, Ok(Decoded::Single(_))), "{json:?} {back:?}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_as_structured_or_batched(body in vec(any::<u8>(), 0..200), batch in any::<bool>()) {
        let content_type = if batch { BATCH_JSON } else { STRUCTURED_JSON };
        is_sound(decode(&typed(content_type), body.into(), &DecodeOptions::default()))?;
    }

    #[test]
    fn a_damaged_structured_event(damages in damage(), cut in any::<Index>(), cuts in any::<bool>()) {
        let mut body = damaged(STRUCTURED, &damages);
        if cuts {
            body.truncate(cut.index(body.len()));
        }
        is_sound(decode(&typed(STRUCTURED_JSON), body.into(), &DecodeOptions::default()))?;
    }

    #[test]
    fn a_damaged_batch(damages in damage()) {
        let body = damaged(&format!("[{STRUCTURED},{STRUCTURED}]"), &damages);
        is_sound(decode(&typed(BATCH_JSON), body.into(), &DecodeOptions::default()))?;
    }

    #[test]
    fn any_headers_as_binary(
        values in vec(("[a-z0-9]{1,8}", vec(any::<u8>(), 0..20), "[%0-9a-fA-F+ ]{0,8}"), 0..6),
        core in vec(proptest::bool::weighted(0.9), 4),
        content_type in vec(any::<u8>(), 0..20),
        body in vec(any::<u8>(), 0..20),
        raw in any::<bool>(),
    ) {
        let mut headers = HeaderMap::new();
        for ((name, value), wanted) in
            [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")].into_iter().zip(core)
        {
            // Mostly whole, so that what is behind the first check is reached.
            if wanted {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        for (name, mut value, codes) in values {
            value.extend(codes.bytes());
            let name = HeaderName::try_from(format!("ce-{name}")).unwrap();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name, value);
            }
        }
        if let Ok(value) = HeaderValue::from_bytes(&content_type) {
            headers.insert(CONTENT_TYPE, value);
        }
        let header_encoding = if raw { HeaderEncoding::Raw } else { HeaderEncoding::Percent };
        is_sound(decode(&headers, body.into(), &DecodeOptions { header_encoding, ..DecodeOptions::default() }))?;
    }
}
