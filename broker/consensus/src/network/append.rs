//! A stream of append requests: how much of it is in flight, and when its follower counts as hung.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use parking_lot::Mutex;
use pelton_log::GroupId;
use pelton_proto::consensus::v1 as proto;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::pace::{Pace, Sent};
use super::{Quiet, RpcError, refused, unreachable};
use crate::transport::{Incoming, NoAnswer};
use crate::types::Types;
use crate::wire;

/// Bytes of entries in requests that are not answered, of one group to one follower. A request has at most 1 MiB or one
/// entry, so several are on their way; one that is larger than all of it goes alone.
const MAX_IN_FLIGHT_BYTES: usize = 8 << 20;

/// Requests that are not answered; empty ones count too.
const MAX_IN_FLIGHT: usize = 64;

/// A request with fewer bytes is none of many that a replica lacks.
const LARGE_BYTES: u64 = 256 << 10;

/// What a request takes of the bytes even when it has no entries, so that one semaphore bounds both.
const REQUEST_BYTES: usize = MAX_IN_FLIGHT_BYTES / MAX_IN_FLIGHT;

/// The requests that were sent and not answered.
pub(super) struct InFlight {
    bytes: Arc<Semaphore>,
    sent: Mutex<Unanswered>,
    changed: Notify,
}

struct Unanswered {
    /// In order.
    requests: VecDeque<Request>,
    /// Since when the follower owes an answer.
    owed_since: Instant,
    input_ended: bool,
}

struct Request {
    /// Held until it is answered.
    _share: OwnedSemaphorePermit,
    /// It begins further on than openraft asked, so that a conflict says nothing of where that was.
    begins_later: bool,
}

impl InFlight {
    fn sent(&self, request: Request) {
        let mut sent = self.sent.lock();
        if sent.requests.is_empty() {
            sent.owed_since = Instant::now();
        }
        sent.requests.push_back(request);
        drop(sent);
        self.changed.notify_one();
    }

    /// Since when the follower owes an answer; `None` when it owes none.
    fn owed_since(&self) -> Option<Instant> {
        let sent = self.sent.lock();
        (!sent.requests.is_empty()).then_some(sent.owed_since)
    }

    /// Takes note of an answer, and gives the request that it is to. `None` when none was due.
    fn answered(&self) -> Option<Request> {
        let mut sent = self.sent.lock();
        sent.owed_since = Instant::now();
        sent.requests.pop_front()
    }

    fn is_done(&self) -> bool {
        let sent = self.sent.lock();
        sent.requests.is_empty() && sent.input_ended
    }

    fn ended(&self) {
        self.sent.lock().input_ended = true;
        self.changed.notify_one();
    }
}

/// The requests, without those that only say how far entries are committed: the next entries say so too, and so does a
/// heartbeat. openraft makes one for each commit that finds no new entries. The first request finds out how far the follower
/// agrees, and goes in any case. An answer to a later request counts for those before it.
///
/// (They must not wait here for entries to go along with. openraft's stream holds a lock while it waits for its next
/// request; whoever asks it and then stops asking, as a transport without room does, keeps replication from going on.)
pub(super) fn without_news<S>(input: S) -> BoxStream<'static, AppendEntriesRequest<Types>>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
{
    let mut is_first = true;
    input
        .filter(move |request| std::future::ready(std::mem::take(&mut is_first) || !request.entries.is_empty()))
        .boxed()
}

