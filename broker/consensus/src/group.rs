//! One log group on this node.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, LinearizableReadError, RaftError};
use openraft::storage::RaftLogStorage;
use openraft::{EmptyNode, LinearizerOption, Raft};
use pelton_log::{GroupId, Log, LogIndex, Term};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admission::room_for;
use crate::care::Care;
use crate::heard::Heard;
use crate::leadership::{Watcher, is_alone, other_leader};
use crate::machine::Machine;
use crate::mend::{Mend, Unsound};
use crate::network::{Network, Quiet};
use crate::opening::{Begun, Opening};
use crate::peers::Replica;
use crate::proposal::{Discarded, Proposal, Ticket};
use crate::replica::{LocalReplica, NOBODY};
use crate::responder::AckResponder;
use crate::storage::GroupLog;
use crate::types::{LeaderId, Types, Vote};
use crate::{
    Command, GroupError, GroupOptions, Leadership, NodeId, Outcome, Peers, ProposeError, ReadIndexError, StateMachine,
};

/// How long a group with one voter may take to lead itself, without applying anything meanwhile, before opening it is a
/// failure.
pub(crate) const LEAD_WITHIN: Duration = Duration::from_secs(30);

/// A log group as this node runs it. Clones are handles of the same group.
pub struct Group<S: StateMachine>(pub(crate) Arc<Shared<S>>);

pub(crate) struct Shared<S: StateMachine> {
    id: GroupId,
    log: Log,
    mend: Mend,
    unsound: watch::Receiver<Unsound>,
    store: GroupLog,
    raft: Raft<Types, Machine<S>>,
    machine: Machine<S>,
    state: Arc<S>,
    discarded: Arc<Discarded>,
    peers: Peers,
    replica: Arc<dyn Replica>,
    watcher: Watcher<S>,
    leadership: watch::Receiver<Leadership>,
    heard: Arc<Heard>,
    votes_held_until: Option<Instant>,
    stands: AtomicBool,
    options: GroupOptions,
    /// Held while the members are changed: what a change is checked against must still hold when the core gets it.
    changing: tokio::sync::Mutex<()>,
}

