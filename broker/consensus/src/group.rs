//! One log group on this node.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config, EmptyNode, Raft, SnapshotPolicy};
use pelton_log::{GroupId, Log, LogIndex, Room};
use tokio::sync::watch;

use crate::machine::Machine;
use crate::network::NoPeers;
use crate::responder::AckResponder;
use crate::storage::GroupLog;
use crate::types::Types;
use crate::{Command, NodeId, Outcome, ProposeError, Space, StateMachine};

/// How long a group with one voter may take to lead itself, without applying anything meanwhile, before opening it is a
/// failure.
const LEAD_WITHIN: Duration = Duration::from_secs(30);

/// How long a proposal waits before it looks again whether the next segment is prepared.
const PREPARING: Duration = Duration::from_millis(1);

/// What votes, elections and purging keep of the reserve when the disk is full; less where segments are small.
const RESERVE_LEFT_BYTES: u64 = 2 << 20;

/// How a group is run.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// This node.
    pub node: NodeId,
    /// Time between heartbeats of a leader.
    pub heartbeat: Duration,
    /// Shortest and longest time without a heartbeat before a follower stands for election.
    pub election_timeout: (Duration, Duration),
}

impl GroupOptions {
    /// Settings for `node` that suit few groups and real disks: heartbeats of 500 ms, elections after 2 to 3.5 s.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            heartbeat: Duration::from_millis(500),
            election_timeout: (Duration::from_secs(2), Duration::from_millis(3_500)),
        }
    }

    fn config(&self, group: GroupId) -> Result<Config, GroupError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let config = Config {
            cluster_name: format!("group-{}", group.0),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_timeout.0),
            election_timeout_max: millis(self.election_timeout.1),
            // Snapshots are asked for when the watermark has moved; see the crate's text.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: 0,
            // The default of 200 ms is shorter than a sync can take.
            install_snapshot_timeout: 60_000,
            // Entries are whole batches, so few make a request; bytes are capped by the reader.
            max_payload_entries: 64,
            ..Config::default()
        };
        config.validate().map_err(|error| GroupError::Config(error.to_string()))
    }
}

/// Why a group could not be opened, or ended.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The settings contradict each other.
    #[error("settings of the log group: {0}")]
    Config(String),
    /// The stored checkpoint cannot be used.
    #[error("checkpoint of log group {group} cannot be used: {why}", group = group.0)]
    Checkpoint {
        /// The group.
        group: GroupId,
        /// What is wrong with it.
        why: String,
    },
    /// The core stopped.
    #[error("log group {group} failed: {why}", group = group.0)]
    Failed {
        /// The group.
        group: GroupId,
        /// As the core says.
        why: String,
    },
    /// Nothing led the group in time.
    #[error("log group {group} has no leader, and applied nothing for {LEAD_WITHIN:?}", group = group.0)]
    NoLeader {
        /// The group.
        group: GroupId,
    },
    /// The log could not be written.
    #[error("log group {group}: the log could not be written", group = group.0)]
    Log {
        /// The group.
        group: GroupId,
        /// The cause.
        source: io::Error,
    },
}

/// What a group is doing on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupStatus {
    /// Whether this node leads it.
    pub is_leader: bool,
    /// The current term.
    pub term: u64,
    /// The last index in the log.
    pub last_index: Option<LogIndex>,
    /// The last applied index.
    pub applied_index: Option<LogIndex>,
}

/// A log group as this node runs it. Clones are handles of the same group.
pub struct Group<S: StateMachine> {
    id: GroupId,
    log: Log,
    raft: Raft<Types, Machine<S>>,
    machine: Machine<S>,
    state: Arc<S>,
}

impl<S: StateMachine> Clone for Group<S> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            log: self.log.clone(),
            raft: self.raft.clone(),
            machine: self.machine.clone(),
            state: self.state.clone(),
        }
    }
}

