//! openraft's state machine over ours: applies commands, remembers memberships, hands out snapshots at the watermark.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::Mutex;
use pelton_log::LogIndex;
use tokio::sync::watch;

use crate::checkpoint::Checkpoint;
use crate::storage::GroupLog;
use crate::types::{LogId, Snapshot, SnapshotMeta, StoredMembership, Types};
use crate::{StateMachine, Watermark};

/// What openraft asks a state machine to remember, beside the state itself.
#[derive(Debug, Default)]
struct Place {
    applied: Option<LogId>,
    /// Committed memberships, oldest first. Never empty once one was applied: a snapshot needs the one in force there.
    memberships: Vec<StoredMembership>,
    /// The watermark of the last checkpoint that is durable. A snapshot is never above it: what is purged behind a
    /// snapshot must be in a checkpoint that a restart finds.
    stored: Option<Watermark>,
}

pub(crate) struct Machine<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    state: Arc<S>,
    log: GroupLog,
    place: Mutex<Place>,
    applied: watch::Sender<LogIndex>,
}

impl<S> Clone for Machine<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<S: StateMachine> Machine<S> {
    pub(crate) fn new(state: Arc<S>, log: GroupLog) -> Self {
        let shared = Shared { state, log, place: Mutex::default(), applied: watch::Sender::new(LogIndex(0)) };
        Self { shared: Arc::new(shared) }
    }

    /// The index of the last applied entry, and how it moves on.
    pub(crate) fn watch_applied(&self) -> watch::Receiver<LogIndex> {
        self.shared.applied.subscribe()
    }

    /// The index of the last applied entry, also in the middle of many that are applied at once.
    pub(crate) fn applied_index(&self) -> LogIndex {
        LogIndex(self.shared.place.lock().applied.map_or(0, |id| id.index))
    }

    /// How far the durable checkpoint lets snapshots go.
    pub(crate) fn stored_watermark(&self) -> Option<LogIndex> {
        self.shared.place.lock().stored.as_ref().map(|stored| stored.index)
    }

    /// Starts from a stored checkpoint.
    pub(crate) fn restore(&self, checkpoint: &Bytes) -> Result<(), String> {
        let checkpoint = Checkpoint::decode(checkpoint).map_err(|error| error.to_string())?;
        self.shared.state.restore(&checkpoint.state, checkpoint.watermark.as_ref())?;
        let mut place = self.shared.place.lock();
        place.applied = checkpoint.applied;
        place.memberships = checkpoint.memberships;
        place.stored = checkpoint.watermark;
        self.shared.applied.send_replace(LogIndex(checkpoint.applied.map_or(0, |id| id.index)));
        Ok(())
    }

    /// The state as of now with its place, and the watermark in it; `None` when nothing was applied yet.
    pub(crate) fn checkpoint(&self) -> Option<(LogId, Option<Watermark>, Bytes)> {
        // The lock that applying takes: state and place belong to the same entry.
        let place = self.shared.place.lock();
        let applied = place.applied?;
        let watermark = self.shared.state.watermark(LogIndex(applied.index));
        let checkpoint = Checkpoint {
            applied: Some(applied),
            memberships: place.memberships.clone(),
            watermark: watermark.clone(),
            state: self.shared.state.checkpoint(),
        };
        Some((applied, watermark, checkpoint.encode()))
    }

    /// A checkpoint with this watermark is durable: snapshots may go that far.
    pub(crate) fn stored(&self, watermark: Option<Watermark>) {
        let mut place = self.shared.place.lock();
        place.stored = watermark;
        // Memberships that were replaced before the watermark are history now.
        let Some(index) = place.stored.as_ref().map(|stored| stored.index.0) else { return };
        while place.memberships.get(1).is_some_and(|next| next.log_id().is_some_and(|id| id.index <= index)) {
            place.memberships.remove(0);
        }
    }

    fn snapshot(&self) -> io::Result<Option<Snapshot>> {
        let place = self.shared.place.lock();
        let Some(Watermark { index, state }) = &place.stored else { return Ok(None) };
        let Some(last_log_id) = self.shared.log.log_id(*index)? else { return Ok(None) };
        let in_force = |membership: &&StoredMembership| membership.log_id().is_none_or(|id| id.index <= index.0);
        let last_membership = place.memberships.iter().rev().find(in_force).cloned().unwrap_or_default();
        let mut out = BytesMut::with_capacity(state.len() + 8);
        out.put_u64_le(index.0);
        out.put_slice(state);
        let meta = SnapshotMeta { last_log_id: Some(last_log_id), last_membership };
        Ok(Some(Snapshot { meta, snapshot: out.freeze() }))
    }

    fn apply_one(&self, entry: crate::types::RaftEntry) -> io::Result<()> {
        let log_id = entry.log_id;
        let applied = match &entry.payload {
            EntryPayload::Normal(command) => Some(self.shared.log.applied(&entry, command.clone())?),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        };
        // One lock over both, so that a checkpoint never shows a state without its place.
        let mut place = self.shared.place.lock();
        if let Some(applied) = applied {
            self.shared.state.apply(applied);
        }
        if let EntryPayload::Membership(membership) = entry.payload {
            place.memberships.push(StoredMembership::new(Some(log_id), membership));
        }
        place.applied = Some(log_id);
        Ok(())
    }
}

impl<S: StateMachine> RaftStateMachine<Types> for Machine<S> {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let place = self.shared.place.lock();
        Ok((place.applied, place.memberships.last().cloned().unwrap_or_default()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut last = None;
        while let Some((entry, responder)) = entries.try_next().await? {
            last = Some(LogIndex(entry.log_id.index));
            self.apply_one(entry)?;
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        if let Some(last) = last {
            self.shared.applied.send_replace(last);
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Self> {
        self.shared.place.lock().stored.as_ref().map(|_| self.clone())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, mut snapshot: Bytes) -> Result<(), io::Error> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let index = snapshot.try_get_u64_le().map_err(|_| invalid("snapshot is cut short".into()))?;
        let mut place = self.shared.place.lock();
        self.shared.state.install(LogIndex(index), &snapshot).map_err(invalid)?;
        place.applied = meta.last_log_id;
        place.memberships = vec![meta.last_membership.clone()];
        place.stored = None;
        self.shared.applied.send_replace(LogIndex(index));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.snapshot()
    }
}

impl<S: StateMachine> RaftSnapshotBuilder<Types> for Machine<S> {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        self.snapshot()?.ok_or_else(|| io::Error::other("the state machine names no retention watermark"))
    }
}