impl<S: StateMachine> Clone for Group<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: StateMachine> Group<S> {
    /// Opens a group on this node: restores its state and takes part from then on, in whatever role. Does not wait for
    /// a leader. A group that holds nothing yet waits for [`initialize`](Self::initialize), or for the leader of a group
    /// that this node was added to.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn open(
        id: GroupId,
        log: Log,
        state: Arc<S>,
        options: &GroupOptions,
        peers: Peers,
    ) -> Result<Self, GroupError> {
        match Self::begin(id, log, state, options, peers).await? {
            Begun::Open(group) => Ok(group),
            Begun::Damaged(mending) => mending.mended().await,
        }
    }

    /// As [`open`](Self::open), and returns at once where the replica is damaged and first has to be repaired from the
    /// others.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn begin(
        id: GroupId,
        log: Log,
        state: Arc<S>,
        options: &GroupOptions,
        peers: Peers,
    ) -> Result<Begun<S>, GroupError> {
        #[cfg(feature = "bugs")]
        cut_to_commit(&log, id);
        Opening::new(id, log, state, options, peers)?.begin().await
    }

    /// Takes part.
    pub(crate) async fn start(opening: Opening<S>) -> Result<Self, GroupError> {
        let has_others = opening.nodes().iter().any(|node| *node != opening.options.node);
        let Opening { id, log, state, options, peers, discarded, store, machine, mend, .. } = opening;
        let options = &options;
        let view = log.group(id);
        store.started_at(machine.applied_index());
        store.set_mended(has_others);
        let unsound = mend.unsound();
        let mut config = options.config(id)?;
        // It may have voted before it stopped.
        let holds_nothing = view.vote.is_none() && view.last.is_none() && view.purged.is_none();
        let forgot = holds_nothing && options.at_least_term > Term(0);
        if forgot {
            let vote =
                Vote { leader_id: LeaderId { term: options.at_least_term.0, node_id: NOBODY }, committed: false };
            let saved = store.clone().save_vote(&vote).await;
            saved.map_err(|source| GroupError::Log { group: id, source })?;
        }
        let holds_vote = options.hold_votes && (!holds_nothing || forgot);
        config.enable_elect = !holds_vote && unsound.is_nothing();
        let quiet = Quiet::new();
        let hung_after = options.election_timeout.1;
        let network = Network {
            peers: peers.clone(),
            group: id,
            log: store.clone(),
            hung_after,
            quiet: quiet.clone(),
            tell_commits_at_once: options.tell_commits_at_once,
        };
        let raft = Raft::new(options.node.0, Arc::new(config), network, store.clone(), machine.clone())
            .await
            .map_err(|error| failed(id, error))?;
        let votes_held_until = hold_vote(id, &raft, holds_vote, options).await?;
        let heard = Arc::new(Heard::new());
        let local = LocalReplica {
            id,
            log: log.clone(),
            node: options.node,
            raft: raft.clone(),
            machine: machine.clone(),
            votes_held_until,
            heard: heard.clone(),
        };
        let replica: Arc<dyn Replica> = Arc::new(local);
        peers.open(id, replica.clone());
        let watcher = Watcher {
            node: options.node,
            metrics: raft.metrics(),
            machine: machine.clone(),
            election_timeout: options.election_timeout,
            look_again: options.heartbeat / 4,
        };
        let (told, leadership) = watch::channel(watcher.look().0);
        let watched = watcher.clone().run(raft.server_metrics(), told, quiet);
        let ended = discarded.clone();
        tokio::spawn(async move {
            watched.await;
            // The core is gone, so nothing is applied any more that would say what became of them. Those who wait may
            // hold the group themselves, and it would never be dropped.
            ended.passed(u64::MAX - 1);
        });
        let options = options.clone();
        let (unsound_told, unsound) = watch::channel(unsound);
        let look_every = 4 * options.heartbeat;
        let group = Self(Arc::new(Shared {
            id,
            log,
            mend,
            unsound,
            store,
            raft,
            machine,
            state,
            discarded,
            peers,
            replica,
            watcher,
            leadership,
            heard,
            votes_held_until,
            stands: AtomicBool::new(true),
            options,
            changing: tokio::sync::Mutex::default(),
        }));
        let (mend, store) = (group.0.mend.clone(), group.0.store.clone());
        let care =
            Care { group: Arc::downgrade(&group.0), mend, store, told: unsound_told, votes_held_until, look_every };
        tokio::spawn(care.run());
        Ok(group)
    }

    /// Opens a group whose only voter is this node, and waits until it leads and has re-applied what was committed.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn open_single(id: GroupId, log: Log, state: Arc<S>, options: &GroupOptions) -> Result<Self, GroupError> {
        let group = Self::open(id, log, state, options, Peers::none()).await?;
        group.initialize(&BTreeSet::from([options.node])).await?;
        if !group.0.raft.is_leader() {
            // Nobody else can vote, so there is no reason to wait for an election timeout.
            group.0.raft.trigger().elect(false).await.map_err(|error| failed(id, error))?;
        }
        group.lead().await?;
        Ok(group)
    }

    /// Makes `voters`, this node among them, the first voters of a group that holds nothing. No change when it holds
    /// anything, so it may be called at every start, and on several of the voters.
    ///
    /// # Errors
    /// [`GroupError::NotAVoter`], or the group has failed.
    pub async fn initialize(&self, voters: &BTreeSet<NodeId>) -> Result<(), GroupError> {
        let id = self.0.id;
        if self.0.raft.is_initialized().await.map_err(|error| failed(id, error))? {
            return Ok(());
        }
        let members: BTreeMap<u64, EmptyNode> = voters.iter().map(|node| (node.0, EmptyNode {})).collect();
        match self.0.raft.initialize(members).await {
            // A leader was quicker.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => {
                Err(GroupError::NotAVoter { group: id, node: self.0.options.node })
            }
            Err(RaftError::Fatal(error)) => Err(failed(id, error)),
        }
    }

    /// Waits until this node leads and has applied everything that was committed before it did. However long that is:
    /// it has failed only when nothing is applied any more.
    async fn lead(&self) -> Result<(), GroupError> {
        let node = *self.0.raft.node_id();
        let leads = |metrics: &openraft::RaftMetrics<Types>| {
            metrics.current_leader == Some(node) && metrics.last_applied.map(|id| id.index) == metrics.last_log_index
        };
        let wait = || async {
            self.0.raft.wait(Some(LEAD_WITHIN)).metrics(leads, "leads and has caught up").await.map(|_| ())
        };
        let led = while_moving(|| self.0.machine.applied_index(), wait).await;
        led.map_err(|_| GroupError::NoLeader { group: self.0.id })
    }

    /// This group.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.0.id
    }

    /// The state that its commands add up to.
    #[must_use]
    pub fn state(&self) -> &Arc<S> {
        &self.0.state
    }

    /// The log it stands in.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    pub(crate) fn raft(&self) -> &Raft<Types, Machine<S>> {
        &self.0.raft
    }

    pub(crate) fn machine(&self) -> &Machine<S> {
        &self.0.machine
    }

    pub(crate) fn mend(&self) -> &Mend {
        &self.0.mend
    }

    /// What is damaged here and not repaired yet, and how that changes.
    #[must_use]
    pub fn unsound(&self) -> watch::Receiver<Unsound> {
        self.0.unsound.clone()
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// How long ago a leader was heard, if one was since the group was opened.
    pub(crate) fn leader_heard(&self) -> Option<Duration> {
        self.0.heard.leader_heard()
    }

    pub(crate) fn changing(&self) -> &tokio::sync::Mutex<()> {
        &self.0.changing
    }

    /// Whether the node is fit to stand for election, as it was told last.
    pub(crate) fn stands(&self) -> &AtomicBool {
        &self.0.stands
    }

    pub(crate) fn votes_held_until(&self) -> Option<Instant> {
        self.0.votes_held_until
    }

    pub(crate) fn election_timeout(&self) -> (Duration, Duration) {
        self.0.options.election_timeout
    }

    pub(crate) fn elections_won(&self) -> u64 {
        self.0.store.elections_won()
    }

    pub(crate) fn snapshots_installed(&self) -> u64 {
        self.0.machine.installs()
    }

    /// Hands a command to the group. `outcome` is told what became of it, exactly once, and as late as it takes: a
    /// command in the log of a leader that no quorum hears waits until one does.
    pub async fn propose(&self, command: Command, outcome: Arc<dyn Outcome>) {
        self.propose_as(None, command, outcome).await;
    }

    /// As [`propose`](Self::propose), but only in the leadership of this node in `term`. In any other, also a later one
    /// of this node, it is refused as [`ProposeError::NotLeader`]: what it was decided from may not hold there.
    pub async fn propose_in(&self, term: Term, command: Command, outcome: Arc<dyn Outcome>) {
        let leader = LeaderId { term: term.0, node_id: self.0.options.node.0 };
        self.propose_as(Some(leader), command, outcome).await;
    }

    async fn propose_as(&self, leader: Option<LeaderId>, command: Command, outcome: Arc<dyn Outcome>) {
        // An append that the log refuses would end the group, so size and room are looked at first.
        let bytes = command.body.len() as u64;
        if bytes > self.0.log.max_record_bytes() {
            outcome.failed(ProposeError::TooLarge);
            return;
        }
        if !room_for(&self.0.log, command.space, bytes).await {
            outcome.failed(ProposeError::StorageFull);
            return;
        }
        let ticket = Arc::new(Ticket::default());
        #[cfg(feature = "bugs")]
        let outcome = acknowledged_early(outcome, &ticket);
        let responder = AckResponder::new(outcome, self.0.options.node, ticket.clone(), self.0.discarded.clone());
        let proposal = Proposal { command, ticket: Some(ticket) };
        let write = self.0.raft.write(proposal).responder(responder);
        // The core compares before it gives the proposal a place, so a wrong leader is exact: nothing was written.
        let write = if let Some(leader) = leader { write.with_leader(leader) } else { write };
        // On an error the core is gone; the responder was dropped with the message and has told its waiter.
        let _ = write.await;
    }

    /// An index that everything committed before this call is at or below, applied on this node: what is read from the
    /// state afterwards is not stale. Asks a quorum each time; a lease is never trusted for it.
    ///
    /// # Errors
    /// See [`ReadIndexError`].
    pub async fn read_index(&self) -> Result<LogIndex, ReadIndexError> {
        #[cfg(feature = "bugs")]
        if pelton_env::bugs::Bug::StaleRead.is_on() && self.0.raft.is_leader() {
            return Ok(self.0.machine.applied_index());
        }
        let within = self.election_timeout().0;
        let read = async {
            // No answer is fresh enough that was asked for before the read.
            let option = LinearizerOption::new(Some(Duration::ZERO), true).with_wait_timeout(within);
            let linearizer = self.0.raft.get_read_linearizer(option).await.map_err(|error| match error {
                RaftError::Fatal(error) => ReadIndexError::Ended { why: error.to_string() },
                RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                    ReadIndexError::NotLeader { leader: other_leader(forward.leader_id, self.0.options.node) }
                }
                RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => ReadIndexError::Unavailable,
            })?;
            let index = LogIndex(linearizer.read_log_id().index());
            let applied = linearizer.try_await_ready(&self.0.raft, Some(within)).await;
            match applied {
                Ok(Ok(_)) => Ok(index),
                Ok(Err(_)) => Err(ReadIndexError::Unavailable),
                Err(error) => Err(ReadIndexError::Ended { why: error.to_string() }),
            }
        };
        tokio::time::timeout(within, read).await.unwrap_or(Err(ReadIndexError::Unavailable))
    }

    /// Who leads, and whether this node may act as the leader, and how that changes.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.clone()
    }

    /// Whether this node may act as the leader now, by the clock: a leader that was paused for an election timeout sees
    /// at once that it may not, whatever [`leadership`](Self::leadership) still says.
    #[must_use]
    pub fn serves(&self) -> bool {
        // The watch knows, too, when the core is gone without a word.
        self.0.leadership.borrow().serves && self.0.watcher.look().0.serves
    }

    /// Whether this node is the only voter, so that nobody else is asked for a commit.
    #[must_use]
    pub fn is_only_voter(&self) -> bool {
        is_alone(&self.0.watcher.metrics.borrow_watched(), self.0.options.node)
    }

    /// Whether the state here has everything that was committed a moment ago: this node serves as the leader, or has
    /// applied all that a leader, which had committed an entry of its own term, has named within an election timeout.
    /// Never true of what was only read from the disk.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let named = self.0.heard.committed(self.0.options.election_timeout.1);
        self.serves() || named.is_some_and(|named| self.0.machine.applied_index() >= named)
    }

    /// For how long no leader has sent anything that this node followed, since it opened the group at most. A leader
    /// sends to all members, and to nobody else.
    #[must_use]
    pub fn unheard_for(&self) -> Duration {
        self.0.heard.silent_for()
    }

    /// Returns once the group has failed, with the reason. A group that fails never comes back by itself.
    pub async fn failed(&self) -> String {
        let mut metrics = self.0.raft.metrics();
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
        self.0.machine.watch_applied()
    }

    /// Stores the state as of now, so that a restart need not re-apply what came before. `false` while the disk is full:
    /// the reserve is for what was admitted, and for the checkpoint before a purge.
    ///
    /// # Errors
    /// [`GroupError::Log`].
    pub async fn checkpoint(&self) -> Result<bool, GroupError> {
        if self.0.log.is_full() {
            return Ok(false);
        }
        self.store_checkpoint().await.map(|()| true)
    }

    async fn store_checkpoint(&self) -> Result<(), GroupError> {
        let stored = self.0.machine.store_checkpoint().await;
        stored.map_err(|source: io::Error| GroupError::Log { group: self.0.id, source })
    }

    /// Stores a checkpoint, takes a snapshot at its watermark and purges the log up to there; on a leader, not what a
    /// follower is just being sent.
    ///
    /// # Errors
    /// The checkpoint could not be stored, or the group has failed.
    pub async fn purge_to_watermark(&self) -> Result<(), GroupError> {
        self.store_checkpoint().await?;
        self.0.raft.trigger().snapshot().await.map_err(|error| failed(self.0.id, error))
    }

    /// Stores a checkpoint, unless the disk is full, and ends the group on this node. Whatever still holds the group
    /// stores none afterwards.
    ///
    /// # Errors
    /// The checkpoint could not be stored; the group is ended all the same.
    pub async fn shutdown(&self) -> Result<(), GroupError> {
        self.0.peers.close(self.0.id, &self.0.replica);
        let stored = self.checkpoint().await;
        // A read that waits for a copy would hold up the end.
        self.0.store.set_mended(false);
        // A core that panicked has said so already, and there is nothing left to end.
        let _ = self.0.raft.shutdown().await;
        self.0.machine.end().await;
        stored.map(|_| ())
    }
}

