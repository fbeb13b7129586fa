//! From single appends to sealed batches.
//!
//! Appends are encoded straight into the open batch under a short lock. A batch is sealed when it is full or when the
//! group can take it; there is no timer. While up to three batches are on their way to the disk, the next one fills:
//! the slower the disk, the larger the batches (DESIGN section 3, step 3).
//!
//! The gate says whether this node leads the group and may take events. What was taken and not yet handed to the group
//! when it closes was written nowhere, and its callers are told who leads instead.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pelton_client::{
    AppendError, Appended, BrokerName, DedupKey, GroupId, Hops, NodeId, Offset, OperationError, Position, ProducerKey,
    RECORD_OVERHEAD_BYTES, encode_record,
};
use pelton_consensus::{Command, Group, Outcome, ProposeError, Space};
use pelton_event::Event;
use pelton_log::{LogIndex, Term};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::ack::{Append, BatchAck};
use crate::cluster::ClusterState;
use crate::command::{CHANGE, Change, EVENTS, EVENTS_WITH_KEYS};
use crate::core::ChangeResult;
use crate::event_state::EventState;
use crate::groups::TooFew;
use crate::ids;
use crate::keys::Key;
use crate::metrics::BrokerMetrics;
use crate::registrar::refused;
use crate::sessions::Hold;
use crate::slabs::Slabs;

/// A batch is sealed before it grows past this, unless one call's events alone are larger.
pub(crate) const SEAL_BYTES: usize = 256 * 1024;

/// The largest batch: the events of one call stay together, and one sync must stay short.
pub(crate) const MAX_BATCH_BYTES: usize = 7 * 1024 * 1024;

/// Most bytes that wait to be committed in one group. Beyond it appends are refused at once.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Batches on their way to the disk at a time. Measured: one leaves the disk idle between batches, more than three
/// only make them smaller.
const BATCHES_IN_FLIGHT: usize = 3;

/// What makes another batch worth sending while some are on their way, for each of these. Each voter has a message and a
/// sync of each batch, however small it is; so what is smaller waits for the end of one, which is at most as long as a
/// commit takes. A group with one voter has only the sync, which all that wait share.
const WORTH_A_BATCH_BYTES: usize = 16 * 1024;

/// How long a group that closes waits for what it took: a leader that hears a quorum needs milliseconds.
const DRAINED_WITHIN: Duration = Duration::from_secs(5);

/// How often the proposer lets others run before it seals, so that requests that are ready join the batch.
const YIELDS_BEFORE_SEALING: usize = 3;

/// Takes appends for one group.
#[derive(Clone)]
pub(crate) struct Proposer(Arc<Shared>);

struct Shared {
    group: GroupId,
    open: Mutex<Open>,
    /// Wakes the task that proposes: something to seal, or room for another batch.
    work: Notify,
    in_flight: AtomicUsize,
    waiting_bytes: AtomicUsize,
    /// Told when `waiting_bytes` falls to zero.
    idle: Notify,
    raft: Group<EventState>,
    metrics: BrokerMetrics,
    /// Says which version of the protocol the cluster is at.
    cluster: watch::Receiver<Arc<ClusterState>>,
}

struct Open {
    filling: Filling,
    slabs: Slabs,
    sealed: VecDeque<Batch>,
    /// Keys that are not in the committed window yet, each with its event's batch and number there.
    keys: HashMap<Key, (Arc<BatchAck>, u32)>,
    /// Committed keys that leave `keys` once the entry at the index is applied, and so is in the window.
    retiring: VecDeque<(LogIndex, Vec<Key>)>,
    gate: Gate,
    /// The node goes down: nothing is taken any more, whoever leads.
    closed: bool,
}

/// Whether events may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// This node leads the group in this term, and knows everything that was committed before.
    Open { term: u64 },
    /// It does not.
    NotLeader { leader: Option<NodeId> },
    /// Nor can anybody else, as far as this node sees.
    NoQuorum(TooFew),
    /// It leads, but events of the group are damaged on all replicas.
    Damaged,
}

