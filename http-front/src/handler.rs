//! What the owner of a front brings: answers, and counters.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};

use crate::OpenRequest;

/// What answers the requests of a front, and counts what happens to its connections.
pub trait Handler: Send + Sync + Sized + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers a request. What goes wrong is an answer, too; the output has the form that hyper takes, so that nothing
    /// need be put around this future.
    ///
    /// The connection is busy until `open` is dropped; [`OpenRequest`] says where it goes. When the peer goes away the
    /// future is dropped wherever it is ([`FrontOptions::half_close`](crate::FrontOptions::half_close) says when that
    /// is noticed). A panic ends the connection, on HTTP/2 the request alone.
    fn answer(
        open: OpenRequest<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Infallible>> + Send + 'static;

    /// Counts what happened to a connection. Not called for requests.
    fn count(&self, occurrence: Occurrence);
}

/// What happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurrence {
    /// It was accepted and has a place.
    Opened,
    /// It is gone, and its place free. One that was upgraded goes when its new owner drops it.
    Closed,
    /// It was cut because its peer was slow or stuck.
    TimedOut,
    /// The system would not give it to us.
    AcceptFailed,
    /// It was refused, or what came on it, before there was a request to answer.
    Refused(Refusal),
}

/// Why a connection was refused, or what came on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There are as many connections as there may be.
    TooManyConnections,
    /// The head of a request is longer than it may be.
    HeadTooLarge,
    /// What came is not HTTP.
    NotHttp,
    /// The heads that are not complete hold as much as they may.
    HeadsHoldTooMuch,
}
