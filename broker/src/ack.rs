//! One object a batch that wakes everyone who waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use pelton_client::{AppendError, Appended, GroupId, Offset, Position};

/// The fate of a batch, and the requests that wait for it.
///
/// One allocation for a batch of any size, and one wake for each request: not a channel an event.
#[derive(Debug)]
pub(crate) struct BatchAck {
    settled: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    fate: Option<Result<Offset, AppendError>>,
    wakers: Vec<Waker>,
}

impl BatchAck {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { settled: AtomicBool::new(false), inner: Mutex::default() })
    }

    /// Tells everyone: the offset of the batch's first event, or why there is none. The first fate stands.
    pub(crate) fn settle(&self, fate: Result<Offset, AppendError>) {
        let wakers = {
            let mut inner = self.inner.lock();
            if inner.fate.is_some() {
                return;
            }
            inner.fate = Some(fate);
            self.settled.store(true, Ordering::Release);
            std::mem::take(&mut inner.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, slot: &mut Option<usize>, context: &Context<'_>) -> Poll<Result<Offset, AppendError>> {
        let mut inner = self.inner.lock();
        if let Some(fate) = &inner.fate {
            return Poll::Ready(fate.clone());
        }
        match *slot {
            Some(slot) => inner.wakers[slot].clone_from(context.waker()),
            None => {
                *slot = Some(inner.wakers.len());
                inner.wakers.push(context.waker().clone());
            }
        }
        Poll::Pending
    }
}

/// What a caller of `append` awaits.
#[derive(Debug)]
pub struct Append {
    state: State,
    /// Batches that must be durable, too, each with this waiter's place in it.
    twins: Vec<(Arc<BatchAck>, Option<usize>)>,
    /// Why one of them is not.
    failed: Option<AppendError>,
}

#[derive(Debug)]
enum State {
    Refused(AppendError),
    Waiting { ack: Arc<BatchAck>, slot: Option<usize>, group: GroupId, nth: u32, duplicates: u32 },
    Known(Appended),
    Done,
}

impl Append {
    pub(crate) fn refused(error: AppendError) -> Self {
        Self { state: State::Refused(error), twins: Vec::new(), failed: None }
    }

    /// The `nth` event of the batch behind `ack`.
    pub(crate) fn waiting(ack: Arc<BatchAck>, group: GroupId, nth: u32, duplicates: u32) -> Self {
        Self { state: State::Waiting { ack, slot: None, group, nth, duplicates }, twins: Vec::new(), failed: None }
    }

    /// Events that are all in the log already.
    pub(crate) fn known(appended: Appended) -> Self {
        Self { state: State::Known(appended), twins: Vec::new(), failed: None }
    }

    /// The same, acknowledged only when these batches are durable as well. When one of them is refused, this is refused,
    /// too, or of unknown outcome if something of it is in the log all the same.
    pub(crate) fn and_all(mut self, acks: Vec<Arc<BatchAck>>) -> Self {
        self.twins = acks.into_iter().map(|ack| (ack, None)).collect();
        self
    }
}

impl Future for Append {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while let Some((ack, slot)) = this.twins.last_mut() {
            let Poll::Ready(fate) = ack.poll(slot, context) else { return Poll::Pending };
            this.twins.pop();
            if let Err(error) = fate {
                this.failed = Some(either(this.failed.take(), error));
            }
        }
        let answer = match &mut this.state {
            State::Waiting { ack, slot, group, nth, duplicates } => {
                let Poll::Ready(fate) = ack.poll(slot, context) else { return Poll::Pending };
                fate.map(|base| Appended {
                    position: Position { group: *group, offset: base.plus(u64::from(*nth)) },
                    duplicates: *duplicates,
                })
            }
            State::Refused(error) => Err(error.clone()),
            State::Known(appended) => Ok(*appended),
            State::Done => panic!("an append is not polled after it was answered"),
        };
        this.state = State::Done;
        Poll::Ready(match (answer, this.failed.take()) {
            (answer, None) => answer,
            // "Nothing was written" would not be true.
            (Ok(_), Some(_)) => Err(AppendError::OutcomeUnknown),
            (Err(own), failed) => Err(either(failed, own)),
        })
    }
}

/// What is said of two failures: nothing was written only when that is so of both.
fn either(one: Option<AppendError>, other: AppendError) -> AppendError {
    match one {
        Some(AppendError::OutcomeUnknown) => AppendError::OutcomeUnknown,
        _ => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_waiters_of_a_batch_get_its_fate() {
        let ack = BatchAck::new();
        let waiters: Vec<_> =
            (0..3).map(|nth| tokio::spawn(Append::waiting(ack.clone(), GroupId(1), nth, 0))).collect();
        tokio::task::yield_now().await;
        ack.settle(Ok(Offset(40)));
        ack.settle(Err(AppendError::Unavailable));
        for (nth, waiter) in waiters.into_iter().enumerate() {
            assert_eq!(waiter.await.unwrap().unwrap().position.offset, Offset(40 + nth as u64));
        }
        let late = Append::waiting(ack, GroupId(1), 7, 0).await;
        assert_eq!(late.unwrap().position.offset, Offset(47));
    }

    #[tokio::test]
    async fn a_call_that_repeats_a_waiting_event_shares_that_events_fate() {
        let (own, twin) = (BatchAck::new(), BatchAck::new());
        own.settle(Ok(Offset(3)));
        let mut call = tokio::spawn(Append::waiting(own.clone(), GroupId(1), 0, 1).and_all(vec![twin.clone()]));
        tokio::task::yield_now().await;
        assert!(!call.is_finished(), "its own batch is durable, the other is not");
        twin.settle(Err(AppendError::StorageFull));
        assert_eq!((&mut call).await.unwrap(), Err(AppendError::OutcomeUnknown), "its own events are written");
        let refused = BatchAck::new();
        refused.settle(Err(AppendError::Unavailable));
        let none = Append::waiting(refused, GroupId(1), 0, 1).and_all(vec![twin]).await;
        assert_eq!(none, Err(AppendError::Unavailable), "nothing is written");
        let both = Append::waiting(own.clone(), GroupId(1), 0, 1).and_all(vec![own]).await;
        assert_eq!(both.unwrap().position.offset, Offset(3));
    }
}
