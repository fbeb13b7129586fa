//! A broker in memory: the second implementer of [`Client`], for the tests of those who use it.
//!
//! It keeps the same rules for cursors, dead letters and resources as the replicated one, by calling the same code.
//! What it cannot do is survive. A test can hold appends back, make calls fail, lose and spoil what is stored, and look at
//! everything.

mod cluster;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use pelton_env::{Clock, ManualClock, UnixMillis};
use pelton_event::Event;
use pelton_resource::{Resource, ResourceKey, StartPosition, Time, effective_settings};
use tokio::sync::watch;

use crate::admission::{admit, uid_from_bits};
use crate::serving::{RevisionFact, RevisionsTold, SCALES_WAIT, Scales};
use crate::status::{Facts, reconcile};
use crate::{
    AppendError, Appended, ApplyError, BrokerName, Client, ClusterChange, ClusterError, ClusterView, DeadLetter,
    DispatchQuery, DispatchReport, EventBatch, Grant, GroupCursors, GroupId, GroupState, Hops, NodeId, NodeReport,
    Offset, OperationError, Position, Progress, ReadError, Resources, Selection, Session, Start, TriggerId, Warning,
    Write, encode_record,
};

pub use cluster::{MemoryCluster, MemoryNode};

/// The one group there is.
pub const GROUP: GroupId = GroupId(1);

/// A broker that keeps everything in memory. Clones are handles of the same one.
#[derive(Debug, Clone)]
pub struct MemoryClient(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    group: GroupId,
    state: Mutex<State>,
    tail: Mutex<watch::Sender<Offset>>,
    changes: Mutex<watch::Sender<u64>>,
    resources: watch::Sender<Arc<Resources>>,
    served: watch::Sender<Arc<BTreeMap<GroupId, Grant>>>,
    cluster: watch::Sender<Arc<ClusterView>>,
    held: watch::Sender<bool>,
    clock: ManualClock,
}

#[derive(Debug, Default)]
struct State {
    batches: Vec<EventBatch>,
    group: GroupState,
    index: u64,
    uids: u64,
    /// Sessions that were ended.
    terms: u64,
    failures: VecDeque<AppendError>,
    progress_failures: VecDeque<OperationError>,
    reads: u64,
    unreadable: Option<Offset>,
    first: Offset,
    warnings: BTreeMap<TriggerId, Option<Warning>>,
    told: BTreeMap<String, BTreeMap<String, RevisionFact>>,
    ingress: Option<String>,
    letter_limit: Option<usize>,
}

impl Default for MemoryClient {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryClient {
    /// An empty broker. Ingress is said to be at `http://ingress.test`.
    #[must_use]
    pub fn new() -> Self {
        Self::of(GROUP)
    }

    /// The same for another group, one of several.
    pub(crate) fn of(group: GroupId) -> Self {
        let state = State { ingress: Some("http://ingress.test".into()), ..State::default() };
        Self(Arc::new(Shared {
            group,
            state: Mutex::new(state),
            tail: Mutex::new(watch::Sender::new(Offset(0))),
            changes: Mutex::new(watch::Sender::new(0)),
            resources: watch::Sender::new(Arc::default()),
            served: watch::Sender::new(Arc::new(BTreeMap::from([(group, Session { term: 1, grant: 1 }.into())]))),
            cluster: watch::Sender::default(),
            held: watch::Sender::new(false),
            clock: ManualClock::new(UnixMillis(1_700_000_000_000)),
        }))
    }

    /// The clock that batches and resources are stamped with.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.0.clock
    }

    /// Makes the next appends fail with these errors, in order. Nothing is stored for them.
    pub fn fail_appends(&self, errors: impl IntoIterator<Item = AppendError>) {
        self.0.state.lock().failures.extend(errors);
    }

    /// Makes the next progress reports fail with these errors, in order. Nothing is stored for them.
    pub fn fail_progress(&self, errors: impl IntoIterator<Item = OperationError>) {
        self.0.state.lock().progress_failures.extend(errors);
    }

