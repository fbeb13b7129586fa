//! Groups of several voters in one process: election, failover, catching up, members, and what exactly a proposal learns.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::cluster::*;
use common::net::Net;
use common::suite;

type Simulated = Cluster<Arc<Net>>;

async fn three() -> Simulated {
    Cluster::of(Net::new(1), 3).await
}

/// The tests that every transport has to pass, here over links without sockets.
mod every_transport {
    use super::*;

    macro_rules! suite {
        ($($name:ident),* $(,)?) => {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    suite::$name(Net::new(1)).await;
                }
            )*
        };
    }

    suite!(
        a_leader_is_elected_and_all_replicas_get_the_same,
        another_leader_follows_a_killed_one,
        a_learner_catches_up_and_becomes_a_voter,
        a_new_replica_starts_from_a_snapshot_and_gets_the_rest_as_entries,
        the_leader_is_handed_over,
        a_voter_finds_out_whom_it_reaches,
        large_entries_get_through_in_bounded_requests,
    );
}

/// A leader that nobody hears: it acknowledges nothing, serves no reads and knows that it does not serve; what it was
/// given in the meantime ends as discarded, and only once that is sure.
#[tokio::test(start_paused = true)]
async fn a_cut_off_leader_acknowledges_nothing_and_serves_no_reads() {
    let cluster = three().await;
    cluster.commit("before").await;
    let old = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    let mut leadership = cluster.group(old).leadership();
    cluster.fabric.isolate(old, 1..=3);
    let mut lost = propose(cluster.group(old), "nobody hears this", 1).await;
    assert_eq!(cluster.group(old).read_index().await, Err(pelton_consensus::ReadIndexError::Unavailable));
    within("the old leader knows", leadership.wait_for(|now| !now.serves)).await.unwrap();
    assert!(!cluster.group(old).serves());
    for n in 0..10 {
        cluster.commit_among(others.clone(), format!("after {n}")).await;
    }
    // Its lease is long over, so what comes now does not even get into its log.
    let refused = propose(cluster.group(old), "nor this", 1).await.await.unwrap();
    assert_eq!(refused, Err(pelton_consensus::ProposeError::NotLeader { leader: None }));
    assert!(lost.try_recv().is_err(), "it cannot know yet");
    cluster.fabric.heal();
    assert_eq!(within("the fate", lost).await.unwrap(), Err(pelton_consensus::ProposeError::Discarded));
    let lines = cluster.converge(11).await;
    assert_eq!(lines.len(), 11);
    cluster.assert_same_logs();
}

/// The other way round: a leader that is heard but hears nothing. Its entry is on the others and is committed by the
/// next leader; the old one says so in the end, and never that it was not written.
#[tokio::test(start_paused = true)]
async fn an_entry_that_the_next_leader_commits_is_told_as_committed() {
    let cluster = three().await;
    cluster.commit("before").await;
    cluster.converge(1).await;
    let old = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    for other in &others {
        cluster.fabric.cut(*other, old);
    }
    let mut fate = propose(cluster.group(old), "heard by all", 1).await;
    let next = cluster.leader_among(others.clone()).await;
    assert_ne!(next, old);
    cluster.commit_among(others, "after").await;
    assert!(fate.try_recv().is_err(), "it hears nothing");
    cluster.fabric.heal();
    let index = within("the fate", fate).await.unwrap().unwrap();
    let lines = cluster.converge(3).await;
    assert_eq!(lines.iter().find(|line| line.body == "heard by all").unwrap().index, index.0);
}

