//! The stream of appends to a node: what is asked while a request is being sent goes together in the next.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::poll_fn;
use parking_lot::Mutex;
use pelton_event::Event;
use pelton_proto::broker::v1 as wire;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::{Status, Streaming};
use wire::append_result::Result as Answer;

use super::calls::{Caller, Lane, NoAnswer};
use super::refusal::Wire as _;
use super::{CALL_TIMEOUT, CALL_WEIGHT_BYTES, MAX_QUEUED_BYTES, REQUEST_BYTES};
use crate::{AppendError, Appended, BrokerName, GroupId, Hops, Offset, Position, ProducerKey};

/// When it is worth asking again after too much waited to be sent.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The answer to come of an append at another node.
#[derive(Debug)]
pub struct RemoteAppend(State);

#[derive(Debug)]
enum State {
    Waiting(oneshot::Receiver<Result<Appended, AppendError>>),
    Refused(AppendError),
}

impl Future for RemoteAppend {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // Without an answer the stream ended while it was being sent.
            State::Waiting(answer) => {
                Pin::new(answer).poll(context).map(|answer| answer.unwrap_or(Err(AppendError::OutcomeUnknown)))
            }
            State::Refused(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

/// The appends to one node.
#[derive(Debug)]
pub(super) struct Appends {
    queue: Arc<Queue>,
    caller: Caller,
    /// The task that sends, from the first append on. Ends with this.
    sender: Mutex<JoinSet<()>>,
}

/// What waits to be sent.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: VecDeque<Call>,
    bytes: u64,
}

#[derive(Debug)]
struct Call {
    call: wire::AppendCall,
    weight: u64,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
}

impl Appends {
    pub(super) fn new(caller: Caller) -> Self {
        Self { queue: Arc::default(), caller, sender: Mutex::default() }
    }

    pub(super) fn append(
        &self,
        group: GroupId,
        broker: &BrokerName,
        events: &[Event],
        hops: Hops,
        key: Option<ProducerKey>,
    ) -> RemoteAppend {
        let frames: Vec<_> = events.iter().map(|event| event.as_frame().clone()).collect();
        let weight = weight(&frames);
        let call = wire::AppendCall {
            sequence: 0,
            group: group.0,
            broker: broker.as_str().to_owned(),
            hops: hops.0.into(),
            key: key.map(|key| wire::ProducerKey { producer: key.producer, sequence: key.sequence }),
            frames,
        };
        let (answer, waits) = oneshot::channel();
        {
            let mut waiting = self.queue.waiting.lock();
            if waiting.bytes > 0 && waiting.bytes + weight > MAX_QUEUED_BYTES {
                return RemoteAppend(State::Refused(AppendError::Overloaded { retry_after: RETRY_AFTER }));
            }
            waiting.bytes += weight;
            waiting.calls.push_back(Call { call, weight, answer });
        }
        self.queue.more.notify_one();
        let mut sender = self.sender.lock();
        if sender.is_empty() {
            sender.spawn_on(send(self.caller.clone(), self.queue.clone()), &self.caller.runtime);
        }
        RemoteAppend(State::Waiting(waits))
    }
}

/// What a call weighs in the window.
pub(super) fn weight(frames: &[bytes::Bytes]) -> u64 {
    CALL_WEIGHT_BYTES + frames.iter().map(|frame| frame.len() as u64).sum::<u64>()
}

impl Queue {
    /// Whether a call waits that the window has room for.
    fn has_next(&self, on_the_way: u64, window: u64) -> bool {
        let waiting = self.waiting.lock();
        waiting.calls.front().is_some_and(|call| on_the_way == 0 || on_the_way + call.weight <= window)
    }

    /// What goes into the next request: in order, as much as the window and the request have room for.
    fn take(&self, mut on_the_way: u64, window: u64) -> Vec<Call> {
        let mut waiting = self.waiting.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(next) = waiting.calls.front() {
            let fits = (on_the_way == 0 || on_the_way + next.weight <= window)
                && (bytes == 0 || bytes + next.weight <= REQUEST_BYTES);
            if !fits {
                break;
            }
            let Some(call) = waiting.calls.pop_front() else { break };
            waiting.bytes -= call.weight;
            // Nobody waits for it any more, and nothing was sent.
            if call.answer.is_closed() {
                continue;
            }
            (on_the_way, bytes) = (on_the_way + call.weight, bytes + call.weight);
            taken.push(call);
        }
        taken
    }