    /// Reads that need the batch with this event fail from now on; with `None` none does.
    pub fn fail_reads_at(&self, offset: Option<Offset>) {
        self.0.state.lock().unreadable = offset;
    }

    /// Forgets the batches that lie below `offset` as a whole, whoever still needs them.
    pub fn purge_below(&self, offset: Offset) {
        let mut state = self.0.state.lock();
        let kept = state.batches.partition_point(|batch| batch.end() <= offset);
        // The last one stays: it says where the next begins.
        let first = state.batches.get(kept).or(state.batches.last()).map_or(Offset(0), |batch| batch.base);
        state.first = state.first.max(first);
    }

    /// Spoils an event's frame where it is stored. Its neighbours stay whole.
    ///
    /// # Panics
    /// When there is no such event.
    pub fn damage(&self, offset: Offset) {
        let mut state = self.0.state.lock();
        let batch = state.batches.iter_mut().find(|batch| batch.base <= offset && offset < batch.end());
        let batch = batch.expect("the event was appended");
        let mut body = BytesMut::from(&batch.body[..]);
        let mut at = 0;
        for record in batch.records().take_while(|record| record.as_ref().is_ok_and(|(p, _)| p.offset <= offset)) {
            let (position, record) = record.expect("only whole ones are taken");
            let length = u32::from_le_bytes(body[at..at + 4].try_into().expect("four bytes")) as usize;
            at += 4 + length;
            if position.offset == offset {
                body[at - record.frame_len()..at].fill(0xff);
            }
        }
        batch.body = body.freeze();
    }

    /// While held, appends are stored and committed but not answered.
    pub fn hold_answers(&self, hold: bool) {
        self.0.held.send_replace(hold);
    }

    /// Refuses progress from now on in which a dead letter takes more than so many bytes.
    pub fn limit_letters(&self, bytes: usize) {
        self.0.state.lock().letter_limit = Some(bytes);
    }

    /// Ends the session of the dispatcher that serves [`GROUP`] and gives the next one, as a change of leader does.
    pub fn end_session(&self) {
        let next = {
            let mut state = self.0.state.lock();
            state.terms += 1;
            Session { term: 1 + state.terms, grant: 1 }
        };
        self.0.served.send_replace(Arc::new(BTreeMap::from([(self.0.group, next.into())])));
    }

    /// Has nothing more to tell to those who watch the group: they have to look anew.
    pub fn end_watches(&self) {
        let mut tail = self.0.tail.lock();
        let end = *tail.borrow();
        *tail = watch::Sender::new(end);
        let mut changes = self.0.changes.lock();
        let last = *changes.borrow();
        *changes = watch::Sender::new(last);
    }

    /// Has the dispatcher finish and give its session back, as before a planned hand-over. It has when
    /// [`Client::served`] is empty; [`end_session`](Self::end_session) then gives the next one.
    pub fn finish_session(&self) {
        self.0.served.send_modify(|served| {
            let finish = |(group, grant): (&GroupId, &Grant)| (*group, Grant { is_to_finish: true, ..*grant });
            *served = Arc::new(served.iter().map(finish).collect());
        });
    }

    /// Ends the session without giving a next one: another dispatcher has [`GROUP`], until
    /// [`end_session`](Self::end_session).
    pub fn take_session_away(&self) {
        self.0.served.send_replace(Arc::default());
    }

    /// From now on this session is the one that counts.
    pub(crate) fn give_session(&self, session: Session) {
        self.0.served.send_replace(Arc::new(BTreeMap::from([(self.0.group, session.into())])));
    }

    /// Takes resources over as they are stored elsewhere: triggers that are new start here, those that are gone end.
    pub(crate) fn adopt(&self, resources: &Resources) {
        let mut state = self.0.state.lock();
        self.settle(&mut state, resources.clone());
    }

