//! Links between nodes of one process that can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use pelton_client::NodeId;
use pelton_consensus::{Incoming, NoAnswer, Peers, Transport};
use pelton_log::GroupId;
use pelton_proto::consensus::v1 as proto;
use tokio::sync::watch;

use crate::ids;

pub(super) struct Net {
    peers: Mutex<BTreeMap<NodeId, Peers>>,
    isolated: watch::Sender<BTreeSet<NodeId>>,
}

impl Net {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { peers: Mutex::default(), isolated: watch::Sender::default() })
    }

    pub(super) fn transport(self: &Arc<Self>, from: NodeId) -> Arc<dyn Transport> {
        Arc::new(Wire { from, net: self.clone() })
    }

    pub(super) fn attach(&self, node: NodeId, peers: Peers) {
        self.peers.lock().insert(node, peers);
    }

    /// Nothing reaches the node, and what it sends gets nowhere: what it was is dead.
    pub(super) fn detach(&self, node: NodeId) {
        self.peers.lock().remove(&node);
    }

    /// Nothing gets to the node or from it.
    pub(super) fn isolate(&self, node: NodeId) {
        self.isolated.send_modify(|isolated| {
            isolated.insert(node);
        });
    }

    pub(super) fn heal(&self) {
        self.isolated.send_modify(BTreeSet::clear);
    }

    /// Waits while the link is cut.
    async fn cross(&self, one: NodeId, other: NodeId) {
        let mut isolated = self.isolated.subscribe();
        let open = |isolated: &BTreeSet<NodeId>| !isolated.contains(&one) && !isolated.contains(&other);
        // The sender is in the net, which is here.
        let _ = isolated.wait_for(open).await;
    }

    fn reach(&self, from: NodeId, to: NodeId) -> Result<Peers, NoAnswer> {
        let peers = self.peers.lock();
        if !peers.contains_key(&from) {
            return Err(NoAnswer::because("the sender is dead"));
        }
        peers.get(&to).cloned().ok_or_else(|| NoAnswer::because("connection refused"))
    }
}

struct Wire {
    from: NodeId,
    net: Arc<Net>,
}

impl Wire {
    fn call<A, F>(
        &self,
        to: pelton_consensus::NodeId,
        ask: impl FnOnce(Peers) -> F + Send + 'static,
    ) -> BoxFuture<'static, Result<A, NoAnswer>>
    where
        A: Send + 'static,
        F: Future<Output = A> + Send + 'static,
    {
        let (net, from, to) = (self.net.clone(), self.from, ids::node(to));
        let call = async move {
            net.cross(from, to).await;
            let peers = net.reach(from, to)?;
            let answer = tokio::spawn(ask(peers)).await.map_err(NoAnswer::because)?;
            net.cross(from, to).await;
            Ok(answer)
        };
        call.boxed()
    }
}

fn late<T: Send + 'static>(
    net: Arc<Net>,
    (from, to): (NodeId, NodeId),
    items: BoxStream<'static, T>,
) -> BoxStream<'static, T> {
    items
        .then(move |item| {
            let net = net.clone();
            async move {
                net.cross(from, to).await;
                item
            }
        })
        .boxed()
}

impl Transport for Wire {
    fn append(
        &self,
        to: pelton_consensus::NodeId,
        _group: GroupId,
        requests: BoxStream<'static, proto::AppendRequest>,
    ) -> BoxFuture<'static, Result<Incoming<proto::AppendResponse>, NoAnswer>> {
        let (net, link) = (self.net.clone(), (self.from, ids::node(to)));
        let opened = async move {
            net.cross(link.0, link.1).await;
            let peers = net.reach(link.0, link.1)?;
            let requests = late(net.clone(), link, requests).map(Ok).boxed();
            Ok(late(net, link, peers.append(requests)).map(Ok).boxed())
        };
        opened.boxed()
    }

    fn vote(
        &self,
        to: pelton_consensus::NodeId,
        request: proto::VoteRequest,
    ) -> BoxFuture<'static, Result<proto::VoteResponse, NoAnswer>> {
        self.call(to, move |peers| async move { peers.vote(request).await })
    }

    fn heartbeat(
        &self,
        to: pelton_consensus::NodeId,
        request: proto::HeartbeatRequest,
    ) -> BoxFuture<'static, Result<proto::HeartbeatResponse, NoAnswer>> {
        self.call(to, move |peers| async move { peers.heartbeat(request).await })
    }

    fn snapshot(
        &self,
        to: pelton_consensus::NodeId,
        _group: GroupId,
        chunks: BoxStream<'static, proto::SnapshotChunk>,
    ) -> BoxFuture<'static, Result<proto::SnapshotResponse, NoAnswer>> {
        self.call(to, move |peers| async move { peers.snapshot(chunks.map(Ok).boxed()).await })
    }

    fn fetch(
        &self,
        to: pelton_consensus::NodeId,
        request: proto::FetchRequest,
    ) -> BoxFuture<'static, Result<proto::FetchResponse, NoAnswer>> {
        self.call(to, move |peers| async move { peers.fetch(request) })
    }

    fn fetch_snapshot(
        &self,
        to: pelton_consensus::NodeId,
        request: proto::FetchSnapshotRequest,
    ) -> BoxFuture<'static, Result<Incoming<proto::SnapshotChunk>, NoAnswer>> {
        let called = self.call(to, move |peers| async move { peers.fetch_snapshot(request).await });
        let chunks = async move {
            let chunks = called.await?.map_err(|refusal| NoAnswer::because(refusal.text))?;
            Ok(chunks.map(Ok).boxed())
        };
        chunks.boxed()
    }

    fn transfer_leader(
        &self,
        to: pelton_consensus::NodeId,
        request: proto::TransferLeaderRequest,
    ) -> BoxFuture<'static, Result<proto::TransferLeaderResponse, NoAnswer>> {
        self.call(to, move |peers| async move { peers.transfer_leader(request).await })
    }
}
