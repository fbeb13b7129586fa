//! Messages that arrive twice, late, or after later ones.
//!
//! A stream of TCP keeps order, but requests that are tried again on a new connection do not, and neither do two
//! connections. So a copy of some messages is kept and sent again by itself, up to a few seconds later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use pelton_consensus::{Incoming, NoAnswer, NodeId, Transport};
use pelton_env::{Chance, SeededChance};
use pelton_log::GroupId;
use pelton_proto::consensus::v1 as proto;

/// How late a copy is at most.
const LATEST: Duration = Duration::from_secs(4);

/// How long a copy waits for an answer that nobody looks at.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends some messages twice.
#[derive(Clone)]
pub struct Mangle(Arc<Shared>);

struct Shared {
    inner: Arc<dyn Transport>,
    chance: SeededChance,
    /// Of a thousand messages.
    twice_per_mille: Arc<AtomicU64>,
}

impl Mangle {
    pub fn new(inner: Arc<dyn Transport>, seed: u64, twice_per_mille: Arc<AtomicU64>) -> Self {
        Self(Arc::new(Shared { inner, chance: SeededChance::new(seed), twice_per_mille }))
    }

    /// Sends again, later, when chance says so.
    fn twice<F>(&self, send: impl FnOnce(Arc<dyn Transport>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = &self.0;
        if shared.chance.below(1_000) >= shared.twice_per_mille.load(Ordering::Relaxed) {
            return;
        }
        let late = Duration::from_millis(shared.chance.below(LATEST.as_millis() as u64));
        let sent = send(shared.inner.clone());
        tokio::spawn(async move {
            tokio::time::sleep(late).await;
            let _ = tokio::time::timeout(PATIENCE, sent).await;
        });
    }
}

impl Transport for Mangle {
    fn append(
        &self,
        to: NodeId,
        group: GroupId,
        requests: BoxStream<'static, proto::AppendRequest>,
    ) -> BoxFuture<'static, Result<Incoming<proto::AppendResponse>, NoAnswer>> {
        let again = self.clone();
        let requests = requests.inspect(move |request| {
            let request = request.clone();
            again.twice(|inner| async move {
                if let Ok(answers) = inner.append(to, group, stream::iter([request]).boxed()).await {
                    answers.for_each(|_| async {}).await;
                }
            });
        });
        self.0.inner.append(to, group, requests.boxed())
    }

    fn vote(
        &self,
        to: NodeId,
        request: proto::VoteRequest,
    ) -> BoxFuture<'static, Result<proto::VoteResponse, NoAnswer>> {
        let copy = request;
        self.twice(|inner| async move {
            let _ = inner.vote(to, copy).await;
        });
        self.0.inner.vote(to, request)
    }

    fn heartbeat(
        &self,
        to: NodeId,
        request: proto::HeartbeatRequest,
    ) -> BoxFuture<'static, Result<proto::HeartbeatResponse, NoAnswer>> {
        let copy = request.clone();
        self.twice(|inner| async move {
            let _ = inner.heartbeat(to, copy).await;
        });
        self.0.inner.heartbeat(to, request)
    }

    fn snapshot(
        &self,
        to: NodeId,
        group: GroupId,
        chunks: BoxStream<'static, proto::SnapshotChunk>,
    ) -> BoxFuture<'static, Result<proto::SnapshotResponse, NoAnswer>> {
        let this = self.clone();
        let sent = async move {
            let chunks: Vec<_> = chunks.collect().await;
            let copy = chunks.clone();
            this.twice(|inner| async move {
                let _ = inner.snapshot(to, group, stream::iter(copy).boxed()).await;
            });
            this.0.inner.snapshot(to, group, stream::iter(chunks).boxed()).await
        };
        sent.boxed()
    }

    fn fetch(
        &self,
        to: NodeId,
        request: proto::FetchRequest,
    ) -> BoxFuture<'static, Result<proto::FetchResponse, NoAnswer>> {
        // It changes nothing where it arrives, so a copy says nothing.
        self.0.inner.fetch(to, request)
    }

    fn fetch_snapshot(
        &self,
        to: NodeId,
        request: proto::FetchSnapshotRequest,
    ) -> BoxFuture<'static, Result<Incoming<proto::SnapshotChunk>, NoAnswer>> {
        self.0.inner.fetch_snapshot(to, request)
    }

    fn transfer_leader(
        &self,
        to: NodeId,
        request: proto::TransferLeaderRequest,
    ) -> BoxFuture<'static, Result<proto::TransferLeaderResponse, NoAnswer>> {
        let copy = request;
        self.twice(|inner| async move {
            let _ = inner.transfer_leader(to, copy).await;
        });
        self.0.inner.transfer_leader(to, request)
    }
}
