//! Opens the groups that the registry lists for this node, and closes those that it no longer does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::GroupId;
use pelton_consensus::{Begun, Group, GroupError, GroupOptions, Mending};
use pelton_log::{GroupView, Term};
use tokio::sync::watch;

use super::{DataGroup, Failure, Started};
use crate::cluster::{ClusterState, GroupRecord};
use crate::event_state::EventState;
use crate::ids;
use crate::metrics::GroupMetrics;
use crate::node::{Shared, replica_ended};
use crate::proposer::Proposer;
use crate::sessions::Sessions;

/// How long after it was too early to begin a group it is looked at again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How a replica is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenAs {
    /// The only one there is: it leads when it is open.
    Only,
    /// One of several: whoever leads will be known later.
    One,
}

/// Follows the registry until the node goes down.
pub(crate) async fn run(shared: Shared) {
    let mut cluster = shared.registry.state.cluster();
    let mut leadership = shared.registry.raft.leadership();
    loop {
        leadership.borrow_and_update();
        // Looked at before the state, which then has all of it.
        let is_current = shared.registry.raft.is_current();
        let seen = cluster.borrow_and_update().clone();
        if let Err(error) = open_held(&shared, &seen).await {
            // It is in the table of failures; the others go on.
            tracing::error!(%error, "a log group could not be opened");
        }
        let all_closed = close_left(&shared, &seen, is_current).await;
        let all_begun = begin_new(&shared, &seen, is_current).await;
        let is_behind = !(all_closed && all_begun);
        tokio::select! {
            biased;
            changed = cluster.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN_AFTER), if is_behind => {}
        }
    }
}

/// Opens every group that has a replica here, or begins to repair it. The first error is returned; the rest is opened
/// all the same.
pub(crate) async fn open_held(shared: &Shared, cluster: &ClusterState) -> Result<(), GroupError> {
    let mut first_error = Ok(());
    for (group, record) in cluster.held_by(shared.this) {
        let is_known = shared.groups.find(group).is_some() || shared.groups.is_mended(group);
        if is_known || shared.groups.has_failed(group) {
            continue;
        }
        let state = Arc::new(EventState::new(group, shared.options.versions, shared.registry.state.cluster()));
        match begin(shared, group, record, state.clone()).await {
            Ok(Begun::Open(raft)) => take_in(shared, raft, state),
            Ok(Begun::Damaged(mending)) => mend(shared, group, *mending, state),
            Err(error) => {
                fail(shared, group, &error);
                first_error = first_error.and(Err(error));
            }
        }
    }
    first_error
}

fn fail(shared: &Shared, group: GroupId, error: &GroupError) {
    shared.groups.fail(group, Failure { why: error.to_string(), since: shared.clock.now() });
}

async fn begin(
    shared: &Shared,
    group: GroupId,
    record: &GroupRecord,
    state: Arc<EventState>,
) -> Result<Begun<EventState>, GroupError> {
    let id = ids::log_group(group);
    // It may have been here before, and have been forgotten with the votes that it gave.
    let at_least_term = if record.settled.is_empty() { Term(0) } else { Term(record.settled_term) };
    let replicas = ids::raft_nodes(&record.holders());
    // Events are read at the leader; what is read everywhere is the registry.
    let tell_commits_at_once = false;
    let options = &GroupOptions { at_least_term, replicas, tell_commits_at_once, ..shared.group_options.clone() };
    let log = shared.log.clone();
    match shared.open_as() {
        OpenAs::Only => Group::open_single(id, log, state, options).await.map(Begun::Open),
        OpenAs::One => Group::begin(id, log, state, options, shared.peers.clone()).await,
    }
}

/// Repairs a replica beside everything else, and takes it in then.
fn mend(shared: &Shared, group: GroupId, mending: Mending<EventState>, state: Arc<EventState>) {
    let unsound = mending.unsound();
    let (told, registered) = tokio::sync::oneshot::channel::<()>();
    let mended = tokio::spawn({
        let shared = shared.clone();
        async move {
            // Not before it is in the table, from which it is taken in the end.
            let _ = registered.await;
            match mending.mended().await {
                Ok(raft) => take_in(&shared, raft, state),
                Err(error) => {
                    tracing::error!(%group, %error, "a damaged replica could not be repaired");
                    fail(&shared, group, &error);
                }
            }
            shared.groups.end_mending(group);
        }
    });
    shared.groups.mend(group, unsound, mended.abort_handle());
    // The receiver is in the task.
    let _ = told.send(());
}

fn take_in(shared: &Shared, raft: Group<EventState>, state: Arc<EventState>) {
    let group = GroupId(raft.id().0);
    let proposer = Proposer::start(raft.clone(), shared.metrics.clone(), shared.registry.state.cluster());
    let opened = Arc::new(DataGroup {
        raft,
        state,
        proposer,
        sessions: Sessions::new(shared.this, shared.has_dispatcher()),
        metrics: GroupMetrics::register(group),
        ages: parking_lot::Mutex::default(),
        started: watch::Sender::new(Started::default()),
        serving: watch::Sender::new(false),
        too_few: watch::Sender::new(None),
        settled: parking_lot::Mutex::default(),
        tasks: parking_lot::Mutex::default(),
    });
    shared.groups.insert(opened.clone());
    let watched = tokio::spawn(watch_failure(shared.clone(), opened.raft.clone()));
    let led = tokio::spawn(super::lead::run(shared.clone(), opened.clone()));
    opened.keep_task(led.abort_handle());
    opened.keep_task(watched.abort_handle());
}

