//! Clusters in one process: groups of several voters over simulated disks, driven by one clock.
//!
//! Time is tokio's and paused in most tests, so it jumps to the next timer when nothing is to do: a test of minutes takes
//! milliseconds, and a slow machine changes nothing. That needs a log without threads, so a task takes its turns.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pelton_consensus::{
    Applied, Begun, Command, Group, GroupError, GroupOptions, NodeId, Outcome, Peers, ProposeError, Space,
    StateMachine, Unsound, Watermark,
};
use pelton_env::{ManualClock, SeededChance};
use pelton_log::{Disk, GroupId, Identity, Log, LogIndex, OnDamage, Options, SimDisk, Turn};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use super::net::Net;

pub const GROUP: GroupId = GroupId(1);

/// How long any wait may take; far more than is ever needed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a simulated write with its sync takes.
const SYNC: Duration = Duration::from_millis(1);

/// One applied command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub index: u64,
    pub offset: u64,
    pub body: Bytes,
}

/// Keeps every command; may be purged up to where it is told, with the lines up to there as its state.
#[derive(Debug, Default)]
pub struct Ledger {
    pub inner: Mutex<Lines>,
}

#[derive(Debug, Default)]
pub struct Lines {
    pub lines: Vec<Line>,
    pub keep_from: Option<u64>,
}

pub fn encode(lines: &[Line]) -> Bytes {
    let mut out = BytesMut::new();
    for line in lines {
        out.put_u64(line.index);
        out.put_u64(line.offset);
        out.put_u32(line.body.len() as u32);
        out.put_slice(&line.body);
    }
    out.freeze()
}

fn decode(mut bytes: Bytes) -> Vec<Line> {
    let mut lines = Vec::new();
    while bytes.has_remaining() {
        let (index, offset, length) = (bytes.get_u64(), bytes.get_u64(), bytes.get_u32() as usize);
        lines.push(Line { index, offset, body: bytes.split_to(length) });
    }
    lines
}

impl Ledger {
    pub fn lines(&self) -> Vec<Line> {
        self.inner.lock().lines.clone()
    }

    pub fn bodies(&self) -> Vec<Bytes> {
        self.inner.lock().lines.iter().map(|line| line.body.clone()).collect()
    }
}

impl StateMachine for Ledger {
    fn protocol(&self) -> u32 {
        1
    }

    fn apply(&self, applied: Applied) {
        let line = Line { index: applied.index.0, offset: applied.first_offset.0, body: applied.command.body };
        self.inner.lock().lines.push(line);
    }

    fn checkpoint(&self) -> Bytes {
        encode(&self.inner.lock().lines)
    }

    fn restore(&self, checkpoint: &Bytes, _watermark: Option<&Watermark>) -> Result<(), String> {
        self.inner.lock().lines = decode(checkpoint.clone());
        Ok(())
    }

    fn watermark(&self, applied: LogIndex) -> Option<Watermark> {
        let inner = self.inner.lock();
        let index = inner.keep_from?.min(applied.0);
        let upto: Vec<_> = inner.lines.iter().filter(|line| line.index <= index).cloned().collect();
        Some(Watermark { index: LogIndex(index), state: encode(&upto) })
    }

    fn install(&self, _index: LogIndex, state: &Bytes) -> Result<(), String> {
        self.restore(state, None)
    }

    fn adopt(&self, watermark: &Watermark) -> Result<(), String> {
        self.inner.lock().keep_from = Some(watermark.index.0);
        Ok(())
    }
}

/// Tells the fate of a proposal.
struct Told(Mutex<Option<oneshot::Sender<Result<LogIndex, ProposeError>>>>);

impl Told {
    fn tell(&self, fate: Result<LogIndex, ProposeError>) {
        let told = self.0.lock().take().expect("a proposal has one fate");
        let _ = told.send(fate);
    }
}

impl Outcome for Told {
    fn committed(&self, index: LogIndex) {
        self.tell(Ok(index));
    }

    fn failed(&self, error: ProposeError) {
        self.tell(Err(error));
    }
}

pub type Fate = oneshot::Receiver<Result<LogIndex, ProposeError>>;

/// Hands in a command and gives the receiver of its fate.
pub async fn propose(group: &Group<Ledger>, body: impl Into<Bytes>, events: u32) -> Fate {
    let (told, fate) = oneshot::channel();
    let command = Command { kind: 16, event_count: events, body: body.into(), space: Space::Ordinary };
    group.propose(command, Arc::new(Told(Mutex::new(Some(told))))).await;
    fate
}

/// Waits for anything, and says what it was when it does not come.
pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Asks again until it is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, wait).await;
}