/// Whatever the network does, what a proposer is told is what happened.
#[tokio::test(start_paused = true)]
async fn what_proposers_are_told_is_what_the_log_says() {
    for seed in 1..=10 {
        let cluster = Cluster::of(Net::new(seed), 3).await;
        let chance = pelton_env::SeededChance::new(seed);
        let mut fates = Vec::new();
        for n in 0..120 {
            for node in cluster.nodes.values() {
                if node.group.status().is_leader() {
                    let body = format!("{n} at {}", node.id);
                    fates.push((body.clone(), propose(&node.group, body, 1).await));
                }
            }
            use pelton_env::Chance;
            match chance.below(12) {
                0 => cluster.fabric.isolate(1 + chance.below(3), 1..=3),
                1 => cluster.fabric.cut(1 + chance.below(3), 1 + chance.below(3)),
                2 | 3 => cluster.fabric.heal(),
                4 => cluster.fabric.lose(chance.below(300)),
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(chance.below(200))).await;
        }
        cluster.fabric.heal();
        cluster.commit("the end").await;
        let mut committed = 0;
        let mut told = Vec::new();
        for (body, fate) in fates {
            told.push((body, within("every fate", fate).await.unwrap()));
        }
        let lines = cluster.converge(1).await;
        for (body, fate) in told {
            let found: Vec<_> = lines.iter().filter(|line| line.body == body).collect();
            match fate {
                Ok(index) => {
                    committed += 1;
                    assert!(found.len() == 1 && found[0].index == index.0, "seed {seed}: {body} at {}", index.0);
                }
                Err(error) => {
                    let sure = error != pelton_consensus::ProposeError::OutcomeUnknown;
                    assert!(sure && found.is_empty(), "seed {seed}: {body}: {error}, found {found:?}");
                }
            }
        }
        assert_eq!(lines.len(), committed + 1, "seed {seed}: nothing that nobody was told of");
        assert!(committed > 10, "seed {seed}: {committed} committed");
        cluster.assert_same_logs();
        cluster.stop().await;
    }
}

/// A leader that restarts with less than it sent must not write again in its old term: there would be two entries of
/// one term, leader and index.
#[tokio::test(start_paused = true)]
async fn a_restarted_leader_that_lost_its_tail_does_not_go_on_in_its_old_term() {
    let mut cluster = three().await;
    cluster.commit("before").await;
    cluster.converge(1).await;
    let leader = cluster.leader().await;
    cluster.nodes[&leader].disk_works.store(false, std::sync::atomic::Ordering::Relaxed);
    let index = within("a commit by the others", propose(cluster.group(leader), "not on its disk", 1).await).await;
    let index = index.unwrap().unwrap();
    let term = cluster.group(leader).status().term;
    cluster.restart(leader).await;
    cluster.commit("after").await;
    let lines = cluster.converge(3).await;
    assert_eq!(lines.iter().find(|line| line.body == "not on its disk").unwrap().index, index.0);
    cluster.assert_same_logs();
    assert!(cluster.nodes.values().all(|node| node.group.status().term > term));
}

/// Two voters that have just started have forgotten the lease they gave. They elect nobody before it is over: their
/// leader, which they do not hear, may still count on it.
#[tokio::test(start_paused = true)]
async fn restarted_voters_do_not_stand_while_an_old_lease_may_hold() {
    let mut cluster = three().await;
    cluster.commit("before").await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    cluster.fabric.isolate(leader, 1..=3);
    let started = tokio::time::Instant::now();
    for other in &others {
        cluster.restart(*other).await;
    }
    until("another leader", || others.iter().any(|id| cluster.group(*id).status().is_leader())).await;
    assert!(started.elapsed() >= cluster.options.election_timeout.1, "{:?}", started.elapsed());
}

/// A voter that has just started gives its vote to nobody, either: of the two that are left one has waited long enough
/// and stands, and has to wait for the other.
#[tokio::test(start_paused = true)]
async fn a_restarted_voter_holds_its_vote() {
    let mut cluster = three().await;
    cluster.commit("before").await;
    let leader = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    cluster.kill(leader).await;
    let hold = cluster.options.election_timeout.1;
    tokio::time::sleep(hold + Duration::from_millis(100)).await;
    let started = tokio::time::Instant::now();
    cluster.restart(others[0]).await;
    until("another leader", || others.iter().any(|id| cluster.group(*id).status().is_leader())).await;
    assert!(started.elapsed() >= hold, "{:?}", started.elapsed());
}

