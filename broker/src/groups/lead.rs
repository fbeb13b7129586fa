//! What the leader of a group does besides taking events: it lets them in, starts triggers, brings the members about.
//! Runs beside every open replica, and waits while another node leads.

use std::sync::Arc;
use std::time::Duration;

use pelton_client::{GroupId, Offset, Resources};

use super::{DataGroup, Started, Wanted, members, quorum};
use crate::ids;
use crate::node::Shared;
use crate::triggers;

/// How often the members of a group are looked at, besides when something changed: how far a replica has caught up
/// moves nothing that could be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long after a failure triggers are started again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Runs until the group is closed.
pub(super) async fn run(shared: Shared, group: Arc<DataGroup>) {
    tokio::join!(
        biased;
        keep_gate(&shared, &group),
        quorum::watch(&shared, &group),
        start_triggers(&shared, &group),
        bring_members_about(&shared, &group),
        group.sessions.run(),
    );
}

/// Opens the gate while this node leads, and closes it when it does not.
async fn keep_gate(shared: &Shared, group: &DataGroup) {
    let mut leadership = group.raft.leadership();
    let mut started = group.started.subscribe();
    let mut unsound = group.raft.unsound();
    let mut too_few = group.too_few.subscribe();
    loop {
        too_few.borrow_and_update();
        let now = *leadership.borrow_and_update();
        let is_lost = unsound.borrow_and_update().is_everywhere;
        let started_in = started.borrow_and_update().term;
        // A group that holds nothing yet takes its first event only after the triggers there are have their place:
        // they would begin behind it. Later an apply waits until every group has started its triggers.
        let has_triggers = started_in == now.term.0 || group.state.tail() > Offset(0);
        if !now.serves {
            group.stop_serving(now.leader.map(ids::node));
        } else if is_lost {
            group.serve_what_is_left(now.term.0);
        } else if has_triggers {
            group.serve(now.term.0);
        }
        shared.groups.nudge();
        tokio::select! {
            biased;
            changed = leadership.changed() => if changed.is_err() { break },
            changed = unsound.changed() => if changed.is_err() { break },
            _ = started.changed() => {}
            _ = too_few.changed() => {}
        }
    }
    group.stop_serving(None);
}

/// Starts and drops triggers as the resources say, level-triggered, in every term anew.
async fn start_triggers(shared: &Shared, group: &DataGroup) {
    let mut resources = shared.registry.state.watch();
    let mut leadership = group.raft.leadership();
    // What the group's triggers are those of, and the term.
    let mut done: Option<(u64, Arc<Resources>)> = None;
    loop {
        let leader = *leadership.borrow_and_update();
        done = done.filter(|(term, _)| leader.serves && *term == leader.term.0);
        // Read before the resources, which are that new or newer.
        let applied = shared.registry.raft.applied().borrow().0;
        let seen = resources.borrow_and_update().clone();
        let version = applied.max(seen.version);
        let mut is_behind = false;
        if leader.serves {
            let before = done.as_ref().map(|(_, resources)| resources.as_ref());
            match triggers::start_and_drop(shared, group, before, &seen, version).await {
                Ok(false) => is_behind = true,
                Ok(true) => {
                    done = Some((leader.term.0, Arc::clone(&seen)));
                    group.started.send_replace(Started { term: leader.term.0, version });
                    shared.reports.nudge();
                }
                Err(error) => {
                    if group.raft.serves() {
                        tracing::warn!(group = %group.id(), %error, "triggers could not be started; tried again");
                    }
                    is_behind = true;
                }
            }
        }
        tokio::select! {
            biased;
            changed = resources.changed() => if changed.is_err() { return },
            changed = leadership.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(AGAIN_AFTER), if is_behind => {}
        }
    }
}

/// Brings about the members that the registry lists, and has it record those that are.
async fn bring_members_about(shared: &Shared, group: &DataGroup) {
    let mut cluster = shared.registry.state.cluster();
    let mut leadership = group.raft.leadership();
    let mut not_before = None;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let leads = leadership.borrow_and_update().serves;
        let state = cluster.borrow_and_update().clone();
        if leads {
            let wanted = wanted(&state, group.id());
            let hand_over = |heir| group.hand_over(heir);
            let done =
                members::tend(shared.this, &group.raft, &wanted, &group.settled, &mut not_before, hand_over).await;
            if let Err(error) = done {
                tracing::debug!(group = %group.id(), %error, "the members are not changed yet");
            }
            record(shared, group).await;
        }
        tokio::select! {
            biased;
            changed = leadership.changed() => if changed.is_err() { return },
            changed = cluster.changed(), if leads => if changed.is_err() { return },
            _ = ticks.tick(), if leads => {}
        }
    }
}

/// Has the registry record the voters, when they are not what it says.
async fn record(shared: &Shared, group: &DataGroup) {
    let Some((term, voters)) = group.settled.lock().clone() else { return };
    let cluster = shared.registry.state.current_cluster();
    let Some(known) = cluster.groups.get(&group.id()) else { return };
    if known.settled == voters || term < known.settled_term {
        return;
    }
    if let Err(error) = shared.settle(group.id(), term, &voters).await {
        tracing::debug!(group = %group.id(), %error, "the registry does not record the voters yet");
    }
}

fn wanted(cluster: &crate::cluster::ClusterState, group: GroupId) -> Wanted {
    let Some(record) = cluster.groups.get(&group) else { return Wanted::default() };
    Wanted { voters: record.replicas.clone(), preferred: record.preferred, ..Wanted::default() }
}
