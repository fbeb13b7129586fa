use pelton_consensus::NodeId as Node;
use pelton_log::Term;

use super::*;

/// Of a group of nodes 1, 2 and 3: on the leader, node 1, who has answered so long ago.
fn led(answered: [Option<u64>; 2]) -> GroupStatus {
    let followers = [2, 3].into_iter().zip(answered).map(|(node, answered)| {
        (Node(node), FollowerStatus { matched: None, answered: answered.map(Duration::from_millis) })
    });
    GroupStatus {
        role: Role::Leader,
        term: Term(1),
        leader: Some(Node(1)),
        voters: [1, 2, 3].map(Node).into(),
        learners: BTreeSet::new(),
        is_joint: false,
        first_index: None,
        last_index: None,
        committed_index: None,
        applied_index: None,
        purged_index: None,
        followers: followers.collect(),
        elections_won: 1,
        snapshots_installed: 0,
    }
}

/// Each row: replicas, how many groups are short, without a leader, and how many nodes are silent.
#[test]
fn what_ails_is_counted() {
    let follower = |leader: Option<u64>| GroupStatus {
        role: Role::Follower,
        leader: leader.map(Node),
        followers: BTreeMap::new(),
        ..led([None, None])
    };
    let two = GroupStatus { voters: [1, 2].map(Node).into(), ..led([Some(1), Some(1)]) };
    let ended = GroupStatus { role: Role::Ended, leader: None, ..led([None, None]) };
    let rows = [
        ("all answer", vec![led([Some(10), Some(3_000)]), follower(Some(2))], (0, 0, 0)),
        ("one is silent in two groups", vec![led([Some(10), Some(3_001)]), led([Some(10), None])], (2, 0, 1)),
        ("both are silent", vec![led([None, None])], (1, 0, 2)),
        ("a group of two voters and a learner", vec![two], (1, 0, 0)),
        ("no leader", vec![follower(None), follower(Some(3))], (0, 1, 0)),
        ("an ended replica is counted apart", vec![ended], (0, 0, 0)),
    ];
    for (what, replicas, (groups_short, groups_without_leader, silent)) in rows {
        let mut ailing = Ailing::with_failed(4);
        replicas.iter().for_each(|status| ailing.note(status, 3));
        let found = (ailing.groups_short, ailing.groups_without_leader, ailing.silent_nodes.len());
        assert_eq!(found, (groups_short, groups_without_leader, silent), "{what}");
        assert_eq!(ailing.failed_replicas, 4, "{what}");
    }
}
