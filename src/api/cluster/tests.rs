use std::collections::BTreeSet;

use pelton_client::{
    FollowerReport, GroupInfo, NodeInfo, Problem as Trouble, ReplicaReport, ReplicaRole, Role, Speaks,
};

use super::*;
use crate::api::cluster_view::{ClusterStatus, GroupStatus, ProblemStatus};

const NOW: u64 = 1_700_000_600_000;

fn at(seconds_ago: u64) -> Time {
    Time::from_unix_millis(NOW - seconds_ago * 1000)
}

fn node(name: &str) -> NodeInfo {
    NodeInfo {
        name: name.to_owned(),
        peer_address: format!("{name}.example:7400"),
        ingress: Some(format!("http://{name}.example:8080")),
        api: None,
        gateway: None,
        zone: "z".to_owned(),
        roles: [Role::Broker].into(),
        phase: NodePhase::Active,
        version: "0.1.0".to_owned(),
    }
}

fn replica(role: ReplicaRole, term: u64) -> ReplicaReport {
    ReplicaReport {
        role,
        term,
        leader: None,
        last_index: 9,
        commit_index: 8,
        applied_index: 8,
        end: 70,
        followers: BTreeMap::new(),
        backlog: 5,
        problems: Vec::new(),
        unled_since: None,
        too_few: None,
    }
}

fn leader(term: u64, lags: &[(u64, u64)]) -> ReplicaReport {
    let follower = |lag_entries| FollowerReport { lag_entries, silent_for: Some(Duration::ZERO) };
    let followers = lags.iter().map(|(node, lag)| (NodeId(*node), follower(*lag))).collect();
    ReplicaReport { followers, ..replica(ReplicaRole::Leader, term) }
}

/// Nodes a, b and c with one group of events. The registry is led by a, the group by b.
struct World {
    view: ClusterView,
    reports: BTreeMap<NodeId, NodeReport>,
}

impl World {
    fn new() -> Self {
        let all: BTreeSet<NodeId> = [NodeId(1), NodeId(2), NodeId(3)].into();
        let group = |leader: u64| GroupInfo {
            term: 2,
            leader: Some(NodeId(leader)),
            replicas: all.clone(),
            preferred: Some(NodeId(leader)),
            keyed: true,
        };
        let nodes = [(NodeId(1), node("a")), (NodeId(2), node("b")), (NodeId(3), node("c"))].into();
        let view = ClusterView {
            version: 4,
            this: Some(NodeId(1)),
            nodes,
            groups: [(GroupId(1), group(2))].into(),
            registry: group(1),
            protocol: 1,
            speaks: [(NodeId(1), Speaks { min: 1, max: 2 })].into(),
        };
        let report = |registry: ReplicaReport, events: ReplicaReport| NodeReport {
            replicas: [(GroupId(0), registry), (GroupId(1), events)].into(),
            log_bytes: 1 << 20,
            ..NodeReport::default()
        };
        let follower = || replica(ReplicaRole::Follower, 2);
        let reports = [
            (NodeId(1), report(leader(2, &[(2, 0), (3, 0)]), follower())),
            (NodeId(2), report(follower(), leader(2, &[(1, 0), (3, 4)]))),
            (NodeId(3), report(follower(), follower())),
        ]
        .into();
        Self { view, reports }
    }

    fn report(&mut self, node: u64) -> &mut NodeReport {
        self.reports.get_mut(&NodeId(node)).unwrap()
    }

    fn replica(&mut self, node: u64, group: u32) -> &mut ReplicaReport {
        self.report(node).replicas.get_mut(&GroupId(group)).unwrap()
    }

    fn is_down(&mut self, node: u64) {
        self.reports.remove(&NodeId(node));
    }

    fn status(&self) -> ClusterStatus {
        summary::summarise(&self.view, &self.reports, Time::from_unix_millis(NOW))
    }

    fn problems(&self) -> Vec<String> {
        let said = |ProblemStatus { subject, what, since }: ProblemStatus| match since {
            Some(since) => format!("{subject} {what} since {since}"),
            None => format!("{subject} {what}"),
        };
        self.status().problems.into_iter().map(said).collect()
    }

    fn group(&self, name: &str) -> GroupStatus {
        self.status().groups.into_iter().find(|group| group.name == name).unwrap()
    }
}

