//! A network inside one process: links that are late, cut one way or both, or break streams.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use pelton_consensus::{Incoming, NoAnswer, NodeId, Peers, Transport};
use pelton_env::{Chance, SeededChance};
use pelton_log::GroupId;
use pelton_proto::consensus::v1 as proto;
use tokio::sync::watch;

/// What the links do. Two nodes that are not named are joined by a good one.
#[derive(Default)]
struct Links {
    peers: BTreeMap<NodeId, Peers>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Nodes whose votes get through between them, and nothing that a leader sends.
    only_votes: BTreeSet<NodeId>,
    /// Nodes that nobody gives copies to.
    no_copies: BTreeSet<NodeId>,
    /// Nodes that nobody gives a snapshot to repair themselves with.
    no_snapshots: BTreeSet<NodeId>,
    /// Of a thousand messages that are not part of a stream.
    lost_per_mille: u64,
    delay_millis: u64,
    /// Bytes of entries that went over the network, and requests with entries, by receiver.
    appended: BTreeMap<NodeId, (u64, u64)>,
    largest_request: u64,
    heartbeats: u64,
}

/// The network of a cluster.
pub struct Net {
    links: Mutex<Links>,
    changed: watch::Sender<()>,
    chance: SeededChance,
}

impl Net {
    pub fn new(seed: u64) -> Arc<Self> {
        let links = Links { delay_millis: 2, ..Links::default() };
        Arc::new(Self { links: Mutex::new(links), changed: watch::Sender::new(()), chance: SeededChance::new(seed) })
    }

    /// The transport of a node.
    pub fn transport(self: &Arc<Self>, from: NodeId) -> Arc<dyn Transport> {
        Arc::new(Wire { from, net: self.clone() })
    }

    /// Lets requests to a node reach these groups of it.
    pub fn attach(&self, node: NodeId, peers: Peers) {
        self.links.lock().peers.insert(node, peers);
        self.changed.send_replace(());
    }

    pub fn detach(&self, node: NodeId) {
        self.links.lock().peers.remove(&node);
        self.changed.send_replace(());
    }

    /// Nothing gets from one to the other.
    pub fn cut(&self, from: u64, to: u64) {
        self.links.lock().cut.insert((NodeId(from), NodeId(to)));
        self.changed.send_replace(());
    }

    /// Between these nodes votes get through, and nothing that a leader sends.
    pub fn only_votes(&self, nodes: impl IntoIterator<Item = u64>) {
        self.links.lock().only_votes = nodes.into_iter().map(NodeId).collect();
        self.changed.send_replace(());
    }

    /// The node asks in vain for copies of its damaged entries.
    pub fn no_copies(&self, nodes: impl IntoIterator<Item = u64>) {
        self.links.lock().no_copies = nodes.into_iter().map(NodeId).collect();
    }

    /// The node asks in vain for snapshots.
    pub fn no_snapshots(&self, nodes: impl IntoIterator<Item = u64>) {
        self.links.lock().no_snapshots = nodes.into_iter().map(NodeId).collect();
    }

    fn drops_appends(&self, from: NodeId, to: NodeId) -> bool {
        let links = self.links.lock();
        links.only_votes.contains(&from) && links.only_votes.contains(&to)
    }

    /// Nothing gets to the node or from it.
    pub fn isolate(&self, node: u64, others: impl IntoIterator<Item = u64>) {
        for other in others {
            if other != node {
                self.cut(node, other);
                self.cut(other, node);
            }
        }
    }

    pub fn heal(&self) {
        let mut links = self.links.lock();
        links.cut.clear();
        links.only_votes.clear();
        links.lost_per_mille = 0;
        drop(links);
        self.changed.send_replace(());
    }

    pub fn lose(&self, per_mille: u64) {
        self.links.lock().lost_per_mille = per_mille;
    }

    pub fn delay(&self, millis: u64) {
        self.links.lock().delay_millis = millis;
    }

    /// Requests with entries that were sent to a node, and their bytes.
    pub fn appended(&self, to: u64) -> (u64, u64) {
        self.links.lock().appended.get(&NodeId(to)).copied().unwrap_or_default()
    }

    pub fn largest_request(&self) -> u64 {
        self.links.lock().largest_request
    }

    pub fn heartbeats(&self) -> u64 {
        self.links.lock().heartbeats
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.links.lock().cut.contains(&(from, to))
    }

    /// Waits as long as the link takes; for good, or rather until its sender gives up, when it is cut.
    async fn cross(&self, from: NodeId, to: NodeId) {
        let delay = self.links.lock().delay_millis;
        tokio::time::sleep(Duration::from_millis(self.chance.below(delay + 1))).await;
        let mut changed = self.changed.subscribe();
        while self.is_cut(from, to) {
            let _ = changed.changed().await;
        }
    }

    fn peers(&self, to: NodeId) -> Result<Peers, NoAnswer> {
        self.links.lock().peers.get(&to).cloned().ok_or_else(|| NoAnswer::because("connection refused"))
    }

    fn loses(&self) -> bool {
        let lost = self.links.lock().lost_per_mille;
        self.chance.below(1_000) < lost
    }
}

