//! This node as the other roles and the other nodes see it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::admission::{admit, uid_from_bits};
use pelton_client::objects::{Removal, removal};
use pelton_client::serving::{RevisionsTold, SCALES_WAIT, Scales};
use pelton_client::{
    AppendError, ApplyError, BrokerName, ClusterChange, ClusterError, ClusterView, DeadLetter, DispatchQuery,
    DispatchReport, EventBatch, GroupCursors, GroupId, Hops, NodeClient, NodeReport, Offset, OperationError, Position,
    ProducerKey, Progress, ReadError, Resources, Selection, Serving, Session, Start, TriggerId, Warning, Write,
};
use pelton_consensus::ReadIndexError;
use pelton_env::UnixMillis;
use pelton_event::Event;
use pelton_resource::{Kind, Resource, ResourceKey, Time};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ack::Append;
use crate::command::Change;
use crate::groups::DataGroup;
use crate::ids;
use crate::keys::key_of;
use crate::node::{Shared, offset_of_start};
use crate::registry::RegistryCommand;
use crate::retention::first_offset;
use crate::sessions::Caller;

/// How long `apply` waits for its resources to become ready before it answers with what there is.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);

/// How long a change of the resources waits for its turn: less than those who ask wait for their answer.
const TURN_WITHIN: Duration = Duration::from_secs(2);

/// A handle to the broker in this process.
#[derive(Clone)]
pub struct LocalNode {
    pub(crate) shared: Shared,
    pub(crate) caller: Caller,
}

impl LocalNode {
    fn group(&self, group: GroupId) -> Result<Arc<DataGroup>, ReadError> {
        self.shared.groups.find(group).ok_or_else(|| self.not_here(group))
    }

    /// The group, when this node leads it and may act as its leader.
    fn led(&self, group: GroupId) -> Result<Arc<DataGroup>, ReadError> {
        let found = self.group(group)?;
        found.must_serve()?;
        Ok(found)
    }

    /// A group that other nodes have, or nobody.
    fn not_here(&self, group: GroupId) -> ReadError {
        match self.shared.registry.state.current_cluster().groups.get(&group) {
            Some(record) => ReadError::NotLeader { leader: record.preferred.filter(|node| *node != self.shared.this) },
            None => ReadError::UnknownGroup(group),
        }
    }

    /// The group, when this node leads it and has applied all that was committed until now.
    async fn fresh(&self, group: GroupId) -> Result<Arc<DataGroup>, ReadError> {
        let found = self.group(group)?;
        match found.raft.read_index().await {
            Ok(_) => Ok(found),
            Err(ReadIndexError::NotLeader { leader }) => Err(ReadError::NotLeader { leader: leader.map(ids::node) }),
            Err(ReadIndexError::Unavailable | ReadIndexError::Ended { .. }) => Err(ReadError::Unavailable),
        }
    }

    /// The group, to be changed. The change itself says whether this node leads it.
    fn changed(&self, group: GroupId) -> Result<Arc<DataGroup>, OperationError> {
        self.group(group).map_err(|error| match error {
            ReadError::NotLeader { leader } => OperationError::NotLeader { leader },
            _ => OperationError::UnknownGroup(group),
        })
    }

    fn read_error(&self, error: pelton_log::ReadError) -> ReadError {
        self.shared.metrics.read_failed(&error);
        match error {
            pelton_log::ReadError::OffsetPurged { wanted, first } => {
                ReadError::Purged { wanted: Offset(wanted.0), first: Offset(first.0) }
            }
            other => ReadError::Storage(other.to_string()),
        }
    }

    /// Waits until the controller has seen `version`, or for a while.
    async fn settled(&self, version: u64) {
        let mut settled = self.shared.controller.settled.subscribe();
        let seen = settled.wait_for(|settled| *settled >= version);
        // Too slow is no error: the resources are stored, and their status says what is missing.
        let _ = tokio::time::timeout(SETTLE_WITHIN, seen).await;
    }