/// A follower that nobody hears raises no terms, so it deposes nobody when it comes back.
#[tokio::test(start_paused = true)]
async fn a_follower_that_was_cut_off_disturbs_nobody() {
    let cluster = three().await;
    cluster.commit("before").await;
    let leader = cluster.leader().await;
    let alone = 1 + leader % 3;
    cluster.fabric.isolate(alone, 1..=3);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let term = cluster.group(leader).status().term;
    assert_eq!(cluster.group(alone).status().term, term);
    cluster.fabric.heal();
    cluster.commit("after").await;
    cluster.converge(2).await;
    assert_eq!((cluster.leader().await, cluster.group(leader).status().term), (leader, term));
}

/// An entry that was cut from its proposer's log may be committed all the same: five nodes, the entry on the first
/// leader and one other. A second leader puts its own entry in that place, on the first only; then the other one with
/// the entry is elected, and commits it. The proposer is told so, and was told nothing before.
#[tokio::test(start_paused = true)]
async fn an_entry_that_was_cut_here_and_committed_by_others_is_told_as_committed() {
    let cluster = Cluster::of(Net::new(5), 5).await;
    cluster.commit("before").await;
    cluster.converge(1).await;
    let first = cluster.leader().await;
    let mut others = (1..=5).filter(|id| *id != first);
    let keeper = others.next().unwrap();
    let rest: Vec<u64> = others.collect();
    for other in &rest {
        cluster.fabric.cut(first, *other);
    }
    let mut fate = propose(cluster.group(first), "cut and kept", 1).await;
    let has_it = |id: u64| cluster.nodes[&id].entries().iter().any(|entry| entry.body == "cut and kept");
    until("the keeper has it", || has_it(keeper)).await;
    cluster.fabric.heal();
    cluster.fabric.isolate(keeper, 1..=5);
    cluster.fabric.only_votes(rest.clone());
    // The first leader hears of the second before it can send the rest anything.
    for other in &rest {
        cluster.fabric.cut(first, *other);
    }
    until("the entry is cut", || !has_it(first)).await;
    let second: Vec<u64> = rest.iter().copied().filter(|id| cluster.group(*id).status().elections_won > 0).collect();
    assert_eq!(second.len(), 1, "only one was elected meanwhile");
    assert!(fate.try_recv().is_err(), "it is not known yet");
    cluster.fabric.heal();
    cluster.fabric.isolate(first, 1..=5);
    cluster.fabric.isolate(second[0], 1..=5);
    assert_eq!(cluster.leader_among(vec![keeper]).await, keeper);
    assert!(fate.try_recv().is_err(), "it has not heard");
    cluster.fabric.heal();
    let index = within("the fate", fate).await.unwrap().unwrap();
    let lines = cluster.converge(2).await;
    assert_eq!(lines.iter().find(|line| line.body == "cut and kept").unwrap().index, index.0);
    cluster.assert_same_logs();
}