impl Gate {
    /// What is said of events that do not come in.
    fn refusal(self, group: GroupId) -> Option<AppendError> {
        match self {
            Self::Open { .. } => None,
            Self::NotLeader { leader } => Some(AppendError::NotLeader { leader }),
            Self::NoQuorum(TooFew { reached, voters }) => Some(AppendError::NoQuorum { group, reached, voters }),
            Self::Damaged => Some(AppendError::Damaged),
        }
    }
}

/// The batch that is being filled. Its records are in the slabs' buffer.
struct Filling {
    count: u32,
    /// What its events counted as when they were let in.
    admitted_bytes: usize,
    keys: Vec<Key>,
    ack: Arc<BatchAck>,
    since: Option<Instant>,
}

impl Filling {
    fn new() -> Self {
        Self { count: 0, admitted_bytes: 0, keys: Vec::new(), ack: BatchAck::new(), since: None }
    }
}

/// A batch that takes no more.
struct Batch {
    body: Bytes,
    filled: Filling,
}

impl Proposer {
    /// Starts the proposer of a group, with its gate closed. It ends when [`close`](Self::close) was called and nothing waits any more.
    pub(crate) fn start(
        raft: Group<EventState>,
        metrics: BrokerMetrics,
        cluster: watch::Receiver<Arc<ClusterState>>,
    ) -> Self {
        let open = Open {
            filling: Filling::new(),
            slabs: Slabs::new(),
            sealed: VecDeque::new(),
            keys: HashMap::new(),
            retiring: VecDeque::new(),
            gate: Gate::NotLeader { leader: None },
            closed: false,
        };
        let shared = Arc::new(Shared {
            group: GroupId(raft.id().0),
            open: Mutex::new(open),
            work: Notify::new(),
            in_flight: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            idle: Notify::new(),
            raft,
            metrics,
            cluster,
        });
        tokio::spawn(run(shared.clone()));
        Self(shared)
    }

    /// Opens or closes the gate. What was taken in another term and not handed over is refused.
    pub(crate) fn set_gate(&self, gate: Gate) {
        let mut open = self.0.open.lock();
        if open.gate == gate {
            return;
        }
        let stays = !matches!(open.gate, Gate::Open { .. }) && !matches!(gate, Gate::Open { .. });
        open.gate = gate;
        let left: Vec<_> = if stays { Vec::new() } else { std::iter::from_fn(|| open.take()).collect() };
        for batch in &left {
            open.forget(&batch.filled.keys);
        }
        drop(open);
        let why = gate.refusal(self.0.group).unwrap_or(AppendError::NotLeader { leader: None });
        for batch in left {
            batch.filled.ack.settle(Err(why.clone()));
            self.0.release(batch.filled.admitted_bytes);
        }
    }

    /// Appends events of one broker as one unit. A call whose key is known is not written again.
    pub(crate) fn append(&self, broker: &BrokerName, events: &[Event], hops: Hops, key: Option<ProducerKey>) -> Append {
        match self.admit(broker, events) {
            Ok(bytes) => {
                let mut open = self.0.open.lock();
                let answer = open.refusal(self.0.group).or_else(|| self.first_try(&mut open, key));
                if let Some(answer) = answer {
                    drop(open);
                    self.0.release(bytes);
                    return answer;
                }
                let (first, wake) = open.reserve(bytes);
                let mut producer = key;
                for event in events {
                    encode_record(open.slabs.buffer(), broker, hops, None, producer.take(), event);
                }
                open.filling.count += events.len() as u32;
                let ack = open.filling.ack.clone();
                if let Some(key) = key {
                    open.remember(Key::Call(key), first);
                }
                drop(open);
                if wake {
                    self.0.work.notify_one();
                }
                Append::waiting(ack, self.0.group, first, 0)
            }
            Err(error) => Append::refused(error),
        }
    }

    /// What became of the first try of a call, if there was one. `open` is locked: a key leaves its `keys` only after it
    /// is in the committed window.
    fn first_try(&self, open: &mut Open, key: Option<ProducerKey>) -> Option<Append> {
        let key = key?;
        open.retire(*self.0.raft.applied().borrow());
        if let Some((ack, nth)) = open.keys.get(&Key::Call(key)) {
            return Some(Append::waiting(ack.clone(), self.0.group, *nth, 0));
        }
        let offset = self.0.raft.state().with(|core| core.calls.find(key))?;
        Some(Append::known(Appended { position: Position { group: self.0.group, offset }, duplicates: 0 }))
    }

