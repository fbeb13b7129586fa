//! The way in.

use std::fmt;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use pelton_log::Identity;
use pelton_peer::{Versions, limits};
use pelton_proto::consensus::v1 as proto;
use proto::consensus_server::{Consensus, ConsensusServer};
use proto::{append_response, snapshot_response, vote_response};
use tonic::{Request, Response, Status, Streaming};

use super::check;
use crate::Peers;
use crate::transport::{Incoming, NoAnswer};

/// Hands requests of other nodes to the groups that are open on this one.
#[derive(Clone)]
pub struct ConsensusService {
    peers: Peers,
    identity: Identity,
    versions: Versions,
}

impl fmt::Debug for ConsensusService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsensusService").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl ConsensusService {
    /// The service of the node `identity`, which speaks these versions of the protocol; requests for others, and in
    /// others, are refused.
    #[must_use]
    pub fn new(peers: Peers, identity: Identity, versions: Versions) -> Self {
        Self { peers, identity, versions }
    }

    /// The service as a listener takes it, with its limits.
    #[must_use]
    pub fn server(self) -> ConsensusServer<Self> {
        ConsensusServer::new(self)
            .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
            .max_encoding_message_size(limits::MAX_MESSAGE_BYTES)
    }

    fn refuses<T>(&self, request: &Request<T>) -> Option<proto::Refusal> {
        check(request.metadata(), self.identity, self.versions).err()
    }
}

fn incoming<T: Send + 'static>(stream: Streaming<T>) -> Incoming<T> {
    stream.map(|item| item.map_err(|status| NoAnswer::because(status.message()))).boxed()
}

#[tonic::async_trait]
impl Consensus for ConsensusService {
    type AppendStream = BoxStream<'static, Result<proto::AppendResponse, Status>>;
    type FetchSnapshotStream = BoxStream<'static, Result<proto::SnapshotChunk, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<proto::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        if let Some(refusal) = self.refuses(&request) {
            let refused = proto::AppendResponse { result: Some(append_response::Result::Refusal(refusal)) };
            return Ok(Response::new(stream::iter([Ok(refused)]).boxed()));
        }
        Ok(Response::new(self.peers.append(incoming(request.into_inner())).map(Ok).boxed()))
    }

    async fn vote(&self, request: Request<proto::VoteRequest>) -> Result<Response<proto::VoteResponse>, Status> {
        let answer = match self.refuses(&request) {
            Some(refusal) => proto::VoteResponse { result: Some(vote_response::Result::Refusal(refusal)) },
            None => self.peers.vote(request.into_inner()).await,
        };
        Ok(Response::new(answer))
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatRequest>,
    ) -> Result<Response<proto::HeartbeatResponse>, Status> {
        let Some(refusal) = self.refuses(&request) else {
            return Ok(Response::new(self.peers.heartbeat(request.into_inner()).await));
        };
        let refused = proto::AppendResponse { result: Some(append_response::Result::Refusal(refusal)) };
        let beats = request.into_inner().beats.into_iter();
        let answers =
            beats.map(|beat| proto::heartbeat_response::Answer { group: beat.group, response: Some(refused.clone()) });
        let (unfit, leaves) = (self.peers.is_unfit(), self.peers.leaves());
        Ok(Response::new(proto::HeartbeatResponse { answers: answers.collect(), unfit, leaves }))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotChunk>>,
    ) -> Result<Response<proto::SnapshotResponse>, Status> {
        let answer = match self.refuses(&request) {
            Some(refusal) => proto::SnapshotResponse { result: Some(snapshot_response::Result::Refusal(refusal)) },
            None => self.peers.snapshot(incoming(request.into_inner())).await,
        };
        Ok(Response::new(answer))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Result<Response<proto::TransferLeaderResponse>, Status> {
        let answer = match self.refuses(&request) {
            Some(refusal) => proto::TransferLeaderResponse { refusal: Some(refusal) },
            None => self.peers.transfer_leader(request.into_inner()).await,
        };
        Ok(Response::new(answer))
    }

    async fn fetch(&self, request: Request<proto::FetchRequest>) -> Result<Response<proto::FetchResponse>, Status> {
        let answer = match self.refuses(&request) {
            Some(refusal) => proto::FetchResponse { refusal: Some(refusal), ..proto::FetchResponse::default() },
            None => self.peers.fetch(request.into_inner()),
        };
        Ok(Response::new(answer))
    }

    async fn fetch_snapshot(
        &self,
        request: Request<proto::FetchSnapshotRequest>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        if let Some(refusal) = self.refuses(&request) {
            return Err(Status::failed_precondition(refusal.text));
        }
        match self.peers.fetch_snapshot(request.into_inner()).await {
            Ok(chunks) => Ok(Response::new(chunks.map(Ok).boxed())),
            Err(refusal) => Err(Status::unavailable(refusal.text)),
        }
    }
}
