//! The in-process form of the client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::admission::{admit, uid_from_bits};
use pelton_client::{
    ApplyError, BrokerName, Client, ClusterChange, ClusterError, ClusterView, DeadLetter, EventBatch, GroupCursors,
    GroupId, Hops, NodeId, NodeReport, Offset, OperationError, Position, Progress, ReadError, Resources, Selection,
    Session, Start, TriggerId, Warning,
};
use pelton_event::Event;
use pelton_resource::{Kind, Resource, ResourceKey, Time};
use tokio::sync::watch;

use crate::ack::Append;
use crate::command::Change;
use crate::keys::key_of;
use crate::node::{DataGroup, Shared, offset_of_start};
use crate::registry::RegistryCommand;
use crate::retention::first_offset;

/// How long `apply` waits for its resources to become ready before it answers with what there is.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);

/// A handle to the broker in this process.
#[derive(Clone)]
pub struct LocalClient(pub(crate) Shared);

impl LocalClient {
    fn group(&self, group: GroupId) -> Result<&DataGroup, ReadError> {
        let found = self.0.groups.iter().find(|candidate| candidate.raft.id().0 == group.0);
        found.ok_or(ReadError::UnknownGroup(group))
    }

    /// The group of an event; one group takes all here.
    fn home(&self) -> &DataGroup {
        &self.0.groups[0]
    }

    async fn in_every_group(&self, change: &Change) -> Result<u64, OperationError> {
        let mut sum = 0;
        for group in &self.0.groups {
            sum += group.proposer.change(change).await?;
        }
        Ok(sum)
    }

    /// Commits a change to dead letters: one letter in its own group, all of them everywhere.
    async fn on_letters(&self, selection: Selection, change: Change) -> Result<u64, OperationError> {
        match selection {
            Selection::One(_, position) => {
                let group = self.group(position.group).map_err(|_| OperationError::UnknownGroup(position.group))?;
                group.proposer.change(&change).await
            }
            Selection::Trigger(_) | Selection::All => self.in_every_group(&change).await,
        }
    }

    fn read_error(&self, error: pelton_log::ReadError) -> ReadError {
        self.0.metrics.read_failed(&error);
        match error {
            pelton_log::ReadError::OffsetPurged { wanted, first } => {
                ReadError::Purged { wanted: Offset(wanted.0), first: Offset(first.0) }
            }
            other => ReadError::Storage(other.to_string()),
        }
    }

    /// Waits until the controller has seen `version`, or for a while.
    async fn settled(&self, version: u64) {
        let mut settled = self.0.controller.settled.subscribe();
        let seen = settled.wait_for(|settled| *settled >= version);
        // Too slow is no error: the resources are stored, and their status says what is missing.
        let _ = tokio::time::timeout(SETTLE_WITHIN, seen).await;
    }
}

impl Client for LocalClient {
    type Append = Append;

    fn append(&self, broker: &BrokerName, events: &[Event], hops: Hops) -> Append {
        let group = self.home();
        let Some(window) = self.0.registry.state.deduplication_window(broker) else {
            return group.proposer.append(broker, events, hops);
        };
        let from = self.0.clock.now().minus(window);
        let from = match self.0.log.offset_at_time(group.raft.id(), from) {
            Ok(offset) => Offset(offset.0),
            // Nothing says how old the keys are; they count until they are pruned.
            Err(_) => Offset(0),
        };
        let keyed: Vec<_> = events.iter().map(|e| (e.clone(), key_of(broker, e.source(), e.id()))).collect();
        group.proposer.append_unique(broker, &keyed, hops, from)
    }

    fn groups(&self) -> Vec<GroupId> {
        self.0.groups.iter().map(|group| GroupId(group.raft.id().0)).collect()
    }

    fn committed(&self, group: GroupId) -> Result<watch::Receiver<Offset>, ReadError> {
        Ok(self.group(group)?.state.watch_tail())
    }

    async fn read(&self, group: GroupId, from: Offset, max_bytes: usize) -> Result<Vec<EventBatch>, ReadError> {
        let data = self.group(group)?;
        let (log, id, tail) = (self.0.log.clone(), data.raft.id(), data.state.tail());
        if from >= tail {
            return Ok(Vec::new());
        }
        if log.is_cached(id, pelton_log::Offset(from.0)) {
            return read_batches(&log, id, from, tail, max_bytes).map_err(|error| self.read_error(error));
        }
        // The disk may take its time; the workers must not.
        let read = tokio::task::spawn_blocking(move || read_batches(&log, id, from, tail, max_bytes)).await;
        read.map_err(|error| ReadError::Storage(error.to_string()))?.map_err(|error| self.read_error(error))
    }

    async fn first(&self, group: GroupId) -> Result<Offset, ReadError> {
        Ok(first_offset(&self.0, self.group(group)?.raft.id()))
    }

