//! The cluster as this node knows it, and what this node reports of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_client::{
    ClusterView, FollowerReport, GroupId, GroupInfo, NodeId, NodeReport, Offset, Problem, ReplicaReport, ReplicaRole,
    TooFew,
};
use pelton_consensus::{Group, GroupStatus, Role, StateMachine, Unsound};
use pelton_env::UnixMillis;
use pelton_resource::Time;

use crate::cluster::{ClusterState, GroupRecord, REGISTRY};
use crate::groups::Failure;
use crate::health::Ailment;
use crate::ids;
use crate::metrics::{Ailing, ClusterMetrics, GroupMetrics, UNREACHED_AFTER};
use crate::node::Shared;

/// How often replicas are looked at for metrics and problems.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A follower that lacks more entries is behind.
const BEHIND_ENTRIES: u64 = 1_000;

/// What is not as it should be, and since when.
#[derive(Default)]
pub(crate) struct Problems(Mutex<BTreeMap<Trouble, UnixMillis>>);

/// Something that is wrong. What varies from moment to moment is not part of it: then it would seem to be new.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    NoLeader(GroupId),
    /// No leader with a quorum. Its time is part of the report, and no problem of its own.
    Unled(GroupId),
    /// The same.
    TooFew(GroupId),
    Failed(GroupId),
    Damaged(GroupId),
    /// On all replicas.
    Lost(GroupId),
    Behind(GroupId, NodeId),
    Unreached(NodeId),
    DiskFull,
    DiskHangs,
    DiskSlow,
    OverLimit,
}

impl Trouble {
    fn sentence(&self, failures: &BTreeMap<GroupId, Failure>, unsound: &BTreeMap<GroupId, Unsound>) -> String {
        match self {
            Self::NoLeader(_) => "no leader is known here".to_owned(),
            Self::Unled(_) => "no leader with a quorum is known here".to_owned(),
            Self::TooFew(_) => "the group has fewer voters than it should".to_owned(),
            Self::Failed(group) => {
                let why = failures.get(group).map_or("", |failure| &failure.why);
                format!("the replica failed: {why}")
            }
            Self::Damaged(group) => {
                let what = unsound.get(group).map(ToString::to_string).unwrap_or_default();
                format!("the replica is damaged, and is repaired from the others: {what}")
            }
            Self::Lost(group) => {
                let what = unsound.get(group).map(ToString::to_string).unwrap_or_default();
                format!("all replicas are damaged in the same place, and the group takes no events: {what}")
            }
            Self::Behind(_, node) => format!("the replica on node {node} is more than {BEHIND_ENTRIES} entries behind"),
            Self::Unreached(node) => format!("node {node} does not answer"),
            Self::DiskFull => "the disk is full: new events are refused".to_owned(),
            Self::DiskHangs => "the disk hangs: nothing is synced".to_owned(),
            Self::DiskSlow => "the disk is slow: a sync takes long".to_owned(),
            Self::OverLimit => "the log holds more than its limit because triggers still need old events".to_owned(),
        }
    }

    /// Whether it is told as a problem of the node, or of its replica. Who is not reached, or what is wrong with a group
    /// as a whole, is said apart.
    fn is_own(&self) -> bool {
        !matches!(self, Self::Unreached(_) | Self::Unled(_) | Self::TooFew(_))
    }

    fn group(&self) -> Option<GroupId> {
        match self {
            Self::NoLeader(group)
            | Self::Unled(group)
            | Self::TooFew(group)
            | Self::Failed(group)
            | Self::Damaged(group)
            | Self::Lost(group)
            | Self::Behind(group, _) => Some(*group),
            Self::Unreached(_) | Self::DiskFull | Self::DiskHangs | Self::DiskSlow | Self::OverLimit => None,
        }
    }
}

/// Keeps the view, the metrics of the groups and the times of problems until the node goes down.
pub(crate) async fn run(shared: Shared) {
    let (registry, metrics) = (GroupMetrics::register(REGISTRY), ClusterMetrics::register());
    let mut cluster = shared.registry.state.cluster();
    let mut leadership = shared.registry.raft.leadership();
    let mut groups = shared.groups.watch();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        cluster.borrow_and_update();
        leadership.borrow_and_update();
        groups.borrow_and_update();
        publish(&shared);
        tokio::select! {
            biased;
            changed = cluster.changed() => if changed.is_err() { return },
            // The registry's replica has ended, and the node with it.
            changed = leadership.changed() => if changed.is_err() { return },
            changed = groups.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {
                let wanted = replicas_wanted(&shared.registry.state.current_cluster());
                let mut ailing = Ailing::with_failed(shared.groups.failures().len());
                let raft = &shared.registry.raft;
                registry.show(shared.this, &raft.status(), raft.serves());
                for group in shared.groups.all().values() {
                    let status = group.raft.status();
                    group.metrics.show(shared.this, &status, group.raft.serves());
                    ailing.note(&status, wanted);
                }
                metrics.show(&ailing);
                note_problems(&shared);
                let damaged = unsound(&shared).values().map(|unsound| unsound.entries).sum();
                shared.metrics.damaged_entries(damaged, shared.peers.repaired_entries());
            }
        }
    }
}