    /// Works a change of the resources out of what they are, and commits it; nobody else changes them meanwhile. Gives what
    /// was worked out besides, and the log index of the change; that of what there is when nothing is to be changed.
    ///
    /// It goes on when its caller does not wait for it any more: what is on its way must be applied before the next change
    /// is worked out.
    async fn change_registry<T: Send + 'static>(
        &self,
        work_out: impl FnOnce(&Resources, UnixMillis) -> Result<(Option<RegistryCommand>, T), ApplyError> + Send + 'static,
    ) -> Result<(T, u64), ApplyError> {
        let shared = self.shared.clone();
        let change = tokio::spawn(async move {
            let registry = &shared.registry;
            // Where many wait, nothing was done for this one yet: that is not the same as a change of which nobody knows.
            let turn = tokio::time::timeout(TURN_WITHIN, registry.writing.lock()).await;
            let Ok(_one_at_a_time) = turn else { return Err(ApplyError::Unavailable) };
            let term = registry.confirm().await.map_err(apply_error)?;
            let current = registry.state.current();
            let (command, also) = work_out(&current, shared.clock.now())?;
            let Some(command) = command else { return Ok((also, current.version)) };
            let index = registry.commit_in(term, &command).await.map_err(apply_error)?;
            Ok((also, index))
        });
        // Only a process that goes down ends it early.
        change.await.unwrap_or(Err(ApplyError::OutcomeUnknown))
    }

    /// Appends to a group that is open here.
    fn append_to(
        &self,
        group: &DataGroup,
        broker: &BrokerName,
        events: &[Event],
        hops: Hops,
        key: Option<ProducerKey>,
    ) -> Append {
        let Some(window) = self.shared.registry.state.deduplication_window(broker) else {
            return group.proposer.append(broker, events, hops, key);
        };
        let from = group.ages.lock().older_than(Instant::now(), window);
        let keyed: Vec<_> = events.iter().map(|e| (e.clone(), key_of(broker, e.source(), e.id()))).collect();
        group.proposer.append_unique(broker, &keyed, hops, from, key)
    }
}

impl NodeClient for LocalNode {
    type Append = Append;

    fn append(
        &self,
        group: GroupId,
        broker: &BrokerName,
        events: &[Event],
        hops: Hops,
        key: Option<ProducerKey>,
    ) -> Append {
        // A leader that does not know the Broker's deduplication window yet would write twice what is sent twice.
        if !self.shared.registry.was_current() {
            return Append::refused(AppendError::Unavailable);
        }
        let appended = self.shared.groups.with(group, |group| self.append_to(group, broker, events, hops, key));
        appended.unwrap_or_else(|| {
            Append::refused(match self.not_here(group) {
                ReadError::NotLeader { leader } => AppendError::NotLeader { leader },
                _ => AppendError::Unavailable,
            })
        })
    }

    fn committed(&self, group: GroupId) -> Result<watch::Receiver<Offset>, ReadError> {
        Ok(self.led(group)?.state.watch_tail())
    }

    async fn read(&self, group: GroupId, from: Offset, max_bytes: usize) -> Result<Vec<EventBatch>, ReadError> {
        let data = self.led(group)?;
        let (log, id, tail) = (self.shared.log.clone(), data.raft.id(), data.state.tail());
        if from >= tail {
            return Ok(Vec::new());
        }
        if log.is_cached(id, pelton_log::Offset(from.0)) {
            return read_batches(&log, id, from, tail, max_bytes).map_err(|error| self.read_error(error));
        }
        let blocking = self.shared.options.blocking;
        let read = blocking.run(move || read_batches(&log, id, from, tail, max_bytes)).await;
        read.map_err(|error| ReadError::Storage(error.to_string()))?.map_err(|error| self.read_error(error))
    }

    async fn first(&self, group: GroupId) -> Result<Offset, ReadError> {
        Ok(first_offset(&self.shared, self.led(group)?.raft.id()))
    }

    async fn cursors(&self, group: GroupId) -> Result<GroupCursors, ReadError> {
        Ok(self.fresh(group).await?.state.with(|core| core.group.cursors()))
    }

    fn cursor_changes(&self, group: GroupId) -> Result<watch::Receiver<u64>, ReadError> {
        Ok(self.led(group)?.state.watch_changes())
    }