/// Makes the first members of groups that never had a leader.
///
/// A node that was a first member, left and forgot its replica must not begin the group anew. The registry says that
/// the group has had a leader long since, but a node that has just started may not have heard that part of the registry
/// again: so nothing is begun before a leader of the registry was heard and what it said is applied. `false` when that
/// has to be waited for.
async fn begin_new(shared: &Shared, cluster: &ClusterState, is_current: bool) -> bool {
    let is_new = |record: &GroupRecord| record.settled.is_empty() && record.replicas.contains(&shared.this);
    let new: Vec<_> = cluster.held_by(shared.this).filter(|(_, record)| is_new(record)).collect();
    if !new.is_empty() && !is_current {
        return false;
    }
    let mut all_begun = true;
    for (group, record) in new {
        let Some(open) = shared.groups.find(group) else { continue };
        let voters = ids::nodes(&open.raft.status().voters);
        if !voters.is_empty() && voters != record.replicas {
            // A copy of what the group was before all who voted in it were lost.
            let is_dead = voters.iter().all(|node| cluster.member(*node).is_none());
            if is_dead || is_unheard(shared, &open) {
                close(shared, &open).await;
                forget(shared, group).await;
            }
            all_begun = false;
            continue;
        }
        // What it holds is known a moment after it was opened.
        all_begun &= !voters.is_empty();
        if let Err(error) = open.raft.initialize(&ids::raft_nodes(&record.replicas)).await {
            tracing::error!(%group, %error, "a new log group could not be begun");
        }
    }
    all_begun
}

/// Closes every group that neither should have a replica here nor has one that votes, and gives back its part of the
/// log, also that of a group which is not open because it failed. `false` when something has to be waited for.
///
/// A registry that is only being read again, or lags, may say that a group left which has come back since: so nothing
/// goes before a leader of the registry was heard and what it said is applied, nor while a leader of the group still
/// sends to this node.
pub(crate) async fn close_left(shared: &Shared, cluster: &ClusterState, is_current: bool) -> bool {
    let has_left =
        |group: &GroupId| cluster.groups.get(group).is_some_and(|record| !record.holders().contains(&shared.this));
    // What was forgotten is still listed, with nothing in it.
    let is_empty = |view: &GroupView| {
        view.vote.is_none() && view.last.is_none() && view.purged.is_none() && view.checkpoint.is_none()
    };
    let kept = shared.log.overview().into_iter().filter(|(_, view)| !is_empty(view));
    let left: Vec<_> = kept.map(|(group, _)| GroupId(group.0)).filter(has_left).collect();
    let open: Vec<_> = shared.groups.all().keys().copied().filter(has_left).collect();
    if !is_current {
        return left.is_empty() && open.is_empty();
    }
    let mut all_closed = true;
    for group in open {
        if let Some(open) = shared.groups.find(group) {
            if is_unheard(shared, &open) {
                close(shared, &open).await;
            } else {
                all_closed = false;
            }
        }
    }
    for group in left {
        if shared.groups.find(group).is_none() {
            shared.groups.end_mending(group);
            forget(shared, group).await;
        }
    }
    shared.groups.recover(has_left);
    all_closed
}

/// Whether nobody counts on the replica: it does not lead, and no leader sends to it.
pub(crate) fn is_unheard(shared: &Shared, open: &DataGroup) -> bool {
    !open.raft.status().is_leader() && open.raft.unheard_for() >= 2 * shared.group_options.election_timeout.1
}

async fn close(shared: &Shared, open: &DataGroup) {
    let group = open.id();
    tracing::info!(%group, "the replica of a log group is given up: the group moved elsewhere");
    shared.groups.remove(group);
    open.proposer.close();
    open.stop_tasks();
    open.stop_serving(open.leader());
    open.metrics.clear();
    if let Err(error) = open.raft.shutdown().await {
        tracing::warn!(%group, %error, "no last checkpoint of a log group that moved away");
    }
}

async fn forget(shared: &Shared, group: GroupId) {
    let (done, forgotten) = tokio::sync::oneshot::channel();
    let completion = Box::new(move |result: Result<(), Arc<io::Error>>| {
        // The receiver is gone only when the node goes down.
        let _ = done.send(result);
    });
    shared.log.forget(ids::log_group(group), completion);
    // A log that cannot be written ends the process by itself.
    let _ = forgotten.await;
}

/// A group that fails would answer nothing any more and look alive. On a node by itself that ends the process; in a
/// cluster the other replicas go on, and this one is shown as failed.
async fn watch_failure(shared: Shared, raft: Group<EventState>) {
    let (group, why) = (GroupId(raft.id().0), raft.failed().await);
    if shared.is_alone() {
        replica_ended(&shared, group, why);
        return;
    }
    tracing::error!(%group, why, "the replica of a log group failed; the others go on without it");
    if let Some(open) = shared.groups.find(group) {
        open.stop_serving(None);
    }
    shared.groups.fail(group, Failure { why, since: shared.clock.now() });
}
