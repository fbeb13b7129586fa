//! Opens a replica whose log may be damaged.
//!
//! openraft reads every entry behind the applied state when it starts, and takes what it cannot read for the end of the
//! group. So a replica with damage there is not opened before other replicas have repaired it; the group goes on without
//! it meanwhile, and it still gives others what they ask for (`fetch`). Neither could it do anything before: it cannot
//! apply, must not lead, and its vote, for which its claim to the damaged entries counts, could only go to a replica that
//! has them, from which it gets them as well.
//!
//! Nothing is dropped but what is proved to be uncommitted ([`is_uncommitted`]). What others have purged, or a lost
//! checkpoint, is gone beyond with another replica's snapshot; vote and log stay, so that nothing is promised twice.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::EntryPayload;
use openraft::storage::{RaftLogStorage, RaftStateMachine};
use pelton_log::{GroupId, GroupView, Log, LogIndex, ReadError, Term};
use pelton_proto::consensus::v1::fetch_response::Lack;
use tokio::sync::watch;

use crate::admission::room_for;
use crate::machine::Machine;
use crate::mend::{Mend, is_uncommitted};
use crate::proposal::Discarded;
use crate::storage::{GroupLog, READ_BYTES, completed};
use crate::types::LogId;
use crate::{Group, GroupError, GroupOptions, NodeId, Peers, Space, StateMachine, Unsound, codec, entry, fetch};

/// How long one waits before the others are asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A replica that is being opened.
pub enum Begun<S: StateMachine> {
    /// It is open.
    Open(Group<S>),
    /// It is damaged where it has to be read, and waits for other replicas.
    Damaged(Box<Mending<S>>),
}

/// A damaged replica that is not open yet.
pub struct Mending<S: StateMachine> {
    opening: Opening<S>,
    told: watch::Sender<Unsound>,
}

impl<S: StateMachine> fmt::Debug for Mending<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mending").field("group", &self.opening.id).finish_non_exhaustive()
    }
}

/// The parts of a replica before it takes part.
pub(crate) struct Opening<S: StateMachine> {
    pub(crate) id: GroupId,
    pub(crate) log: Log,
    pub(crate) state: Arc<S>,
    pub(crate) options: GroupOptions,
    pub(crate) peers: Peers,
    pub(crate) discarded: Arc<Discarded>,
    pub(crate) store: GroupLog,
    pub(crate) machine: Machine<S>,
    pub(crate) mend: Mend,
    /// Why the log cannot go on from the checkpoint that is there.
    checkpoint_lost: Option<String>,
}

impl<S: StateMachine> Opening<S> {
    pub(crate) fn new(
        id: GroupId,
        log: Log,
        state: Arc<S>,
        options: &GroupOptions,
        peers: Peers,
    ) -> Result<Self, GroupError> {
        peers.answer_from(&log);
        let discarded = Arc::new(Discarded::default());
        let store = GroupLog::new(log.clone(), id, options.node);
        let machine = Machine::new(state.clone(), store.clone(), discarded.clone());
        let mend = Mend { log: log.clone(), group: id, node: options.node, peers: peers.clone() };
        let view = log.group(id);
        if let Some((_, checkpoint)) = &view.checkpoint {
            machine.restore(checkpoint).map_err(|why| GroupError::Checkpoint { group: id, why })?;
        }
        let checkpoint_lost = falls_short(&view, &machine);
        let options = options.clone();
        Ok(Self { id, log, state, options, peers, discarded, store, machine, mend, checkpoint_lost })
    }

    /// The nodes that may have a replica.
    pub(crate) fn nodes(&self) -> BTreeSet<NodeId> {
        let mut nodes = self.options.replicas.clone();
        let memberships = self.machine.memberships();
        nodes.extend(memberships.iter().flat_map(|stored| stored.membership().nodes().map(|(node, _)| NodeId(*node))));
        let view = self.log.group(self.id);
        let last = view.last.map_or(0, |(_, _, index)| index.0);
        for index in self.unapplied_from(&view).0..=last {
            let meta = self.log.entry_meta(self.id, LogIndex(index)).ok().flatten();
            if meta.is_none_or(|meta| !entry::is_membership(meta.kind)) {
                continue;
            }
            let read = self.log.read(self.id, LogIndex(index), LogIndex(index + 1), 1).unwrap_or_default();
            for found in read {
                if let Ok(EntryPayload::Membership(membership)) =
                    entry::payload(u32::from(found.kind), found.event_count, found.body)
                {
                    nodes.extend(membership.nodes().map(|(node, _)| NodeId(*node)));
                }
            }
        }
        nodes
    }