    fn serve(&self, group: GroupId) -> Result<watch::Receiver<Serving>, ReadError> {
        let data = self.group(group)?;
        // One that leads and does not serve yet gives a seat, too: who has it begins at once when it does.
        if data.leader() != Some(self.shared.this) {
            data.must_serve()?;
        }
        Ok(data.sessions.serve(self.caller))
    }

    async fn progress(&self, group: GroupId, session: Session, progress: Progress) -> Result<(), OperationError> {
        let data = self.changed(group)?;
        let change = Change::Progress { term: session.term, progress };
        #[cfg(feature = "bugs")]
        if pelton_env::bugs::Bug::StaleProgressStored.is_on() {
            return data.proposer.change(&change).await.map(|_| ());
        }
        let hold = data.sessions.hold(session).map_err(|ended| {
            if data.raft.serves() { ended } else { OperationError::NotLeader { leader: data.leader() } }
        })?;
        data.proposer.change_holding(&change, Some(hold)).await.map(|_| ())
    }

    async fn rewind(&self, group: GroupId, trigger: TriggerId, to: Start) -> Result<(), OperationError> {
        let data = self.changed(group)?;
        let at = offset_of_start(&self.shared, &data, to)?;
        data.proposer.change(&Change::Rewind(trigger, at)).await.map(|_| ())
    }

    async fn dead_letters(
        &self,
        group: GroupId,
        trigger: Option<TriggerId>,
        after: Option<(TriggerId, Position)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        let data = self.fresh(group).await?;
        Ok(data.state.with(|core| core.group.dead_letters(group, trigger, after, limit)))
    }

    async fn redrive(&self, group: GroupId, selection: Selection) -> Result<u64, OperationError> {
        self.changed(group)?.proposer.change(&Change::Redrive(selection)).await
    }

    async fn discard(&self, group: GroupId, selection: Selection) -> Result<u64, OperationError> {
        self.changed(group)?.proposer.change(&Change::Discard(selection)).await
    }

    fn resources(&self) -> watch::Receiver<Arc<Resources>> {
        self.shared.registry.state.watch()
    }

    async fn apply(&self, resources: Vec<Resource>) -> Result<Vec<Resource>, ApplyError> {
        let chance = self.shared.chance.clone();
        let (keys, version) = self
            .change_registry(move |current, now| {
                let now = Time::from_unix_millis(now.0);
                let admitted = admit(current, resources, now, &mut || uid_from_bits(chance.bits(), chance.bits()))?;
                let keys: Vec<_> = admitted.iter().map(Resource::key).collect();
                Ok((Some(RegistryCommand::Put(admitted)), keys))
            })
            .await?;
        self.settled(version).await;
        let stored = self.shared.registry.state.current();
        Ok(keys.iter().filter_map(|key| stored.find(key)).collect())
    }

    async fn delete(&self, key: ResourceKey) -> Result<(), ApplyError> {
        let deleted = self.change_registry(move |current, now| {
            let Some(resource) = current.find(&key) else {
                let name = format!("{}/{}", key.namespace, key.name);
                return Err(ApplyError::NotFound { kind: key.kind.to_string(), name });
            };
            Ok(match removal(&resource, Time::from_unix_millis(now.0)) {
                Removal::Gone => (Some(RegistryCommand::Delete(key)), ()),
                Removal::Marked(marked) => (Some(RegistryCommand::Put(vec![*marked])), ()),
                Removal::Waits => (None, ()),
            })
        });
        let ((), version) = deleted.await?;
        self.settled(version).await;
        Ok(())
    }

    async fn write(&self, write: Write) -> Result<u64, ApplyError> {
        let written = self.change_registry(move |current, _now| {
            write.check(current)?;
            Ok(match write {
                Write::Create(resource) | Write::Replace { resource, .. } => {
                    (Some(RegistryCommand::Put(vec![*resource])), ())
                }
                Write::Delete { key, .. } => (Some(RegistryCommand::Delete(key)), ()),
            })
        });
        written.await.map(|((), index)| index)
    }