    /// Tells of these resources whatever is stored, as a node does that has not heard of the newest ones yet.
    pub fn tell(&self, resources: Arc<Resources>) {
        self.0.resources.send_replace(resources);
    }

    /// Everything that was appended, in order.
    #[must_use]
    pub fn events(&self) -> Vec<(String, Hops, Event)> {
        let batches = self.0.state.lock().batches.clone();
        let records = batches.iter().flat_map(EventBatch::records);
        records
            .map(|record| {
                let (_, record) = record.expect("the batch was encoded here");
                let event = record.event().expect("the frame was built here");
                (record.broker().to_owned(), record.hops, event)
            })
            .collect()
    }

    /// The cursors and dead letters as they are stored now.
    #[must_use]
    pub fn group_state(&self) -> GroupState {
        self.0.state.lock().group.clone()
    }

    /// How many reads of the log there were.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.0.state.lock().reads
    }

    /// What each gateway told of revisions.
    #[must_use]
    pub fn told(&self) -> BTreeMap<String, BTreeMap<String, RevisionFact>> {
        self.0.state.lock().told.clone()
    }

    /// What dispatchers warn of.
    #[must_use]
    pub fn warnings(&self) -> BTreeMap<TriggerId, Warning> {
        let warnings = self.0.state.lock().warnings.clone();
        warnings.into_iter().filter_map(|(id, warning)| Some((id, warning?))).collect()
    }

    /// Applies the manifests of a YAML text.
    ///
    /// # Panics
    /// When they are not valid: a test's own text should be.
    pub async fn apply_yaml(&self, text: &str) -> Vec<Resource> {
        let resources = pelton_resource::parse_documents(text, "test").expect("the manifests can be read");
        self.apply(resources).await.expect("the manifests are valid")
    }

    fn store(&self, broker: &BrokerName, events: &[Event], hops: Hops) -> Result<Appended, AppendError> {
        let mut state = self.0.state.lock();
        if let Some(error) = state.failures.pop_front() {
            return Err(error);
        }
        let mut body = BytesMut::new();
        events.iter().for_each(|event| encode_record(&mut body, broker, hops, None, None, event));
        let base = state.batches.last().map_or(Offset(0), EventBatch::end);
        let count = events.len() as u32;
        let batch = EventBatch { group: self.0.group, base, count, sealed: self.0.clock.now(), body: body.freeze() };
        let end = batch.end();
        if count > 0 {
            state.index += 1;
            state.batches.push(batch);
        }
        drop(state);
        self.0.tail.lock().send_replace(end);
        Ok(Appended { position: Position { group: self.0.group, offset: base }, duplicates: 0 })
    }

    /// Stores resources, starts triggers that are new and brings every status up to date.
    fn settle(&self, state: &mut State, resources: Resources) {
        let mut resources = resources;
        let end = *self.0.tail.lock().borrow();
        let mut started = false;
        for (id, trigger) in &resources.triggers {
            if !state.group.cursors.contains_key(id)
                && let Some(broker) = resources.broker_of(trigger)
            {
                state.index += 1;
                let start = match effective_settings(trigger, broker).start {
                    StartPosition::Latest => Start::Latest,
                    StartPosition::Earliest => Start::Earliest,
                    StartPosition::Offset(offset) => Start::Offset(Offset(offset)),
                    StartPosition::Time(time) => Start::Time(UnixMillis(time.unix_millis())),
                };
                let at = place(&state.batches, start, end);
                state.group.start(*id, at, state.index);
                started = true;
            }
        }
        let gone: Vec<_> =
            state.group.cursors.keys().filter(|id| !resources.triggers.contains_key(id)).copied().collect();
        for id in gone {
            state.group.drop_trigger(id);
            state.index += 1;
            started = true;
        }
        let facts = Facts {
            ingress: state.ingress.as_deref(),
            is_started: &|id| state.group.cursors.contains_key(&id),
            warnings: &state.warnings,
            now: Time::from_unix_millis(self.0.clock.now().0),
        };
        let changed = reconcile(&resources, facts);
        state.index += 1;
        resources = resources.put_at(changed, state.index);
        self.0.resources.send_replace(Arc::new(resources));
        if started {
            self.0.changes.lock().send_replace(state.index);
        }
    }
}

