//! What a client gets: an instance's answer as it comes, or one of ours.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::time::sleep_until;
use tokio_util::task::AbortOnDropHandle;

use super::line::Carrier;
use super::outgoing::Progress;
use super::timers::{Cut, TimeUp, Timers};
use crate::revision::Lease;

/// The body of an answer.
#[derive(Debug)]
pub enum Answer {
    /// One of ours.
    Own(Option<Bytes>),
    /// An instance's.
    Relayed(Box<Relay>),
}

/// An answer of ours: a sentence, as text.
#[must_use]
pub fn own(status: StatusCode, sentence: &str) -> Response<Answer> {
    let mut response = Response::new(Answer::Own(Some(Bytes::from(format!("{sentence}\n")))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// An answer of ours after which the connection is not used again: where the request ends is not known.
#[must_use]
pub fn own_and_close(status: StatusCode, sentence: &str) -> Response<Answer> {
    let mut response = own(status, sentence);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Passes the body of an instance's answer on, and does the connection's part of the work meanwhile. With it ends the
/// request's place at the instance.
#[derive(Debug)]
pub struct Relay {
    body: Incoming,
    /// `None` once all of it has been passed on, or its time is up.
    place: Arc<Mutex<Option<Place>>>,
    /// How far the body of the request has come, when it has one.
    sent: Option<Arc<Progress>>,
    timers: Timers,
    ended: bool,
    /// Takes the place away in time.
    _watch: Option<AbortOnDropHandle<()>>,
}

/// What an answer holds of its instance.
#[derive(Debug)]
struct Place {
    carrier: Carrier,
    lease: Lease,
}

impl Relay {
    /// The body of an answer to a request that holds `lease`.
    #[must_use]
    pub fn new(body: Incoming, carrier: Carrier, sent: Option<Arc<Progress>>, lease: Lease, timers: Timers) -> Self {
        let place = Arc::new(Mutex::new(Some(Place { carrier, lease })));
        let mut relay = Self { body, place, sent, timers, ended: false, _watch: None };
        if relay.body.is_end_stream() {
            relay.end();
        }
        relay
    }

    /// The same for a client of HTTP/2. That may let a stream stand for as long as it likes, and then nobody asks for more of
    /// the body: the place is free all the same when the time of the request is up.
    #[must_use]
    pub fn for_stream(self) -> Self {
        if !self.ended {
            let (place, ends) = (Arc::clone(&self.place), self.timers.ends());
            let watch = async move {
                sleep_until(ends).await;
                let place = place.lock().take();
                if let Some(Place { lease, .. }) = place {
                    lease.timed_out(TimeUp::Total);
                }
            };
            return Self { _watch: Some(AbortOnDropHandle::new(tokio::spawn(watch))), ..self };
        }
        self
    }

    /// All of it is passed on: the connection may take the next request.
    fn end(&mut self) {
        self.ended = true;
        let Some(Place { carrier, lease }) = self.place.lock().take() else { return };
        if let Carrier::Connection(connection) = carrier
            && self.sent.as_ref().is_none_or(|sent| sent.has_ended())
        {
            lease.line().give_back(connection);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let has_closed = match &mut *self.place.lock() {
            None => None,
            Some(Place { carrier: Carrier::Connection(connection), .. }) => {
                connection.poll_drive(cx);
                Some(connection.has_ended())
            }
            Some(_) => Some(false),
        };
        let Some(has_closed) = has_closed else { return self.time_up(TimeUp::Total) };
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending if has_closed => {
                return self.broke(io::Error::other("the instance closed the connection in the middle of its answer"));
            }
            Poll::Pending => {
                let up = ready!(self.timers.poll_up(cx));
                return self.time_up(up);
            }
        };
        match frame {
            Some(Ok(frame)) => {
                let up = self.timers.touch();
                if self.body.is_end_stream() {
                    self.end();
                } else if let Some(up) = up {
                    // The instance sends all the time, and the client takes it as slowly as it likes.
                    return self.time_up(up);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => self.broke(io::Error::other(error)),
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    /// No more of it is passed on, and the connection goes with it.
    fn break_off(&mut self) {
        self.ended = true;
        let place = self.place.lock().take();
        drop(place);
    }

    fn broke(&mut self, error: io::Error) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.break_off();
        Poll::Ready(Some(Err(error)))
    }

    fn time_up(&mut self, up: TimeUp) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(Place { lease, .. }) = &*self.place.lock() {
            lease.timed_out(up);
        }
        match self.timers.cut() {
            Cut::Reset => self.broke(io::Error::new(io::ErrorKind::TimedOut, "the time of the request is up")),
            Cut::Truncate => {
                self.break_off();
                Poll::Ready(None)
            }
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relayed(relay) => relay.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Relayed(relay) => relay.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            // A length that a truncated answer would not keep must not be promised; the instance's own header says it.
            Self::Relayed(relay) => relay.body.size_hint(),
        }
    }
}