#[cfg(feature = "bugs")]
fn cut_to_commit(log: &Log, group: GroupId) {
    let view = log.group(group);
    let kept = view.committed.max(view.checkpoint.map(|(index, _)| index)).max(view.purged.map(|(_, _, index)| index));
    if pelton_env::bugs::Bug::CutToCommitAtStart.is_on() && view.last.is_some_and(|(_, _, last)| Some(last) > kept) {
        log.truncate_after(group, kept, Box::new(|_| {}));
    }
}

/// Gives a proposal somebody else to tell, and tells the one who waits as soon as the entry has its place.
#[cfg(feature = "bugs")]
fn acknowledged_early(outcome: Arc<dyn Outcome>, ticket: &Arc<Ticket>) -> Arc<dyn Outcome> {
    struct Nobody;
    impl Outcome for Nobody {
        fn committed(&self, _: LogIndex) {}
        fn failed(&self, _: ProposeError) {}
    }
    if !pelton_env::bugs::Bug::AcknowledgedBeforeCommit.is_on() {
        return outcome;
    }
    let ticket = ticket.clone();
    tokio::spawn(async move {
        for _ in 0..1_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if let Some(place) = ticket.place() {
                return outcome.committed(LogIndex(place.index));
            }
        }
        outcome.failed(ProposeError::OutcomeUnknown);
    });
    Arc::new(Nobody)
}

fn failed(group: GroupId, error: impl std::fmt::Display) -> GroupError {
    GroupError::Failed { group, why: error.to_string() }
}

/// Holds the vote of a voter that has just started, unless it is the only one; says until when.
async fn hold_vote<S: StateMachine>(
    id: GroupId,
    raft: &Raft<Types, Machine<S>>,
    holds: bool,
    options: &GroupOptions,
) -> Result<Option<Instant>, GroupError> {
    if !holds {
        return Ok(None);
    }
    let until = Instant::now() + options.election_timeout.1;
    let node = options.node.0;
    // Asked of the core: what it publishes is empty until it has run.
    let is_alone = raft.with_raft_state(move |state| state.membership_state.effective().voter_ids().eq([node]));
    if is_alone.await.map_err(|error| failed(id, error))? {
        raft.runtime_config().elect(true);
        return Ok(None);
    }
    Ok(Some(until))
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