fn place(batches: &[EventBatch], start: Start, end: Offset) -> Offset {
    match start {
        Start::Latest => end,
        Start::Earliest => Offset(0),
        Start::Offset(offset) => offset.min(end),
        Start::Time(time) => batches.iter().find(|batch| batch.sealed >= time).map_or(end, |batch| batch.base),
    }
}

impl Client for MemoryClient {
    type Append = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send>>;

    fn append(&self, broker: &BrokerName, events: &[Event], hops: Hops) -> Self::Append {
        let stored = self.store(broker, events, hops);
        let mut held = self.0.held.subscribe();
        Box::pin(async move {
            // The sender lives as long as the client; without one nothing holds the answer back.
            let _ = held.wait_for(|held| !held).await;
            stored
        })
    }

    fn groups(&self) -> Vec<GroupId> {
        vec![self.0.group]
    }

    fn committed(&self, group: GroupId) -> Result<watch::Receiver<Offset>, ReadError> {
        if group == self.0.group { Ok(self.0.tail.lock().subscribe()) } else { Err(ReadError::UnknownGroup(group)) }
    }

    async fn read(&self, group: GroupId, from: Offset, max_bytes: usize) -> Result<Vec<EventBatch>, ReadError> {
        if group != self.0.group {
            return Err(ReadError::UnknownGroup(group));
        }
        let mut state = self.0.state.lock();
        state.reads += 1;
        if from < state.first {
            return Err(ReadError::Purged { wanted: from, first: state.first });
        }
        let first = state.batches.partition_point(|batch| batch.end() <= from);
        let fails = |batch: &EventBatch| state.unreadable.is_some_and(|at| batch.base <= at && at < batch.end());
        if state.batches.get(first).is_some_and(fails) {
            return Err(ReadError::Storage("a test said so".to_owned()));
        }
        let mut bytes = 0;
        let some = state.batches[first..].iter().take_while(|batch| !fails(batch)).take_while(|batch| {
            let take = bytes == 0 || bytes + batch.body.len() <= max_bytes;
            bytes += batch.body.len();
            take
        });
        Ok(some.cloned().collect())
    }

    async fn first(&self, group: GroupId) -> Result<Offset, ReadError> {
        if group == self.0.group { Ok(self.0.state.lock().first) } else { Err(ReadError::UnknownGroup(group)) }
    }

    async fn cursors(&self, group: GroupId) -> Result<GroupCursors, ReadError> {
        if group == self.0.group {
            Ok(self.0.state.lock().group.cursors())
        } else {
            Err(ReadError::UnknownGroup(group))
        }
    }

    fn cursor_changes(&self, group: GroupId) -> Result<watch::Receiver<u64>, ReadError> {
        if group == self.0.group { Ok(self.0.changes.lock().subscribe()) } else { Err(ReadError::UnknownGroup(group)) }
    }

    fn served(&self) -> watch::Receiver<Arc<BTreeMap<GroupId, Grant>>> {
        self.0.served.subscribe()
    }

    fn release(&self, group: GroupId, session: Session) {
        self.0.served.send_if_modified(|served| {
            let is_held = served.get(&group).is_some_and(|grant| grant.session == session);
            if is_held {
                *served = Arc::default();
            }
            is_held
        });
    }

