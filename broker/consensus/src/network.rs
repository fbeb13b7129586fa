//! openraft's network over a [`Transport`](crate::Transport): deadlines, the bound on what is in flight, refusals.

mod append;
mod pace;
mod quiet;

pub(crate) use quiet::{Quiet, is_silent};

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption, RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{EmptyNode, OptionalSend};
use pelton_log::GroupId;
use pelton_proto::consensus::v1 as proto;

use crate::storage::GroupLog;
use crate::transport::NoAnswer;
use crate::types::{Snapshot, Types, Vote};
use crate::wire::{self, BadMessage};
use crate::{NodeId, Peers, chunks};

/// Makes the clients of one group.
pub(crate) struct Network {
    pub(crate) peers: Peers,
    pub(crate) group: GroupId,
    pub(crate) log: GroupLog,
    /// How long a follower may leave requests of a stream unanswered.
    pub(crate) hung_after: Duration,
    pub(crate) quiet: Quiet,
    pub(crate) tell_commits_at_once: bool,
}

impl Network {
    fn client(&self, target: u64, beats: bool) -> Client {
        Client {
            peers: self.peers.clone(),
            group: self.group,
            log: self.log.clone(),
            to: NodeId(target),
            hung_after: self.hung_after,
            quiet: self.quiet.clone(),
            tell_commits_at_once: self.tell_commits_at_once,
            beats,
        }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, _node: &EmptyNode) -> Client {
        self.client(target, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _node: &EmptyNode) -> Client {
        self.client(target, true)
    }
}

/// One group's way to one node.
pub(crate) struct Client {
    peers: Peers,
    group: GroupId,
    log: GroupLog,
    to: NodeId,
    hung_after: Duration,
    quiet: Quiet,
    tell_commits_at_once: bool,
    /// Whether it sends heartbeats only.
    beats: bool,
}

type RpcError = RPCError<Types>;

/// The node did not answer, or refused: both are tried again after a pause. Which it was stays in the text.
fn unreachable(why: impl ToString) -> RpcError {
    RPCError::Unreachable(Unreachable::from_string(why))
}

fn refused(refusal: &proto::Refusal) -> RpcError {
    unreachable(format_args!("refused, {}: {}", refusal.reason().as_str_name(), refusal.text))
}

impl From<NoAnswer> for RPCError<Types> {
    fn from(error: NoAnswer) -> Self {
        unreachable(error)
    }
}

impl From<BadMessage> for RPCError<Types> {
    fn from(error: BadMessage) -> Self {
        unreachable(format_args!("the answer cannot be used: {error}"))
    }
}

impl Client {
    /// How far the log here goes.
    fn newest(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let log = self.log.clone();
        move || log.newest()
    }

    /// The requests that are sent.
    fn tells<S>(&self, input: S) -> BoxStream<'static, AppendEntriesRequest<Types>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        if self.tell_commits_at_once { input.boxed() } else { append::without_news(input) }
    }

    /// Waits for an answer for the time that openraft gives.
    async fn within<T>(
        &self,
        option: &RPCOption,
        answer: impl Future<Output = Result<T, NoAnswer>>,
    ) -> Result<T, RpcError> {
        match tokio::time::timeout(option.soft_ttl(), answer).await {
            Ok(answered) => Ok(answered?),
            Err(_) => Err(unreachable(NoAnswer::because(format_args!("none within {:?}", option.soft_ttl())))),
        }
    }

    async fn ask_vote(
        &self,
        request: VoteRequest<Types>,
        pre_vote: bool,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        let request = wire::vote_request_to_wire(self.group, &request, pre_vote);
        let answer = self.within(&option, self.peers.transport()?.vote(self.to, request)).await?;
        match answer.result.ok_or(BadMessage::Missing("result"))? {
            proto::vote_response::Result::Answer(answer) => Ok(VoteResponse {
                vote: wire::vote(answer.vote)?,
                vote_granted: answer.granted,
                last_log_id: answer.last.map(wire::log_id).transpose()?,
            }),
            proto::vote_response::Result::Refusal(refusal) => Err(refused(&refusal)),
        }
    }