    fn unapplied_from(&self, view: &GroupView) -> LogIndex {
        let after = self.machine.applied_id().map_or(0, |applied| applied.index + 1);
        LogIndex(after.max(view.first.map_or(0, |first| first.0)))
    }

    /// Reads what openraft will read, so that damage is known before.
    fn read_ahead(&self) {
        let view = self.log.group(self.id);
        let Some((_, _, last)) = view.last else { return };
        let mut from = self.unapplied_from(&view);
        while from <= last {
            match self.log.read(self.id, from, LogIndex(last.0 + 1), READ_BYTES) {
                Ok(entries) => from = entries.last().map_or(LogIndex(last.0 + 1), |entry| LogIndex(entry.index.0 + 1)),
                Err(ReadError::Damaged(_)) => from = LogIndex(from.0 + 1),
                // openraft comes upon it as well, and says so.
                Err(_) => return,
            }
        }
    }

    /// Damaged entries without which the replica cannot be opened: not applied, or needed to say where the applied state
    /// or the snapshot ends, or without a term.
    fn missing(&self) -> Vec<LogIndex> {
        let applied = self.machine.applied_id();
        let watermark = self.machine.stored_watermark();
        let is_needed = |index: &LogIndex| {
            applied.is_none_or(|applied| index.0 >= applied.index)
                || watermark == Some(*index)
                || self.log.entry_meta(self.id, *index).is_err()
        };
        let mut missing = self.mend.faulty();
        missing.retain(is_needed);
        missing
    }

    /// What has to be repaired first; `None` when the replica can be opened.
    fn look(&self) -> Result<Option<Unsound>, GroupError> {
        if let Some(why) = &self.checkpoint_lost {
            if self.is_alone() {
                return Err(GroupError::Checkpoint { group: self.id, why: why.clone() });
            }
            return Ok(Some(Unsound { needs_snapshot: true, ..self.mend.unsound() }));
        }
        self.read_ahead();
        let unsound = self.mend.unsound();
        if !unsound.is_nothing() && self.is_alone() {
            return Err(GroupError::Damaged { group: self.id, what: unsound });
        }
        Ok((!self.missing().is_empty()).then_some(unsound))
    }

    /// Whether nobody else can have what is damaged here. Unlike [`Survivor::is_alone`](crate::Survivor::is_alone), which
    /// asks who the members are now, a node counts that was one in any membership: it may still have a copy.
    fn is_alone(&self) -> bool {
        self.nodes().iter().all(|node| *node == self.options.node)
    }

    /// Opens the replica, or says what is damaged.
    pub(crate) async fn begin(self) -> Result<Begun<S>, GroupError> {
        match self.look()? {
            None => Ok(Begun::Open(Group::start(self).await?)),
            Some(unsound) => {
                tracing::warn!(group = self.id.0, %unsound, "a replica is damaged; it is repaired from the others");
                Ok(Begun::Damaged(Box::new(Mending { opening: self, told: watch::Sender::new(unsound) })))
            }
        }
    }

    /// The last term that this replica took part in.
    fn own_term(&self) -> Result<Term, GroupError> {
        let view = self.log.group(self.id);
        let vote = view.vote.map(|vote| codec::decode_vote(&vote)).transpose();
        let vote = vote.map_err(|error| self.failed(error))?;
        let voted = vote.map_or(Term(0), |vote| Term(vote.leader_id.term));
        Ok(view.last.map_or(voted, |(term, _, _)| term.max(voted)))
    }

    fn failed(&self, error: impl fmt::Display) -> GroupError {
        GroupError::Failed { group: self.id, why: error.to_string() }
    }

    fn log_failed(&self, source: io::Error) -> GroupError {
        GroupError::Log { group: self.id, source }
    }

    /// Goes on from another replica's snapshot, at `at_least` or behind it. `false` when there is none.
    async fn take_snapshot(&mut self, nodes: &BTreeSet<NodeId>, at_least: LogIndex) -> Result<bool, GroupError> {
        let Some((snapshot, bytes)) = self.mend.snapshot(nodes, at_least).await else { return Ok(false) };
        let Some(last) = snapshot.meta.last_log_id else { return Ok(false) };
        let is_other_history = match self.log.entry_meta(self.id, bytes.index) {
            Ok(meta) => {
                meta.is_some_and(|meta| (meta.term.0, meta.leader) != (last.leader_id.term, last.leader_id.node_id))
            }
            Err(ReadError::Purged { .. }) => false,
            // It may be what the snapshot ends with, and then what comes after it may be committed.
            Err(_) => return Ok(false),
        };
        if !room_for(&self.log, Space::Last, 2 * snapshot.snapshot.len() as u64).await {
            return Ok(false);
        }
        tracing::info!(group = self.id.0, index = bytes.index.0, "a damaged replica goes on from another's snapshot");
        // Its checkpoint is durable when this returns; a start goes on from there.
        let installed = self.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await;
        installed.map_err(|source| self.log_failed(source))?;
        if is_other_history {
            // The snapshot is of what is committed, so nothing that contradicts it is.
            let cut = completed(|done| self.log.truncate_after(self.id, None, done)).await;
            cut.map_err(|source| self.log_failed(source))?;
        }
        self.purge(last).await?;
        self.checkpoint_lost = None;
        Ok(true)
    }

