//! What other nodes ask of a group on this node.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendError};
use parking_lot::Mutex;
use pelton_log::{GroupId, Log, LogIndex};
use pelton_proto::consensus::v1 as proto;
use proto::refusal::Reason;
use tokio::time::Instant;

use crate::admission::room_for;
use crate::heard::{Heard, committed_by};
use crate::machine::Machine;
use crate::peers::Replica;
use crate::transport::Incoming;
use crate::types::{Snapshot, Types, Vote};
use crate::wire::{self, BadMessage, refusal};
use crate::{NodeId, Space, StateMachine, codec};

/// No node has this id. A stored vote for it in some term is a vote for nobody in that term: its leader is followed, and
/// nobody is helped to become it.
pub(crate) const NOBODY: u64 = 0;

/// An open group, for requests that come in.
pub(crate) struct LocalReplica<S: StateMachine> {
    pub(crate) id: GroupId,
    pub(crate) log: Log,
    pub(crate) node: NodeId,
    pub(crate) raft: Raft<Types, Machine<S>>,
    pub(crate) machine: Machine<S>,
    /// Until then no vote is given, unless the leader itself asks for it.
    pub(crate) votes_held_until: Option<Instant>,
    pub(crate) heard: Arc<Heard>,
}

fn ended(why: impl std::fmt::Display) -> proto::Refusal {
    refusal(Reason::Damaged, format_args!("the group has ended on this node: {why}"))
}

/// Waits until the log has room for what a leader sends. It has admitted it by its own disk, and this one may be fuller.
async fn admit(log: &Log, request: &proto::AppendRequest) -> Result<(), proto::Refusal> {
    let largest = request.entries.iter().map(|entry| entry.body.len() as u64).max().unwrap_or(0);
    if largest > log.max_record_bytes() {
        return Err(refusal(Reason::Invalid, "an entry is larger than a record of the log may be"));
    }
    if request.entries.is_empty() {
        return Ok(());
    }
    let has_events = request.entries.iter().any(|entry| entry.event_count > 0);
    let space = if has_events { Space::Ordinary } else { Space::Reserve };
    let fits = room_for(log, space, wire::body_bytes(request)).await;
    if fits { Ok(()) } else { Err(refusal(Reason::Full, "the log's disk is full")) }
}

/// What the requests of a stream have come to.
struct Requests {
    id: GroupId,
    log: Log,
    first: Option<proto::AppendRequest>,
    rest: Incoming<proto::AppendRequest>,
    refused: Arc<Mutex<Option<proto::Refusal>>>,
    /// How far the leader said that entries are committed, in the newest request.
    committed: Arc<Mutex<Option<LogIndex>>>,
}

impl Requests {
    /// The next request that can be given to the core. `None` ends the stream, and `refused` says why if anything is
    /// wrong.
    async fn next(mut self) -> Option<(AppendEntriesRequest<Types>, Self)> {
        let request = match self.first.take() {
            Some(first) => first,
            None => self.rest.next().await?.ok()?,
        };
        let checked = match admit(&self.log, &request).await {
            Ok(()) => wire::append(self.id, request).map_err(proto::Refusal::from),
            Err(refusal) => Err(refusal),
        };
        match checked {
            Ok(request) => {
                *self.committed.lock() = committed_by(&request.vote, request.leader_commit);
                Some((request, self))
            }
            Err(refusal) => {
                *self.refused.lock() = Some(refusal);
                None
            }
        }
    }
}

