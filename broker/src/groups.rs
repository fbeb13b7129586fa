//! The groups of events that are open on this node.

mod lead;
mod lifecycle;
mod members;
mod quorum;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pelton_client::{GroupId, NodeId, ReadError};
use pelton_consensus::{Group, MembershipError, Unsound};
use pelton_env::UnixMillis;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::ages::Ages;
use crate::event_state::EventState;
use crate::ids;
use crate::metrics::GroupMetrics;
use crate::proposer::{Gate, Proposer};
use crate::sessions::Sessions;

#[cfg(test)]
pub(crate) use lifecycle::close_left;
pub(crate) use lifecycle::{OpenAs, is_unheard, open_held, run as follow_cluster};
pub(crate) use members::{Wanted, heir, tend as tend_members};
pub(crate) use quorum::TooFew;

/// How long a dispatcher may take to finish before a hand-over. Attempts that take longer are made again by the next.
const FINISHED_WITHIN: Duration = Duration::from_millis(500);

/// A replica of a group that holds events.
pub(crate) struct DataGroup {
    pub(crate) raft: Group<EventState>,
    pub(crate) state: Arc<EventState>,
    pub(crate) proposer: Proposer,
    pub(crate) sessions: Sessions,
    pub(crate) metrics: GroupMetrics,
    /// How old what is applied is.
    pub(crate) ages: Mutex<Ages>,
    /// The version of the resources as of which every trigger has been started here, and the term of the leader that
    /// saw to it.
    pub(crate) started: watch::Sender<Started>,
    /// The voters that this node committed as leader of a term, or found committed.
    pub(crate) settled: Mutex<Option<(u64, BTreeSet<NodeId>)>>,
    /// Whether events come in here.
    pub(crate) serving: watch::Sender<bool>,
    /// Set while too few of the voters are reached for any of them to lead.
    pub(crate) too_few: watch::Sender<Option<TooFew>>,
    /// What leads the group when this node does, and what notices when it fails.
    tasks: Mutex<Vec<AbortHandle>>,
}

/// As of when the triggers are started in a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) term: u64,
    pub(crate) version: u64,
}

impl DataGroup {
    pub(crate) fn id(&self) -> GroupId {
        GroupId(self.raft.id().0)
    }

    /// This node leads in `term` and knows everything that was committed before: events come in, and a dispatcher may
    /// serve.
    pub(crate) fn serve(&self, term: u64) {
        self.serve_behind(Gate::Open { term }, term);
    }

    /// As [`serve`](Self::serve), but events are damaged on all replicas: none come in, and what can be read is
    /// delivered.
    pub(crate) fn serve_what_is_left(&self, term: u64) {
        self.serve_behind(Gate::Damaged, term);
    }

    fn serve_behind(&self, gate: Gate, term: u64) {
        self.proposer.set_gate(gate);
        self.sessions.set_term(Some(term));
        self.serving.send_replace(true);
    }

    /// It does not, or no longer. Whoever watches the group here sees the end.
    pub(crate) fn stop_serving(&self, leader: Option<NodeId>) {
        let too_few = *self.too_few.borrow();
        self.proposer.set_gate(too_few.map_or(Gate::NotLeader { leader }, Gate::NoQuorum));
        self.sessions.set_term(None);
        if self.serving.send_replace(false) {
            self.state.end_watching();
        }
    }

    /// Refuses what only the leader may answer, by the clock.
    pub(crate) fn must_serve(&self) -> Result<(), ReadError> {
        if self.raft.serves() {
            return Ok(());
        }
        Err(ReadError::NotLeader { leader: self.leader() })
    }

    /// Hands the group to another voter, once its dispatcher has stored what it did.
    pub(crate) async fn hand_over(&self, heir: NodeId) -> Result<(), MembershipError> {
        self.sessions.finish(FINISHED_WITHIN).await;
        let done = self.raft.transfer_leader(ids::raft_node(heir)).await;
        if done.is_err() {
            self.sessions.go_on();
        }
        done
    }

    /// Whether too few of the voters are reached, as was found just now.
    fn find_too_few(&self, found: Option<TooFew>) {
        self.too_few.send_if_modified(|known| std::mem::replace(known, found) != found);
    }

