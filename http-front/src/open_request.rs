//! A request that is open, and the connection it came on.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use crate::watchdog::Marks;

/// What all requests of a connection share.
pub(crate) struct Connection<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) peer: SocketAddr,
    pub(crate) marks: Arc<Marks>,
}

/// A request that is open. As long as this lives its connection is busy: the watchdog neither calls it idle nor takes
/// what comes on it for a head.
///
/// So it is dropped when the request needs the connection no more. That is, for
/// - an answer that is whole: when it is made. The library writes it, and a peer that does not take it is stuck.
/// - an answer that streams: with its body, by [`OpenRequest::until_sent`].
/// - a stream of HTTP/2 that was upgraded: with the task that took it, as it is still part of its connection. (An
///   HTTP/1 connection that was upgraded is watched no more, and needs none.)
///
/// It is the one thing that a request takes of its connection (one reference is counted, nothing is allocated), so it
/// also is the way to the handler and the peer.
pub struct OpenRequest<H>(Arc<Connection<H>>);

impl<H> OpenRequest<H> {
    pub(crate) fn new(connection: &Arc<Connection<H>>) -> Self {
        connection.marks.begin_request();
        Self(Arc::clone(connection))
    }

    /// Who answers.
    #[must_use]
    pub fn handler(&self) -> &H {
        &self.0.handler
    }

    /// Where the connection comes from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Whether an HTTP/1 request came with both Content-Length and Transfer-Encoding. Of the two hyper keeps the latter and
    /// goes by it, and closes the connection after the answer; a reader that goes by the other would see another request
    /// (RFC 9112, section 6.3). To be asked before the answer is made.
    #[must_use]
    pub fn has_two_lengths(&self) -> bool {
        self.0.marks.is_ambiguous()
    }

    /// The request is answered without its body being read to its end. When the connection is closed after that, bytes
    /// of the body that still come are thrown away for a while, so that the peer gets to see the answer.
    pub fn leave_body_unread(&self) {
        self.0.marks.leave_body_unread();
    }

    /// Keeps the request open until hyper has taken all of `body`, or gives it up. What it took and the peer did not
    /// yet is the connection's: a peer that takes it slowly is not idle, one that takes nothing is stuck.
    pub fn until_sent<B>(self, body: B) -> OpenBody<B, H> {
        OpenBody { body, _open: self }
    }
}

impl<H> Drop for OpenRequest<H> {
    fn drop(&mut self) {
        self.0.marks.end_request();
    }
}

impl<H> fmt::Debug for OpenRequest<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OpenRequest").field("peer", &self.0.peer).finish_non_exhaustive()
    }
}

/// The body of an answer whose request is open as long as it lives.
#[derive(Debug)]
pub struct OpenBody<B, H> {
    body: B,
    _open: OpenRequest<H>,
}

impl<B: Body + Unpin, H> Body for OpenBody<B, H> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