#[test]
fn a_cluster_that_is_well_has_leaders_lags_and_no_problem() {
    let world = World::new();
    let status = world.status();
    assert_eq!(status.problems, []);
    assert_eq!(status.node.as_deref(), Some("a"));
    let nodes: Vec<_> = status.nodes.iter().map(|n| (n.name.as_str(), n.answers, n.leads, n.replicas)).collect();
    assert_eq!(nodes, [("a", true, 1, 2), ("b", true, 1, 2), ("c", true, 0, 2)]);
    let speak: Vec<_> = status.nodes.iter().map(|n| n.speaks).collect();
    assert_eq!((status.protocol, speak), (Some(1), vec![Some(Speaks { min: 1, max: 2 }), None, None]));
    let registry = world.group("registry");
    assert_eq!((registry.leader.as_deref(), registry.end, registry.backlog), (Some("a"), None, None));
    let events = world.group("1");
    assert_eq!((events.leader.as_deref(), events.end, events.backlog), (Some("b"), Some(70), Some(5)));
    let lags: Vec<_> = events.replicas.iter().map(|r| (r.node.as_str(), r.lag_entries)).collect();
    assert_eq!(lags, [("a", Some(0)), ("b", Some(0)), ("c", Some(4))]);
}

/// Each row: what happens to the cluster, and every problem that is told of.
#[test]
fn what_is_wrong_is_told_with_since_when() {
    type Happening = fn(&mut World);
    let rows: &[(&str, Happening, &[&str])] = &[
        ("a follower is down", |w| w.is_down(3), &["node c does not answer"]),
        (
            "it is known since when",
            |w| {
                w.is_down(3);
                w.report(1).unreachable.insert(NodeId(3), at(30));
                w.report(2).unreachable.insert(NodeId(3), at(40));
            },
            &["node c does not answer since 2023-11-14T22:22:40Z"],
        ),
        (
            "the leader is down and nobody took over",
            |w| w.is_down(2),
            &["node b does not answer", "group 1 its leader b does not answer"],
        ),
        (
            "a follower has missed it for a while",
            |w| {
                w.is_down(2);
                w.replica(1, 1).unled_since = Some(at(20));
                w.replica(3, 1).unled_since = Some(at(30));
            },
            &["node b does not answer", "group 1 its leader b does not answer since 2023-11-14T22:22:50Z"],
        ),
        (
            "others know since when it is down",
            |w| {
                w.is_down(2);
                w.report(1).unreachable.insert(NodeId(2), at(40));
            },
            &[
                "node b does not answer since 2023-11-14T22:22:40Z",
                "group 1 its leader b does not answer since 2023-11-14T22:22:40Z",
            ],
        ),
        (
            "another leads in a higher term",
            |w| {
                w.is_down(2);
                *w.replica(3, 1) = leader(3, &[(1, 0)]);
            },
            &["node b does not answer"],
        ),
        (
            "no majority",
            |w| {
                w.is_down(2);
                w.is_down(3);
            },
            &[
                "node b does not answer",
                "node c does not answer",
                "group registry has no majority: 1 of 3 replicas answer, and nothing is acknowledged",
                "group 1 its leader b does not answer",
                "group 1 has no majority: 1 of 3 replicas answer, and nothing is acknowledged",
            ],
        ),
        (
            "no majority for a while",
            |w| {
                w.is_down(2);
                w.is_down(3);
                w.replica(1, 0).unled_since = Some(at(60));
            },
            &[
                "node b does not answer",
                "node c does not answer",
                "group registry has no majority: 1 of 3 replicas answer, and nothing is acknowledged since \
                 2023-11-14T22:22:20Z",
                "group 1 its leader b does not answer",
                "group 1 has no majority: 1 of 3 replicas answer, and nothing is acknowledged",
            ],
        ),
        ("an election", |w| w.replica(2, 1).role = ReplicaRole::Candidate, &["group 1 has no leader"]),
        (
            "an election that does not end",
            |w| {
                w.replica(2, 1).role = ReplicaRole::Candidate;
                w.replica(2, 1).unled_since = Some(at(10));
            },
            &["group 1 has no leader since 2023-11-14T22:23:10Z"],
        ),
        ("a cut-off replica of a group that is led", |w| w.replica(3, 1).unled_since = Some(at(10)), &[]),
        (
            "a copy too few",
            |w| {
                let few = |seconds| Some(pelton_client::TooFew { has: 2, wanted: 3, since: at(seconds) });
                w.replica(1, 1).too_few = few(5);
                w.replica(2, 1).too_few = few(10);
            },
            &["group 1 has 2 of 3 replicas since 2023-11-14T22:23:10Z"],
        ),
        (
            "a replica that lags takes a copy for missing that is there",
            |w| w.replica(3, 1).too_few = Some(pelton_client::TooFew { has: 2, wanted: 3, since: at(5) }),
            &[],
        ),
        (
            "two nodes are cut apart",
            |w| {
                w.report(2).unreachable.insert(NodeId(3), at(5));
            },
            &["node b does not reach node c since 2023-11-14T22:23:15Z"],
        ),
        (
            "what nodes and replicas say of themselves",
            |w| {
                w.report(1).problems.push(Trouble { what: "the disk is full".into(), since: at(60) });
                w.replica(3, 1).problems.push(Trouble { what: "is damaged".into(), since: at(10) });
                w.replica(3, 0).role = ReplicaRole::Failed;
            },
            &[
                "node a the disk is full since 2023-11-14T22:22:20Z",
                "group registry on c has failed",
                "group 1 on c is damaged since 2023-11-14T22:23:10Z",
            ],
        ),
        (
            "the node that was asked was removed",
            |w| {
                w.view.this = Some(NodeId(3));
                w.view.nodes.get_mut(&NodeId(3)).unwrap().phase = NodePhase::Removed;
            },
            &["node c (removed, id 3) was removed: what it knows of the cluster is no longer brought up to date"],
        ),
        (
            "nobody was reached yet",
            |w| {
                w.view = ClusterView::default();
                w.reports.clear();
            },
            &["cluster nothing is known of it yet"],
        ),
        ("draining is no problem", |w| w.view.nodes.get_mut(&NodeId(3)).unwrap().phase = NodePhase::Draining, &[]),
        (
            "a removed node need not answer",
            |w| {
                w.is_down(3);
                w.view.nodes.get_mut(&NodeId(3)).unwrap().phase = NodePhase::Removed;
                w.view.registry.replicas.remove(&NodeId(3));
                w.view.groups.get_mut(&GroupId(1)).unwrap().replicas.remove(&NodeId(3));
            },
            &[],
        ),
    ];
    for (what, happen, want) in rows {
        let mut world = World::new();
        happen(&mut world);
        assert_eq!(world.problems(), *want, "{what}");
    }
}