    /// Who leads, as far as this node knows. A leader that may not act as one is none.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let leadership = *self.raft.leadership().borrow();
        leadership.leader.map(ids::node)
    }

    fn keep_task(&self, task: AbortHandle) {
        self.tasks.lock().push(task);
    }

    /// Leads the group no more, and takes its end for no failure.
    pub(crate) fn stop_tasks(&self) {
        self.tasks.lock().drain(..).for_each(|task| task.abort());
    }
}

/// A replica that is not open before other replicas have repaired it.
pub(crate) struct Mended {
    pub(crate) unsound: watch::Receiver<Unsound>,
    task: AbortHandle,
}

/// A replica that ended with an error. It stays so until the node starts again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(crate) since: UnixMillis,
}

/// The groups of events that are open on this node, while they come and go.
#[derive(Default)]
pub(crate) struct Groups {
    open: ArcSwap<BTreeMap<GroupId, Arc<DataGroup>>>,
    failed: Mutex<BTreeMap<GroupId, Failure>>,
    mended: Mutex<BTreeMap<GroupId, Mended>>,
    changed: watch::Sender<u64>,
}

impl Groups {
    /// All that are open now.
    pub(crate) fn all(&self) -> Arc<BTreeMap<GroupId, Arc<DataGroup>>> {
        self.open.load_full()
    }

    /// Calls `with` with the group, if it is open: without counting a reference up and down for each append.
    pub(crate) fn with<T>(&self, group: GroupId, with: impl FnOnce(&DataGroup) -> T) -> Option<T> {
        self.open.load().get(&group).map(|group| with(group))
    }

    pub(crate) fn find(&self, group: GroupId) -> Option<Arc<DataGroup>> {
        self.open.load().get(&group).cloned()
    }

    pub(crate) fn failures(&self) -> BTreeMap<GroupId, Failure> {
        self.failed.lock().clone()
    }

    /// What is damaged in the replicas that wait for their repair before they are opened.
    pub(crate) fn unsound(&self) -> BTreeMap<GroupId, Unsound> {
        self.mended.lock().iter().map(|(group, mended)| (*group, mended.unsound.borrow().clone())).collect()
    }

    fn is_mended(&self, group: GroupId) -> bool {
        self.mended.lock().contains_key(&group)
    }

    fn mend(&self, group: GroupId, unsound: watch::Receiver<Unsound>, task: AbortHandle) {
        self.mended.lock().insert(group, Mended { unsound, task });
        self.nudge();
    }

    /// The repair is over, or given up.
    fn end_mending(&self, group: GroupId) {
        if let Some(mended) = self.mended.lock().remove(&group) {
            mended.task.abort();
        }
        self.nudge();
    }

    /// Gives up all repairs.
    pub(crate) fn end_all_mending(&self) {
        std::mem::take(&mut *self.mended.lock()).values().for_each(|mended| mended.task.abort());
    }

    /// Moves on when a group is opened or closed, or another leads it.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn nudge(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn insert(&self, group: Arc<DataGroup>) {
        self.change(|open| drop(open.insert(group.id(), group.clone())));
    }

    fn remove(&self, group: GroupId) -> Option<Arc<DataGroup>> {
        let found = self.find(group);
        self.change(|open| drop(open.remove(&group)));
        found
    }

    fn fail(&self, group: GroupId, failure: Failure) {
        self.failed.lock().entry(group).or_insert(failure);
        self.nudge();
    }

    fn has_failed(&self, group: GroupId) -> bool {
        self.failed.lock().contains_key(&group)
    }

    /// Forgets the failures of groups that have left: one that comes back begins anew.
    fn recover(&self, has_left: impl Fn(&GroupId) -> bool) {
        self.failed.lock().retain(|group, _| !has_left(group) || self.open.load().contains_key(group));
    }

    fn change(&self, change: impl Fn(&mut BTreeMap<GroupId, Arc<DataGroup>>)) {
        self.open.rcu(|open| {
            let mut next = BTreeMap::clone(open);
            change(&mut next);
            next
        });
        self.nudge();
    }
}
