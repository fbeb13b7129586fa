//! Reading the body of a request: all of it, up to a limit, at a decent rate.

use std::pin::Pin;
use std::task::{Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use pelton_http_front::Pace;
use tokio::time::Instant;

use crate::admission::{Busy, Charge};

/// How much of a refused body is read and thrown away, when it is there already, to keep the connection, in bytes.
const DISCARD_BYTES: usize = 64 * 1024;

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is longer than the limit.
    TooLarge,
    /// It came more slowly than allowed.
    TooSlow,
    /// It ended before its end, or broke the rules of its framing.
    Broken,
    /// No room for more of it.
    Busy(Busy),
}

/// Reads a whole body. What its length did not announce is charged as it arrives.
///
/// A body that came in one piece, as nearly all do, is that piece: no copy and no timer.
pub(crate) async fn read(
    body: &mut Incoming,
    limit_bytes: usize,
    pace: Pace,
    charge: &mut Charge<'_>,
) -> Result<Bytes, BodyError> {
    let data = read_all(body, limit_bytes, pace, charge).await?;
    charge.arrived();
    Ok(data)
}

async fn read_all(
    body: &mut Incoming,
    limit_bytes: usize,
    pace: Pace,
    charge: &mut Charge<'_>,
) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().exact();
    let mut meter = Meter { announced: announced.is_some(), limit_bytes, received: 0, started: None, pace };
    let Some(first) = meter.next(body, charge).await? else { return Ok(Bytes::new()) };
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = meter.next(body, charge).await? else { return Ok(first) };
    // The announced length is below the limit and charged, so it may be reserved.
    let whole = announced.map_or(0, |length| usize::try_from(length).unwrap_or(limit_bytes).min(limit_bytes));
    let mut all = BytesMut::with_capacity(whole.max(first.len() + second.len()));
    all.extend_from_slice(&first);
    all.extend_from_slice(&second);
    drop((first, second));
    while let Some(more) = meter.next(body, charge).await? {
        all.extend_from_slice(&more);
    }
    Ok(all.freeze())
}

/// Throws away what is left of a body that nobody wants, if it is there already and short. Whether it was.
pub(crate) async fn discard(body: &mut Incoming) -> bool {
    let mut left = DISCARD_BYTES;
    std::future::poll_fn(|cx| {
        loop {
            if body.is_end_stream() {
                return Poll::Ready(true);
            }
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match left.checked_sub(frame.data_ref().map_or(1, Bytes::len)) {
                    Some(rest) => left = rest,
                    None => return Poll::Ready(false),
                },
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) | Poll::Pending => return Poll::Ready(false),
            }
        }
    })
    .await
}

struct Meter {
    announced: bool,
    limit_bytes: usize,
    received: usize,
    /// When we first had to wait.
    started: Option<Instant>,
    pace: Pace,
}

impl Meter {
    /// The next piece of data; `None` at the end. Trailers are passed over.
    async fn next(&mut self, body: &mut Incoming, charge: &mut Charge<'_>) -> Result<Option<Bytes>, BodyError> {
        let at_once = std::future::poll_fn(|cx| Poll::Ready(poll_data(body, cx))).await;
        let piece = match at_once {
            Poll::Ready(piece) => {
                // A peer whose pieces are always there and always tiny waits for no timer, so it is asked here too.
                if self.started.is_some_and(|started| Instant::now() > self.deadline(started)) {
                    return Err(BodyError::TooSlow);
                }
                piece
            }
            Poll::Pending => {
                charge.wait().map_err(BodyError::Busy)?;
                let started = *self.started.get_or_insert_with(Instant::now);
                let deadline = self.deadline(started);
                tokio::time::timeout_at(deadline, std::future::poll_fn(|cx| poll_data(body, cx)))
                    .await
                    .map_err(|_elapsed| BodyError::TooSlow)?
            }
        };
        let Some(piece) = piece else { return Ok(None) };
        let data = piece.map_err(|_broken| BodyError::Broken)?;
        self.received += data.len();
        if self.received > self.limit_bytes {
            return Err(BodyError::TooLarge);
        }
        if !self.announced {
            charge.grow(data.len()).map_err(BodyError::Busy)?;
        }
        Ok(Some(data))
    }

    /// Until when the next byte must be there.
    fn deadline(&self, started: Instant) -> Instant {
        started + self.pace.allowance(self.received as u64)
    }
}

fn poll_data(body: &mut Incoming, cx: &mut std::task::Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        }
    }
}