    async fn progress(&self, group: GroupId, session: Session, progress: Progress) -> Result<(), OperationError> {
        if group != self.0.group {
            return Err(OperationError::UnknownGroup(group));
        }
        if self.0.served.borrow().get(&group).map(|grant| grant.session) != Some(session) {
            return Err(OperationError::SessionEnded);
        }
        let mut state = self.0.state.lock();
        if let Some(error) = state.progress_failures.pop_front() {
            return Err(error);
        }
        let mut letters = progress.cursors.iter().flat_map(|update| &update.dead_letters);
        if state.letter_limit.is_some_and(|limit| letters.any(|letter| letter.stored_bytes() > limit)) {
            return Err(OperationError::TooLarge);
        }
        state.index += 1;
        state.group.progress(&progress);
        Ok(())
    }

    async fn rewind(&self, trigger: TriggerId, to: Start) -> Result<(), OperationError> {
        let mut state = self.0.state.lock();
        state.index += 1;
        let at = place(&state.batches, to, *self.0.tail.lock().borrow());
        let index = state.index;
        state.group.rewind(trigger, at, index)?;
        self.0.changes.lock().send_replace(index);
        Ok(())
    }

    async fn dead_letters(
        &self,
        trigger: Option<TriggerId>,
        after: Option<(TriggerId, Position)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        Ok(self.0.state.lock().group.dead_letters(self.0.group, trigger, after, limit))
    }

    async fn dead_letter(&self, trigger: TriggerId, position: Position) -> Result<Option<DeadLetter>, ReadError> {
        let all = self.dead_letters(Some(trigger), None, usize::MAX).await?;
        Ok(all.into_iter().find(|letter| letter.position == position))
    }

    async fn redrive(&self, selection: Selection) -> Result<u64, OperationError> {
        let mut state = self.0.state.lock();
        state.index += 1;
        let index = state.index;
        let sent = state.group.redrive(selection, index)?;
        self.0.changes.lock().send_replace(index);
        Ok(sent)
    }

    async fn discard(&self, selection: Selection) -> Result<u64, OperationError> {
        self.0.state.lock().group.discard(selection)
    }

    fn resources(&self) -> watch::Receiver<Arc<Resources>> {
        self.0.resources.subscribe()
    }

    async fn apply(&self, resources: Vec<Resource>) -> Result<Vec<Resource>, ApplyError> {
        let mut state = self.0.state.lock();
        let current = self.0.resources.borrow().clone();
        let now = Time::from_unix_millis(self.0.clock.now().0);
        let uids = &mut state.uids;
        let admitted = admit(&current, resources, now, &mut || {
            *uids += 1;
            uid_from_bits(*uids, *uids)
        })?;
        let keys: Vec<_> = admitted.iter().map(Resource::key).collect();
        state.index += 1;
        let next = current.put_at(admitted, state.index);
        self.settle(&mut state, next);
        let stored = self.0.resources.borrow().clone();
        Ok(keys.iter().filter_map(|key| stored.find(key)).collect())
    }

    async fn delete(&self, key: ResourceKey) -> Result<(), ApplyError> {
        let mut state = self.0.state.lock();
        let current = self.0.resources.borrow().clone();
        if current.find(&key).is_none() {
            let name = format!("{}/{}", key.namespace, key.name);
            return Err(ApplyError::NotFound { kind: key.kind.to_string(), name });
        }
        state.index += 1;
        let next = current.take_at(&key, state.index);
        self.settle(&mut state, next);
        Ok(())
    }

    async fn write(&self, write: Write) -> Result<u64, ApplyError> {
        let mut state = self.0.state.lock();
        let current = self.0.resources.borrow().clone();
        write.check(&current)?;
        state.index += 1;
        let index = state.index;
        let next = match write {
            Write::Create(resource) | Write::Replace { resource, .. } => current.put_at(vec![*resource], index),
            Write::Delete { key, .. } => current.take_at(&key, index),
        };
        self.settle(&mut state, next);
        Ok(index)
    }

    fn cluster(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.0.cluster.subscribe()
    }

    async fn report(&self, _node: NodeId) -> Option<NodeReport> {
        None
    }

    async fn dispatch_report(&self, _node: NodeId, _query: DispatchQuery) -> Option<DispatchReport> {
        None
    }

