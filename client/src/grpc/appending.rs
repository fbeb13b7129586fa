//! The node's end of a stream of appends.

use std::future::Future;
use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, unfold};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use pelton_event::Event;
use pelton_proto::broker::v1 as wire;
use tonic::{Status, Streaming};
use wire::append_result::Result as Answer;

use super::WINDOW_BYTES;
use super::appends::weight;
use super::refusal::Wire as _;
use crate::{AppendError, Appended, BrokerName, GroupId, Hops, NodeClient, ProducerKey};

/// Results that go into one response at most.
const RESULTS_PER_RESPONSE: usize = 1_024;

type Running = Pin<Box<dyn Future<Output = (u64, u64, Result<Appended, AppendError>)> + Send>>;

/// One caller's stream. It is driven by being read: a caller that takes no answers is not read from, so what is held for it
/// is its window.
struct Appending<N> {
    node: N,
    requests: Streaming<wire::AppendRequest>,
    running: FuturesUnordered<Running>,
    on_the_way: u64,
    /// More requests may come.
    is_open: bool,
    greeted: bool,
    /// The stream ends after this.
    broken: Option<Status>,
}

/// The answers to a stream of requests.
pub(super) fn answers<N: NodeClient>(
    node: N,
    requests: Streaming<wire::AppendRequest>,
) -> impl Stream<Item = Result<wire::AppendResponse, Status>> + Send + 'static {
    let appending = Appending {
        node,
        requests,
        running: FuturesUnordered::new(),
        on_the_way: 0,
        is_open: true,
        greeted: false,
        broken: None,
    };
    unfold(appending, |mut appending| async {
        let next = appending.next().await?;
        Some((next, appending))
    })
}

impl<N: NodeClient> Appending<N> {
    async fn next(&mut self) -> Option<Result<wire::AppendResponse, Status>> {
        if !self.greeted {
            self.greeted = true;
            return Some(Ok(wire::AppendResponse { results: Vec::new(), window_bytes: WINDOW_BYTES }));
        }
        loop {
            if let Some(status) = self.broken.take() {
                self.is_open = false;
                self.running.clear();
                return Some(Err(status));
            }
            tokio::select! {
                biased;
                Some(done) = self.running.next(), if !self.running.is_empty() => {
                    let mut results = vec![self.result(done)];
                    // What is done by now goes together.
                    while results.len() < RESULTS_PER_RESPONSE
                        && let Some(Some(done)) = self.running.next().now_or_never()
                    {
                        results.push(self.result(done));
                    }
                    return Some(Ok(wire::AppendResponse { results, window_bytes: 0 }));
                }
                request = self.requests.message(), if self.is_open => match request {
                    Ok(Some(request)) => self.broken = self.take(request).err(),
                    Ok(None) => self.is_open = false,
                    // The caller is gone; what it sent goes on, and nobody is told.
                    Err(_) => return None,
                },
                else => return None,
            }
        }
    }

    fn take(&mut self, request: wire::AppendRequest) -> Result<(), Status> {
        for call in request.calls {
            let (sequence, weight) = (call.sequence, weight(&call.frames));
            if self.on_the_way > 0 && self.on_the_way + weight > WINDOW_BYTES {
                return Err(Status::resource_exhausted(format!("more than {WINDOW_BYTES} B are on their way")));
            }
            let append = begin(&self.node, call)?;
            self.on_the_way += weight;
            self.running.push(Box::pin(async move { (sequence, weight, append.await) }));
        }
        Ok(())
    }

    fn result(&mut self, (sequence, weight, result): (u64, u64, Result<Appended, AppendError>)) -> wire::AppendResult {
        self.on_the_way -= weight;
        let answer = match result {
            Ok(Appended { position, duplicates }) => {
                Answer::Appended(wire::Appended { group: position.group.0, offset: position.offset.0, duplicates })
            }
            Err(error) => Answer::Refusal(error.to_wire()),
        };
        wire::AppendResult { sequence, result: Some(answer) }
    }
}

/// Reads a call and hands it over. What is not as it should be ends the stream: a node never sends such a thing.
fn begin<N: NodeClient>(node: &N, call: wire::AppendCall) -> Result<N::Append, Status> {
    let invalid = |what: &str| Status::invalid_argument(format!("call {}: {what}", call.sequence));
    let broker = BrokerName::parse(&call.broker).ok_or_else(|| invalid("its broker has no name"))?;
    // Longer ones do not fit into a record.
    if call.broker.len() > usize::from(u8::MAX) {
        return Err(invalid("its broker's name is too long"));
    }
    let hops = u8::try_from(call.hops).map_err(|_| invalid("its hops are more than 255"))?;
    let frames = call.frames.iter().cloned().map(Event::from_frame);
    let events: Vec<Event> = frames.collect::<Result<_, _>>().map_err(|why| invalid(&why.to_string()))?;
    if events.is_empty() {
        return Err(invalid("it has no events"));
    }
    let key = call.key.map(|key| ProducerKey { producer: key.producer, sequence: key.sequence });
    Ok(node.append(GroupId(call.group), &broker, &events, Hops(hops), key))
}