    /// Appends events of one broker as one unit, leaving out those whose key is in the window already. `window_from`
    /// is the first offset that is young enough to count.
    pub(crate) fn append_unique(
        &self,
        broker: &BrokerName,
        events: &[(Event, DedupKey)],
        hops: Hops,
        window_from: Offset,
        call: Option<ProducerKey>,
    ) -> Append {
        let committed = |key: DedupKey| {
            self.0.raft.state().with(|core| core.keys.find(key)).filter(|offset| *offset >= window_from)
        };
        let mut open = self.0.open.lock();
        // Looked up under the lock: a key leaves `keys` only after it is in the committed window.
        open.retire(*self.0.raft.applied().borrow());
        if let Some(answer) = open.refusal(self.0.group).or_else(|| self.first_try(&mut open, call)) {
            return answer;
        }
        let mut new = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut repeated = None;
        // Twins that are not durable yet: this call is not acknowledged before they are.
        let mut twins = Vec::new();
        for (event, key) in events {
            if let Some((ack, nth)) = open.keys.get(&Key::Event(*key)) {
                repeated.get_or_insert(Repeated::Waiting(ack.clone(), *nth));
                twins.push(ack.clone());
            } else if let Some(offset) = committed(*key) {
                repeated.get_or_insert(Repeated::Committed(offset));
            } else if seen.insert(key.0) {
                new.push((event, *key));
            }
        }
        let duplicates = (events.len() - new.len()) as u32;
        // The call's key would say of the whole call that it is done, and a twin may still fail. Its events have keys of
        // their own, by which a second try is known.
        let call = call.filter(|_| twins.is_empty());
        if new.is_empty() {
            return match repeated {
                Some(Repeated::Waiting(ack, nth)) => Append::waiting(ack, self.0.group, nth, duplicates).and_all(twins),
                Some(Repeated::Committed(offset)) => {
                    let first = Appended { position: Position { group: self.0.group, offset }, duplicates };
                    Append::known(first).and_all(twins)
                }
                None => Append::refused(AppendError::Unavailable),
            };
        }
        let only_new: Vec<Event> = new.iter().map(|(event, _)| (*event).clone()).collect();
        let bytes = match self.admit(broker, &only_new) {
            Ok(bytes) => bytes,
            Err(error) => return Append::refused(error),
        };
        let (first, wake) = open.reserve(bytes);
        let ack = open.filling.ack.clone();
        let mut producer = call;
        for (nth, (event, key)) in new.into_iter().enumerate() {
            encode_record(open.slabs.buffer(), broker, hops, Some(key), producer.take(), event);
            open.remember(Key::Event(key), first + nth as u32);
        }
        if let Some(call) = call {
            open.remember(Key::Call(call), first);
        }
        open.filling.count += only_new.len() as u32;
        drop(open);
        if wake {
            self.0.work.notify_one();
        }
        Append::waiting(ack, self.0.group, first, duplicates).and_all(twins)
    }

    /// Counts the events' bytes in, or says why they may not come in.
    fn admit(&self, broker: &BrokerName, events: &[Event]) -> Result<usize, AppendError> {
        let overhead = RECORD_OVERHEAD_BYTES + broker.as_str().len();
        let bytes = events.iter().map(|event| event.as_frame().len() + overhead).sum::<usize>();
        if bytes > MAX_BATCH_BYTES {
            return Err(AppendError::TooLarge { size_bytes: bytes, limit_bytes: MAX_BATCH_BYTES });
        }
        let waiting = self.0.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting > 0 && waiting + bytes > MAX_WAITING_BYTES {
            self.0.release(bytes);
            return Err(AppendError::Overloaded { retry_after: Duration::from_secs(1) });
        }
        Ok(bytes)
    }

    /// Commits a change and returns what it gave.
    pub(crate) async fn change(&self, change: &Change) -> ChangeResult {
        self.change_holding(change, None).await
    }

