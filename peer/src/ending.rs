//! Answers that end when their listener stops.
//!
//! Streams between nodes last as long as both do, so a listener that waited for them would always wait for as long as it
//! may. What an answer has ready is still sent; then it ends as one of a node that is not there.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::watch;

/// A body that ends once nothing of it is ready and the listener has stopped.
pub(crate) struct Ending<B> {
    body: B,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    has_ended: bool,
}

impl<B> Ending<B> {
    /// The listener has stopped when the sender of `stopped` is gone.
    pub(crate) fn new(body: B, mut stopped: watch::Receiver<()>) -> Self {
        let stopped = Box::pin(async move {
            // Nothing is ever sent.
            let _ = stopped.changed().await;
        });
        Self { body, stopped, has_ended: false }
    }
}

/// `UNAVAILABLE`: whoever asks again later, or elsewhere, may be answered.
fn unavailable() -> HeaderMap {
    HeaderMap::from_iter([
        (tonic::Status::GRPC_STATUS, HeaderValue::from(tonic::Code::Unavailable as i32)),
        (tonic::Status::GRPC_MESSAGE, HeaderValue::from_static("the node stops")),
    ])
}

impl<B: Body<Data = Bytes> + Unpin> Body for Ending<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        self.stopped.as_mut().poll(context).map(|()| {
            self.has_ended = true;
            Some(Ok(Frame::trailers(unavailable())))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use super::*;

    /// Frames that are ready, and then nothing, for ever.
    struct Endless(u8);

    impl Body for Endless {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0 == 0 {
                return Poll::Pending;
            }
            self.0 -= 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![self.0])))))
        }
    }

    #[tokio::test]
    async fn what_is_ready_is_sent_and_the_rest_ends_with_the_listener() {
        let (stop, stopped) = watch::channel(());
        let mut body = Ending::new(Endless(3), stopped);
        let first = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        assert_eq!(first.unwrap().unwrap().into_data().unwrap(), [2_u8].as_slice());
        drop(stop);
        for left in [1_u8, 0] {
            let next = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
            assert_eq!(next.unwrap().unwrap().into_data().unwrap(), [left].as_slice(), "it was ready");
        }
        let last = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let trailers = last.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(tonic::Status::from_header_map(&trailers).unwrap().code(), tonic::Code::Unavailable);
        assert!(body.is_end_stream());
        assert!(poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.is_none());
    }
}
