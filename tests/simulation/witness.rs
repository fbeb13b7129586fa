//! The product's service for other nodes, watched: the oracle learns what a node says yes to, where it says it.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use pelton_consensus::{AddressBook, ConsensusService, NodeId};
use pelton_proto::consensus::v1 as proto;
use proto::append_response::Result as Answer;
use proto::consensus_server::Consensus;
use tonic::{Request, Response, Status, Streaming};

use crate::oracle::Oracle;

/// The port that every node listens at for others.
pub const PORT: u16 = 7400;

/// The host name of a node.
pub fn host(node: u64) -> String {
    format!("n{node}")
}

/// Every node is at its name.
pub struct ByName;

impl AddressBook for ByName {
    fn address(&self, node: NodeId) -> Option<String> {
        Some(format!("{}:{PORT}", host(node.0)))
    }

    fn protocol(&self) -> u32 {
        pelton_peer::PROTOCOL_MAX
    }
}

pub struct Witness {
    pub service: ConsensusService,
    pub node: u64,
    pub oracle: Arc<Oracle>,
}

#[tonic::async_trait]
impl Consensus for Witness {
    type AppendStream = BoxStream<'static, Result<proto::AppendResponse, Status>>;
    type FetchSnapshotStream = BoxStream<'static, Result<proto::SnapshotChunk, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<proto::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let (oracle, node) = (self.oracle.clone(), self.node);
        let answers = self.service.append(request).await?.into_inner().inspect(move |answer| {
            if let Ok(proto::AppendResponse { result: Some(Answer::Success(success)) }) = answer
                && let Some(last) = success.last
            {
                oracle.accepted(node, ((last.term, last.node), last.index));
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn vote(&self, request: Request<proto::VoteRequest>) -> Result<Response<proto::VoteResponse>, Status> {
        let asked = *request.get_ref();
        let response = self.service.vote(request).await?;
        if let (Some(vote), Some(proto::vote_response::Result::Answer(answer))) =
            (asked.vote, &response.get_ref().result)
            && answer.granted
            && !asked.pre_vote
        {
            self.oracle.promised(self.node, (vote.term, vote.node));
        }
        Ok(response)
    }

    async fn heartbeat(
        &self,
        request: Request<proto::HeartbeatRequest>,
    ) -> Result<Response<proto::HeartbeatResponse>, Status> {
        let votes: Vec<_> = request.get_ref().beats.iter().map(|beat| beat.vote).collect();
        let response = self.service.heartbeat(request).await?;
        for (vote, answer) in votes.into_iter().zip(&response.get_ref().answers) {
            let result = answer.response.as_ref().and_then(|response| response.result.as_ref());
            if let (Some(vote), Some(Answer::Success(_))) = (vote, result) {
                self.oracle.promised(self.node, (vote.term, vote.node));
            }
        }
        Ok(response)
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotChunk>>,
    ) -> Result<Response<proto::SnapshotResponse>, Status> {
        self.service.snapshot(request).await
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Result<Response<proto::TransferLeaderResponse>, Status> {
        self.service.transfer_leader(request).await
    }

    async fn fetch(&self, request: Request<proto::FetchRequest>) -> Result<Response<proto::FetchResponse>, Status> {
        self.service.fetch(request).await
    }

    async fn fetch_snapshot(
        &self,
        request: Request<proto::FetchSnapshotRequest>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        self.service.fetch_snapshot(request).await
    }
}