#[tokio::test(start_paused = true)]
async fn a_group_that_never_voted_and_a_lone_voter_hold_nothing() {
    let hold = group_options().election_timeout.1;
    let started = tokio::time::Instant::now();
    let mut alone = Cluster::of(Net::new(1), 1).await;
    alone.leader().await;
    alone.commit("before").await;
    assert!(started.elapsed() < hold);
    let started = tokio::time::Instant::now();
    alone.restart(1).await;
    alone.leader().await;
    assert!(started.elapsed() < hold, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn members_change_under_load_and_nothing_is_lost() {
    let mut cluster = three().await;
    cluster.leader().await;
    cluster.start(4).await;
    cluster.start(5).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writers = (0..4).map(|writer| {
        let groups: Vec<_> = cluster.nodes.values().map(|node| node.group.clone()).collect();
        let stopped = stopped.clone();
        tokio::spawn(write_until(groups, writer, stopped))
    });
    let writers: Vec<_> = writers.collect();
    let change = |cluster: &Simulated, voters: std::collections::BTreeSet<pelton_consensus::NodeId>| {
        let groups: Vec<_> = cluster.nodes.values().map(|node| node.group.clone()).collect();
        async move {
            loop {
                let Some(leader) = groups.iter().find(|group| group.serves()) else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let mut done = Ok(());
                for voter in &voters {
                    if done.is_ok() {
                        done = leader.add_learner(*voter).await;
                    }
                }
                if done.is_ok() && leader.change_voters(voters.clone()).await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    for voters in [&[1, 2, 3, 4, 5][..], &[3, 4, 5], &[1, 2, 3], &[1, 4, 5], &[1, 2, 3, 4, 5], &[2, 4]] {
        let set = voters.iter().map(|id| pelton_consensus::NodeId(*id)).collect();
        within("a change", change(&cluster, set)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.send(true).unwrap();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(within("a writer", writer).await.unwrap());
    }
    for gone in [1, 3, 5] {
        cluster.kill(gone).await;
    }
    let lines = cluster.converge(acknowledged.len()).await;
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    for body in acknowledged {
        assert_eq!(lines.iter().filter(|line| line.body == body).count(), 1, "{body}");
    }
    cluster.assert_same_logs();
}

/// Writes one command after another at whichever node leads; gives what was acknowledged.
async fn write_until(
    groups: Vec<pelton_consensus::Group<Ledger>>,
    writer: usize,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if *stopped.borrow() {
            break;
        }
        let Some(leader) = groups.iter().find(|group| group.serves()) else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let body = format!("{writer}: {n}");
        if within("a write", propose(leader, body.clone(), 1).await).await.unwrap().is_ok() {
            acknowledged.push(body);
        } else {
            // It may be handing over.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    acknowledged
}

/// A planned hand-over fails no proposal: it is committed, or refused before it was written.
#[tokio::test(start_paused = true)]
async fn a_leader_is_handed_over_under_load_without_a_lost_or_doubtful_proposal() {
    let cluster = three().await;
    cluster.commit("before").await;
    let mut told = Vec::new();
    for round in 0..6 {
        let from = cluster.leader().await;
        let to = 1 + from % 3;
        until("the follower has answered", || {
            cluster
                .group(from)
                .status()
                .followers
                .get(&pelton_consensus::NodeId(to))
                .is_some_and(|f| f.answered.is_some())
        })
        .await;
        for n in 0..20 {
            told.push((format!("{round}: {n}"), propose(cluster.group(from), format!("{round}: {n}"), 1).await));
        }
        let group = cluster.group(from).clone();
        let handed = tokio::spawn(async move { group.transfer_leader(pelton_consensus::NodeId(to)).await });
        for n in 20..40 {
            told.push((format!("{round}: {n}"), propose(cluster.group(from), format!("{round}: {n}"), 1).await));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        within("the hand-over", handed).await.unwrap().unwrap();
        until("the new leader serves", || cluster.group(to).serves()).await;
    }
    let mut fates = Vec::new();
    for (body, fate) in told {
        fates.push((body, within("every fate", fate).await.unwrap()));
    }
    let lines = cluster.converge(1).await;
    for (body, fate) in fates {
        let found = lines.iter().filter(|line| line.body == body).count();
        match fate {
            Ok(_) => assert_eq!(found, 1, "{body}"),
            Err(pelton_consensus::ProposeError::NotLeader { .. }) => assert_eq!(found, 0, "{body}"),
            Err(error) => panic!("{body}: {error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_to_a_node_that_cannot_lead_is_refused() {
    use pelton_consensus::{MembershipError, NodeId};
    let mut cluster = three().await;
    cluster.commit("before").await;
    let leader = cluster.leader().await;
    let (silent, other) = ((1..=3).find(|id| *id != leader).unwrap(), (1..=3).rfind(|id| *id != leader).unwrap());
    cluster.start(4).await;
    let group = cluster.group(leader).clone();
    group.add_learner(NodeId(4)).await.unwrap();
    let refused = |node| Err(MembershipError::NotAVoter { node: NodeId(node) });
    assert_eq!(group.transfer_leader(NodeId(4)).await, refused(4));
    assert_eq!(group.transfer_leader(NodeId(9)).await, refused(9));
    cluster.fabric.isolate(silent, 1..=4);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(group.transfer_leader(NodeId(silent)).await, Err(MembershipError::Behind { node: NodeId(silent) }));
    let of_follower = cluster.group(other).transfer_leader(NodeId(other)).await;
    assert_eq!(of_follower, Err(MembershipError::NotLeader { leader: Some(NodeId(leader)) }));
    assert_eq!(
        group.change_voters([NodeId(1), NodeId(9)].into()).await,
        Err(MembershipError::NotAMember { node: NodeId(9) })
    );
    assert_eq!(group.change_voters([].into()).await, Err(MembershipError::NoVoters));
    assert_eq!(group.remove_learner(NodeId(other)).await, Err(MembershipError::StillAVoter { node: NodeId(other) }));
    group.remove_learner(NodeId(4)).await.unwrap();
    assert!(group.status().learners.is_empty());
    assert_eq!(cluster.leader_among(vec![leader]).await, leader, "none of this stopped it");
}

/// Nodes that were voters and are none any more elect nobody, whatever they still believe.
#[tokio::test(start_paused = true)]
async fn removed_voters_elect_nobody() {
    use pelton_consensus::NodeId;
    let mut cluster = Cluster::of(Net::new(3), 5).await;
    cluster.commit("before").await;
    let leader = cluster.leader().await;
    let stays: Vec<u64> = [leader].into_iter().chain((1..=5).filter(|id| *id != leader)).take(3).collect();
    let removed: Vec<u64> = (1..=5).filter(|id| !stays.contains(id)).collect();
    // They hear nothing of it.
    for gone in &removed {
        cluster.fabric.isolate(*gone, 1..=5);
    }
    let voters = stays.iter().copied().map(NodeId).collect();
    within("the change", cluster.group(leader).change_voters(voters)).await.unwrap();
    let term = cluster.group(leader).status().term;
    cluster.fabric.heal();
    for gone in &removed {
        // They reach all but the leader, which could put them right.
        cluster.fabric.cut(leader, *gone);
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(cluster.group(leader).status().term, term, "they disturb nobody");
    assert!(cluster.group(leader).serves());
    assert!(removed.iter().all(|id| !cluster.group(*id).status().is_leader()));
    // And with the new voters gone but one, the votes of the removed make no quorum.
    cluster.kill(leader).await;
    cluster.kill(stays[1]).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(cluster.nodes.values().all(|node| !node.group.status().is_leader()));
}

/// A follower that takes requests and does not answer is given up, so that it does not keep the leader from purging.
#[tokio::test(start_paused = true)]
async fn a_follower_that_hangs_does_not_hold_up_purging() {
    let cluster = three().await;
    cluster.commit("before").await;
    let leader = cluster.leader().await;
    let hangs = (1..=3).find(|id| *id != leader).unwrap();
    cluster.nodes[&hangs].disk_works.store(false, std::sync::atomic::Ordering::Relaxed);
    let mut last = 0;
    for n in 0..30 {
        last = cluster.commit(format!("{n}")).await.0;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let group = cluster.group(leader).clone();
    group.state().inner.lock().keep_from = Some(last);
    group.purge_to_watermark().await.unwrap();
    until("the leader has purged", || group.status().purged_index.is_some_and(|at| at.0 == last)).await;
    // When its disk works again it is behind what the leader still has, and catches up all the same.
    cluster.nodes[&hangs].disk_works.store(true, std::sync::atomic::Ordering::Relaxed);
    cluster.commit("after").await;
    until("it has caught up", || cluster.nodes[&hangs].lines().len() == 32).await;
    assert_eq!(cluster.nodes[&hangs].lines(), cluster.nodes[&leader].lines());
}

/// The beats of many groups to one node go in one message.
#[tokio::test(start_paused = true)]
async fn heartbeats_of_many_groups_share_messages() {
    let cluster = three().await;
    let mut groups = Vec::new();
    for group in 2..=14 {
        for node in cluster.nodes.values() {
            let options =
                pelton_consensus::GroupOptions { node: pelton_consensus::NodeId(node.id), ..cluster.options.clone() };
            let state = Arc::new(Ledger::default());
            let log = node.group.log().clone();
            let id = pelton_log::GroupId(group);
            let opened = pelton_consensus::Group::open(id, log, state, &options, node.peers.clone()).await.unwrap();
            if node.id == 1 {
                opened.initialize(&[1, 2, 3].map(pelton_consensus::NodeId).into()).await.unwrap();
            }
            groups.push(opened);
        }
    }
    until("all groups are led", || groups.chunks(3).all(|group| group.iter().any(pelton_consensus::Group::serves)))
        .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = cluster.fabric.heartbeats();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let messages = cluster.fabric.heartbeats() - before;
    // 14 groups beat to two others, at least every 120 ms: 933 beats or more.
    assert!(messages < 700, "{messages} messages");
    assert!(groups.chunks(3).all(|group| group.iter().any(pelton_consensus::Group::serves)));
}

/// A request for a group that is not open is refused, makes nothing, and is tried again: the group may be opened later.
#[tokio::test(start_paused = true)]
async fn a_request_for_an_unknown_group_makes_none() {
    use futures_util::StreamExt;
    use pelton_proto::consensus::v1 as proto;
    let cluster = three().await;
    let peers = &cluster.nodes[&1].peers;
    let unknown = proto::refusal::Reason::UnknownGroup;
    let request = proto::AppendRequest { group: 9, ..Default::default() };
    let answers: Vec<_> = peers.append(futures_util::stream::iter([Ok(request)]).boxed()).collect().await;
    let Some(proto::append_response::Result::Refusal(refusal)) = &answers[0].result else { panic!("{answers:?}") };
    assert_eq!((answers.len(), refusal.reason()), (1, unknown));
    let answer = peers.vote(proto::VoteRequest { group: 9, ..Default::default() }).await;
    let Some(proto::vote_response::Result::Refusal(refusal)) = answer.result else { panic!() };
    assert_eq!(refusal.reason(), unknown);
    let answer = peers.transfer_leader(proto::TransferLeaderRequest { group: 9, ..Default::default() }).await;
    assert_eq!(answer.refusal.unwrap().reason(), unknown);
    assert_eq!(cluster.nodes[&1].group.log().groups(), [GROUP]);
}

/// A replica that forgot its vote helps nobody in the terms in which it may have given it: of three, the leader is gone,
/// and the other two elect in a later one.
#[tokio::test(start_paused = true)]
async fn a_replica_that_forgot_its_votes_gives_none_again() {
    let mut cluster = three().await;
    cluster.commit("before").await;
    cluster.converge(1).await;
    let leader = cluster.leader().await;
    let forgot = 1 + leader % 3;
    cluster.kill(leader).await;
    cluster.kill(forgot).await;
    cluster.options.at_least_term = pelton_log::Term(50);
    cluster.start(forgot).await;
    assert_eq!(cluster.group(forgot).status().term, pelton_log::Term(50));
    cluster.commit("after").await;
    for id in cluster.nodes.keys().copied() {
        assert!(cluster.group(id).status().term > pelton_log::Term(50), "{:?}", cluster.group(id).status());
    }
}

/// What the disk says of a leader is not what a leader says.
#[tokio::test(start_paused = true)]
async fn a_replica_is_current_only_after_a_leader_was_heard() {
    let mut cluster = three().await;
    cluster.commit("before").await;
    until("all are current", || (1..=3).all(|id| cluster.group(id).is_current())).await;
    let leader = cluster.leader().await;
    let other = 1 + leader % 3;
    cluster.fabric.isolate(other, 1..=3);
    until("its news is old", || !cluster.group(other).is_current()).await;
    cluster.restart(other).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!cluster.group(other).is_current(), "{:?}", cluster.group(other).status());
    cluster.fabric.heal();
    until("it is current again", || cluster.group(other).is_current()).await;
}