    /// The heartbeat worker opens a stream of one request each time; that request goes along with those of others.
    async fn beat(
        &self,
        request: AppendEntriesRequest<Types>,
        option: &RPCOption,
    ) -> Result<StreamAppendResult<Types>, RpcError> {
        let beat = proto::heartbeat_request::Beat {
            group: self.group.0,
            vote: Some(wire::vote_to_wire(&request.vote)),
            previous: request.prev_log_id.map(wire::log_id_to_wire),
            committed: request.leader_commit.map(wire::log_id_to_wire),
        };
        let answer = self.peers.heartbeats().beat(self.to, beat, option.soft_ttl()).await?;
        append::answer(answer)
    }
}

impl NetBackoff<Types> for Client {
    fn backoff(&self) -> Option<Backoff> {
        // As configured for the group.
        None
    }
}

impl NetVote<Types> for Client {
    async fn vote(&mut self, request: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, RpcError> {
        self.ask_vote(request, false, option).await
    }

    // The default grants, which would be a vote from nobody.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RpcError> {
        self.ask_vote(request, true, option).await
    }
}

impl NetSnapshot<Types> for Client {
    type SnapshotData = Bytes;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        if self.quiet.is_quiet() {
            return Err(unreachable("this leader is quiet, for no quorum answers it").into());
        }
        let head = wire::snapshot_head(self.group, Some(&vote), &snapshot.meta);
        let chunks = chunks::split(head, snapshot.snapshot);
        let transport = self.peers.transport().map_err(RpcError::from)?;
        let sent = self.within(&option, transport.snapshot(self.to, self.group, chunks));
        let answer = tokio::select! {
            biased;
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = sent => answer?,
        };
        match answer.result.ok_or(RpcError::from(BadMessage::Missing("result")))? {
            proto::snapshot_response::Result::Vote(vote) => {
                Ok(SnapshotResponse::new(wire::vote(Some(vote)).map_err(RpcError::from)?))
            }
            proto::snapshot_response::Result::Refusal(refusal) => Err(refused(&refusal).into()),
        }
    }
}

impl NetTransferLeader<Types> for Client {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RpcError> {
        let request = wire::transfer_to_wire(self.group, &request);
        let answer = self.within(&option, self.peers.transport()?.transfer_leader(self.to, request)).await?;
        match answer.refusal {
            None => Ok(Ok(())),
            Some(refusal) => Err(refused(&refusal)),
        }
    }
}

impl NetStreamAppend<Types> for Client {
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, RpcError>>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        #[cfg(feature = "bugs")]
        if pelton_env::bugs::Bug::NoPauseAfterFailure.is_on() && !self.beats {
            return Box::pin(async move {
                let (requests, in_flight) =
                    append::limited(self.group, self.newest(), self.tells(input), self.quiet.clone());
                let transport = self.peers.transport()?;
                let answers = self.within(&option, transport.append(self.to, self.group, requests)).await?;
                Ok(append::watched(answers, in_flight, self.hung_after))
            });
        }
        let opened = async move {
            // The core's pause after an error is in its input. A session that failed before it took anything from there
            // would be followed by the next one at once, and that by another.
            let Some(first) = input.next().await else {
                return Ok(futures_util::stream::empty().boxed());
            };
            if self.quiet.is_quiet() {
                return Err(unreachable("this leader is quiet, for no quorum answers it"));
            }
            if self.beats {
                let answer = self.beat(first, &option).await;
                return Ok(futures_util::stream::iter([answer]).boxed());
            }
            let input = futures_util::stream::iter([first]).chain(input);
            let (requests, in_flight) =
                append::limited(self.group, self.newest(), self.tells(input), self.quiet.clone());
            let transport = self.peers.transport()?;
            let answers = self.within(&option, transport.append(self.to, self.group, requests)).await?;
            Ok(append::watched(answers, in_flight, self.hung_after))
        };
        Box::pin(opened)
    }
}
