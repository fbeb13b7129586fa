//! The way out.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use pelton_log::{GroupId, Identity};
use pelton_peer::{Channels, PeerAddress, Pool, limits};
use pelton_proto::consensus::v1 as proto;
use proto::consensus_client::ConsensusClient;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::sign;
use crate::NodeId;
use crate::transport::{Incoming, NoAnswer, Transport};

/// Where nodes are reached.
pub trait AddressBook: Send + Sync {
    /// The `host:port` of a node; `None` when it has none or is no member of the cluster.
    fn address(&self, node: NodeId) -> Option<String>;

    /// The version of the protocol that the cluster is at, in which messages are written.
    fn protocol(&self) -> u32;
}

/// Reaches other nodes over gRPC, on connections of a [`Pool`]: small messages on one of their own, groups spread over
/// the others.
pub struct GrpcTransport {
    pool: Arc<Pool>,
    book: Arc<dyn AddressBook>,
    identity: Identity,
    /// Kept as long as the book has the address, since the pool lets go of what nobody holds.
    nodes: Mutex<HashMap<NodeId, (PeerAddress, Arc<Channels>)>>,
}

impl fmt::Debug for GrpcTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcTransport").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// A stream as a type of its own: the compiler cannot prove that a future which holds a boxed one can be sent.
struct Outgoing<T>(BoxStream<'static, T>);

impl<T> Stream for Outgoing<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_next_unpin(context)
    }
}

type Client = ConsensusClient<Channel>;

fn client(channel: Channel) -> Client {
    ConsensusClient::new(channel)
        .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(limits::MAX_MESSAGE_BYTES)
}

fn no_answer(status: Status) -> NoAnswer {
    NoAnswer::because(format_args!("{:?}: {}", status.code(), status.message()))
}

impl GrpcTransport {
    /// A transport for the node `identity`, which every request is signed with. Must be used within a tokio runtime.
    #[must_use]
    pub fn new(pool: Arc<Pool>, book: Arc<dyn AddressBook>, identity: Identity) -> Self {
        Self { pool, book, identity, nodes: Mutex::default() }
    }

    fn channels(&self, to: NodeId) -> Result<Arc<Channels>, NoAnswer> {
        let address = self.book.address(to);
        let mut nodes = self.nodes.lock();
        let Some(address) = address else {
            nodes.remove(&to);
            return Err(NoAnswer::because(format_args!("node {to} has no address")));
        };
        if let Some((known, channels)) = nodes.get(&to)
            && known.as_str() == address
        {
            return Ok(channels.clone());
        }
        let address: PeerAddress = address.parse().map_err(NoAnswer::because)?;
        let channels = self.pool.channels(&address);
        nodes.insert(to, (address, channels.clone()));
        Ok(channels)
    }

    fn signed<T>(&self, to: NodeId, message: T) -> Request<T> {
        let mut request = Request::new(message);
        sign(request.metadata_mut(), self.identity, to, self.book.protocol());
        request
    }

    /// Sends one small message.
    fn control<T, A, F>(
        &self,
        to: NodeId,
        message: T,
        call: impl FnOnce(Client, Request<T>) -> F + Send + 'static,
    ) -> BoxFuture<'static, Result<A, NoAnswer>>
    where
        T: Send + 'static,
        F: Future<Output = Result<tonic::Response<A>, Status>> + Send + 'static,
    {
        let request = self.signed(to, message);
        let channels = self.channels(to);
        Box::pin(async move {
            let answered = call(client(channels?.control()), request).await;
            answered.map(tonic::Response::into_inner).map_err(no_answer)
        })
    }
}

impl Transport for GrpcTransport {
    fn append(
        &self,
        to: NodeId,
        group: GroupId,
        requests: BoxStream<'static, proto::AppendRequest>,
    ) -> BoxFuture<'static, Result<Incoming<proto::AppendResponse>, NoAnswer>> {
        let request = self.signed(to, Outgoing(requests));
        let channels = self.channels(to);
        Box::pin(async move {
            let opened = client(channels?.data(u64::from(group.0))).append(request).await.map_err(no_answer)?;
            Ok(opened.into_inner().map(|answer| answer.map_err(no_answer)).boxed())
        })
    }

    fn vote(
        &self,
        to: NodeId,
        request: proto::VoteRequest,
    ) -> BoxFuture<'static, Result<proto::VoteResponse, NoAnswer>> {
        self.control(to, request, |mut client, request| async move { client.vote(request).await })
    }

    fn heartbeat(
        &self,
        to: NodeId,
        request: proto::HeartbeatRequest,
    ) -> BoxFuture<'static, Result<proto::HeartbeatResponse, NoAnswer>> {
        self.control(to, request, |mut client, request| async move { client.heartbeat(request).await })
    }

    fn snapshot(
        &self,
        to: NodeId,
        group: GroupId,
        chunks: BoxStream<'static, proto::SnapshotChunk>,
    ) -> BoxFuture<'static, Result<proto::SnapshotResponse, NoAnswer>> {
        let request = self.signed(to, Outgoing(chunks));
        let channels = self.channels(to);
        Box::pin(async move {
            let sent = client(channels?.data(u64::from(group.0))).snapshot(request).await;
            sent.map(tonic::Response::into_inner).map_err(no_answer)
        })
    }

    fn transfer_leader(
        &self,
        to: NodeId,
        request: proto::TransferLeaderRequest,
    ) -> BoxFuture<'static, Result<proto::TransferLeaderResponse, NoAnswer>> {
        self.control(to, request, |mut client, request| async move { client.transfer_leader(request).await })
    }

    fn fetch(
        &self,
        to: NodeId,
        request: proto::FetchRequest,
    ) -> BoxFuture<'static, Result<proto::FetchResponse, NoAnswer>> {
        let group = u64::from(request.group);
        let request = self.signed(to, request);
        let channels = self.channels(to);
        Box::pin(async move {
            let answered = client(channels?.data(group)).fetch(request).await;
            answered.map(tonic::Response::into_inner).map_err(no_answer)
        })
    }

    fn fetch_snapshot(
        &self,
        to: NodeId,
        request: proto::FetchSnapshotRequest,
    ) -> BoxFuture<'static, Result<Incoming<proto::SnapshotChunk>, NoAnswer>> {
        let group = u64::from(request.group);
        let request = self.signed(to, request);
        let channels = self.channels(to);
        Box::pin(async move {
            let opened = client(channels?.data(group)).fetch_snapshot(request).await.map_err(no_answer)?;
            Ok(opened.into_inner().map(|chunk| chunk.map_err(no_answer)).boxed())
        })
    }
}