    async fn change_cluster(&self, _change: ClusterChange) -> Result<(), ClusterError> {
        Err(ClusterError::Refused("a broker in memory is no cluster".to_owned()))
    }

    async fn warn(&self, trigger: TriggerId, warning: Option<Warning>) -> Result<(), ApplyError> {
        let mut state = self.0.state.lock();
        state.warnings.insert(trigger, warning);
        let current = self.0.resources.borrow().as_ref().clone();
        self.settle(&mut state, current);
        Ok(())
    }

    /// Kept, for tests to look at ([`MemoryClient::told`]): there are no serving controllers in memory.
    async fn tell_revisions(&self, told: RevisionsTold) -> Result<(), ApplyError> {
        self.0.state.lock().told.insert(told.gateway, told.revisions);
        Ok(())
    }

    /// Nobody decides anything in memory.
    async fn scales(&self, _gateway: &str, _seen: u64) -> Result<Scales, ApplyError> {
        tokio::time::sleep(SCALES_WAIT).await;
        Ok(Scales::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_appended_is_read_and_a_trigger_starts_after_it() {
        let client = MemoryClient::new();
        let manifests = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\n---\n\
                         apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\n\
                         spec: {broker: a, subscriber: {uri: 'http://s.example/'}}\n";
        let event = Event::builder().id("1").source("/s").ty("t").build().unwrap();
        let broker = BrokerName::new("default", "a");
        client.append(&broker, std::slice::from_ref(&event), Hops::FULL).await.unwrap();
        client.apply_yaml(manifests).await;
        let cursors = client.cursors(GROUP).await.unwrap();
        assert_eq!(cursors.cursors.values().next().unwrap().floor(Offset(0)), Offset(1));
        let batches = client.read(GROUP, Offset(0), 10).await.unwrap();
        assert_eq!((batches.len(), batches[0].count), (1, 1));
        assert_eq!(client.events()[0].2.id(), "1");
        let resources = client.resources().borrow().clone();
        assert!(resources.trigger("default", "t").unwrap().1.status.conditions.is_ready());
    }

    /// A read stops before what it cannot read, and fails at it; what was purged says where the log begins now.
    #[tokio::test]
    async fn reads_fail_and_what_is_stored_is_lost_when_a_test_says_so() {
        let client = MemoryClient::new();
        let broker = BrokerName::new("default", "a");
        for batch in 0..3_u64 {
            let event =
                |n: u64| Event::builder().id(&(2 * batch + n).to_string()).source("/s").ty("t").build().unwrap();
            client.append(&broker, &[event(0), event(1)], Hops::FULL).await.unwrap();
        }
        let bases = |read: Result<Vec<EventBatch>, ReadError>| read.map(|all| all.iter().map(|b| b.base.0).collect());
        client.fail_reads_at(Some(Offset(3)));
        assert_eq!(bases(client.read(GROUP, Offset(0), 1_000).await), Ok(vec![0]));
        assert!(matches!(client.read(GROUP, Offset(2), 1_000).await, Err(ReadError::Storage(_))));
        client.fail_reads_at(None);
        assert_eq!(bases(client.read(GROUP, Offset(0), 1_000).await), Ok(vec![0, 2, 4]));
        client.damage(Offset(3));
        let batch = client.read(GROUP, Offset(3), 1).await.unwrap().remove(0);
        let whole: Vec<_> = batch.records().map(|record| record.unwrap().1.event().is_ok()).collect();
        assert_eq!(whole, [true, false]);
        client.purge_below(Offset(3));
        assert_eq!(client.first(GROUP).await, Ok(Offset(2)), "only whole batches go");
        let purged = ReadError::Purged { wanted: Offset(1), first: Offset(2) };
        assert_eq!(bases(client.read(GROUP, Offset(1), 1_000).await), Err(purged));
        client.purge_below(Offset(9));
        assert_eq!(client.first(GROUP).await, Ok(Offset(4)), "the last one stays");
    }
}