impl<S: StateMachine> Group<S> {
    /// Opens a group whose only voter is this node: restores its state, re-applies what came after, and leads it.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn open_single(id: GroupId, log: Log, state: Arc<S>, options: &GroupOptions) -> Result<Self, GroupError> {
        let failed = |why: String| GroupError::Failed { group: id, why };
        let machine = Machine::new(state.clone(), GroupLog::new(log.clone(), id));
        let view = log.group(id);
        if let Some((_, checkpoint)) = &view.checkpoint {
            machine.restore(checkpoint).map_err(|why| GroupError::Checkpoint { group: id, why })?;
        }
        let applied = *machine.watch_applied().borrow();
        if let Some((_, _, purged)) = view.purged.filter(|(_, _, purged)| *purged > applied) {
            let why = format!("it ends at index {}, and the log is purged up to {}", applied.0, purged.0);
            return Err(GroupError::Checkpoint { group: id, why });
        }
        // The log falls back on an older checkpoint when the newest is damaged, and cannot see what is in it.
        let watermark = machine.stored_watermark().unwrap_or(LogIndex(0));
        if let Some((_, _, purged)) = view.purged.filter(|(_, _, purged)| *purged > watermark) {
            let why = format!(
                "the newest one is damaged, and the log is purged up to index {}, beyond the watermark {} of the one \
                 before it: restore the data directory from a copy",
                purged.0, watermark.0
            );
            return Err(GroupError::Checkpoint { group: id, why });
        }
        let config = Arc::new(options.config(id)?);
        let store = GroupLog::new(log.clone(), id);
        let raft = Raft::new(options.node.0, config, NoPeers, store, machine.clone())
            .await
            .map_err(|error| failed(error.to_string()))?;
        let group = Self { id, log, raft, machine, state };
        if !group.raft.is_initialized().await.map_err(|error| failed(error.to_string()))? {
            let members = BTreeMap::from([(options.node.0, EmptyNode {})]);
            group.raft.initialize(members).await.map_err(|error| failed(error.to_string()))?;
        } else if !group.raft.is_leader() {
            // Nobody else can vote, so there is no reason to wait for an election timeout.
            group.raft.trigger().elect(false).await.map_err(|error| failed(error.to_string()))?;
        }
        group.lead().await?;
        Ok(group)
    }

    /// Waits until this node leads and has applied everything that was committed before it did. However long that is:
    /// it has failed only when nothing is applied any more.
    async fn lead(&self) -> Result<(), GroupError> {
        let node = *self.raft.node_id();
        let leads = |metrics: &openraft::RaftMetrics<Types>| {
            metrics.current_leader == Some(node) && metrics.last_applied.map(|id| id.index) == metrics.last_log_index
        };
        let wait =
            || async { self.raft.wait(Some(LEAD_WITHIN)).metrics(leads, "leads and has caught up").await.map(|_| ()) };
        let led = while_moving(|| self.machine.applied_index(), wait).await;
        led.map_err(|_| GroupError::NoLeader { group: self.id })
    }

    /// This group.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// The state that its commands add up to.
    #[must_use]
    pub fn state(&self) -> &Arc<S> {
        &self.state
    }

    /// The log it stands in.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Hands a command to the group. `outcome` is told what became of it, exactly once.
    pub async fn propose(&self, command: Command, outcome: Arc<dyn Outcome>) {
        // An append that the log refuses would end the group, so size and room are looked at first.
        let bytes = command.body.len() as u64;
        if bytes > self.log.max_record_bytes() {
            outcome.failed(ProposeError::TooLarge);
            return;
        }
        if !self.room_for(command.space, bytes).await {
            outcome.failed(ProposeError::StorageFull);
            return;
        }
        let responder = AckResponder::new(outcome);
        // On an error the core is gone; the responder was dropped with the message and has told its waiter.
        let _ = self.raft.client_write_ff(command, Some(responder)).await;
    }

    /// Waits while the disk prepares the next segment. `false` when it has no space for one.
    async fn room_for(&self, space: Space, bytes: u64) -> bool {
        loop {
            let room = match space {
                Space::Ordinary => self.log.room(bytes),
                // The checkpoints before a purge have to fit as well, or nothing ever makes room again.
                Space::Reserve => self.reserve(
                    bytes + self.checkpoint_bytes(),
                    RESERVE_LEFT_BYTES.min(self.log.segment_capacity_bytes() / 8),
                ),
                Space::Last => self.reserve(bytes, 0),
            };
            match room {
                Room::Now => return true,
                Room::Full => return false,
                // Rare: events come faster than the disk can be filled with zeros. Batches grow meanwhile.
                Room::Soon => tokio::time::sleep(PREPARING).await,
            }
        }
    }

    /// What the newest checkpoints of all groups take.
    fn checkpoint_bytes(&self) -> u64 {
        let groups = self.log.overview();
        groups.values().filter_map(|view| Some(view.checkpoint.as_ref()?.1.len() as u64)).sum()
    }

    fn reserve(&self, bytes: u64, left_bytes: u64) -> Room {
        // A log that failed has no room to wait for: the append itself brings its error.
        if self.log.has_reserve(bytes, left_bytes) || self.log.failure().is_some() {
            Room::Now
        } else if self.log.is_full() {
            Room::Full
        } else {
            Room::Soon
        }
    }

    /// Returns once the group has failed, with the reason. A group that fails never comes back by itself.
    pub async fn failed(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "its core is gone".to_owned();
            }
        }
    }

    /// The index of the last applied entry, and how it moves on.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<LogIndex> {
        self.machine.watch_applied()
    }

    /// Stores the state as of now, so that a restart need not re-apply what came before. `false` while the disk is full:
    /// the reserve is for what was admitted, and for the checkpoint before a purge.
    ///
    /// # Errors
    /// [`GroupError::Log`].
    pub async fn checkpoint(&self) -> Result<bool, GroupError> {
        if self.log.is_full() {
            return Ok(false);
        }
        self.store_checkpoint().await.map(|()| true)
    }

    async fn store_checkpoint(&self) -> Result<(), GroupError> {
        let Some((applied, watermark, bytes)) = self.machine.checkpoint() else { return Ok(()) };
        let (done, stored) = tokio::sync::oneshot::channel();
        let completion = Box::new(move |result: Result<(), Arc<io::Error>>| {
            // The receiver is gone only when the caller gave up.
            let _ = done.send(result);
        });
        let term = pelton_log::Term(applied.leader_id.term);
        self.log.save_checkpoint(self.id, LogIndex(applied.index), term, bytes, completion);
        match stored.await {
            Ok(Ok(())) => {
                self.machine.stored(watermark);
                Ok(())
            }
            Ok(Err(error)) => Err(GroupError::Log { group: self.id, source: io::Error::new(error.kind(), error) }),
            Err(_) => Err(GroupError::Log { group: self.id, source: io::Error::other("the log ended") }),
        }
    }

    /// Stores a checkpoint, takes a snapshot at its watermark and purges the log up to there.
    ///
    /// # Errors
    /// The checkpoint could not be stored, or the group has failed.
    pub async fn purge_to_watermark(&self) -> Result<(), GroupError> {
        self.store_checkpoint().await?;
        self.raft
            .trigger()
            .snapshot()
            .await
            .map_err(|error| GroupError::Failed { group: self.id, why: error.to_string() })
    }

    /// What the group is doing here.
    #[must_use]
    pub fn status(&self) -> GroupStatus {
        let metrics = self.raft.metrics().borrow_watched().clone();
        GroupStatus {
            is_leader: metrics.current_leader == Some(metrics.id),
            term: metrics.current_term,
            last_index: metrics.last_log_index.map(LogIndex),
            applied_index: metrics.last_applied.map(|id| LogIndex(id.index)),
        }
    }

    /// Stores a checkpoint, unless the disk is full, and ends the group on this node.
    ///
    /// # Errors
    /// The checkpoint could not be stored; the group is ended all the same.
    pub async fn shutdown(&self) -> Result<(), GroupError> {
        let stored = self.checkpoint().await;
        // A core that panicked has said so already, and there is nothing left to end.
        let _ = self.raft.shutdown().await;
        stored.map(|_| ())
    }
}

/// Tries again as long as `place` has changed since the last try.
async fn while_moving<T, E, F: Future<Output = Result<T, E>>>(
    place: impl Fn() -> LogIndex,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E> {
    loop {
        let before = place();
        match attempt().await {
            Err(_) if place() != before => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A replay of any length: each try runs out of time, and the last one finds nothing applied since.
    #[tokio::test]
    async fn a_wait_goes_on_while_something_is_applied_and_no_longer() {
        for (moves, succeeds_at, want) in [(3, 9, Err(4)), (9, 3, Ok(3)), (0, 9, Err(1)), (0, 1, Ok(1))] {
            let (place, tries) = (Cell::new(0), Cell::new(0));
            let outcome = while_moving(
                || LogIndex(place.get()),
                || async {
                    tries.set(tries.get() + 1);
                    place.set(place.get().max(tries.get().min(moves)));
                    if tries.get() == succeeds_at { Ok(tries.get()) } else { Err(tries.get()) }
                },
            );
            assert_eq!(outcome.await, want, "{moves} moves");
        }
    }
}
