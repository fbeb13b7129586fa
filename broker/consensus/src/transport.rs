//! How messages get from one node to another.
//!
//! A [`Transport`] carries the messages of `pelton.consensus.v1` and knows nothing of what they mean. Deadlines, merged
//! heartbeats, the bound on what is in flight: all that is on this side of it (`network`), the same for every transport.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use pelton_log::GroupId;
use pelton_proto::consensus::v1 as proto;

use crate::NodeId;

/// There is no answer: what was sent may or may not have been done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer: {why}")]
pub struct NoAnswer {
    /// For the operator.
    pub why: String,
}

impl NoAnswer {
    /// No answer, because of `why`.
    pub fn because(why: impl ToString) -> Self {
        Self { why: why.to_string() }
    }
}

/// Requests of a stream as they arrive: an error is the last item.
pub type Incoming<T> = BoxStream<'static, Result<T, NoAnswer>>;

/// Carries messages to other nodes. Implementers bound how long they take to find out that a node is not reached; how
/// long an answer may take is the caller's to say.
pub trait Transport: Send + Sync + 'static {
    /// Opens a stream of append requests of one group. Answers come in the order of the requests, and end when the
    /// requests end and all are answered, or with an error.
    fn append(
        &self,
        to: NodeId,
        group: GroupId,
        requests: BoxStream<'static, proto::AppendRequest>,
    ) -> BoxFuture<'static, Result<Incoming<proto::AppendResponse>, NoAnswer>>;

    /// Asks for a vote.
    fn vote(
        &self,
        to: NodeId,
        request: proto::VoteRequest,
    ) -> BoxFuture<'static, Result<proto::VoteResponse, NoAnswer>>;

    /// Sends the heartbeats of several groups.
    fn heartbeat(
        &self,
        to: NodeId,
        request: proto::HeartbeatRequest,
    ) -> BoxFuture<'static, Result<proto::HeartbeatResponse, NoAnswer>>;

    /// Sends the snapshot of a group.
    fn snapshot(
        &self,
        to: NodeId,
        group: GroupId,
        chunks: BoxStream<'static, proto::SnapshotChunk>,
    ) -> BoxFuture<'static, Result<proto::SnapshotResponse, NoAnswer>>;

    /// Tells that a leader gives way.
    fn transfer_leader(
        &self,
        to: NodeId,
        request: proto::TransferLeaderRequest,
    ) -> BoxFuture<'static, Result<proto::TransferLeaderResponse, NoAnswer>>;

    /// Asks for entries, to repair this node's own.
    fn fetch(
        &self,
        to: NodeId,
        request: proto::FetchRequest,
    ) -> BoxFuture<'static, Result<proto::FetchResponse, NoAnswer>>;

    /// Asks for the snapshot of a group.
    fn fetch_snapshot(
        &self,
        to: NodeId,
        request: proto::FetchSnapshotRequest,
    ) -> BoxFuture<'static, Result<Incoming<proto::SnapshotChunk>, NoAnswer>>;
}
