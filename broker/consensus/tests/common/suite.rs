//! What holds over every transport.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeSet;

use bytes::Bytes;
use pelton_consensus::{NodeId, ProposeError, Role};

use super::cluster::*;

fn body(n: usize) -> Bytes {
    Bytes::from(format!("command {n}"))
}

pub async fn a_leader_is_elected_and_all_replicas_get_the_same<F: Fabric>(fabric: F) {
    let cluster = Cluster::of(fabric, 3).await;
    let leader = cluster.leader().await;
    for n in 0..50 {
        cluster.commit(body(n)).await;
    }
    let lines = cluster.converge(50).await;
    assert_eq!(lines.iter().map(|line| line.body.clone()).collect::<Vec<_>>(), (0..50).map(body).collect::<Vec<_>>());
    cluster.assert_same_logs();
    for node in cluster.nodes.values() {
        let status = node.group.status();
        assert_eq!(status.role, if node.id == leader { Role::Leader } else { Role::Follower });
        assert_eq!(status.leader, Some(NodeId(leader)));
        assert_eq!(status.voters, [1, 2, 3].map(NodeId).into());
        assert_eq!(status.followers.len(), if node.id == leader { 2 } else { 0 });
        assert_eq!(node.group.serves(), node.id == leader);
    }
    let read = cluster.group(leader).read_index().await.unwrap();
    assert!(read.0 >= lines.last().unwrap().index);
}

pub async fn another_leader_follows_a_killed_one<F: Fabric>(fabric: F) {
    let mut cluster = Cluster::of(fabric, 3).await;
    for n in 0..10 {
        cluster.commit(body(n)).await;
    }
    let first = cluster.leader().await;
    let disk = cluster.kill(first).await;
    for n in 10..20 {
        cluster.commit(body(n)).await;
    }
    let second = cluster.leader().await;
    assert_ne!(first, second);
    cluster.start_on(first, disk).await;
    for n in 20..30 {
        cluster.commit(body(n)).await;
    }
    let lines = cluster.converge(30).await;
    assert_eq!(lines.iter().map(|line| line.body.clone()).collect::<Vec<_>>(), (0..30).map(body).collect::<Vec<_>>());
    cluster.assert_same_logs();
}

pub async fn a_learner_catches_up_and_becomes_a_voter<F: Fabric>(fabric: F) {
    let mut cluster = Cluster::of(fabric, 3).await;
    for n in 0..40 {
        cluster.commit(body(n)).await;
    }
    cluster.start(4).await;
    let leader = cluster.leader().await;
    let group = cluster.group(leader).clone();
    within("adding a learner", group.add_learner(NodeId(4))).await.unwrap();
    within("adding it again", group.add_learner(NodeId(4))).await.unwrap();
    let last = group.status().last_index;
    until("the learner has caught up", || {
        group.status().followers.get(&NodeId(4)).is_some_and(|learner| learner.matched >= last)
    })
    .await;
    assert_eq!(cluster.group(4).status().role, Role::Learner);
    let left_out = (1..=3).find(|id| *id != leader).unwrap();
    let voters: BTreeSet<NodeId> = (1..=4).filter(|id| *id != left_out).map(NodeId).collect();
    within("changing the voters", group.change_voters(voters.clone())).await.unwrap();
    within("changing them again", group.change_voters(voters.clone())).await.unwrap();
    let status = group.status();
    assert_eq!((status.voters, status.learners, status.is_joint), (voters, BTreeSet::new(), false));
    cluster.kill(left_out).await;
    for n in 40..50 {
        cluster.commit(body(n)).await;
    }
    assert_eq!(cluster.converge(50).await.len(), 50);
    cluster.assert_same_logs();
    until("the new voter knows", || cluster.group(4).status().role == Role::Follower).await;
}

