use pelton_client::Speaks;

use super::*;
use crate::api::cluster_view::GroupStatus;

fn node(name: &str, answers: bool) -> NodeStatus {
    NodeStatus {
        id: 7,
        name: name.to_owned(),
        phase: NodePhase::Active,
        answers,
        unreachable_since: None,
        roles: [Role::Broker, Role::Ingress].into(),
        zone: "z1".to_owned(),
        version: "0.1.0".to_owned(),
        speaks: Some(Speaks { min: 1, max: 2 }),
        peer: "10.0.0.1:7400".to_owned(),
        ingress: Some("http://10.0.0.1:8080".to_owned()),
        api: None,
        leads: 1,
        replicas: 2,
        log_bytes: answers.then_some(1 << 30),
    }
}

fn replica(node: &str, role: Option<ReplicaRole>, lag_entries: Option<u64>) -> ReplicaStatus {
    ReplicaStatus {
        node: node.to_owned(),
        role,
        wanted: true,
        lag_entries,
        commit_index: role.map(|_| 41),
        applied_index: role.map(|_| 40),
    }
}

fn status() -> ClusterStatus {
    let mut down = node("c", false);
    down.unreachable_since = Some(Time::from_unix_millis(1_700_000_000_000));
    let mut draining = node("b", true);
    draining.phase = NodePhase::Draining;
    let mut leaving = replica("d", Some(ReplicaRole::Learner), Some(0));
    leaving.wanted = false;
    let group = GroupStatus {
        name: "1".to_owned(),
        leader: Some("a".to_owned()),
        term: 3,
        preferred: Some("b".to_owned()),
        keyed: true,
        end: Some(90),
        backlog: Some(12),
        replicas: vec![
            replica("a", Some(ReplicaRole::Leader), Some(0)),
            replica("b", Some(ReplicaRole::Follower), Some(3)),
            replica("c", None, Some(20)),
            leaving,
        ],
    };
    let registry = GroupStatus {
        name: "registry".to_owned(),
        leader: None,
        preferred: None,
        end: None,
        backlog: None,
        replicas: vec![
            replica("a", Some(ReplicaRole::Candidate), None),
            replica("b", Some(ReplicaRole::Failed), None),
            ReplicaStatus { wanted: false, ..replica("c", Some(ReplicaRole::Learner), None) },
        ],
        ..group.clone()
    };
    ClusterStatus {
        now: Time::from_unix_millis(1_700_000_190_000),
        node: Some("a".to_owned()),
        protocol: Some(2),
        nodes: vec![node("a", true), draining, down],
        groups: vec![registry, group],
        problems: vec![
            ProblemStatus {
                subject: "node c".to_owned(),
                what: "does not answer".to_owned(),
                since: Some(Time::from_unix_millis(1_700_000_000_000)),
            },
            ProblemStatus { subject: "group registry".to_owned(), what: "has no leader".to_owned(), since: None },
        ],
    }
}

#[test]
fn the_screen_shows_nodes_groups_and_problems() {
    let want = "\
3 nodes, 2 of them answer, 2 problems, protocol 2; node a was asked

NODE   PHASE      ANSWERS         ROLES            ZONE   VERSION   LEADS   REPLICAS
a      active     yes             broker,ingress   z1     0.1.0     1       2
b      draining   yes             broker,ingress   z1     0.1.0     1       2
c      active     no, for 3m10s   broker,ingress   z1     0.1.0     1       2

GROUP      LEADER   TERM   BACKLOG   REPLICAS
registry   -        3      -         a (candidate), b (failed), c (learner)
1          a        3      12        a, b (3 behind), c (no answer, 20 behind), d (learner, leaving)

PROBLEM          FOR     WHAT
node c           3m10s   does not answer
group registry   -       has no leader
";
    assert_eq!(screen(&status(), false), want);
}

#[test]
fn a_cluster_that_is_well_says_so_in_its_first_line() {
    let mut status = status();
    status.problems.clear();
    status.nodes.truncate(1);
    status.node = None;
    let text = screen(&status, false);
    assert!(text.starts_with("1 node, all is well, protocol 2\n\n"), "{text}");
    assert!(!text.contains("PROBLEM"), "{text}");
}

#[test]
fn wide_has_addresses_sizes_and_indexes() {
    let status = status();
    let (nodes, groups) = (nodes(&status, true), groups(&status, true));
    for word in ["ID", "SPEAKS", "1 to 2", "1.0GiB", "10.0.0.1:7400", "http://10.0.0.1:8080"] {
        assert!(nodes.contains(word), "{word} is not in {nodes}");
    }
    for word in ["PREFERRED", "KEYED", "yes", "90", "41"] {
        assert!(groups.contains(word), "{word} is not in {groups}");
    }
}

/// Names come from the configuration of other machines, and problems from their disks.
#[test]
fn nothing_on_the_screen_acts_on_the_terminal() {
    let mut status = status();
    status.node = Some("a\x1b[2J".to_owned());
    status.nodes[0].zone = "z\n".to_owned();
    status.problems[0].what = "\u{202e}".to_owned();
    let text = screen(&status, true);
    assert!(!text.contains('\x1b') && !text.contains('\u{202e}') && text.contains("z\\n"), "{text}");
}

/// The second line is there while some node speaks more than the cluster.
#[test]
fn an_upgrade_says_what_it_waits_for() {
    let newest = |all: [Option<u32>; 3], protocol| {
        let mut status = ClusterStatus { protocol, ..status() };
        for (node, max) in status.nodes.iter_mut().zip(all) {
            node.speaks = max.map(|max| Speaks { min: 1, max });
        }
        screen(&status, false).lines().nth(1).unwrap().to_owned()
    };
    for (all, protocol, want) in [
        ([Some(1); 3], Some(1), ""),
        ([Some(2); 3], Some(2), ""),
        ([None; 3], None, ""),
        ([Some(2); 3], None, ""),
        (
            [Some(2), Some(1), Some(1)],
            Some(1),
            "upgrade: the cluster goes on to protocol 2 when these nodes speak it: b, c",
        ),
        ([Some(2), Some(2), None], Some(1), "upgrade: the cluster goes on to protocol 2 when these nodes speak it: c"),
        (
            [Some(2); 3],
            Some(1),
            "upgrade: every node speaks protocol 2, and the cluster goes on to it after raise-version-after",
        ),
    ] {
        assert_eq!(newest(all, protocol), want, "{all:?} in a cluster at {protocol:?}");
    }
}