    async fn warn(&self, trigger: TriggerId, warning: Option<Warning>) -> Result<(), ApplyError> {
        if !self.shared.registry.raft.serves() {
            return Err(ApplyError::NotLeader { leader: self.shared.registry.leader() });
        }
        let term = self.shared.registry.raft.leadership().borrow().term;
        let resources = self.shared.registry.state.current();
        if !resources.triggers.contains_key(&trigger) {
            return Err(ApplyError::NotFound { kind: Kind::Trigger.to_string(), name: trigger.to_string() });
        }
        if self.shared.controller.warnings.lock().take(term, trigger, warning) {
            self.shared.controller.nudge();
        }
        Ok(())
    }

    async fn tell_revisions(&self, told: RevisionsTold) -> Result<(), ApplyError> {
        if !self.shared.registry.raft.serves() {
            return Err(ApplyError::NotLeader { leader: self.shared.registry.leader() });
        }
        if self.shared.controller.told.lock().take(told, self.shared.controller.age()) {
            self.shared.controller.nudge();
        }
        self.shared.controller.scaling.told.notify_one();
        Ok(())
    }

    async fn scales(&self, gateway: &str, seen: u64) -> Result<Scales, ApplyError> {
        let is_other =
            |all: &BTreeMap<String, Arc<Scales>>| all.get(gateway).map_or(seen != 0, |scales| scales.version != seen);
        let mut scales = self.shared.controller.scaling.scales.subscribe();
        let mut leadership = self.shared.registry.raft.leadership();
        tokio::select! {
            _ = scales.wait_for(is_other) => {}
            _ = leadership.wait_for(|leader| !leader.serves) => {}
            () = tokio::time::sleep(SCALES_WAIT) => {}
        }
        if !self.shared.registry.raft.serves() {
            return Err(ApplyError::NotLeader { leader: self.shared.registry.leader() });
        }
        let scales = scales.borrow().get(gateway).map(|scales| Scales::clone(scales));
        Ok(scales.unwrap_or_default())
    }

    fn cluster(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.shared.view.subscribe()
    }

    async fn report(&self) -> Option<NodeReport> {
        Some(crate::view::report(&self.shared))
    }

    async fn dispatch_report(&self, query: DispatchQuery) -> Option<DispatchReport> {
        self.shared.dispatch.get().map(|dispatch| dispatch.answer(&query))
    }

    async fn change_cluster(&self, change: ClusterChange) -> Result<(), ClusterError> {
        let Some(member) = &self.shared.member else {
            return Err(ClusterError::Refused("this node is a cluster by itself".to_owned()));
        };
        match self.shared.registry.confirm().await {
            Ok(_) => member.keeper.change(change).await,
            Err(OperationError::NotLeader { leader }) => Err(ClusterError::NotLeader { leader }),
            Err(_) => Err(ClusterError::Unavailable),
        }
    }
}

/// Batches of events from the one that holds `from` on, below `tail`.
fn read_batches(
    log: &pelton_log::Log,
    group: pelton_log::GroupId,
    from: Offset,
    tail: Offset,
    max_bytes: usize,
) -> Result<Vec<EventBatch>, pelton_log::ReadError> {
    let entries = log.read_from_offset(group, pelton_log::Offset(from.0), max_bytes as u64)?;
    let mut batches = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.event_count == 0 || entry.first_offset.0 >= tail.0 {
            continue;
        }
        let meta = log.entry_meta(group, entry.index)?;
        batches.push(EventBatch {
            group: GroupId(group.0),
            base: Offset(entry.first_offset.0),
            count: entry.event_count,
            sealed: meta.map(|meta| meta.appended_at).unwrap_or_default(),
            body: entry.body,
        });
    }
    Ok(batches)
}

fn apply_error(error: OperationError) -> ApplyError {
    match error {
        OperationError::OutcomeUnknown => ApplyError::OutcomeUnknown,
        OperationError::TooLarge => {
            let errors = "the resources are too large to be stored together: apply them in parts".to_owned();
            ApplyError::Invalid { kind: "List".to_owned(), name: "(all)".to_owned(), errors }
        }
        OperationError::NotLeader { leader } => ApplyError::NotLeader { leader },
        OperationError::UnknownTrigger
        | OperationError::UnknownDeadLetter
        | OperationError::UnknownGroup(_)
        | OperationError::SessionEnded
        | OperationError::Unavailable => ApplyError::Unavailable,
    }
}
