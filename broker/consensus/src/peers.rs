//! How the groups of a node reach those of other nodes, and are reached.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use pelton_log::{GroupId, Log, LogIndex};
use pelton_proto::consensus::v1 as proto;
use proto::refusal::Reason;
use tokio::sync::Semaphore;

use crate::heartbeats::Heartbeats;
use crate::transport::{Incoming, NoAnswer, Transport};
use crate::wire::{self, refusal};
use crate::{chunks, fetch};

/// Snapshots that a node takes in at a time; one more is refused and tried again.
const MAX_INCOMING_SNAPSHOTS: usize = 4;

/// Heartbeats in one message. A node has few groups; this is far above.
const MAX_BEATS: usize = 4_096;

/// Longest that a merged heartbeat is waited for, whatever the sender says.
const MAX_BEAT_WAIT: Duration = Duration::from_secs(10);

/// One open group, as peers see it.
pub(crate) trait Replica: Send + Sync {
    /// Answers requests in order; the first is separate because it named the group.
    fn append(
        &self,
        first: proto::AppendRequest,
        rest: Incoming<proto::AppendRequest>,
    ) -> BoxStream<'static, proto::AppendResponse>;
    fn beat(&self, beat: proto::heartbeat_request::Beat) -> BoxFuture<'static, proto::AppendResponse>;
    fn vote(&self, request: proto::VoteRequest) -> BoxFuture<'static, proto::VoteResponse>;
    fn snapshot(
        &self,
        head: proto::snapshot_chunk::Head,
        bytes: bytes::Bytes,
    ) -> BoxFuture<'static, proto::SnapshotResponse>;
    fn transfer_leader(
        &self,
        request: proto::TransferLeaderRequest,
    ) -> BoxFuture<'static, proto::TransferLeaderResponse>;
    /// How far everything in the log here is known to be committed.
    fn committed(&self) -> Option<LogIndex>;
    /// The state as of the watermark.
    fn give_snapshot(&self) -> BoxFuture<'static, Result<(proto::snapshot_chunk::Head, bytes::Bytes), proto::Refusal>>;
}

/// The other nodes, for all groups of this node. Clones are handles of the same.
///
/// Outwards it is a [`Transport`]; inwards it is the table of groups that are open here, which a transport's other end
/// hands requests to. A request for a group that is not open is refused as unknown, which its sender tries again; it
/// never makes one.
#[derive(Clone)]
pub struct Peers(Arc<Shared>);

struct Shared {
    transport: Option<Arc<dyn Transport>>,
    replicas: Mutex<HashMap<GroupId, Arc<dyn Replica>>>,
    heartbeats: Heartbeats,
    snapshots: Semaphore,
    log: Mutex<Option<Log>>,
    /// Entries of this node that were repaired with copies of others.
    repaired: AtomicU64,
    unfit: AtomicBool,
    leaves: AtomicBool,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("replicas", &self.0.replicas.lock().len()).finish_non_exhaustive()
    }
}

impl Peers {
    /// Nobody: for groups whose only voter is this node.
    #[must_use]
    pub fn none() -> Self {
        Self::with(None)
    }

