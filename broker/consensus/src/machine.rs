//! openraft's state machine over ours: applies commands, remembers memberships, hands out snapshots at the watermark.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::Mutex;
use pelton_log::{LogIndex, Offset};
use tokio::sync::watch;

use crate::checkpoint::Checkpoint;
use crate::proposal::Discarded;
use crate::snapshot::SnapshotBytes;
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
    /// The offset after `applied`, while it is from a snapshot and the log has nothing that says it.
    next_offset: Option<Offset>,
    /// The last entry of the snapshot that was installed last: until the log is purged up to it, nothing else says it.
    installed: Option<LogId>,
    /// Snapshots of other replicas that were installed.
    installs: u64,
}

pub(crate) struct Machine<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    state: Arc<S>,
    log: GroupLog,
    place: Mutex<Place>,
    discarded: Arc<Discarded>,
    applied: watch::Sender<LogIndex>,
    /// Held from taking the state until it is stored: an older checkpoint must not come after a newer one, least of all
    /// after that of a snapshot, behind which the log is purged.
    storing: tokio::sync::Mutex<Storing>,
}

/// Whether checkpoints are still stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Storing {
    #[default]
    Open,
    /// The group has ended here, and its part of the log may be gone: a checkpoint would be all that is left of it.
    Ended,
}

impl Storing {
    fn must_be_open(self) -> io::Result<()> {
        match self {
            Self::Open => Ok(()),
            Self::Ended => Err(io::Error::other("the group has ended on this node")),
        }
    }
}

impl<S> Clone for Machine<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<S: StateMachine> Machine<S> {
    pub(crate) fn new(state: Arc<S>, log: GroupLog, discarded: Arc<Discarded>) -> Self {
        let applied = watch::Sender::new(LogIndex(0));
        Self {
            shared: Arc::new(Shared {
                state,
                log,
                place: Mutex::default(),
                discarded,
                applied,
                storing: Default::default(),
            }),
        }
    }

    /// The index of the last applied entry, and how it moves on.
    pub(crate) fn watch_applied(&self) -> watch::Receiver<LogIndex> {
        self.shared.applied.subscribe()
    }

    /// The index of the last applied entry, also in the middle of many that are applied at once.
    pub(crate) fn applied_index(&self) -> LogIndex {
        LogIndex(self.shared.place.lock().applied.map_or(0, |id| id.index))
    }

    /// The last applied entry.
    pub(crate) fn applied_id(&self) -> Option<LogId> {
        self.shared.place.lock().applied
    }

    /// Snapshots of other replicas that were installed since the group was opened.
    pub(crate) fn installs(&self) -> u64 {
        self.shared.place.lock().installs
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
        if let Some(applied) = checkpoint.applied {
            let index = LogIndex(applied.index);
            let known = self.shared.log.next_offset_after(index).map_err(|error| error.to_string())?;
            // Else the log was to be purged behind a snapshot when the node stopped, and is now.
            if known.is_none() {
                let next_offset = checkpoint.next_offset.ok_or("nothing says which offset comes after it")?;
                self.shared.log.installed(index, next_offset);
                (place.next_offset, place.installed) = (Some(next_offset), Some(applied));
            }
        }
        self.shared.applied.send_replace(LogIndex(checkpoint.applied.map_or(0, |id| id.index)));
        Ok(())
    }

    /// Stores the state as of now with its place, and the watermark in it; nothing when nothing was applied yet.
    pub(crate) async fn store_checkpoint(&self) -> io::Result<()> {
        let storing = self.shared.storing.lock().await;
        storing.must_be_open()?;
        let Some((applied, watermark, bytes)) = self.checkpoint()? else { return Ok(()) };
        self.shared.log.save_checkpoint(applied, bytes).await?;
        self.stored(watermark);
        Ok(())
    }

    /// The memberships that were committed, as far as they are remembered.
    pub(crate) fn memberships(&self) -> Vec<StoredMembership> {
        self.shared.place.lock().memberships.clone()
    }

    /// Takes the watermark of another replica's snapshot for this one's; `false` when that is no way on. It takes effect
    /// with the next checkpoint.
    pub(crate) fn adopt(&self, snapshot: SnapshotBytes) -> io::Result<bool> {
        // The lock that applying takes.
        let place = self.shared.place.lock();
        let is_ahead = place.applied.is_none_or(|applied| applied.index < snapshot.index.0);
        let is_known = place.stored.as_ref().is_some_and(|stored| stored.index >= snapshot.index);
        if is_ahead || is_known {
            return Ok(false);
        }
        let (index, next_offset) = (snapshot.index, snapshot.next_offset);
        let watermark = Watermark { index, state: snapshot.state };
        self.shared.state.adopt(&watermark).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        self.shared.log.installed(index, next_offset);
        Ok(true)
    }

    /// Stores no checkpoint any more, and returns when none is being stored.
    pub(crate) async fn end(&self) {
        *self.shared.storing.lock().await = Storing::Ended;
    }