    /// As [`change`](Self::change); `hold` is kept until the fate of the change is known, also when nobody waits for it
    /// any more.
    pub(crate) async fn change_holding(&self, change: &Change, hold: Option<Hold>) -> ChangeResult {
        let (told, answer) = oneshot::channel();
        let body = change.encode(self.0.cluster.borrow().protocol());
        let command = Command { kind: CHANGE, event_count: 0, body, space: change.space() };
        self.0.raft.propose(command, Arc::new(ChangeOutcome(Mutex::new(Some((told, hold)))))).await;
        let index = match answer.await {
            Ok(Ok(index)) => index,
            Ok(Err(error)) => return Err(refused(error)),
            Err(_) => return Err(OperationError::OutcomeUnknown),
        };
        // Committed. What it gave is known once it is applied here.
        let mut applied = self.0.raft.applied();
        if applied.wait_for(|applied| *applied >= index).await.is_err() {
            return Err(OperationError::OutcomeUnknown);
        }
        self.0.raft.state().result(index)
    }

    /// Refuses further appends. What was taken is still written.
    pub(crate) fn close(&self) {
        self.0.open.lock().closed = true;
        self.0.work.notify_one();
    }

    /// Waits until every append that was taken has its fate, or for a while: where no quorum is left, as when all nodes
    /// stop together, it has none before the group ends here.
    pub(crate) async fn drained(&self) {
        if tokio::time::timeout(DRAINED_WITHIN, self.idle()).await.is_err() {
            tracing::warn!(group = %self.0.group, "appends are left without an answer: no quorum confirms them");
        }
    }