    async fn cursors(&self, group: GroupId) -> Result<GroupCursors, ReadError> {
        Ok(self.group(group)?.state.with(|core| core.group.cursors()))
    }

    fn cursor_changes(&self, group: GroupId) -> Result<watch::Receiver<u64>, ReadError> {
        Ok(self.group(group)?.state.watch_changes())
    }

    fn served(&self) -> watch::Receiver<Arc<BTreeMap<GroupId, Session>>> {
        let session = |group: &DataGroup| Session { term: group.raft.status().term.0, grant: 1 };
        let served = self.0.groups.iter().map(|group| (GroupId(group.raft.id().0), session(group)));
        watch::Sender::new(Arc::new(served.collect())).subscribe()
    }

    async fn progress(&self, group: GroupId, _session: Session, progress: Progress) -> Result<(), OperationError> {
        let data = self.group(group).map_err(|_| OperationError::UnknownGroup(group))?;
        data.proposer.change(&Change::Progress(progress)).await.map(|_| ())
    }

    async fn rewind(&self, trigger: TriggerId, to: Start) -> Result<(), OperationError> {
        for group in &self.0.groups {
            let at = offset_of_start(&self.0, group, to)?;
            group.proposer.change(&Change::Rewind(trigger, at)).await?;
        }
        Ok(())
    }

    async fn dead_letters(
        &self,
        trigger: Option<TriggerId>,
        after: Option<(TriggerId, Position)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        let mut letters = Vec::new();
        for group in &self.0.groups {
            let id = GroupId(group.raft.id().0);
            letters.extend(group.state.with(|core| core.group.dead_letters(id, trigger, after, limit)));
        }
        letters.sort_by_key(|letter| (letter.trigger, letter.position));
        letters.truncate(limit);
        Ok(letters)
    }

    async fn redrive(&self, selection: Selection) -> Result<u64, OperationError> {
        self.on_letters(selection, Change::Redrive(selection)).await
    }

    async fn discard(&self, selection: Selection) -> Result<u64, OperationError> {
        self.on_letters(selection, Change::Discard(selection)).await
    }

    fn resources(&self) -> watch::Receiver<Arc<Resources>> {
        self.0.registry.state.watch()
    }

    async fn apply(&self, resources: Vec<Resource>) -> Result<Vec<Resource>, ApplyError> {
        let (keys, version) = {
            let _one_at_a_time = self.0.registry.writing.lock().await;
            let current = self.0.registry.state.current();
            let now = Time::from_unix_millis(self.0.clock.now().0);
            let chance = &self.0.chance;
            let admitted = admit(&current, resources, now, &mut || uid_from_bits(chance.bits(), chance.bits()))?;
            let keys: Vec<_> = admitted.iter().map(Resource::key).collect();
            let put = RegistryCommand::Put(admitted);
            (keys, self.0.registry.commit(&put).await.map_err(apply_error)?)
        };
        self.settled(version).await;
        let stored = self.0.registry.state.current();
        Ok(keys.iter().filter_map(|key| stored.find(key)).collect())
    }

    async fn delete(&self, key: ResourceKey) -> Result<(), ApplyError> {
        let version = {
            let _one_at_a_time = self.0.registry.writing.lock().await;
            if self.0.registry.state.current().find(&key).is_none() {
                let name = format!("{}/{}", key.namespace, key.name);
                return Err(ApplyError::NotFound { kind: key.kind.to_string(), name });
            }
            self.0.registry.commit(&RegistryCommand::Delete(key)).await.map_err(apply_error)?
        };
        self.settled(version).await;
        Ok(())
    }

    fn cluster(&self) -> watch::Receiver<Arc<ClusterView>> {
        watch::Sender::default().subscribe()
    }

    async fn report(&self, _node: NodeId) -> Option<NodeReport> {
        None
    }

    async fn change_cluster(&self, _change: ClusterChange) -> Result<(), ClusterError> {
        Err(ClusterError::Refused("this node is a cluster by itself".to_owned()))
    }

    async fn warn(&self, trigger: TriggerId, warning: Option<Warning>) -> Result<(), ApplyError> {
        let resources = self.0.registry.state.current();
        if !resources.triggers.contains_key(&trigger) {
            return Err(ApplyError::NotFound { kind: Kind::Trigger.to_string(), name: trigger.to_string() });
        }
        let mut warnings = self.0.controller.warnings.lock();
        let changed = match warning {
            Some(warning) => warnings.insert(trigger, warning.clone()) != Some(warning),
            None => warnings.remove(&trigger).is_some(),
        };
        if changed {
            self.0.controller.nudge.send_modify(|nudges| *nudges += 1);
        }
        Ok(())
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
        OperationError::UnknownTrigger
        | OperationError::UnknownDeadLetter
        | OperationError::UnknownGroup(_)
        | OperationError::SessionEnded
        | OperationError::NotLeader { .. }
        | OperationError::Unavailable => ApplyError::Unavailable,
    }
}
