//! What a client gets: an instance's answer as it comes, or one of ours.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::connection::Connection;
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
    /// `None` when the connection has a task of its own, or was given back.
    connection: Option<Connection>,
    /// How far the body of the request has come, when it has one.
    sent: Option<Arc<Progress>>,
    lease: Option<Lease>,
    timers: Timers,
    ended: bool,
}

impl Relay {
    /// The body of an answer to a request that holds `lease`.
    #[must_use]
    pub fn new(
        body: Incoming,
        connection: Option<Connection>,
        sent: Option<Arc<Progress>>,
        lease: Lease,
        timers: Timers,
    ) -> Self {
        let mut relay = Self { body, connection, sent, lease: Some(lease), timers, ended: false };
        if relay.body.is_end_stream() {
            relay.end();
        }
        relay
    }

    /// All of it is passed on: the connection may take the next request.
    fn end(&mut self) {
        self.ended = true;
        let Some(lease) = self.lease.take() else { return };
        if let Some(connection) = self.connection.take()
            && self.sent.as_ref().is_none_or(|sent| sent.has_ended())
        {
            lease.line().give_back(connection);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(connection) = &mut self.connection {
            connection.poll_drive(cx);
        }
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending if self.connection.as_ref().is_some_and(Connection::has_ended) => {
                return self.broke(io::Error::other("the instance closed the connection in the middle of its answer"));
            }
            Poll::Pending => {
                let up = ready!(self.timers.poll_up(cx));
                return self.time_up(up);
            }
        };
        match frame {
            Some(Ok(frame)) => {
                self.timers.touch();
                if self.body.is_end_stream() {
                    self.end();
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
        self.connection = None;
        self.ended = true;
        self.lease = None;
    }

    fn broke(&mut self, error: io::Error) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.break_off();
        Poll::Ready(Some(Err(error)))
    }

    fn time_up(&mut self, up: TimeUp) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(lease) = &self.lease {
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