    async fn purge(&mut self, last: LogId) -> Result<(), GroupError> {
        let purged = self.store.purge(last).await;
        purged.map_err(|source| self.log_failed(source))
    }

    /// Drops the entries from `index` on, which are proved to be uncommitted.
    async fn drop_from(&self, index: LogIndex) -> Result<(), GroupError> {
        tracing::info!(group = self.id.0, index = index.0, "damaged entries are dropped: they were never committed");
        let kept = index.0.checked_sub(1).map(LogIndex);
        let cut = completed(|done| self.log.truncate_after(self.id, kept, done)).await;
        cut.map_err(|source| self.log_failed(source))
    }
}

/// Why the log cannot go on from the restored state, if that is so.
fn falls_short<S: StateMachine>(view: &GroupView, machine: &Machine<S>) -> Option<String> {
    let (_, _, purged) = view.purged?;
    let applied = machine.applied_index();
    if purged > applied {
        return Some(format!("it ends at index {}, and the log is purged up to {}", applied.0, purged.0));
    }
    // The log falls back on an older checkpoint when the newest is damaged, and cannot see what is in it.
    let watermark = machine.stored_watermark().unwrap_or(LogIndex(0));
    (purged > watermark).then(|| {
        format!(
            "the newest one is damaged, and the log is purged up to index {}, beyond the watermark {} of the one \
             before it: restore the data directory from a copy",
            purged.0, watermark.0
        )
    })
}

impl<S: StateMachine> Mending<S> {
    /// The group.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.opening.id
    }

    /// What is damaged, and how that changes.
    #[must_use]
    pub fn unsound(&self) -> watch::Receiver<Unsound> {
        self.told.subscribe()
    }

    /// Repairs the replica from the others, however long it takes until they have answered, and opens it.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn mended(mut self) -> Result<Group<S>, GroupError> {
        loop {
            let Some(unsound) = self.opening.look()? else {
                tracing::info!(group = self.opening.id.0, "a damaged replica is repaired as far as it has to be read");
                return Group::start(self.opening).await;
            };
            let is_everywhere = self.told.borrow().is_everywhere;
            self.told.send_replace(Unsound { is_everywhere, ..unsound });
            if !self.step().await? {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }

    /// Comes a step further; `false` when something has to be waited for.
    async fn step(&mut self) -> Result<bool, GroupError> {
        let opening = &mut self.opening;
        let nodes = opening.nodes();
        if opening.checkpoint_lost.is_some() {
            let purged = opening.log.group(opening.id).purged.map_or(LogIndex(0), |(_, _, index)| index);
            return opening.take_snapshot(&nodes, purged).await;
        }
        let wanted = opening.missing();
        let answers = opening.mend.round(&nodes, &wanted).await;
        let left = opening.missing();
        if left.len() < wanted.len() {
            return Ok(true);
        }
        let Some(first) = left.first().copied() else { return Ok(true) };
        if answers.values().any(|peer| peer.lacks.get(&first) == Some(&Lack::Purged)) {
            return opening.take_snapshot(&nodes, first).await;
        }
        let is_applied = opening.machine.applied_id().is_some_and(|applied| first.0 <= applied.index);
        if let Some(known) = fetch::known_from(&opening.log, opening.id, first)
            && !is_applied
            && is_uncommitted(first, known.index, opening.own_term()?, &answers)
        {
            opening.drop_from(first).await?;
            return Ok(true);
        }
        let others = nodes.iter().filter(|node| **node != opening.options.node);
        let lacks = |node: &NodeId| answers.get(node).is_some_and(|peer| peer.lacks.contains_key(&first));
        let is_everywhere = others.clone().count() > 0 && others.clone().all(lacks);
        self.told.send_if_modified(|told| std::mem::replace(&mut told.is_everywhere, is_everywhere) != is_everywhere);
        Ok(false)
    }
}
