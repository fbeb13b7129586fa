//! The body of a request on its way to an instance.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// The body of a request, passed on as it comes.
#[derive(Debug)]
pub enum Outgoing {
    /// There is none, so the request can be made again.
    Empty,
    /// All of it is in memory.
    Whole(Full<Bytes>),
    /// As it comes from the client.
    Streamed {
        /// Where it comes from.
        body: Incoming,
        /// How far it has come.
        progress: Arc<Progress>,
    },
}

/// How far the body of a request has come.
#[derive(Debug, Default)]
pub struct Progress {
    ended: AtomicBool,
    broke: AtomicBool,
}

impl Progress {
    /// Whether all of it is passed on: before that the connection cannot take another request.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether it broke off on its way from the client, or was not what it said it was.
    #[must_use]
    pub fn has_broken(&self) -> bool {
        self.broke.load(Ordering::Relaxed)
    }
}

impl Outgoing {
    /// The body of a request that came in.
    #[must_use]
    pub fn of(body: Incoming) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Streamed { body, progress: Arc::default() }
    }

    /// How far it has come, when there is one.
    #[must_use]
    pub fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty | Self::Whole(_) => None,
            Self::Streamed { progress, .. } => Some(Arc::clone(progress)),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Streamed { body, progress } => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                if matches!(frame, Some(Err(_))) {
                    progress.broke.store(true, Ordering::Relaxed);
                } else if frame.is_none() || body.is_end_stream() {
                    progress.ended.store(true, Ordering::Relaxed);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(body) => body.is_end_stream(),
            Self::Streamed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(body) => body.size_hint(),
            Self::Streamed { body, .. } => body.size_hint(),
        }
    }
}