impl<S: StateMachine> Replica for LocalReplica<S> {
    fn append(
        &self,
        first: proto::AppendRequest,
        rest: Incoming<proto::AppendRequest>,
    ) -> BoxStream<'static, proto::AppendResponse> {
        let (refused, committed) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let requests = Requests {
            id: self.id,
            log: self.log.clone(),
            first: Some(first),
            rest,
            refused: refused.clone(),
            committed: committed.clone(),
        };
        let heard = self.heard.clone();
        let answers = self.raft.stream_append(stream::unfold(requests, Requests::next).boxed());
        let answers = answers.map(move |answer| match answer {
            #[cfg(feature = "bugs")]
            Ok(Err(StreamAppendError::Conflict(at))) if pelton_env::bugs::Bug::ConflictTakenForSuccess.is_on() => {
                wire::answer_to_wire(Ok(Some(at)))
            }
            Ok(answer) => {
                if !matches!(answer, Err(StreamAppendError::HigherVote(_))) {
                    heard.leader(*committed.lock());
                }
                wire::answer_to_wire(answer)
            }
            Err(fatal) => wire::refused_append(ended(fatal)),
        });
        // Those before it are answered first.
        let last = async move { stream::iter(refused.lock().take().map(wire::refused_append)) };
        answers.chain(last.flatten_stream()).boxed()
    }

    fn beat(&self, beat: proto::heartbeat_request::Beat) -> BoxFuture<'static, proto::AppendResponse> {
        let request = proto::AppendRequest {
            group: beat.group,
            vote: beat.vote,
            previous: beat.previous,
            entries: Vec::new(),
            committed: beat.committed,
        };
        let (raft, id, heard) = (self.raft.clone(), self.id, self.heard.clone());
        let answer = async move {
            let request = match wire::append(id, request) {
                Ok(request) => request,
                Err(error) => return wire::refused_append(error.into()),
            };
            let (previous, committed) = (request.prev_log_id, committed_by(&request.vote, request.leader_commit));
            let answer = raft.append_entries(request).await;
            if !matches!(answer, Ok(AppendEntriesResponse::HigherVote(_)) | Err(_)) {
                heard.leader(committed);
            }
            let answer = match answer {
                Ok(AppendEntriesResponse::Success) => Ok(previous),
                Ok(AppendEntriesResponse::PartialSuccess(last)) => Ok(last),
                Ok(AppendEntriesResponse::HigherVote(vote)) => Err(StreamAppendError::HigherVote(vote)),
                Ok(AppendEntriesResponse::Conflict) => match previous {
                    Some(previous) => Err(StreamAppendError::Conflict(previous)),
                    None => return wire::refused_append(ended("nothing conflicts with an empty log")),
                },
                Err(error) => return wire::refused_append(ended(error)),
            };
            wire::answer_to_wire(answer)
        };
        answer.boxed()
    }

    fn vote(&self, request: proto::VoteRequest) -> BoxFuture<'static, proto::VoteResponse> {
        let held = self.votes_held_until.is_some_and(|until| Instant::now() < until);
        let voted = self.log.group(self.id).vote.map(|vote| codec::decode_vote(&vote));
        let (raft, pre_vote) = (self.raft.clone(), request.pre_vote);
        let answer = async move {
            let request = wire::vote_request(request)?;
            if let Some(Ok(voted)) = voted
                && voted.leader_id.node_id == NOBODY
                && request.vote.leader_id.term <= voted.leader_id.term
            {
                // It may have voted in that term and forgotten it. The candidate has to hear of the term, or it would
                // ask for the same one again and again.
                return Ok(proto::vote_response::Answer {
                    vote: Some(wire::vote_to_wire(&voted)),
                    granted: false,
                    last: None,
                });
            }
            if held && !request.leadership_transfer {
                return Err(refusal(Reason::HoldingVote, "this node has just started"));
            }
            let answered = if pre_vote { raft.pre_vote(request).await } else { raft.vote(request).await };
            let answer = answered.map_err(ended)?;
            Ok(proto::vote_response::Answer {
                vote: Some(wire::vote_to_wire(&answer.vote)),
                granted: answer.vote_granted,
                last: answer.last_log_id.map(wire::log_id_to_wire),
            })
        };
        let answer = answer.map(|answer| match answer {
            Ok(answer) => proto::vote_response::Result::Answer(answer),
            Err(refusal) => proto::vote_response::Result::Refusal(refusal),
        });
        answer.map(|result| proto::VoteResponse { result: Some(result) }).boxed()
    }

    fn snapshot(&self, head: proto::snapshot_chunk::Head, bytes: Bytes) -> BoxFuture<'static, proto::SnapshotResponse> {
        let (raft, log) = (self.raft.clone(), self.log.clone());
        let installed = async move {
            let (vote, snapshot) = checked(&raft, head, bytes)?;
            // It becomes a checkpoint, with the state in it twice.
            let checkpoint_bytes = 2 * snapshot.snapshot.len() as u64;
            if !room_for(&log, Space::Last, checkpoint_bytes).await {
                return Err(refusal(Reason::Full, "the log's disk is full"));
            }
            let answer = raft.install_full_snapshot(vote, snapshot).await.map_err(ended)?;
            Ok(wire::vote_to_wire(&answer.vote))
        };
        let result = installed.map(|installed| match installed {
            Ok(vote) => proto::snapshot_response::Result::Vote(vote),
            Err(refusal) => proto::snapshot_response::Result::Refusal(refusal),
        });
        result.map(|result| proto::SnapshotResponse { result: Some(result) }).boxed()
    }

    fn transfer_leader(
        &self,
        request: proto::TransferLeaderRequest,
    ) -> BoxFuture<'static, proto::TransferLeaderResponse> {
        let raft = self.raft.clone();
        let is_heir = request.to == self.node.0;
        let is_damaged = !self.log.faulty(self.id).is_empty();
        let taken = async move {
            // The others only take note that nobody leads.
            if is_heir && is_damaged {
                return Err(refusal(Reason::Damaged, "entries are damaged here, and a damaged replica does not lead"));
            }
            let answer = raft.handle_transfer_leader(wire::transfer(request)?).await.map_err(ended)?;
            answer.map_err(|error| refusal(Reason::NotReady, error))
        };
        taken.map(|taken| proto::TransferLeaderResponse { refusal: taken.err() }).boxed()
    }

    fn committed(&self) -> Option<LogIndex> {
        self.raft.metrics().borrow_watched().local_committed.map(|id| LogIndex(id.index))
    }

    fn give_snapshot(&self) -> BoxFuture<'static, Result<(proto::snapshot_chunk::Head, Bytes), proto::Refusal>> {
        let (machine, id) = (self.machine.clone(), self.id);
        let given = async move {
            let snapshot = machine.snapshot().map_err(|error| refusal(Reason::Damaged, error))?;
            let snapshot = snapshot.ok_or_else(|| refusal(Reason::NotReady, "there is no snapshot here"))?;
            // Nobody is told to follow.
            Ok((wire::snapshot_head(id, None, &snapshot.meta), snapshot.snapshot))
        };
        given.boxed()
    }
}

/// A snapshot that a leader may send.
fn checked<S: StateMachine>(
    raft: &Raft<Types, Machine<S>>,
    head: proto::snapshot_chunk::Head,
    bytes: Bytes,
) -> Result<(Vote, Snapshot), proto::Refusal> {
    let vote = wire::vote(head.vote)?;
    if !vote.committed {
        return Err(BadMessage::NotALeader.into());
    }
    let (snapshot, _) = wire::snapshot(head, bytes)?;
    let last = snapshot.meta.last_log_id;
    if last.is_some_and(|last| last.leader_id > vote.leader_id) {
        return Err(BadMessage::Order.into());
    }
    // What is committed here is committed everywhere: a snapshot that says otherwise is of another history.
    let metrics = raft.metrics();
    let committed = metrics.borrow_watched().local_committed;
    if committed.is_some_and(|committed| last > Some(committed) && last.is_some_and(|id| id.index <= committed.index)) {
        return Err(refusal(Reason::Invalid, "the snapshot contradicts what is committed"));
    }
    Ok((vote, snapshot))
}
