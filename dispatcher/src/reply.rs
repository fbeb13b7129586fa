//! The answer to a delivery, read within bounds (S17: a hostile subscriber costs a bounded number of bytes).

use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use pelton_env::UnixMillis;
use pelton_event::http::{DecodeOptions, Decoded, HeaderEncoding, decode, peek_mode};
use pelton_event::limits::DEFAULT_MAX_EVENT_BYTES;
use pelton_event::{AttributeValue, Event};

use crate::delivery::{Answer, Content, KEPT_BODY_BYTES, RetryAfter};

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
    /// What to do with the body of an answer that begins like this.
    #[must_use]
    pub fn of(head: &Parts) -> Self {
        let is_reply = head.status == StatusCode::OK || head.status == StatusCode::CREATED;
        if is_reply && peek_mode(&head.headers).is_some() { Self::Event } else { Self::Beginning }
    }
}

/// Collects a body within its bound.
#[derive(Debug)]
pub struct Collected {
    want: Want,
    bytes: BytesMut,
    single: Option<Bytes>,
    seen: usize,
}

impl Collected {
    /// An empty one.
    #[must_use]
    pub fn new(want: Want) -> Self {
        Self { want, bytes: BytesMut::new(), single: None, seen: 0 }
    }

    /// Takes the next piece. `false` when the bound is passed: no more is to be read.
    pub fn take(&mut self, piece: Bytes) -> bool {
        let (kept, bound) = match self.want {
            Want::Event => (MAX_REPLY_BYTES, MAX_REPLY_BYTES),
            Want::Beginning => (KEPT_BODY_BYTES, MAX_IGNORED_BYTES),
        };
        let before = self.seen;
        self.seen = self.seen.saturating_add(piece.len());
        let room = kept.saturating_sub(before).min(piece.len());
        if self.want == Want::Event && before == 0 && room == piece.len() {
            // The usual reply comes in one piece and is not copied.
            self.single = Some(piece);
        } else if room > 0 {
            if let Some(first) = self.single.take() {
                self.bytes.extend_from_slice(&first);
            }
            self.bytes.extend_from_slice(&piece[..room]);
        }
        self.seen <= bound
    }

    fn finish(self) -> Bytes {
        self.single.unwrap_or_else(|| self.bytes.freeze())
    }
}

/// The answer: `head`, the body as far as it was read, and whether that was all of it.
#[must_use]
pub fn read_answer(head: &Parts, body: Collected, complete: bool, encoding: HeaderEncoding) -> Answer {
    let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(RetryAfter::parse);
    let want = body.want;
    let body = body.finish();
    let content = match want {
        Want::Event if !complete => Content::Broken(format!("the reply is larger than {MAX_REPLY_BYTES} B")),
        Want::Event => read_event(&head.headers, body, encoding),
        // A CloudEvent where none is looked for is told from a body that claims to be none.
        Want::Beginning if head.status.is_success() && peek_mode(&head.headers).is_some() => {
            Content::Broken("not looked for".to_owned())
        }
        Want::Beginning if body.is_empty() => Content::Empty,
        Want::Beginning => Content::Other(body),
    };
    Answer { status: head.status.as_u16(), retry_after, content }
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