/// How many replicas each group should have now: a cluster that began with one node does not lack two.
fn replicas_wanted(cluster: &ClusterState) -> usize {
    let nodes = cluster.brokers().count().max(cluster.initial_nodes as usize);
    nodes.min(cluster.replication as usize)
}

/// Makes the view what this node knows now.
pub(crate) fn publish(shared: &Shared) {
    let cluster = shared.registry.state.current_cluster();
    let registry = *shared.registry.raft.leadership().borrow();
    let open = shared.groups.all();
    let group = |(id, record): (&GroupId, &GroupRecord)| {
        let now = open.get(id).map(|group| *group.raft.leadership().borrow()).unwrap_or_default();
        // Whoever led it last is out of reach.
        let can_be_led = now.serves || open.get(id).is_none_or(|group| group.too_few.borrow().is_none());
        (*id, info(record, now.term.0, now.leader.filter(|_| can_be_led).map(ids::node)))
    };
    let view = ClusterView {
        version: cluster.version,
        this: Some(shared.this),
        nodes: cluster.nodes.iter().map(|(id, node)| (*id, node.info.clone())).collect(),
        groups: cluster.groups.iter().map(group).collect(),
        registry: info(&cluster.registry, registry.term.0, registry.leader.map(ids::node)),
        protocol: cluster.protocol(),
        speaks: cluster.nodes.iter().map(|(id, node)| (*id, node.speaks)).collect(),
    };
    shared.view.send_if_modified(|shown| {
        let is_new = **shown != view;
        if is_new {
            *shown = Arc::new(view);
        }
        is_new
    });
}

fn info(record: &GroupRecord, term: u64, leader: Option<NodeId>) -> GroupInfo {
    let (replicas, preferred, keyed) = (record.replicas.clone(), record.preferred, record.keyed);
    GroupInfo { term, leader, replicas, preferred, keyed }
}

/// What this node reports of itself.
pub(crate) fn report(shared: &Shared) -> NodeReport {
    note_problems(shared);
    let failures = shared.groups.failures();
    let unsound = unsound(shared);
    let problems = shared.problems.0.lock().clone();
    let of = |group: Option<GroupId>| -> Vec<Problem> {
        let own = problems.iter().filter(|(trouble, _)| trouble.is_own());
        let these = own.filter(|(trouble, _)| trouble.group() == group);
        these
            .map(|(trouble, since)| Problem { what: trouble.sentence(&failures, &unsound), since: time(*since) })
            .collect()
    };
    let mut replicas = BTreeMap::new();
    replicas.insert(REGISTRY, replica(&shared.registry.raft.status(), Offset(0), 0, of(Some(REGISTRY))));
    for (id, group) in shared.groups.all().iter() {
        let (end, floor) = group.state.with(|core| (core.next, core.group.cursors_need(core.next)));
        let status = group.raft.status();
        let backlog = if status.is_leader() { end.0 - floor.0 } else { 0 };
        let mut report = replica(&status, end, backlog, of(Some(*id)));
        if failures.contains_key(id) {
            report.role = ReplicaRole::Failed;
        }
        replicas.insert(*id, report);
    }
    for id in failures.keys().chain(shared.groups.unsound().keys()) {
        replicas.entry(*id).or_insert_with(|| ReplicaReport {
            role: ReplicaRole::Failed,
            term: 0,
            leader: None,
            last_index: 0,
            commit_index: 0,
            applied_index: 0,
            end: 0,
            followers: BTreeMap::new(),
            backlog: 0,
            problems: of(Some(*id)),
            unled_since: None,
            too_few: None,
        });
    }
    let cluster = shared.registry.state.current_cluster();
    for (id, report) in &mut replicas {
        let since = |trouble: Trouble| problems.get(&trouble).map(|since| time(*since));
        report.unled_since = since(Trouble::Unled(*id));
        let has = cluster.group(*id).and_then(|record| cluster.voters_there(record));
        let count = |voters: usize| u32::try_from(voters).unwrap_or(u32::MAX);
        report.too_few = has.zip(since(Trouble::TooFew(*id))).map(|(has, since)| TooFew {
            has: count(has),
            wanted: count(cluster.voters_wanted(*id)),
            since,
        });
    }
    let unreachable = problems.iter().filter_map(|(trouble, since)| match trouble {
        Trouble::Unreached(node) => Some((*node, time(*since))),
        _ => None,
    });
    NodeReport {
        replicas,
        log_bytes: shared.log.size().record_bytes,
        problems: of(None),
        unreachable: unreachable.collect(),
    }
}

