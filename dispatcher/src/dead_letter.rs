//! An event that goes to the dead-letter sink: with the reason as extension attributes (Knative Eventing,
//! "knativeerror").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pelton_client::LastAnswer;
use pelton_event::{AttributeValue, Event};
use pelton_resource::limits::MAX_URI_BYTES;

use crate::delivery::{Attempted, Content, KEPT_BODY_BYTES};
use crate::trigger::SinkErrand;

/// The URL that did not take the event.
const DESTINATION: &str = "knativeerrordest";
/// The status it answered with. Absent when there was no answer: no answer is not an answer.
const CODE: &str = "knativeerrorcode";
/// The beginning of the answer's body in base64, or of what went wrong when there was no answer.
const DATA: &str = "knativeerrordata";

/// The event with the reason for which it comes.
///
/// An event that cannot take three more attributes goes as it is: it is worth more than its reason.
#[must_use]
pub fn with_reason(event: &Event, errand: &SinkErrand) -> Event {
    let data = STANDARD.encode(&errand.answer.detail[..errand.answer.detail.len().min(KEPT_BODY_BYTES)]);
    let mut attributes = vec![(DESTINATION, AttributeValue::String(&errand.destination))];
    if let Some(code) = errand.answer.code {
        attributes.push((CODE, AttributeValue::Integer(i32::from(code))));
    }
    if !data.is_empty() {
        attributes.push((DATA, AttributeValue::String(&data)));
    }
    event.with_attributes(&attributes).unwrap_or_else(|_| event.clone())
}

/// What is kept of the outcome of an attempt.
#[must_use]
pub fn last_answer(attempted: &Attempted) -> LastAnswer {
    match attempted {
        Ok(answer) => LastAnswer {
            code: Some(answer.status),
            detail: match &answer.content {
                Content::Empty | Content::Event(_) => Bytes::new(),
                Content::Other(beginning) => beginning.clone(),
                Content::Broken(why) => kept(why),
            },
        },
        Err(no_answer) => LastAnswer { code: None, detail: kept(&no_answer.to_string()) },
    }
}

/// At most as much of a text as is kept of a body.
#[must_use]
pub fn kept(text: &str) -> Bytes {
    Bytes::copy_from_slice(&text.as_bytes()[..text.len().min(KEPT_BODY_BYTES)])
}

/// At most as much of a destination as a resource may name: what a reference resolves to may be longer.
#[must_use]
pub fn kept_destination(url: &str) -> String {
    url[..url.floor_char_boundary(MAX_URI_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use pelton_client::Cause;

    use super::*;

    fn errand(code: Option<u16>, detail: &[u8]) -> SinkErrand {
        let answer = LastAnswer { code, detail: Bytes::copy_from_slice(detail) };
        SinkErrand { cause: Cause::Rejected, destination: "http://example.com/a%20b".into(), answer, tries: 0 }
    }

    /// The names of Knative's senders; base64 of whole bytes, at most 1,024 characters.
    #[test]
    fn the_reason_travels_as_three_attributes() {
        let event = Event::builder().id("1").source("/s").ty("t").build().unwrap();
        let rows =
            [(Some(422), &b"{ \"message\": \"catastrophic failure\" }"[..]), (Some(422), b""), (None, b"refused")];
        for (code, detail) in rows {
            let sent = with_reason(&event, &errand(code, detail));
            let text = |name| sent.extension(name).map(|value| value.to_canonical().into_owned());
            assert_eq!(text("knativeerrordest").as_deref(), Some("http://example.com/a%20b"));
            assert_eq!(text("knativeerrorcode"), code.map(|code| code.to_string()));
            let want = (!detail.is_empty()).then(|| STANDARD.encode(detail));
            assert_eq!(text("knativeerrordata"), want);
            assert_eq!(sent.id(), "1");
        }
        for size in [767, 768, 769, 1024, 100_000] {
            let sent = with_reason(&event, &errand(Some(500), &vec![b'X'; size]));
            let data = sent.extension("knativeerrordata").unwrap().to_canonical().into_owned();
            assert!(data.len() <= 1024, "{size}");
            assert_eq!(STANDARD.decode(data).unwrap(), vec![b'X'; size.min(768)], "{size}");
        }
    }

    #[test]
    fn a_long_destination_is_cut_between_characters() {
        let long = format!("http://e/{}", "\u{e9}".repeat(MAX_URI_BYTES));
        let kept = kept_destination(&long);
        assert!(long.starts_with(&kept) && (MAX_URI_BYTES - 1..=MAX_URI_BYTES).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept_destination("http://e/"), "http://e/");
    }

    #[test]
    fn a_second_failure_replaces_the_reason_of_the_first() {
        let event = Event::builder().id("1").source("/s").ty("t").build().unwrap();
        let once = with_reason(&event, &errand(Some(500), b"a"));
        let twice = with_reason(&once, &errand(Some(404), b"b"));
        assert_eq!(twice.extension("knativeerrorcode").unwrap().to_canonical(), "404");
        assert_eq!(twice.extensions().len(), 3);
    }
}