/// The requests as the transport takes them, each once there is room for it. `newest` says how far the leader's log goes.
pub(super) fn limited<S>(
    group: GroupId,
    newest: impl Fn() -> u64 + Send + Sync + 'static,
    input: S,
    quiet: Quiet,
) -> (BoxStream<'static, proto::AppendRequest>, Arc<InFlight>)
where
    S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
{
    let in_flight = Arc::new(InFlight {
        bytes: Arc::new(Semaphore::new(MAX_IN_FLIGHT_BYTES)),
        sent: Mutex::new(Unanswered { requests: VecDeque::new(), owed_since: Instant::now(), input_ended: false }),
        changed: Notify::new(),
    });
    let start = (input, in_flight.clone(), quiet, newest, Pace::default());
    let requests = stream::unfold(start, move |(mut input, in_flight, quiet, newest, mut pace)| async move {
        let Some(mut request) = input.next().await else {
            in_flight.ended();
            return None;
        };
        let begins_later = wire::begin_behind_unreadable(&mut request);
        let (last, committed) = (last_index(&request), request.leader_commit.map_or(0, |id| id.index));
        let request = wire::append_to_wire(group, request);
        let (entries, bytes) = (request.entries.len() as u64, wire::body_bytes(&request));
        if bytes >= LARGE_BYTES {
            let pause = pace.pause(Sent { entries, bytes, last, committed, newest: newest() });
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        let bytes = (bytes as usize).clamp(REQUEST_BYTES, MAX_IN_FLIGHT_BYTES);
        let share = in_flight.bytes.clone().acquire_many_owned(bytes as u32).await.ok()?;
        quiet.over().await;
        in_flight.sent(Request { _share: share, begins_later });
        Some((request, (input, in_flight, quiet, newest, pace)))
    });
    (requests.boxed(), in_flight)
}

fn last_index(request: &AppendEntriesRequest<Types>) -> u64 {
    request.entries.last().map_or(0, |entry| entry.log_id.index)
}

/// What a follower says, as openraft takes it.
pub(super) fn answer(answer: proto::AppendResponse) -> Result<StreamAppendResult<Types>, RpcError> {
    match wire::answer(answer) {
        Ok(answer) => Ok(answer),
        Err(Ok(refusal)) => Err(refused(&refusal)),
        Err(Err(error)) => Err(error.into()),
    }
}

/// What to do next with a stream of answers.
enum Next {
    Answer(Option<Result<proto::AppendResponse, NoAnswer>>),
    Hung,
    Done,
}

/// The answers, until all requests are answered, until the first that is not a success, or until the follower leaves
/// requests unanswered for too long. A stream that went on after an error would stall replication, and one of a hung
/// follower would keep the leader from purging what the follower was being sent.
pub(super) fn watched(
    answers: Incoming<proto::AppendResponse>,
    in_flight: Arc<InFlight>,
    hung_after: Duration,
) -> BoxStream<'static, Result<StreamAppendResult<Types>, RpcError>> {
    let watched = stream::unfold(Some((answers, in_flight)), move |state| async move {
        let (mut answers, in_flight) = state?;
        let answer = match next(&mut answers, &in_flight, hung_after).await {
            Next::Done => return None,
            Next::Hung => Err(unreachable(NoAnswer::because(format_args!("none for {hung_after:?}: it hangs")))),
            Next::Answer(None) => Err(unreachable(NoAnswer::because("the stream ended with requests unanswered"))),
            Next::Answer(Some(Err(error))) => Err(error.into()),
            Next::Answer(Some(Ok(response))) => match (in_flight.answered(), answer(response)) {
                (_, Err(error)) => Err(error),
                (Some(Request { begins_later: true, .. }), Ok(Err(StreamAppendError::Conflict(_)))) => {
                    Err(unreachable("it lacks an entry that is damaged here"))
                }
                (Some(_), Ok(answer)) => Ok(answer),
                (None, Ok(_)) => Err(unreachable("an answer to nothing")),
            },
        };
        let goes_on = matches!(&answer, Ok(Ok(_)));
        Some((answer, goes_on.then_some((answers, in_flight))))
    });
    watched.boxed()
}

async fn next(answers: &mut Incoming<proto::AppendResponse>, in_flight: &InFlight, hung_after: Duration) -> Next {
    loop {
        if in_flight.is_done() {
            return Next::Done;
        }
        let deadline = in_flight.owed_since().map(|since| since + hung_after);
        tokio::select! {
            biased;
            answer = answers.next() => match answer {
                // It ends when its input does, which may be seen here first.
                None if in_flight.is_done() => return Next::Done,
                answer => return Next::Answer(answer),
            },
            () = in_flight.changed.notified() => {}
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                return Next::Hung;
            }
        }
    }
}

#[cfg(test)]
mod tests;
