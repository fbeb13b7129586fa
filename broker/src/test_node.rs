//! A node over a simulated disk, with nobody who tends it: a test does what the tasks would do, step by step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;
use pelton_client::{
    AppendError, BrokerName, Cause, CursorUpdate, DeadLetter, GroupId, Hops, LastAnswer, Offset, Position, Progress,
    TriggerId, Upto,
};
use pelton_env::{Clock, ManualClock, SeededChance, UnixMillis};
use pelton_event::{DataKind, Event};
use pelton_log::{Identity, Log, SimDisk};

use crate::blocking::Blocking;
use crate::command::Change;
use crate::groups::DataGroup;
use crate::local_node::LocalNode;
use crate::metrics::BrokerMetrics;
use crate::node::{Options, RegistryStore, Retention, Shared, assemble};
use crate::sessions::Caller;

pub(crate) const GROUP: GroupId = GroupId(1);
pub(crate) const TRIGGER: TriggerId = TriggerId(5);

/// Long enough for any machine; a test that is right never waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

const IDENTITY: Identity = Identity { cluster: 7, node: 1 };

/// Bytes of the segments of these logs: about sixteen events.
pub(crate) const SEGMENT_BYTES: u64 = 512 << 10;

/// Bytes of an event's `data`. Large beside what a purge itself writes.
const EVENT_BYTES: usize = 30_000;

/// What a node under test stands on. The log is on `disk`, the registry's store in `data`.
pub(crate) struct Ground<'a> {
    pub(crate) disk: &'a SimDisk,
    pub(crate) data: &'a Path,
    pub(crate) clock: &'a ManualClock,
    pub(crate) retention: Retention,
}

pub(crate) struct TestNode {
    pub(crate) shared: Shared,
    pub(crate) recorded: Recorded,
    clock: ManualClock,
}

impl TestNode {
    /// Opens a log of small segments that keeps nothing in memory: what is read, is read from the disk.
    pub(crate) async fn open(ground: &Ground<'_>) -> Self {
        let settings = pelton_log::Options {
            tail_cache_bytes: 0,
            segment_size_bytes: SEGMENT_BYTES,
            initial_segment_size_bytes: SEGMENT_BYTES,
            ..pelton_log::Options::small(IDENTITY)
        };
        let (clock, chance) = (Arc::new(ground.clock.clone()), Arc::new(SeededChance::new(1)));
        let opened = Log::open(Arc::new(ground.disk.clone()), clock.clone(), chance.clone(), settings);
        let options = Options {
            data: ground.data.to_owned(),
            retention: ground.retention,
            clock,
            chance,
            observer: Arc::new(pelton_log::NoObserver),
            on_fatal: Arc::new(|error| panic!("the disk failed: {error}")),
            on_ended: Arc::new(|error| panic!("the node ended: {error}")),
            direct_io: pelton_log::DirectIo::Off,
            store: RegistryStore::Sled,
            scrub_bytes_per_second: 0,
            blocking: Blocking::Threads,
            versions: pelton_peer::Versions::OURS,
            raise_version_after: Duration::from_secs(24 * 3600),
            member: None,
        };
        let recorded = Recorded::default();
        let metrics = metrics::with_local_recorder(&recorded, BrokerMetrics::register);
        let shared = assemble(options, IDENTITY, opened.unwrap().0, metrics).await.unwrap();
        let node = Self { shared, recorded, clock: ground.clock.clone() };
        node.until(|| *node.group().serving.borrow()).await;
        node
    }

    pub(crate) fn client(&self) -> LocalNode {
        LocalNode { shared: self.shared.clone(), caller: Caller::Own }
    }

    pub(crate) fn group(&self) -> Arc<DataGroup> {
        self.shared.groups.find(GROUP).expect("it is open")
    }

    /// Appends one event.
    pub(crate) async fn append_one(&self) -> Result<Offset, AppendError> {
        let event = Event::builder().id("1").source("/test").ty("t").data(DataKind::Bytes, &[0; EVENT_BYTES]);
        let event = [event.build().unwrap()];
        let appended = self.group().proposer.append(&BrokerName::new("default", "a"), &event, Hops::FULL, None).await;
        Ok(appended?.position.offset)
    }

    /// Appends `count` events, each in a batch of its own.
    pub(crate) async fn append(&self, count: u64) -> Offset {
        let mut last = Offset(0);
        for _ in 0..count {
            last = self.append_one().await.unwrap();
        }
        self.until(|| self.group().state.tail() > last).await;
        last
    }

    pub(crate) async fn change(&self, change: &Change) -> u64 {
        self.group().proposer.change(change).await.unwrap()
    }

    /// Starts [`TRIGGER`] at the first event.
    pub(crate) async fn start_trigger(&self) {
        self.change(&Change::Start { version: u64::MAX, triggers: vec![(TRIGGER, Some(Offset(0)))] }).await;
    }

    /// The trigger has matched everything so far; it waits for `pending`, gave up `dead`, and is done with the rest.
    pub(crate) async fn progress(&self, pending: &[u64], dead: &[u64]) {
        let update = CursorUpdate {
            trigger: TRIGGER,
            epoch: 1,
            upto: Upto::Scanned,
            matched: pending.iter().map(|offset| (Offset(*offset), Offset(offset + 1))).collect(),
            done: Vec::new(),
            attempts: Vec::new(),
            dead_letters: dead.iter().map(|offset| letter(*offset, self.clock.now())).collect(),
        };
        let scanned = self.group().state.tail();
        self.change(&Change::Progress { term: 0, progress: Progress { scanned, cursors: vec![update] } }).await;
    }

    pub(crate) fn letters(&self) -> Vec<u64> {
        self.group().state.with(|core| core.group.letters.keys().map(|(_, offset)| offset.0).collect())
    }

    /// Looks again and again until `done`.
    pub(crate) async fn until(&self, done: impl Fn() -> bool) {
        let looks = async {
            while !done() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looks).await.expect("it happens in time");
    }

    /// As [`crate::Node::shutdown`].
    pub(crate) async fn shutdown(self) {
        self.group().proposer.close();
        self.group().proposer.drained().await;
        self.group().stop_tasks();
        self.group().raft.shutdown().await.unwrap();
        self.shared.registry.raft.shutdown().await.unwrap();
        self.shared.registry.state.flush();
        self.shared.log.shutdown();
    }
}

pub(crate) fn letter(offset: u64, at: UnixMillis) -> DeadLetter {
    DeadLetter {
        trigger: TRIGGER,
        position: Position { group: GROUP, offset: Offset(offset) },
        attempts: 1,
        cause: Cause::Rejected,
        destination: "http://s.example/".into(),
        answer: LastAnswer { code: Some(400), detail: Bytes::new() },
        at,
    }
}

/// What was counted.
#[derive(Debug, Default)]
pub(crate) struct Recorded(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Recorded {
    fn cell(&self, name: &str) -> Arc<AtomicU64> {
        self.0.lock().entry(name.to_owned()).or_default().clone()
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.cell(name).load(Ordering::SeqCst)
    }

    pub(crate) fn gauge(&self, name: &str) -> f64 {
        f64::from_bits(self.counter(name))
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key.name()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key.name()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