struct Wire {
    from: NodeId,
    net: Arc<Net>,
}

impl Wire {
    /// One request and its answer. A message that meets a cut link is lost, not late: it does not arrive when the link
    /// heals.
    fn call<A, F>(
        &self,
        to: NodeId,
        ask: impl FnOnce(Peers) -> F + Send + 'static,
    ) -> BoxFuture<'static, Result<A, NoAnswer>>
    where
        A: Send + 'static,
        F: Future<Output = A> + Send + 'static,
    {
        let (net, from) = (self.net.clone(), self.from);
        let call = async move {
            let peers = net.peers(to)?;
            if net.is_cut(from, to) || net.loses() {
                return std::future::pending().await;
            }
            net.cross(from, to).await;
            // The other side goes on when the sender gives up.
            let answer = tokio::spawn(ask(peers)).await.map_err(NoAnswer::because)?;
            if net.is_cut(to, from) || net.loses() {
                return std::future::pending().await;
            }
            net.cross(to, from).await;
            Ok(answer)
        };
        call.boxed()
    }
}

/// Items of a stream that take their time, and stop while the link is cut.
fn late<T: Send + 'static>(
    net: Arc<Net>,
    from: NodeId,
    to: NodeId,
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
        to: NodeId,
        _group: GroupId,
        requests: BoxStream<'static, proto::AppendRequest>,
    ) -> BoxFuture<'static, Result<Incoming<proto::AppendResponse>, NoAnswer>> {
        let (net, from) = (self.net.clone(), self.from);
        let opened = async move {
            let peers = net.peers(to)?;
            if net.drops_appends(from, to) {
                return Err(NoAnswer::because("the link is for votes"));
            }
            let counted = net.clone();
            let requests = requests.inspect(move |request| {
                let bytes: u64 = request.entries.iter().map(|entry| entry.body.len() as u64).sum();
                let mut links = counted.links.lock();
                if !request.entries.is_empty() {
                    let (requests, sum) = links.appended.entry(to).or_default();
                    (*requests, *sum) = (*requests + 1, *sum + bytes);
                }
                if request.entries.len() > 1 {
                    links.largest_request = links.largest_request.max(bytes);
                }
            });
            let requests = late(net.clone(), from, to, requests.boxed()).map(Ok).boxed();
            let answers = peers.append(requests);
            Ok(late(net, to, from, answers).map(Ok).boxed())
        };
        opened.boxed()
    }

    fn vote(
        &self,
        to: NodeId,
        request: proto::VoteRequest,
    ) -> BoxFuture<'static, Result<proto::VoteResponse, NoAnswer>> {
        self.call(to, move |peers| async move { peers.vote(request).await })
    }

    fn heartbeat(
        &self,
        to: NodeId,
        request: proto::HeartbeatRequest,
    ) -> BoxFuture<'static, Result<proto::HeartbeatResponse, NoAnswer>> {
        self.net.links.lock().heartbeats += 1;
        if self.net.drops_appends(self.from, to) {
            return std::future::pending().boxed();
        }
        self.call(to, move |peers| async move { peers.heartbeat(request).await })
    }

    fn snapshot(
        &self,
        to: NodeId,
        _group: GroupId,
        chunks: BoxStream<'static, proto::SnapshotChunk>,
    ) -> BoxFuture<'static, Result<proto::SnapshotResponse, NoAnswer>> {
        let chunks = late(self.net.clone(), self.from, to, chunks).map(Ok).boxed();
        self.call(to, move |peers| async move { peers.snapshot(chunks).await })
    }

    fn fetch(
        &self,
        to: NodeId,
        request: proto::FetchRequest,
    ) -> BoxFuture<'static, Result<proto::FetchResponse, NoAnswer>> {
        if self.net.links.lock().no_copies.contains(&self.from) && !request.wanted.is_empty() {
            return futures_util::future::ready(Err(NoAnswer::because("not for this node"))).boxed();
        }
        self.call(to, move |peers| async move { peers.fetch(request) })
    }

    fn fetch_snapshot(
        &self,
        to: NodeId,
        request: proto::FetchSnapshotRequest,
    ) -> BoxFuture<'static, Result<Incoming<proto::SnapshotChunk>, NoAnswer>> {
        if self.net.links.lock().no_snapshots.contains(&self.from) {
            return futures_util::future::ready(Err(NoAnswer::because("not for this node"))).boxed();
        }
        let called = self.call(to, move |peers| async move { peers.fetch_snapshot(request).await });
        let (net, from) = (self.net.clone(), self.from);
        let chunks = async move {
            let chunks = called.await?.map_err(|refusal| NoAnswer::because(refusal.text))?;
            Ok(late(net, to, from, chunks).map(Ok).boxed())
        };
        chunks.boxed()
    }

    fn transfer_leader(
        &self,
        to: NodeId,
        request: proto::TransferLeaderRequest,
    ) -> BoxFuture<'static, Result<proto::TransferLeaderResponse, NoAnswer>> {
        self.call(to, move |peers| async move { peers.transfer_leader(request).await })
    }
}