fn time(at: UnixMillis) -> Time {
    Time::from_unix_millis(at.0)
}

fn replica(status: &GroupStatus, end: Offset, backlog: u64, problems: Vec<Problem>) -> ReplicaReport {
    let index = |index: Option<pelton_log::LogIndex>| index.map_or(0, |index| index.0);
    let last = index(status.last_index);
    let followers = status.followers.iter().map(|(node, follower)| {
        let lag_entries = last.saturating_sub(index(follower.matched));
        (ids::node(*node), FollowerReport { lag_entries, silent_for: follower.answered })
    });
    ReplicaReport {
        role: match status.role {
            Role::Leader => ReplicaRole::Leader,
            Role::Follower => ReplicaRole::Follower,
            Role::Candidate => ReplicaRole::Candidate,
            Role::Learner => ReplicaRole::Learner,
            Role::Ended => ReplicaRole::Failed,
        },
        term: status.term.0,
        leader: status.leader.map(ids::node),
        last_index: last,
        commit_index: index(status.committed_index),
        applied_index: index(status.applied_index),
        end: end.0,
        followers: if status.is_leader() { followers.collect() } else { BTreeMap::new() },
        backlog,
        problems,
        unled_since: None,
        too_few: None,
    }
}

/// What is damaged here and not repaired yet.
fn unsound(shared: &Shared) -> BTreeMap<GroupId, Unsound> {
    let mut unsound = shared.groups.unsound();
    unsound.insert(REGISTRY, shared.registry.raft.unsound().borrow().clone());
    unsound.extend(shared.groups.all().iter().map(|(id, group)| (*id, group.raft.unsound().borrow().clone())));
    unsound.retain(|_, unsound| !unsound.is_nothing());
    unsound
}

/// Looks what is wrong now. What was wrong before keeps its time.
fn note_problems(shared: &Shared) {
    let mut now: BTreeSet<Trouble> = shared.groups.failures().into_keys().map(Trouble::Failed).collect();
    let cluster = shared.registry.state.current_cluster();
    let mut look = |id: GroupId, status: &GroupStatus, is_led: bool| {
        let has = cluster.group(id).and_then(|record| cluster.voters_there(record));
        if has.is_some_and(|has| has < cluster.voters_wanted(id)) {
            now.insert(Trouble::TooFew(id));
        }
        if !is_led {
            now.insert(Trouble::Unled(id));
        }
        if status.leader.is_none() && status.role != Role::Ended {
            now.insert(Trouble::NoLeader(id));
        }
        let last = status.last_index.map_or(0, |index| index.0);
        for (node, follower) in status.followers.iter().filter(|_| status.is_leader()) {
            let node = ids::node(*node);
            if last.saturating_sub(follower.matched.map_or(0, |index| index.0)) > BEHIND_ENTRIES {
                now.insert(Trouble::Behind(id, node));
            }
            if follower.answered.is_none_or(|answered| answered > UNREACHED_AFTER) {
                now.insert(Trouble::Unreached(node));
            }
        }
    };
    let registry = &shared.registry.raft;
    look(REGISTRY, &registry.status(), is_led(registry));
    shared.groups.all().iter().for_each(|(id, group)| look(*id, &group.raft.status(), is_led(&group.raft)));
    let damaged = unsound(shared).into_iter();
    now.extend(damaged.map(|(group, u)| if u.is_everywhere { Trouble::Lost(group) } else { Trouble::Damaged(group) }));
    let ailment = shared.health.borrow().ailment;
    if shared.log.is_full() || ailment == Some(Ailment::Full) {
        now.insert(Trouble::DiskFull);
    }
    now.extend(match ailment {
        Some(Ailment::Hung) => Some(Trouble::DiskHangs),
        Some(Ailment::Slow) => Some(Trouble::DiskSlow),
        Some(Ailment::Full) | None => None,
    });
    if shared.log.size().record_bytes > shared.options.retention.bytes {
        now.insert(Trouble::OverLimit);
    }
    let mut known = shared.problems.0.lock();
    known.retain(|trouble, _| now.contains(trouble));
    let since = shared.clock.now();
    for trouble in now {
        known.entry(trouble).or_insert(since);
    }
}

/// Whether the node leads with a quorum, or hears a leader. One without a quorum falls silent.
fn is_led<S: StateMachine>(raft: &Group<S>) -> bool {
    raft.serves() || (!raft.status().is_leader() && raft.unheard_for() < UNREACHED_AFTER)
}