/// How nodes reach each other.
pub trait Fabric: Send + Sync {
    /// The node's way to others, and others' way to it.
    fn join(&self, node: NodeId) -> BoxFuture<'_, Peers>;
    /// The node is gone: nothing reaches it.
    fn leave(&self, node: NodeId);
    /// How groups are run over it.
    fn options(&self) -> GroupOptions {
        group_options()
    }
}

impl Fabric for Arc<Net> {
    fn join(&self, node: NodeId) -> BoxFuture<'_, Peers> {
        Box::pin(async move {
            let peers = Peers::new(self.transport(node));
            self.attach(node, peers.clone());
            peers
        })
    }

    fn leave(&self, node: NodeId) {
        self.detach(node);
    }
}

/// A node with one group.
pub struct Node {
    pub id: u64,
    pub disk: SimDisk,
    pub group: Group<Ledger>,
    pub peers: Peers,
    /// Whether its disk does anything.
    pub disk_works: Arc<AtomicBool>,
    driver: JoinHandle<()>,
}

impl Node {
    pub fn lines(&self) -> Vec<Line> {
        self.group.state().lines()
    }

    /// Every entry of the log as it is stored.
    pub fn entries(&self) -> Vec<pelton_log::Entry> {
        let (mut entries, mut next) = (Vec::new(), self.first());
        loop {
            let some = self.group.log().read(GROUP, next, LogIndex(u64::MAX), u64::MAX).unwrap();
            let Some(last) = some.last() else { return entries };
            next = LogIndex(last.index.0 + 1);
            entries.extend(some);
        }
    }

    fn first(&self) -> LogIndex {
        self.group.log().group(GROUP).first.unwrap_or(LogIndex(0))
    }
}

/// A node that is being started.
pub struct Starting {
    pub id: u64,
    pub disk: SimDisk,
    peers: Peers,
    disk_works: Arc<AtomicBool>,
    driver: JoinHandle<()>,
    /// What is damaged, when that has to be repaired before the group is open.
    pub unsound: Option<watch::Receiver<Unsound>>,
    pub opened: JoinHandle<Group<Ledger>>,
}

/// Nodes that share a fabric.
pub struct Cluster<F> {
    pub fabric: F,
    pub nodes: BTreeMap<u64, Node>,
    pub options: GroupOptions,
    pub log_options: Options,
}

pub fn group_options() -> GroupOptions {
    let election_timeout = (Duration::from_millis(300), Duration::from_millis(600));
    GroupOptions { heartbeat: Duration::from_millis(100), election_timeout, ..GroupOptions::new(NodeId(0)) }
}

impl<F: Fabric> Cluster<F> {
    pub fn new(fabric: F) -> Self {
        let log_options = Options { on_damage: OnDamage::Keep, ..Options::small(Identity { cluster: 7, node: 0 }) };
        let options = fabric.options();
        Self { fabric, nodes: BTreeMap::new(), options, log_options }
    }

    /// A cluster whose nodes 1 to `voters` are the voters of the group.
    pub async fn of(fabric: F, voters: u64) -> Self {
        let mut cluster = Self::new(fabric);
        for id in 1..=voters {
            cluster.start(id).await;
        }
        cluster.initialize(1..=voters).await;
        cluster
    }

    pub async fn initialize(&self, voters: impl IntoIterator<Item = u64>) {
        let voters: BTreeSet<NodeId> = voters.into_iter().map(NodeId).collect();
        for voter in &voters {
            self.nodes[&voter.0].group.initialize(&voters).await.unwrap();
        }
    }

    /// Starts a node with an empty disk.
    pub async fn start(&mut self, id: u64) {
        self.start_on(id, SimDisk::new()).await;
    }

    pub async fn start_on(&mut self, id: u64, disk: SimDisk) {
        let starting = self.begin_on(id, disk).await;
        self.finish(starting).await;
    }

    /// Starts a node that may be damaged, and does not wait for its repair.
    pub async fn begin_on(&mut self, id: u64, disk: SimDisk) -> Starting {
        self.try_open(id, disk).await.unwrap()
    }

    pub async fn try_open(&mut self, id: u64, disk: SimDisk) -> Result<Starting, GroupError> {
        let peers = self.fabric.join(NodeId(id)).await;
        let work = Arc::new(Notify::new());
        let hook = work.clone();
        let mut log_options = self.log_options.clone();
        log_options.identity.node = id;
        let (log, stepper, _) = Log::open_stepped(
            Arc::new(disk.clone()) as Arc<dyn Disk>,
            Arc::new(ManualClock::default()),
            Arc::new(SeededChance::new(id)),
            log_options,
            Arc::new(move || hook.notify_one()),
        )
        .unwrap();
        let disk_works = Arc::new(AtomicBool::new(true));
        let works = disk_works.clone();
        let driver = tokio::spawn(async move {
            loop {
                work.notified().await;
                tokio::time::sleep(SYNC).await;
                while !works.load(Ordering::Relaxed) {
                    tokio::time::sleep(SYNC).await;
                }
                while stepper.turn() == Turn::Worked {}
            }
        });
        let options = GroupOptions { node: NodeId(id), ..self.options.clone() };
        let state = Arc::new(Ledger::default());
        let (unsound, opened) = match Group::begin(GROUP, log, state, &options, peers.clone()).await? {
            Begun::Open(group) => (None, tokio::spawn(async { group })),
            Begun::Damaged(mending) => {
                (Some(mending.unsound()), tokio::spawn(async { mending.mended().await.unwrap() }))
            }
        };
        Ok(Starting { id, disk, peers, disk_works, driver, unsound, opened })
    }

