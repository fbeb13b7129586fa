//! How slowly the body of a request may come.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// The slowest a body may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long it may take before its rate is looked at.
    pub grace: Duration,
    /// The rate, in bytes a second, after that.
    pub min_bytes_per_second: u64,
}

impl Pace {
    /// How long a body may have been waited for when `received_bytes` of it have come.
    #[must_use]
    pub fn allowance(self, received_bytes: u64) -> Duration {
        let earned_millis = received_bytes.saturating_mul(1_000) / self.min_bytes_per_second.max(1);
        self.grace.saturating_add(Duration::from_millis(earned_millis))
    }
}

/// A body that ends with an error when it comes more slowly than its [`Pace`].
///
/// What counts is the time in which it was asked for and was not there. A reader that is slow itself, or has not begun,
/// does not make its peer slow. For a handler that passes bodies on piece by piece; not for one whose peer may be
/// silent for as long as it likes, as in a gRPC stream.
///
/// The timer is made when there first is something to wait for, and is set anew only when it fires too early.
#[derive(Debug)]
pub struct Paced<B> {
    body: B,
    pace: Pace,
    received_bytes: u64,
    /// Waited for what has come.
    waited: Duration,
    /// Since when what comes next is waited for.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a paced body has not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum PacedError<E> {
    /// It came too slowly.
    #[error("the body came more slowly than it may")]
    TooSlow,
    /// It ended otherwise.
    #[error("the body broke off")]
    Body(#[source] E),
}

impl<B> Paced<B> {
    /// Holds `body` to `pace`.
    pub fn new(body: B, pace: Pace) -> Self {
        Self { body, pace, received_bytes: 0, waited: Duration::ZERO, since: None, timer: None }
    }

    /// Waits for the deadline of what comes next.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            let since = *self.since.get_or_insert(now);
            let deadline = since + self.pace.allowance(self.received_bytes).saturating_sub(self.waited);
            if now >= deadline {
                return Poll::Ready(());
            }
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // It was set for an earlier piece: a deadline only moves away.
            timer.as_mut().reset(deadline);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = PacedError<B::Error>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            return this.poll_too_slow(cx).map(|()| Some(Err(PacedError::TooSlow)));
        };
        if let Some(since) = this.since.take() {
            this.waited += since.elapsed();
        }
        if let Some(Ok(frame)) = &frame {
            this.received_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(PacedError::Body)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PACE: Pace = Pace { grace: Duration::from_secs(30), min_bytes_per_second: 1024 };

    #[test]
    fn every_second_of_rate_buys_a_second_of_time() {
        let pace = Pace { grace: Duration::from_secs(10), min_bytes_per_second: 1024 };
        for (received, want_ms) in [(0, 10_000), (1023, 10_999), (1024, 11_000), (1024 * 1024, 1_034_000)] {
            assert_eq!(pace.allowance(received), Duration::from_millis(want_ms), "{received} B");
        }
        let _ = Pace { min_bytes_per_second: 0, ..pace }.allowance(u64::MAX);
    }

    /// A body whose pieces a test sends.
    struct Pieces(mpsc::Receiver<usize>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let piece = self.0.poll_recv(cx);
            piece.map(|piece| piece.map(|bytes| Ok(Frame::data(Bytes::from(vec![b'x'; bytes])))))
        }
    }

    /// Sends a piece of `bytes` every `every` for `seconds`, and then the end, to a reader that takes `work` over each
    /// piece. The second in which the reader was told that this is too slow, or `None` when it saw the end.
    async fn run(bytes: usize, every: Duration, seconds: u32, work: Duration) -> Option<u64> {
        let (send, receive) = mpsc::channel(1_000_000);
        let started = Instant::now();
        let sender = tokio::spawn(async move {
            while started.elapsed() < SECOND * seconds {
                if send.send(bytes).await.is_err() {
                    return;
                }
                tokio::time::sleep(every).await;
            }
        });
        let mut body = Paced::new(Pieces(receive), PACE);
        let mut told = None;
        while let Some(piece) = body.frame().await {
            match piece {
                Ok(_) => tokio::time::sleep(work).await,
                Err(PacedError::TooSlow) => {
                    told = Some(started.elapsed().as_secs());
                    break;
                }
                Err(PacedError::Body(never)) => match never {},
            }
        }
        drop(body);
        sender.await.unwrap();
        told
    }

    /// Fault catalogue, S2: at least 1 KiB a second after a grace of 30 s.
    #[tokio::test(start_paused = true)]
    async fn a_body_must_bring_a_kibibyte_a_second_after_half_a_minute() {
        let hour = 3_600;
        for (what, bytes, every, seconds, work, want) in [
            ("nothing", 0, SECOND * hour, hour, Duration::ZERO, Some(30)),
            ("a byte a second", 1, SECOND, hour, Duration::ZERO, Some(30)),
            ("half of the rate", 512, SECOND, hour, Duration::ZERO, Some(60)),
            ("the rate", 1024, SECOND, hour, Duration::ZERO, None),
            ("the rate, in bursts of half a minute", 30 * 1024, SECOND * 30, hour, Duration::ZERO, None),
            ("slow and short", 1, SECOND, 20, Duration::ZERO, None),
            ("a slow reader of what is there", 1, Duration::from_millis(1), 10, SECOND * 10, None),
        ] {
            assert_eq!(run(bytes, every, seconds, work).await, want, "{what}");
        }
    }
}
