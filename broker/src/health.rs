//! A node whose disk is full, slow or hung leads nothing as long as others can.
//!
//! It says so when it is asked (`pelton_consensus`, "fitness"), gives what it leads to replicas that say they are fit,
//! and stands for election only where nobody else was elected. Placement gives it no leaders meanwhile
//! (`cluster::placement`), and neither does the leader of a group that it should lead (`groups::members`). A leader whose
//! disk hangs still commits through the others, so nobody else would notice.

mod monitor;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::{join, join_all};
use metrics::gauge;
use pelton_client::{GroupId, NodeId};
use pelton_consensus::{Group, StateMachine};
use pelton_log::{Log, Room};
use tokio::time::{Instant, MissedTickBehavior};

use crate::cluster::REGISTRY;
use crate::ids;
use crate::member::heir_among;
use crate::node::Shared;

pub(crate) use monitor::{Ailment, Health};
use monitor::{LOOK_EVERY, Look, Monitor};

/// How large an event is that a disk with room has to take: the largest that ingress takes in by default.
const EVENT_BYTES: u64 = 1 << 20;

/// How long others may take to say whether they are fit.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);

/// How long a hand-over that failed is left alone: each try stops the group for a moment.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// An unfit node stands for election after so many of the longest election timeouts without a leader. Others need two.
const STANDS_AFTER_TIMEOUTS: u32 = 4;

/// Looks at the disk until the node goes down, and draws the consequences.
pub(crate) async fn run(shared: Shared) {
    if shared.is_alone() {
        // Nobody else can lead. It is only shown.
        return look_on(&shared).await;
    }
    join(look_on(&shared), give_way(&shared)).await;
}

async fn look_on(shared: &Shared) {
    let (fit, hung) = (gauge!("pelton_broker_fit_to_lead"), gauge!("pelton_log_hung"));
    let (mut monitor, begin) = (Monitor::default(), Instant::now());
    let mut stands_back = BTreeSet::new();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = monitor.look(begin.elapsed(), look(&shared.log));
        let before = shared.health.send_replace(now);
        shared.peers.set_unfit(!now.is_fit);
        if !shared.is_alone() {
            stand_back(shared, now, &mut stands_back);
        }
        fit.set(f64::from(u8::from(now.is_fit)));
        hung.set(f64::from(u8::from(now.ailment == Some(Ailment::Hung))));
        match (before.is_fit, now.is_fit, now.ailment) {
            (true, false, Some(ailment)) => tracing::warn!(?ailment, "this node's disk does not let it lead"),
            (false, true, _) => tracing::info!("this node's disk is well again, and it may lead"),
            _ => {}
        }
    }
}

fn look(log: &Log) -> Look {
    let stats = log.stats();
    Look {
        is_full: log.room(EVENT_BYTES.min(log.max_record_bytes())) == Room::Full,
        is_writing: log.is_writing(),
        flushes: stats.flushes,
        flush_time: stats.flush_time,
    }
}

/// Lets others be elected first, where one can be. `stands_back` are the groups in which that is so now.
fn stand_back(shared: &Shared, health: Health, stands_back: &mut BTreeSet<GroupId>) {
    let patience = STANDS_AFTER_TIMEOUTS * shared.group_options.election_timeout.1;
    let mut set = |id: GroupId, unheard_for: Duration, set_stands: &dyn Fn(bool)| {
        if !health.is_fit && unheard_for < patience {
            // Each time: a voter that has just started would stand once it need not hold its vote.
            set_stands(false);
            stands_back.insert(id);
        } else if stands_back.remove(&id) {
            set_stands(true);
        }
    };
    let registry = &shared.registry.raft;
    set(REGISTRY, registry.unheard_for(), &|stands| registry.set_stands(stands));
    for (id, group) in shared.groups.all().iter() {
        set(*id, group.raft.unheard_for(), &|stands| group.raft.set_stands(stands));
    }
}

/// Gives what the node leads to those that are fit, while it is not.
async fn give_way(shared: &Shared) {
    let mut health = shared.health.subscribe();
    let mut not_before: BTreeMap<GroupId, Instant> = BTreeMap::new();
    loop {
        // The sender is in what is shared.
        let _ = health.wait_for(|health| !health.is_fit).await;
        let fit = fit_nodes(shared).await;
        let now = Instant::now();
        not_before.retain(|_, time| *time > now);
        let registry = async {
            let failed = !give(shared, &shared.registry.raft, &fit, &not_before).await;
            failed.then_some(REGISTRY)
        };
        let groups = shared.groups.all();
        let events = join_all(groups.iter().map(|(id, group)| {
            let given = give(shared, &group.raft, &fit, &not_before);
            async move { (!given.await).then_some(*id) }
        }));
        let (registry, events) = join(registry, events).await;
        let again = Instant::now() + AGAIN_AFTER;
        not_before.extend(events.into_iter().chain([registry]).flatten().map(|failed| (failed, again)));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The other nodes that say they are fit and stay, when this one leads something that they could take.
async fn fit_nodes(shared: &Shared) -> BTreeSet<NodeId> {
    let groups = shared.groups.all();
    let statuses = groups.values().map(|group| group.raft.status()).chain([shared.registry.raft.status()]);
    let led = statuses.filter(|status| status.is_leader());
    let voters: BTreeSet<_> = led.flat_map(|status| status.voters).filter(|node| node.0 != shared.this.0).collect();
    let asked = voters.into_iter().map(|node| async move {
        let fit = shared.peers.may_take_over(node, ANSWER_WITHIN).await;
        (fit == Some(true)).then_some(ids::node(node))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Gives a group to the furthest of those that are fit, if this node leads it and there is one. `false` when that failed.
async fn give<S: StateMachine>(
    shared: &Shared,
    raft: &Group<S>,
    fit: &BTreeSet<NodeId>,
    not_before: &BTreeMap<GroupId, Instant>,
) -> bool {
    let group = GroupId(raft.id().0);
    let heir = heir_among(shared.this, &raft.status(), |node| fit.contains(&node));
    // The core of one that gave way may wait for the disk, and say that it leads for as long.
    let may_give = raft.serves() && !not_before.contains_key(&group);
    let Some(heir) = heir.filter(|_| may_give) else { return true };
    tracing::info!(%group, node = heir.0, "the group is handed over: this node's disk does not let it lead");
    match raft.transfer_leader(heir).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%group, %error, "the group was not handed over");
            false
        }
    }
}
