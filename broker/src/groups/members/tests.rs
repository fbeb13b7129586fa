use std::collections::BTreeMap;

use pelton_consensus::{FollowerStatus, Role};
use pelton_log::{LogIndex, Term};

use super::*;

const THIS: NodeId = NodeId(1);

fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

/// A leader at index 1,000 with these voters and learners; of those in `behind` it knows that they are not there yet,
/// and those in `silent` do not answer.
fn status(voters: &[u64], learners: &[u64], behind: &[u64], silent: &[u64]) -> GroupStatus {
    let follower = |node: &u64| FollowerStatus {
        matched: Some(LogIndex(if behind.contains(node) { 900 } else { 1_000 - CAUGHT_UP_WITHIN })),
        answered: Some(if silent.contains(node) { ANSWERED_WITHIN } else { Duration::from_millis(200) }),
    };
    let followers: BTreeMap<_, _> = voters
        .iter()
        .chain(learners)
        .filter(|node| **node != THIS.0)
        .map(|node| (pelton_consensus::NodeId(*node), follower(node)))
        .collect();
    GroupStatus {
        role: Role::Leader,
        term: Term(3),
        leader: Some(ids::raft_node(THIS)),
        voters: ids::raft_nodes(&set(voters)),
        learners: ids::raft_nodes(&set(learners)),
        is_joint: false,
        first_index: None,
        last_index: Some(LogIndex(1_000)),
        committed_index: None,
        applied_index: None,
        purged_index: None,
        followers,
        elections_won: 1,
        snapshots_installed: 0,
    }
}

fn wanted(voters: &[u64], preferred: Option<u64>) -> Wanted {
    Wanted { voters: set(voters), learners: BTreeSet::new(), preferred: preferred.map(NodeId) }
}

#[test]
fn one_step_after_the_other_brings_the_members_about() {
    let voters = |nodes: &[u64]| Some(Step::Voters(set(nodes)));
    let rows = [
        ("all is well", status(&[1, 2, 3], &[], &[], &[]), wanted(&[1, 2, 3], Some(1)), None),
        ("nobody says what should be", status(&[1, 2, 3], &[], &[], &[]), wanted(&[], None), None),
        ("a replica is missing", status(&[1], &[], &[], &[]), wanted(&[1, 2, 3], None), Some(Step::Add(NodeId(2)))),
        ("and the next", status(&[1], &[2], &[2], &[]), wanted(&[1, 2, 3], None), Some(Step::Add(NodeId(3)))),
        ("it has not caught up", status(&[1], &[2, 3], &[2], &[]), wanted(&[1, 2, 3], None), None),
        ("it does not answer", status(&[1], &[2, 3], &[], &[3]), wanted(&[1, 2, 3], None), None),
        ("it has", status(&[1], &[2, 3], &[], &[]), wanted(&[1, 2, 3], None), voters(&[1, 2, 3])),
        ("a voter is lost", status(&[1, 2, 3], &[4], &[], &[3]), wanted(&[1, 2, 4], None), voters(&[1, 2, 4])),
        ("one too many", status(&[1, 2, 3], &[], &[], &[]), wanted(&[1, 2], None), voters(&[1, 2])),
        (
            "a learner that is not wanted",
            status(&[1, 2], &[4], &[], &[]),
            wanted(&[1, 2], None),
            Some(Step::DropLearner(NodeId(4))),
        ),
        (
            "the leader is to go: it hands over first",
            status(&[1, 2, 3], &[4], &[], &[]),
            wanted(&[2, 3, 4], Some(3)),
            Some(Step::HandOver(NodeId(3))),
        ),
        (
            "to whoever stays when the preferred one is new",
            status(&[1, 2, 3], &[4], &[], &[]),
            wanted(&[2, 3, 4], Some(4)),
            Some(Step::HandOver(NodeId(2))),
        ),
        ("nobody could take over", status(&[1, 2, 3], &[4], &[2, 3], &[]), wanted(&[2, 3, 4], None), None),
        ("nobody stays", status(&[1], &[2], &[], &[]), wanted(&[2], Some(2)), voters(&[1, 2])),
        (
            "another should lead",
            status(&[1, 2, 3], &[], &[], &[]),
            wanted(&[1, 2, 3], Some(2)),
            Some(Step::HandOver(NodeId(2))),
        ),
        ("but is behind", status(&[1, 2, 3], &[], &[2], &[]), wanted(&[1, 2, 3], Some(2)), None),
        ("or does not answer", status(&[1, 2, 3], &[], &[], &[2]), wanted(&[1, 2, 3], Some(2)), None),
    ];
    for (row, status, wanted, want) in rows {
        assert_eq!(next_step(THIS, &status, &wanted), want, "{row}");
    }
    let joint = GroupStatus { is_joint: true, ..status(&[1, 2, 3], &[], &[], &[]) };
    assert_eq!(next_step(THIS, &joint, &wanted(&[1, 2], None)), voters(&[1, 2]), "a change that is half done");
    let another = next_step(THIS, &joint, &wanted(&[1, 2, 5], None));
    assert_eq!(another, voters(&[1, 2]), "and one of those that are wanted now is no member");
    assert_eq!(next_step(THIS, &joint, &wanted(&[5], None)), voters(&[1, 2, 3]), "and none of them is");
    let hands_over = next_step(THIS, &joint, &wanted(&[2, 3], Some(3)));
    assert_eq!(hands_over, Some(Step::HandOver(NodeId(3))), "and the leader is to go");
}

