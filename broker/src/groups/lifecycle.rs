//! Opens the groups that the registry lists for this node, and closes those that it no longer does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::GroupId;
use pelton_consensus::{Group, GroupError};
use tokio::sync::watch;

use super::{DataGroup, Failure, Started};
use crate::cluster::{ClusterState, GroupRecord};
use crate::event_state::EventState;
use crate::ids;
use crate::metrics::GroupMetrics;
use crate::node::Shared;
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
        let seen = cluster.borrow_and_update().clone();
        leadership.borrow_and_update();
        if let Err(error) = open_held(&shared, &seen).await {
            // It is in the table of failures; the others go on.
            tracing::error!(%error, "a log group could not be opened");
        }
        close_left(&shared, &seen).await;
        let is_behind = !begin_new(&shared, &seen).await;
        tokio::select! {
            biased;
            changed = cluster.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN_AFTER), if is_behind => {}
        }
    }
}

/// Opens every group that has a replica here. The first error is returned; the rest is opened all the same.
pub(crate) async fn open_held(shared: &Shared, cluster: &ClusterState) -> Result<(), GroupError> {
    let mut first_error = Ok(());
    for (group, _) in cluster.held_by(shared.this) {
        if shared.groups.find(group).is_some() || shared.groups.has_failed(group) {
            continue;
        }
        match open(shared, group).await {
            Ok(opened) => {
                let opened = Arc::new(opened);
                shared.groups.insert(opened.clone());
                let watched = tokio::spawn(watch_failure(shared.clone(), opened.raft.clone()));
                let led = tokio::spawn(super::lead::run(shared.clone(), opened.clone()));
                opened.keep_task(led.abort_handle());
                opened.keep_task(watched.abort_handle());
            }
            Err(error) => {
                let failure = Failure { why: error.to_string(), since: shared.clock.now() };
                shared.groups.fail(group, failure);
                first_error = first_error.and(Err(error));
            }
        }
    }
    first_error
}

async fn open(shared: &Shared, group: GroupId) -> Result<DataGroup, GroupError> {
    let id = ids::log_group(group);
    let state = Arc::new(EventState::new(group));
    let (log, options) = (shared.log.clone(), &shared.group_options);
    let raft = match shared.open_as() {
        OpenAs::Only => Group::open_single(id, log, state.clone(), options).await?,
        OpenAs::One => Group::open(id, log, state.clone(), options, shared.peers.clone()).await?,
    };
    let proposer = Proposer::start(raft.clone(), shared.metrics.clone());
    Ok(DataGroup {
        raft,
        state,
        proposer,
        sessions: Sessions::new(shared.this, shared.has_dispatcher()),
        metrics: GroupMetrics::register(group),
        started: watch::Sender::new(Started::default()),
        serving: watch::Sender::new(false),
        settled: parking_lot::Mutex::default(),
        tasks: parking_lot::Mutex::default(),
    })
}

/// Makes the first members of groups that never had a leader.
///
/// A node that was a first member, left and forgot its replica must not begin the group anew. The registry says that
/// the group has had a leader long since, but a node that has just started may not have heard that part of the registry
/// again: so nothing is begun before a leader of the registry is known and what it said is applied. `false` when that
/// has to be waited for.
async fn begin_new(shared: &Shared, cluster: &ClusterState) -> bool {
    let is_new = |record: &GroupRecord| record.settled.is_empty() && record.replicas.contains(&shared.this);
    let new: Vec<_> = cluster.held_by(shared.this).filter(|(_, record)| is_new(record)).collect();
    let status = shared.registry.raft.status();
    let has_heard = status.leader.is_some() && status.applied_index >= status.committed_index;
    if !new.is_empty() && !has_heard {
        return false;
    }
    for (group, record) in new {
        let Some(open) = shared.groups.find(group) else { continue };
        if let Err(error) = open.raft.initialize(&ids::raft_nodes(&record.replicas)).await {
            tracing::error!(%group, %error, "a new log group could not be begun");
        }
    }
    true
}

/// Closes every group that neither should have a replica here nor has one that votes, and gives back its part of the
/// log.
async fn close_left(shared: &Shared, cluster: &ClusterState) {
    for (group, open) in shared.groups.all().iter() {
        let is_held = cluster.groups.get(group).is_none_or(|record| record.holders().contains(&shared.this));
        if is_held {
            continue;
        }
        tracing::info!(%group, "the replica of a log group is given up: the group moved elsewhere");
        shared.groups.remove(*group);
        open.proposer.close();
        open.stop_tasks();
        open.stop_serving(open.leader());
        open.metrics.clear();
        if let Err(error) = open.raft.shutdown().await {
            tracing::warn!(%group, %error, "no last checkpoint of a log group that moved away");
        }
        forget(shared, *group).await;
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
        let failed = GroupError::Failed { group: raft.id(), why };
        (shared.options.on_fatal)(&io::Error::other(failed));
        return;
    }
    tracing::error!(%group, why, "the replica of a log group failed; the others go on without it");
    if let Some(open) = shared.groups.find(group) {
        open.stop_serving(None);
    }
    shared.groups.fail(group, Failure { why, since: shared.clock.now() });
}