    /// Nothing of what waits was sent.
    fn refuse_all(&self) {
        let calls = {
            let mut waiting = self.waiting.lock();
            waiting.bytes = 0;
            std::mem::take(&mut waiting.calls)
        };
        for call in calls {
            let _ = call.answer.send(Err(AppendError::Unavailable));
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.lock().calls.is_empty()
    }
}

/// Keeps a stream open while there is something to send, and begins anew when it broke.
async fn send(caller: Caller, queue: Arc<Queue>) {
    loop {
        while queue.is_empty() {
            queue.more.notified().await;
        }
        let (requests, mut sent) = mpsc::channel(1);
        let mut stub = caller.stub(Lane::Appends);
        let open = async {
            let mut answers = stub.append(poll_fn(move |context| sent.poll_recv(context))).await?.into_inner();
            let first = answers.message().await?;
            let window = first.map(|first| first.window_bytes).filter(|window| *window > 0);
            Ok::<_, Status>((answers, window.ok_or_else(|| Status::internal("there is no window"))?))
        };
        match timeout(CALL_TIMEOUT, open).await {
            Ok(Ok((answers, window))) => stream(&queue, requests, answers, window).await,
            failed => {
                if let Ok(Err(status)) = failed {
                    tracing::debug!(%status, why = ?NoAnswer::of(&status), "a node takes no appends now");
                }
                queue.refuse_all();
            }
        }
    }
}

/// Until the stream breaks. What was sent and not answered has an unknown outcome then; what was not sent waits for the
/// next stream.
async fn stream(
    queue: &Queue,
    requests: mpsc::Sender<wire::AppendRequest>,
    mut answers: Streaming<wire::AppendResponse>,
    window: u64,
) {
    let mut sequence = 0;
    let mut on_the_way = 0;
    let mut sent: BTreeMap<u64, (u64, oneshot::Sender<_>)> = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            answer = answers.message() => {
                let results = match answer {
                    Ok(Some(answer)) => answer.results,
                    Ok(None) => break,
                    Err(status) => {
                        tracing::debug!(%status, calls = sent.len(), "a stream of appends broke");
                        break;
                    }
                };
                for result in results {
                    if let Some((weight, answer)) = sent.remove(&result.sequence) {
                        on_the_way -= weight;
                        let _ = answer.send(read(result.result));
                    }
                }
            }
            room = requests.reserve(), if queue.has_next(on_the_way, window) => {
                let Ok(room) = room else { break };
                let mut request = wire::AppendRequest::default();
                for mut call in queue.take(on_the_way, window) {
                    sequence += 1;
                    call.call.sequence = sequence;
                    on_the_way += call.weight;
                    sent.insert(sequence, (call.weight, call.answer));
                    request.calls.push(call.call);
                }
                if !request.calls.is_empty() {
                    room.send(request);
                }
            }
            () = queue.more.notified() => {}
        }
    }
    for (_, answer) in sent.into_values() {
        let _ = answer.send(Err(AppendError::OutcomeUnknown));
    }
}

fn read(answer: Option<Answer>) -> Result<Appended, AppendError> {
    match answer {
        Some(Answer::Appended(appended)) => {
            let position = Position { group: GroupId(appended.group), offset: Offset(appended.offset) };
            Ok(Appended { position, duplicates: appended.duplicates })
        }
        Some(Answer::Refusal(refusal)) => Err(AppendError::from_wire(refusal)),
        // A newer node says something that is not known here.
        None => Err(AppendError::OutcomeUnknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(weights: &[u64]) -> (Queue, Vec<oneshot::Receiver<Result<Appended, AppendError>>>) {
        let queue = Queue::default();
        let waits = weights.iter().map(|&weight| {
            let (answer, waits) = oneshot::channel();
            let mut waiting = queue.waiting.lock();
            waiting.bytes += weight;
            waiting.calls.push_back(Call { call: wire::AppendCall::default(), weight, answer });
            waits
        });
        let waits = waits.collect();
        (queue, waits)
    }

    #[test]
    fn a_request_has_what_window_and_request_have_room_for() {
        for (weights, on_the_way, window, want) in [
            (vec![1, 2, 3], 0, 10, vec![1, 2, 3]),
            (vec![5, 5, 5], 0, 10, vec![5, 5]),
            (vec![5, 5], 6, 10, vec![]),
            (vec![5, 5], 5, 10, vec![5]),
            // One that is larger than the window goes when nothing else is on its way, and alone.
            (vec![50, 1], 0, 10, vec![50]),
            (vec![50, 1], 1, 10, vec![]),
            (vec![REQUEST_BYTES, 1], 0, 2 * REQUEST_BYTES, vec![REQUEST_BYTES]),
            (vec![REQUEST_BYTES - 1, 1, 1], 0, 2 * REQUEST_BYTES, vec![REQUEST_BYTES - 1, 1]),
        ] {
            let (queue, _waits) = queue(&weights);
            let took: Vec<_> = queue.take(on_the_way, window).iter().map(|call| call.weight).collect();
            assert_eq!(took, want, "{weights:?}, {on_the_way} of {window} on the way");
            let left: u64 = weights.iter().sum::<u64>() - took.iter().sum::<u64>();
            assert_eq!(queue.waiting.lock().bytes, left);
        }
    }

    #[test]
    fn what_nobody_waits_for_is_not_sent() {
        let (queue, mut waits) = queue(&[1, 2, 3]);
        drop(waits.remove(1));
        assert_eq!(queue.take(0, 10).iter().map(|call| call.weight).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(queue.waiting.lock().bytes, 0);
    }
}