    async fn idle(&self) {
        loop {
            let idle = self.0.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.0.waiting_bytes.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Shared {
    fn release(&self, bytes: usize) {
        if self.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel) == bytes {
            self.idle.notify_waiters();
        }
    }
}

enum Repeated {
    Waiting(Arc<BatchAck>, u32),
    Committed(Offset),
}

impl Open {
    fn retire(&mut self, applied: LogIndex) {
        while self.retiring.front().is_some_and(|(index, _)| *index <= applied) {
            if let Some((_, keys)) = self.retiring.pop_front() {
                self.forget(&keys);
            }
        }
    }

    fn forget(&mut self, keys: &[Key]) {
        for key in keys {
            self.keys.remove(key);
        }
    }

    /// The event with this number in the filling batch has this key.
    fn remember(&mut self, key: Key, nth: u32) {
        self.filling.keys.push(key);
        let ack = self.filling.ack.clone();
        self.keys.insert(key, (ack, nth));
    }

    /// Why nothing may come in, if so.
    fn refusal(&self, group: GroupId) -> Option<Append> {
        if self.closed {
            return Some(Append::refused(AppendError::Unavailable));
        }
        self.gate.refusal(group).map(Append::refused)
    }

    /// Makes the filling batch one that `bytes` more fit into. Returns the number its next event gets, and whether the
    /// proposing task may be asleep and has something to do now.
    fn reserve(&mut self, bytes: usize) -> (u32, bool) {
        if self.filling.count > 0 && self.slabs.len() + bytes > SEAL_BYTES {
            let batch = self.seal();
            self.sealed.push_back(batch);
        }
        let first = self.filling.count;
        if first == 0 {
            self.slabs.begin(SEAL_BYTES.max(bytes));
            self.filling.since = Some(Instant::now());
        }
        self.filling.admitted_bytes += bytes;
        let before = self.slabs.len();
        let is_worth_more = before / WORTH_A_BATCH_BYTES != (before + bytes) / WORTH_A_BATCH_BYTES;
        (first, first == 0 || is_worth_more)
    }

    fn seal(&mut self) -> Batch {
        Batch { body: self.slabs.seal(), filled: std::mem::replace(&mut self.filling, Filling::new()) }
    }

    fn take(&mut self) -> Option<Batch> {
        self.sealed.pop_front().or_else(|| (self.filling.count > 0).then(|| self.seal()))
    }

    /// The next batch, with the term that its events were let in. There is none while the gate is closed.
    fn take_led(&mut self) -> Option<(u64, Batch)> {
        let Gate::Open { term } = self.gate else { return None };
        self.take().map(|batch| (term, batch))
    }
}

async fn run(shared: Arc<Shared>) {
    loop {
        shared.work.notified().await;
        loop {
            let in_flight = shared.in_flight.load(Ordering::Acquire);
            if in_flight >= BATCHES_IN_FLIGHT {
                break;
            }
            let waiting = {
                let open = shared.open.lock();
                if open.filling.count == 0 && open.sealed.is_empty() {
                    if open.closed {
                        return;
                    }
                    break;
                }
                let is_small = open.sealed.is_empty() && open.slabs.len() < in_flight * WORTH_A_BATCH_BYTES;
                if is_small && !shared.raft.is_only_voter() {
                    break;
                }
                !open.sealed.is_empty()
            };
            if !waiting {
                for _ in 0..YIELDS_BEFORE_SEALING {
                    tokio::task::yield_now().await;
                }
            }
            let Some((term, Batch { body, filled })) = shared.open.lock().take_led() else { break };
            shared.in_flight.fetch_add(1, Ordering::AcqRel);
            shared.metrics.batch_sealed(filled.count, body.len());
            let kind = if filled.keys.is_empty() { EVENTS } else { EVENTS_WITH_KEYS };
            let command = Command { kind, event_count: filled.count, body, space: Space::Ordinary };
            let outcome = BatchOutcome {
                shared: shared.clone(),
                ack: filled.ack,
                keys: filled.keys,
                bytes: filled.admitted_bytes,
                since: filled.since,
            };
            // In the term that let the events in: a later one has not been asked whether it knows them already.
            shared.raft.propose_in(Term(term), command, Arc::new(outcome)).await;
        }
    }
}

/// Who waits for one batch.
struct BatchOutcome {
    shared: Arc<Shared>,
    ack: Arc<BatchAck>,
    keys: Vec<Key>,
    bytes: usize,
    since: Option<Instant>,
}

impl BatchOutcome {
    fn settle(&self, fate: Result<Offset, AppendError>) {
        self.ack.settle(fate);
        let shared = &self.shared;
        shared.release(self.bytes);
        shared.in_flight.fetch_sub(1, Ordering::AcqRel);
        shared.work.notify_one();
    }
}

impl Outcome for BatchOutcome {
    fn committed(&self, index: LogIndex) {
        let shared = &self.shared;
        let group = pelton_log::GroupId(shared.group.0);
        let fate = match shared.raft.log().entry_meta(group, index) {
            Ok(Some(meta)) => Ok(Offset(meta.first_offset.0)),
            // It is committed, and nobody can say where. A node that leads no more may have purged it already.
            Ok(None) => Err(AppendError::OutcomeUnknown),
            Err(error) => {
                tracing::error!(group = group.0, index = index.0, %error, "the place of committed events is not known");
                Err(AppendError::OutcomeUnknown)
            }
        };
        if !self.keys.is_empty() {
            shared.open.lock().retiring.push_back((index, self.keys.clone()));
        }
        if let Some(since) = self.since {
            shared.metrics.batch_committed(since.elapsed());
        }
        self.settle(fate);
    }

    fn failed(&self, error: ProposeError) {
        if !self.keys.is_empty() {
            self.shared.open.lock().forget(&self.keys);
        }
        self.settle(Err(match error {
            ProposeError::NotLeader { leader } => AppendError::NotLeader { leader: leader.map(ids::node) },
            // No replica has them: whoever leads now may take them.
            ProposeError::Discarded => AppendError::NotLeader { leader: None },
            ProposeError::StorageFull => AppendError::StorageFull,
            ProposeError::TooLarge => AppendError::TooLarge { size_bytes: self.bytes, limit_bytes: MAX_BATCH_BYTES },
            ProposeError::OutcomeUnknown => AppendError::OutcomeUnknown,
        }));
    }
}

type Told = (oneshot::Sender<Result<LogIndex, ProposeError>>, Option<Hold>);

/// Who waits for a change.
struct ChangeOutcome(Mutex<Option<Told>>);

impl ChangeOutcome {
    fn tell(&self, fate: Result<LogIndex, ProposeError>) {
        if let Some((told, hold)) = self.0.lock().take() {
            drop(hold);
            // The receiver is gone only when the caller gave up waiting.
            let _ = told.send(fate);
        }
    }
}

impl Outcome for ChangeOutcome {
    fn committed(&self, index: LogIndex) {
        self.tell(Ok(index));
    }

    fn failed(&self, error: ProposeError) {
        self.tell(Err(error));
    }
}

#[cfg(test)]
mod tests;
