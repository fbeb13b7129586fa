//! The answer to a delivery, read within bounds (S17: a hostile subscriber costs a bounded number of bytes).

use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use pelton_env::UnixMillis;
use pelton_event::http::{DecodeOptions, Decoded, HeaderEncoding, decode, peek_mode};
use pelton_event::limits::DEFAULT_MAX_EVENT_BYTES;
use pelton_event::{AttributeValue, Event};

use crate::delivery::{Answer, Content, KEPT_BODY_BYTES, NoAnswer, RetryAfter};
use crate::pool::ReplyCharge;
use crate::trigger::Asked;

/// Most bytes read of an answer that is no reply. More ends the connection.
pub const MAX_IGNORED_BYTES: usize = 64 * 1024;
/// Most bytes read of a reply.
pub const MAX_REPLY_BYTES: usize = DEFAULT_MAX_EVENT_BYTES;

/// What is to be done with the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// All of it, up to [`MAX_REPLY_BYTES`]: it is a CloudEvent, or says so.
    Event,
    /// Only its beginning; it is read on to [`MAX_IGNORED_BYTES`] so that the connection can be used again.
    Beginning,
}

impl Want {
    /// What to do with the body of an answer that begins like this. A dead-letter sink is asked for no reply.
    #[must_use]
    pub fn of(head: &Parts, asked: Asked) -> Self {
        let is_reply = asked == Asked::Subscriber && may_reply(head.status);
        if is_reply && peek_mode(&head.headers).is_some() { Self::Event } else { Self::Beginning }
    }
}

fn may_reply(status: StatusCode) -> bool {
    status == StatusCode::OK || status == StatusCode::CREATED
}

/// Collects a body within its bound.
#[derive(Debug)]
pub struct Collected {
    want: Want,
    bytes: BytesMut,
    single: Option<Bytes>,
    seen: usize,
    /// What is kept is counted here, when it may be much.
    charge: Option<ReplyCharge>,
}

impl Collected {
    /// An empty one.
    #[must_use]
    pub fn new(want: Want, charge: Option<ReplyCharge>) -> Self {
        Self { want, bytes: BytesMut::new(), single: None, seen: 0, charge }
    }

    /// Takes the next piece. `false` when the bound is passed: no more is to be read.
    ///
    /// # Errors
    /// [`NoAnswer::NoRoom`]: all replies together are as much as may be held.
    pub fn take(&mut self, piece: Bytes) -> Result<bool, NoAnswer> {
        let (kept, bound) = match self.want {
            Want::Event => (MAX_REPLY_BYTES, MAX_REPLY_BYTES),
            Want::Beginning => (KEPT_BODY_BYTES, MAX_IGNORED_BYTES),
        };
        let before = self.seen;
        self.seen = self.seen.saturating_add(piece.len());
        let room = kept.saturating_sub(before).min(piece.len());
        if let Some(charge) = &mut self.charge
            && !charge.grow(room)
        {
            return Err(NoAnswer::NoRoom);
        }
        if self.want == Want::Event && before == 0 && room == piece.len() {
            // The usual reply comes in one piece and is not copied.
            self.single = Some(piece);
        } else if room > 0 {
            if let Some(first) = self.single.take() {
                self.bytes.extend_from_slice(&first);
            }
            self.bytes.extend_from_slice(&piece[..room]);
        }
        Ok(self.seen <= bound)
    }

    fn finish(self) -> (Bytes, Option<ReplyCharge>) {
        (self.single.unwrap_or_else(|| self.bytes.freeze()), self.charge)
    }
}

/// The answer: `head`, the body as far as it was read, and whether that was all of it. What is held of it stays counted
/// until the charge is dropped.
#[must_use]
pub fn read_answer(
    head: &Parts,
    body: Collected,
    complete: bool,
    encoding: HeaderEncoding,
) -> (Answer, Option<ReplyCharge>) {
    let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(RetryAfter::parse);
    let want = body.want;
    let (body, charge) = body.finish();
    let content = match want {
        Want::Event if !complete => Content::Broken(format!("the reply is larger than {MAX_REPLY_BYTES} B")),
        Want::Event => read_event(&head.headers, body, encoding),
        // A CloudEvent where none is looked for is told from a body that claims to be none.
        Want::Beginning
            if head.status.is_success() && !may_reply(head.status) && peek_mode(&head.headers).is_some() =>
        {
            Content::Broken("not looked for".to_owned())
        }
        Want::Beginning if body.is_empty() => Content::Empty,
        Want::Beginning => Content::Other(body),
    };
    (Answer { status: head.status.as_u16(), retry_after, content }, charge)
}

fn read_event(headers: &HeaderMap, body: Bytes, encoding: HeaderEncoding) -> Content {
    let options = DecodeOptions { header_encoding: encoding, ..DecodeOptions::default() };
    match decode(headers, body, &options) {
        Ok(Decoded::Single(event)) => Content::Event(Box::new(event)),
        Ok(Decoded::Batch(_)) => Content::Broken("a reply is one event, not a batch".to_owned()),
        Err(why) => Content::Broken(why.to_string()),
    }
}

/// The reply as it is stored: with the time of its arrival unless it has one, and without a hop count of its own.
#[must_use]
pub fn stored_reply(event: Event, now: UnixMillis) -> Event {
    const ARRIVAL: &str = "knativearrivaltime";
    let event = event.without_attribute("knativebrokerttl");
    if event.extension(ARRIVAL).is_some() {
        return event;
    }
    let Ok(now) = jiff::Timestamp::from_millisecond(i64::try_from(now.0).unwrap_or(i64::MAX)) else { return event };
    let now = now.to_string();
    event.with_attributes(&[(ARRIVAL, AttributeValue::Timestamp(&now))]).unwrap_or(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S17. Only a subscriber is asked for a reply; of every other answer at most 64 KiB are read.
    #[test]
    fn only_a_reply_is_read_whole() {
        let rows = [
            (200, true, Asked::Subscriber, Want::Event),
            (201, true, Asked::Subscriber, Want::Event),
            (202, true, Asked::Subscriber, Want::Beginning),
            (500, true, Asked::Subscriber, Want::Beginning),
            (200, false, Asked::Subscriber, Want::Beginning),
            (200, true, Asked::Sink, Want::Beginning),
            (201, true, Asked::Sink, Want::Beginning),
        ];
        for (status, is_event, asked, want) in rows {
            let mut answer = http::Response::builder().status(status);
            if is_event {
                answer = answer.header("ce-specversion", "1.0").header("ce-id", "1").header("ce-type", "t");
            }
            let (head, ()) = answer.body(()).expect("a response").into_parts();
            assert_eq!(Want::of(&head, asked), want, "{status}, event {is_event}, {asked:?}");
            if want == Want::Beginning {
                let mut collected = Collected::new(want, None);
                assert!(collected.take(Bytes::from(vec![b'x'; MAX_IGNORED_BYTES])).is_ok_and(|more| more));
                assert!(collected.take(Bytes::from_static(b"x")).is_ok_and(|more| !more));
                let (answer, _) = read_answer(&head, collected, false, HeaderEncoding::Percent);
                assert!(!matches!(answer.content, Content::Event(_)));
            }
        }
    }
}