    fn checkpoint(&self) -> io::Result<Option<(LogId, Option<Watermark>, Bytes)>> {
        // The lock that applying takes: state and place belong to the same entry.
        let place = self.shared.place.lock();
        let Some(applied) = place.applied else { return Ok(None) };
        let next_offset = match place.next_offset {
            Some(next_offset) => Some(next_offset),
            None => self.shared.log.next_offset_after(LogIndex(applied.index))?,
        };
        if next_offset.is_none() {
            return Err(io::Error::other("the log does not say where the checkpoint ends"));
        }
        // Never back: the log may be purged up to the one before.
        let named = self.shared.state.watermark(LogIndex(applied.index));
        let watermark = match (named, &place.stored) {
            (Some(named), Some(stored)) if named.index <= stored.index => Some(stored.clone()),
            (None, stored) => stored.clone(),
            (named, _) => named,
        };
        #[cfg(feature = "bugs")]
        let applied =
            LogId { index: applied.index + u64::from(pelton_env::bugs::Bug::CheckpointIndexAhead.is_on()), ..applied };
        let checkpoint = Checkpoint {
            applied: Some(applied),
            memberships: place.memberships.clone(),
            watermark: watermark.clone(),
            next_offset,
            state: self.shared.state.checkpoint(),
        };
        Ok(Some((applied, watermark, checkpoint.encode(self.shared.state.protocol()))))
    }

    /// A checkpoint with this watermark is durable: snapshots may go that far.
    fn stored(&self, watermark: Option<Watermark>) {
        let mut place = self.shared.place.lock();
        place.stored = watermark;
        // Memberships that were replaced before the watermark are history now.
        let Some(index) = place.stored.as_ref().map(|stored| stored.index.0) else { return };
        while place.memberships.get(1).is_some_and(|next| next.log_id().is_some_and(|id| id.index <= index)) {
            place.memberships.remove(0);
        }
    }

    /// The snapshot that another replica can start from, if there is one.
    pub(crate) fn snapshot(&self) -> io::Result<Option<Snapshot>> {
        let place = self.shared.place.lock();
        let Some(Watermark { index, state }) = &place.stored else { return Ok(None) };
        #[cfg(feature = "bugs")]
        let (index, state) = (
            &LogIndex(index.0 + u64::from(pelton_env::bugs::Bug::SnapshotIndexAhead.is_on())),
            &if pelton_env::bugs::Bug::SnapshotStateAhead.is_on() {
                self.shared.state.checkpoint()
            } else {
                state.clone()
            },
        );
        let installed = || place.installed.filter(|id| id.index == index.0);
        let Some(last_log_id) = self.shared.log.log_id(*index)?.or_else(installed) else { return Ok(None) };
        let in_force = |membership: &&StoredMembership| membership.log_id().is_none_or(|id| id.index <= index.0);
        let last_membership = place.memberships.iter().rev().find(in_force).cloned().unwrap_or_default();
        // The entry there is damaged, and says it again once it is mended.
        let Some(next_offset) = self.shared.log.next_offset_after(*index)? else { return Ok(None) };
        let snapshot = SnapshotBytes { index: *index, next_offset, state: state.clone() };
        let snapshot = snapshot.encode(self.shared.state.protocol());
        Ok(Some(Snapshot { meta: SnapshotMeta { last_log_id: Some(last_log_id), last_membership }, snapshot }))
    }

    fn apply_one(&self, entry: crate::types::RaftEntry) -> io::Result<()> {
        let log_id = entry.log_id;
        let applied = match &entry.payload {
            EntryPayload::Normal(proposal) => Some(self.shared.log.applied(&entry, proposal.command.clone())?),
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
        place.next_offset = None;
        drop(place);
        self.shared.discarded.applied(log_id);
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
        self.snapshot().ok().flatten().map(|_| self.clone())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    /// Takes over the state of another replica, and returns when a restart finds it: openraft purges the log behind the
    /// snapshot next, and then nothing else holds what was before it.
    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let snapshot = SnapshotBytes::decode(&snapshot).map_err(|error| invalid(error.to_string()))?;
        #[cfg(feature = "bugs")]
        let snapshot = if pelton_env::bugs::Bug::SnapshotOffsetLost.is_on() {
            SnapshotBytes { next_offset: Offset(0), ..snapshot }
        } else {
            snapshot
        };
        let Some(last) = meta.last_log_id.filter(|last| last.index == snapshot.index.0) else {
            return Err(invalid("the snapshot is of another index than it says".into()));
        };
        let storing = self.shared.storing.lock().await;
        storing.must_be_open()?;
        let checkpoint = {
            let mut place = self.shared.place.lock();
            self.shared.state.install(snapshot.index, &snapshot.state).map_err(invalid)?;
            // It is a snapshot that this replica can hand on, too.
            let watermark = Watermark { index: snapshot.index, state: snapshot.state };
            place.applied = Some(last);
            place.memberships = vec![meta.last_membership.clone()];
            place.stored = Some(watermark.clone());
            (place.next_offset, place.installed) = (Some(snapshot.next_offset), Some(last));
            place.installs += 1;
            Checkpoint {
                applied: Some(last),
                memberships: place.memberships.clone(),
                watermark: Some(watermark),
                next_offset: Some(snapshot.next_offset),
                state: self.shared.state.checkpoint(),
            }
        };
        self.shared.log.save_checkpoint(last, checkpoint.encode(self.shared.state.protocol())).await?;
        self.shared.log.installed(snapshot.index, snapshot.next_offset);
        self.shared.discarded.passed(last.index);
        self.shared.applied.send_replace(snapshot.index);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.snapshot()
    }
}

impl<S: StateMachine> RaftSnapshotBuilder<Types> for Machine<S> {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        // While another replica's is being installed, what it stands on is not durable yet.
        let _storing = self.shared.storing.lock().await;
        self.snapshot()?.ok_or_else(|| io::Error::other("the state machine names no retention watermark"))
    }
}