#[test]
fn the_registrys_learners_stay_learners() {
    let all = |learners: &[u64]| Wanted { learners: set(learners), ..wanted(&[1, 2, 3], None) };
    assert_eq!(next_step(THIS, &status(&[1, 2, 3], &[4], &[], &[]), &all(&[4])), None);
    let missing = next_step(THIS, &status(&[1, 2, 3], &[4], &[], &[]), &all(&[4, 5]));
    assert_eq!(missing, Some(Step::Add(NodeId(5))));
}

/// From any members to any others, every replica sound: it ends, and where it should.
#[test]
fn any_members_become_any_others() {
    for from in 1_u64..16 {
        for to in 1_u64..16 {
            let of = |mask: u64| (1..=4).filter(|node| mask & (1 << (node - 1)) != 0).collect::<Vec<u64>>();
            let (mut voters, mut learners) = (of(from), Vec::new());
            let mut leader = voters[0];
            let wanted = wanted(&of(to), None);
            for _ in 0..20 {
                let follower = FollowerStatus { matched: Some(LogIndex(1_000)), answered: Some(Duration::ZERO) };
                let all: Vec<_> = voters.iter().chain(&learners).copied().collect();
                let followers = all.iter().filter(|node| **node != leader);
                let followers = followers.map(|node| (pelton_consensus::NodeId(*node), follower)).collect();
                let status = GroupStatus { followers, ..status(&voters, &learners, &[], &[]) };
                let Some(step) = next_step(NodeId(leader), &status, &wanted) else { break };
                match step {
                    Step::Add(node) => learners.push(node.0),
                    Step::DropLearner(node) => learners.retain(|learner| *learner != node.0),
                    Step::HandOver(node) => leader = node.0,
                    Step::Voters(next) => {
                        assert!(next.iter().all(|node| all.contains(&node.0)), "{from:b} to {to:b}: {next:?}");
                        voters = next.iter().map(|node| node.0).collect();
                        learners.retain(|learner| !voters.contains(learner));
                        assert!(voters.contains(&leader), "{from:b} to {to:b}: the leader went without handing over");
                    }
                }
            }
            assert_eq!((voters, learners), (of(to), vec![]), "{from:b} to {to:b}");
        }
    }
}

#[test]
fn what_stops_hands_over_to_whoever_should_lead() {
    let (all, late) = (status(&[1, 2, 3], &[4], &[], &[]), status(&[1, 2, 3], &[], &[3], &[]));
    let silent = status(&[1, 2, 3], &[], &[], &[3]);
    let follower = GroupStatus { role: Role::Follower, ..status(&[1, 2, 3], &[], &[], &[]) };
    for (what, status, preferred, want) in [
        ("it is away from home", &all, Some(3), Some(3)),
        ("it is at home", &all, Some(1), Some(2)),
        ("nobody should", &all, None, Some(2)),
        ("whoever should lags behind", &late, Some(3), Some(2)),
        ("whoever should is silent", &silent, Some(3), Some(2)),
        ("whoever should has no vote", &all, Some(4), Some(2)),
        ("it does not lead", &follower, Some(3), None),
    ] {
        let heir = heir(THIS, status, preferred.map(NodeId));
        assert_eq!(heir.map(ids::node), want.map(NodeId), "{what}");
    }
}
