//! The body of an answer: all of it at once, or piece by piece as it comes about.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What is sent as an answer.
pub enum Body {
    /// All of it.
    Whole(Full<Bytes>),
    /// What comes, asked for only as fast as it is taken. An error breaks the connection off, so that a part is not taken
    /// for the whole.
    Pieces(Pieces),
}

impl Body {
    /// What `pieces` gives.
    pub fn pieces(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self::Pieces(Box::pin(pieces))
    }

    /// All of it, when it is there at once.
    pub fn as_whole(&self) -> Option<Bytes> {
        match self {
            Self::Whole(whole) => whole.clone().collect().now_or_never()?.ok().map(Collected::to_bytes),
            Self::Pieces(_) => None,
        }
    }

    /// The same, ending at the latest when `stop` comes about, if it comes piece by piece.
    #[must_use]
    pub fn until(self, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        match self {
            Self::Whole(_) => self,
            Self::Pieces(pieces) => Self::pieces(pieces.take_until(stop)),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(whole) => f.debug_tuple("Whole").field(whole).finish(),
            Self::Pieces(_) => f.write_str("Pieces"),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(cx).map_err(|never| match never {}),
            Self::Pieces(pieces) => pieces.as_mut().poll_next(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}