    /// Those that `transport` reaches.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self::with(Some(transport))
    }

    fn with(transport: Option<Arc<dyn Transport>>) -> Self {
        Self(Arc::new(Shared {
            heartbeats: Heartbeats::new(transport.clone()),
            transport,
            replicas: Mutex::default(),
            snapshots: Semaphore::new(MAX_INCOMING_SNAPSHOTS),
            log: Mutex::default(),
            repaired: AtomicU64::new(0),
            unfit: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
        }))
    }

    pub(crate) fn transport(&self) -> Result<&Arc<dyn Transport>, NoAnswer> {
        self.0.transport.as_ref().ok_or_else(|| NoAnswer::because("this node reaches no others"))
    }

    pub(crate) fn unfit(&self) -> &AtomicBool {
        &self.0.unfit
    }

    pub(crate) fn leaving(&self) -> &AtomicBool {
        &self.0.leaves
    }

    pub(crate) fn heartbeats(&self) -> &Heartbeats {
        &self.0.heartbeats
    }

    /// Answers other nodes that repair their replicas from this log: the one of all groups of this node.
    pub fn answer_from(&self, log: &Log) {
        self.0.log.lock().get_or_insert_with(|| log.clone());
    }

    /// How many entries of this node were repaired with copies of other nodes.
    #[must_use]
    pub fn repaired_entries(&self) -> u64 {
        self.0.repaired.load(Ordering::Relaxed)
    }

    pub(crate) fn note_repaired(&self, entries: u64) {
        self.0.repaired.fetch_add(entries, Ordering::Relaxed);
    }

    pub(crate) fn open(&self, group: GroupId, replica: Arc<dyn Replica>) {
        self.0.replicas.lock().insert(group, replica);
    }

    /// Takes requests for `replica` no longer; one that was opened after it stays.
    pub(crate) fn close(&self, group: GroupId, replica: &Arc<dyn Replica>) {
        let mut replicas = self.0.replicas.lock();
        if replicas.get(&group).is_some_and(|open| Arc::ptr_eq(open, replica)) {
            replicas.remove(&group);
        }
    }

    fn replica(&self, group: u32) -> Result<Arc<dyn Replica>, proto::Refusal> {
        let open = self.0.replicas.lock().get(&GroupId(group)).cloned();
        open.ok_or_else(|| refusal(Reason::UnknownGroup, format_args!("group {group} is not open on this node")))
    }

    /// Answers a stream of append requests; its first one says which group it is for.
    #[must_use]
    pub fn append(&self, mut requests: Incoming<proto::AppendRequest>) -> BoxStream<'static, proto::AppendResponse> {
        let this = self.clone();
        let answers = async move {
            match requests.next().await {
                Some(Ok(first)) => match this.replica(first.group) {
                    Ok(replica) => replica.append(first, requests),
                    Err(refusal) => stream::iter([wire::refused_append(refusal)]).boxed(),
                },
                // Nobody is there to be answered.
                Some(Err(_)) | None => stream::empty().boxed(),
            }
        };
        answers.flatten_stream().boxed()
    }

    /// Answers a vote request.
    pub async fn vote(&self, request: proto::VoteRequest) -> proto::VoteResponse {
        match self.replica(request.group) {
            Ok(replica) => replica.vote(request).await,
            Err(refusal) => proto::VoteResponse { result: Some(proto::vote_response::Result::Refusal(refusal)) },
        }
    }

    /// Answers the heartbeats of several groups. One that does not answer holds up the others for half of the time that
    /// the sender waits, and no longer.
    pub async fn heartbeat(&self, request: proto::HeartbeatRequest) -> proto::HeartbeatResponse {
        let within = (Duration::from_millis(u64::from(request.within_millis)) / 2).min(MAX_BEAT_WAIT);
        let too_many = request.beats.len().saturating_sub(MAX_BEATS);
        let answers = request.beats.into_iter().take(MAX_BEATS).map(|beat| async move {
            let group = beat.group;
            let response = match self.replica(group) {
                Ok(replica) => tokio::time::timeout(within, replica.beat(beat)).await.ok(),
                Err(refusal) => Some(wire::refused_append(refusal)),
            };
            proto::heartbeat_response::Answer { group, response }
        });
        let mut answers = join_all(answers).await;
        let unanswered = proto::heartbeat_response::Answer { group: 0, response: None };
        answers.extend(std::iter::repeat_n(unanswered, too_many.min(MAX_BEATS)));
        proto::HeartbeatResponse { answers, unfit: self.is_unfit(), leaves: self.leaves() }
    }

    /// Takes in a snapshot.
    pub async fn snapshot(&self, chunks: Incoming<proto::SnapshotChunk>) -> proto::SnapshotResponse {
        let refused =
            |refusal| proto::SnapshotResponse { result: Some(proto::snapshot_response::Result::Refusal(refusal)) };
        let Ok(_place) = self.0.snapshots.try_acquire() else {
            return refused(refusal(Reason::Busy, "other snapshots are coming in"));
        };
        let known = |group: u32| self.replica(group).map(|_| ());
        let (head, bytes) = match chunks::collect(chunks, known).await {
            Ok(whole) => whole,
            Err(refusal) => return refused(refusal),
        };
        match self.replica(head.group) {
            Ok(replica) => replica.snapshot(head, bytes).await,
            Err(refusal) => refused(refusal),
        }
    }

    /// Takes notice of a leader that gives way, and stands for election when it is to follow it.
    pub async fn transfer_leader(&self, request: proto::TransferLeaderRequest) -> proto::TransferLeaderResponse {
        match self.replica(request.group) {
            Ok(replica) => replica.transfer_leader(request).await,
            Err(refusal) => proto::TransferLeaderResponse { refusal: Some(refusal) },
        }
    }

    /// Entries of a group, for a replica whose own are damaged, from the log of this node. The group need not be open.
    #[must_use]
    pub fn fetch(&self, request: proto::FetchRequest) -> proto::FetchResponse {
        let Some(log) = self.0.log.lock().clone() else {
            let refusal = refusal(Reason::NotReady, "the log of this node is not open");
            return proto::FetchResponse { refusal: Some(refusal), ..proto::FetchResponse::default() };
        };
        let committed = self.replica(request.group).ok().and_then(|replica| replica.committed());
        fetch::answer(&log, committed, &request)
    }

    /// The snapshot of a group, for a replica that has lost its own state.
    ///
    /// # Errors
    /// The group is not open on this node, or there is no snapshot of it.
    pub async fn fetch_snapshot(
        &self,
        request: proto::FetchSnapshotRequest,
    ) -> Result<BoxStream<'static, proto::SnapshotChunk>, proto::Refusal> {
        let (head, bytes) = self.replica(request.group)?.give_snapshot().await?;
        Ok(chunks::split(head, bytes))
    }
}