    pub async fn finish(&mut self, starting: Starting) {
        let Starting { id, disk, peers, disk_works, driver, opened, .. } = starting;
        let group = within("a replica to be open", opened).await.unwrap();
        self.nodes.insert(id, Node { id, disk, group, peers, disk_works, driver });
    }

    /// Ends a node in order, and gives its disk.
    pub async fn shut_down(&mut self, id: u64) -> SimDisk {
        let node = self.nodes.remove(&id).unwrap();
        within("the end of a group", node.group.shutdown()).await.unwrap();
        self.fabric.leave(NodeId(id));
        node.group.log().shutdown();
        node.driver.abort();
        node.disk.copy()
    }

    /// Ends a node as a kill does, and gives what its disk holds then.
    pub async fn kill(&mut self, id: u64) -> SimDisk {
        let node = self.nodes.remove(&id).unwrap();
        self.fabric.leave(NodeId(id));
        let left = node.disk.copy();
        node.driver.abort();
        // The core has to end somehow; what it still writes goes to the disk that nobody looks at any more.
        let ended = node.group.clone();
        tokio::spawn(async move {
            ended.log().shutdown();
            let _ = ended.shutdown().await;
        });
        left
    }

    /// Ends all nodes, so that they take no time from the clusters that come after.
    pub async fn stop(self) {
        for node in self.nodes.into_values() {
            within("the end of a group", node.group.shutdown()).await.unwrap();
            node.driver.abort();
        }
    }

    /// Kills a node and starts it again.
    pub async fn restart(&mut self, id: u64) {
        let disk = self.kill(id).await;
        self.start_on(id, disk).await;
    }

    pub fn group(&self, id: u64) -> &Group<Ledger> {
        &self.nodes[&id].group
    }

    /// The node that may act as leader, once there is one.
    pub async fn leader(&self) -> u64 {
        self.leader_among(self.nodes.keys().copied().collect()).await
    }

    pub async fn leader_among(&self, among: Vec<u64>) -> u64 {
        let mut found = 0;
        until("a leader", || {
            found = among.iter().copied().find(|id| self.group(*id).serves()).unwrap_or(0);
            found != 0
        })
        .await;
        found
    }

    /// Has a command committed by whoever leads; tries again where it surely was not.
    pub async fn commit(&self, body: impl Into<Bytes>) -> LogIndex {
        self.commit_among(self.nodes.keys().copied().collect(), body).await
    }

    pub async fn commit_among(&self, among: Vec<u64>, body: impl Into<Bytes>) -> LogIndex {
        let body = body.into();
        let committed = async {
            loop {
                let leader = self.leader_among(among.clone()).await;
                match propose(self.group(leader), body.clone(), 1).await.await.unwrap() {
                    Ok(index) => return index,
                    Err(ProposeError::NotLeader { .. } | ProposeError::Discarded) => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        within("a commit", committed).await
    }

    /// Waits until all nodes have applied the same, which holds `least` commands, and checks that offsets have no gap.
    pub async fn converge(&self, least: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        until("all replicas the same", || {
            let mut all = self.nodes.values().map(Node::lines);
            lines = all.next().unwrap();
            lines.len() >= least && all.all(|others| others == lines)
        })
        .await;
        for (nth, line) in lines.iter().enumerate() {
            assert_eq!(line.offset, nth as u64, "offsets have no gaps: {line:?}");
        }
        lines
    }

    /// The stored entries of all nodes are the same, byte for byte, as far as they reach back.
    pub fn assert_same_logs(&self) {
        let mut nodes = self.nodes.values();
        let first = nodes.next().unwrap();
        let of_first = first.entries();
        for node in nodes {
            let from = first.first().max(node.first());
            let of_node = node.entries();
            let both = [&of_first, &of_node]
                .map(|entries| entries.iter().filter(|entry| entry.index >= from).cloned().collect::<Vec<_>>());
            assert_eq!(both[0], both[1], "nodes {} and {} from index {}", first.id, node.id, from.0);
        }
    }
}