pub async fn a_new_replica_starts_from_a_snapshot_and_gets_the_rest_as_entries<F: Fabric>(fabric: F) {
    let mut cluster = Cluster::of(fabric, 3).await;
    let mut last = 0;
    for n in 0..60 {
        last = cluster.commit(body(n)).await.0;
    }
    cluster.converge(60).await;
    let keep = last - 20;
    for node in cluster.nodes.values() {
        node.group.state().inner.lock().keep_from = Some(keep);
        node.group.purge_to_watermark().await.unwrap();
    }
    until("all logs are purged", || {
        cluster.nodes.values().all(|node| node.group.status().purged_index.is_some_and(|at| at.0 == keep))
    })
    .await;
    cluster.start(4).await;
    let leader = cluster.leader().await;
    within("adding a learner", cluster.group(leader).add_learner(NodeId(4))).await.unwrap();
    let lines = cluster.converge(60).await;
    assert_eq!(lines.len(), 60);
    let status = cluster.group(4).status();
    assert_eq!((status.snapshots_installed, status.purged_index.map(|at| at.0)), (1, Some(keep)));
    assert_eq!(status.first_index.map(|at| at.0), Some(keep + 1));
    cluster.assert_same_logs();
    // It goes on from what it installed, on its own disk and as a source for others.
    cluster.restart(4).await;
    for n in 60..65 {
        cluster.commit(body(n)).await;
    }
    cluster.converge(65).await;
    cluster.assert_same_logs();
}

pub async fn the_leader_is_handed_over<F: Fabric>(fabric: F) {
    let cluster = Cluster::of(fabric, 3).await;
    cluster.commit(body(0)).await;
    cluster.converge(1).await;
    let from = cluster.leader().await;
    let to = (1..=3).find(|id| *id != from).unwrap();
    until("the follower has answered", || cluster.group(from).status().followers[&NodeId(to)].answered.is_some()).await;
    within("the hand-over", cluster.group(from).transfer_leader(NodeId(to))).await.unwrap();
    until("the new leader serves", || cluster.group(to).serves()).await;
    assert!(!cluster.group(from).serves());
    assert!(cluster.group(to).status().elections_won >= 1);
    cluster.commit(body(1)).await;
    cluster.converge(2).await;
}

pub async fn a_voter_finds_out_whom_it_reaches<F: Fabric>(fabric: F) {
    let mut cluster = Cluster::of(fabric, 3).await;
    cluster.commit(body(0)).await;
    cluster.converge(1).await;
    let within = cluster.options.election_timeout.0;
    let heard = |cluster: &Cluster<F>, id: u64| cluster.group(id).quorum_heard().is_some_and(|age| age <= 2 * within);
    assert!((1..=3).all(|id| heard(&cluster, id)));
    cluster.start(4).await;
    assert_eq!(cluster.group(4).reach(within).await, None, "it does not vote");
    let leader = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    cluster.kill(leader).await;
    let two = cluster.group(others[0]).reach(within).await.unwrap();
    assert_eq!((two.reached, two.voters, two.is_quorum), (2, 3, true));
    // One of them leads; the other is gone then, and the leader finds that out as well.
    let next = cluster.leader().await;
    cluster.kill(others.iter().copied().find(|id| *id != next).unwrap()).await;
    let one = cluster.group(next).reach(within).await.unwrap();
    assert_eq!((one.reached, one.voters, one.is_quorum), (1, 3, false));
    until("no quorum is heard any more", || !heard(&cluster, next)).await;
    cluster.stop().await;
}

/// Many entries near the size of a record: a request has 1 MiB at most, and all arrive.
pub async fn large_entries_get_through_in_bounded_requests<F: Fabric>(fabric: F) {
    let mut cluster = Cluster::new(fabric);
    let mib = 1 << 20;
    cluster.log_options.segment_size_bytes = 16 * mib;
    cluster.log_options.initial_segment_size_bytes = 16 * mib;
    cluster.log_options.max_record_bytes = 4 * mib;
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.initialize(1..=3).await;
    let leader = cluster.leader().await;
    let large = |n: usize| Bytes::from(vec![n as u8; if n.is_multiple_of(8) { 3 << 20 } else { 300 << 10 }]);
    let mut fates = Vec::new();
    for n in 0..24 {
        fates.push(propose(cluster.group(leader), large(n), 1).await);
    }
    for (n, fate) in fates.into_iter().enumerate() {
        match within("the fate of a large entry", fate).await.unwrap() {
            Ok(_) => {}
            // Where time is real, a machine that is busy with so many bytes may change its leader under them.
            Err(ProposeError::NotLeader { .. } | ProposeError::Discarded) => {
                cluster.commit(large(n)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let lines = cluster.converge(24).await;
    let mut numbers: Vec<usize> = lines.iter().map(|line| usize::from(line.body[0])).collect();
    assert!(lines.iter().zip(&numbers).all(|(line, n)| line.body == large(*n)));
    numbers.sort_unstable();
    assert_eq!(numbers, (0..24).collect::<Vec<_>>());
}