/// A node that was cut off still says that it leads. The others have chosen a new one in a later term.
#[test]
fn the_leader_of_the_latest_term_counts() {
    let mut world = World::new();
    *world.replica(3, 1) = leader(3, &[(1, 0), (2, 9)]);
    let group = world.group("1");
    assert_eq!((group.leader.as_deref(), group.term), (Some("c"), 3));
}

#[test]
fn a_replica_that_moves_away_is_shown_until_it_is_gone() {
    let mut world = World::new();
    world.view.groups.get_mut(&GroupId(1)).unwrap().replicas.remove(&NodeId(3));
    let wanted: Vec<bool> = world.group("1").replicas.iter().map(|replica| replica.wanted).collect();
    assert_eq!(wanted, [true, true, false]);
    world.report(3).replicas.remove(&GroupId(1));
    assert_eq!(world.group("1").replicas.len(), 2);
}

#[test]
fn names_mean_the_node_that_has_them_now() {
    let mut view = World::new().view;
    view.nodes.get_mut(&NodeId(3)).unwrap().phase = NodePhase::Removed;
    let drain = |view: &ClusterView, node: &str| resolve(view, &ChangeBody::Drain { node: node.to_owned() });
    assert!(drain(&view, "c").is_err(), "it is no member any more");
    view.nodes.insert(NodeId(4), node("c"));
    assert_eq!(drain(&view, "c").ok(), Some(ClusterChange::Drain(NodeId(4))));
    let movement =
        |group, to: &str| resolve(&view, &ChangeBody::Move { group, from: "a".to_owned(), to: to.to_owned() }).ok();
    let want = ClusterChange::Move { group: GroupId(1), from: NodeId(1), to: NodeId(2) };
    assert_eq!(movement(1, "b"), Some(want));
    assert_eq!(movement(2, "b"), None, "there is no such group");
    assert_eq!(movement(0, "b"), None, "the registry is placed by itself");
    assert_eq!(movement(1, "x"), None, "there is no such node");
}

/// Nodes of the version before know no role of that name, so the registry has none: the address tells.
#[test]
fn a_node_with_a_gateway_is_shown_with_its_role() {
    let with = NodeInfo { gateway: Some("a.example:8081".to_owned()), ..node("a") };
    let nodes = [(NodeId(1), with), (NodeId(2), node("b"))].into();
    let view = ClusterView { nodes, ..ClusterView::default() };
    let status = summary::summarise(&view, &BTreeMap::new(), Time::from_unix_millis(NOW));
    let roles: Vec<_> = status.nodes.iter().map(|node| node.roles.contains(&Role::Gateway)).collect();
    assert_eq!(roles, [true, false]);
}
