//! Damage on some replicas of a group is repaired from the others, while they serve: reliability, "Torn tail or rotten
//! middle", the column of three replicas; and damage on all of them stops the group.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::cluster::*;
use common::net::Net;
use pelton_consensus::{GroupError, MembershipError, NodeId, ReadIndexError, Role, Unsound};
use pelton_log::{LogIndex, ReadError, SimDisk};
use tokio::time::Instant;

type Simulated = Cluster<Arc<Net>>;

/// Longer than anything that could be done by itself.
const LONG: Duration = Duration::from_secs(20);

fn body(n: usize) -> Bytes {
    Bytes::from(format!("command {n:05}, that nothing else looks like in any record of the log"))
}

/// Three nodes that read from their disks, and `count` commands that all have applied.
async fn three(count: usize) -> Simulated {
    let mut cluster = Cluster::new(Net::new(1));
    cluster.log_options.tail_cache_bytes = 0;
    cluster.options.replicas = [1, 2, 3].map(NodeId).into();
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.initialize(1..=3).await;
    commit(&cluster, 0..count).await;
    cluster.converge(count).await;
    cluster
}

async fn commit(cluster: &Simulated, numbers: std::ops::Range<usize>) {
    for n in numbers {
        cluster.commit(body(n)).await;
    }
}

/// Flips a bit in every copy of `bytes` on the disk.
fn flip_all(disk: &SimDisk, bytes: &[u8]) -> usize {
    let mut flipped = 0;
    for name in disk.names() {
        let contents = disk.contents(&name).unwrap();
        for at in 0..contents.len().saturating_sub(bytes.len()) {
            if contents[at..].starts_with(bytes) {
                disk.flip_bit(&name, (at + bytes.len() / 2) * 8 + 2);
                flipped += 1;
            }
        }
    }
    flipped
}

/// Flips a bit in the record of each of these commands, and in nothing else that holds them.
fn flip(disk: &SimDisk, commands: &[usize]) {
    for n in commands {
        let (body, mut flipped) = (body(*n), 0);
        for name in disk.names() {
            let contents = disk.contents(&name).unwrap();
            for at in 120..contents.len().saturating_sub(body.len()) {
                // In a checkpoint its length stands before it, in a record the end of a header.
                let is_in_checkpoint = contents[at - 4..at] == (body.len() as u32).to_be_bytes();
                if contents[at..].starts_with(&body) && !is_in_checkpoint {
                    disk.flip_bit(&name, (at + 40) * 8 + 2);
                    flipped += 1;
                }
            }
        }
        assert_eq!(flipped, 1, "command {n}");
    }
}

/// Everything is the same on all nodes, nothing is damaged, and the group goes on.
async fn is_whole(cluster: &Simulated, committed: usize) {
    commit(cluster, committed..committed + 3).await;
    let lines = cluster.converge(committed + 3).await;
    assert_eq!(
        lines.iter().map(|line| line.body.clone()).collect::<Vec<_>>(),
        (0..committed + 3).map(body).collect::<Vec<_>>()
    );
    for node in cluster.nodes.values() {
        let unsound = node.group.unsound();
        until("nothing damaged", || unsound.borrow().is_nothing()).await;
    }
    cluster.assert_same_logs();
}

#[tokio::test(start_paused = true)]
async fn a_damaged_replica_is_repaired_from_the_others_while_they_serve() {
    let mut cluster = three(40).await;
    let leader = cluster.leader().await;
    for id in [1 + leader % 3, leader] {
        let disk = cluster.kill(id).await;
        // At the beginning, in the middle, several in a row, near the end. It has no checkpoint, so it needs all of them.
        flip(&disk, &[0, 13, 14, 15, 38]);
        let starting = cluster.begin_on(id, disk).await;
        assert_eq!(starting.unsound.as_ref().map(|unsound| unsound.borrow().entries), Some(5));
        cluster.finish(starting).await;
        assert!(cluster.group(id).unsound().borrow().is_nothing());
    }
    is_whole(&cluster, 40).await;
    // What was repaired stays so.
    for id in 1..=3 {
        cluster.restart(id).await;
    }
    is_whole(&cluster, 43).await;
}

#[tokio::test(start_paused = true)]
async fn replicas_that_are_damaged_in_different_places_heal_each_other() {
    for third_is_there in [true, false] {
        let mut cluster = three(40).await;
        let mut disks = Vec::new();
        for id in 1..=3 {
            disks.push((id, cluster.kill(id).await));
        }
        if !third_is_there {
            disks.pop();
        }
        let mut starting = Vec::new();
        for (id, disk) in disks {
            flip(&disk, &[7 * id as usize, 7 * id as usize + 1, 30 + id as usize]);
            starting.push(cluster.begin_on(id, disk).await);
        }
        for starting in starting {
            assert!(starting.unsound.is_some());
            cluster.finish(starting).await;
        }
        is_whole(&cluster, 40).await;
        cluster.stop().await;
    }
}

/// What is applied need not be read to take part: the replica follows and votes at once, and does not lead.
#[tokio::test(start_paused = true)]
async fn a_damaged_replica_votes_and_never_leads() {
    let mut cluster = three(40).await;
    cluster.fabric.no_copies([1]);
    let disk = cluster.shut_down(1).await;
    flip(&disk, &[20, 21]);
    let starting = cluster.begin_on(1, disk).await;
    assert!(starting.unsound.is_none(), "its checkpoint is behind what is damaged");
    cluster.finish(starting).await;
    let first_damaged = cluster.nodes[&1].lines()[20].index;
    let read = |cluster: &Simulated, after: u64| {
        let at = LogIndex(first_damaged + after);
        cluster.group(1).log().read(GROUP, at, LogIndex(at.0 + 1), 1)
    };
    for after in [0, 1] {
        assert!(matches!(read(&cluster, after), Err(ReadError::Damaged(_))));
    }
    let mut unsound = cluster.group(1).unsound();
    within("the damage is known", unsound.wait_for(|unsound| unsound.entries > 0)).await.unwrap();
    let shown = unsound.borrow().to_string();
    assert!(shown.contains("offsets 20 to below"), "{shown}");
    commit(&cluster, 40..42).await;
    let leader = cluster.leader().await;
    assert_ne!(leader, 1);
    until("it has answered", || cluster.group(leader).status().followers[&NodeId(1)].answered.is_some()).await;
    until("it is close", || cluster.group(1).status().last_index == cluster.group(leader).status().last_index).await;
    assert_eq!(
        within("a hand-over", cluster.group(leader).transfer_leader(NodeId(1))).await,
        Err(MembershipError::Damaged { node: NodeId(1) })
    );
    assert!(cluster.group(leader).serves(), "nothing was changed");
    // The leader is gone, and the one that is left is elected with the vote of the damaged one.
    let disk = cluster.kill(leader).await;
    let other = (2..=3).find(|id| *id != leader).unwrap();
    assert_eq!(cluster.leader_among(vec![1, other]).await, other);
    commit(&cluster, 42..44).await;
    // Alone it stands not even when nobody leads.
    let other_disk = cluster.kill(other).await;
    tokio::time::sleep(LONG).await;
    let status = cluster.group(1).status();
    assert_eq!((status.elections_won, status.role), (0, Role::Follower));
    cluster.start_on(other, other_disk).await;
    cluster.start_on(leader, disk).await;
    commit(&cluster, 44..46).await;
    assert_eq!(cluster.group(1).status().elections_won, 0);
    cluster.fabric.no_copies([]);
    within("the repair", unsound.wait_for(Unsound::is_nothing)).await.unwrap();
    assert!(read(&cluster, 0).is_ok());
    is_whole(&cluster, 46).await;
    // And now it leads, when it is asked to.
    let leader = cluster.leader().await;
    until("it has answered", || cluster.group(leader).status().followers[&NodeId(1)].answered.is_some()).await;
    within("a hand-over", cluster.group(leader).transfer_leader(NodeId(1))).await.unwrap();
    assert_eq!(cluster.leader().await, 1);
    is_whole(&cluster, 49).await;
}

/// A read, or a scrub, of a leader that is running: the followers have copies.
#[tokio::test(start_paused = true)]
async fn what_rots_on_a_running_replica_is_repaired_in_place() {
    let cluster = three(200).await;
    let leader = cluster.leader().await;
    for id in 1..=3 {
        let log = cluster.group(id).log();
        flip(&cluster.nodes[&id].disk, &[3 + id as usize, 60 + id as usize]);
        let mut found = 0;
        loop {
            let scrubbed = log.scrub(1 << 20).unwrap();
            found += scrubbed.damaged;
            if scrubbed.is_round_over {
                break;
            }
        }
        assert_eq!(found, 2, "node {id}");
        let mut unsound = cluster.group(id).unsound();
        assert!(!log.faulty(GROUP).is_empty());
        within("it is known", unsound.wait_for(|unsound| unsound.entries == 2 || unsound.is_nothing())).await.unwrap();
        until("it is repaired", || log.faulty(GROUP).is_empty()).await;
    }
    assert_eq!(cluster.leader().await, leader, "nobody had to give way");
    is_whole(&cluster, 200).await;
}

/// Neither the newest checkpoint nor the one before it can be read, and the log before them is purged.
#[tokio::test(start_paused = true)]
async fn a_replica_that_lost_its_checkpoint_goes_on_from_a_snapshot_and_keeps_its_vote() {
    let mut cluster = three(60).await;
    let keep = cluster.nodes[&1].lines()[39].index;
    for node in cluster.nodes.values() {
        node.group.state().inner.lock().keep_from = Some(keep);
        node.group.purge_to_watermark().await.unwrap();
    }
    until("all logs are purged", || {
        cluster.nodes.values().all(|node| node.group.status().purged_index.is_some_and(|at| at.0 == keep))
    })
    .await;
    let before = cluster.group(1).status();
    let first_line = encode(&cluster.nodes[&1].lines()[..1]);
    let disk = cluster.shut_down(1).await;
    assert!(flip_all(&disk, &first_line) >= 2);
    commit(&cluster, 60..65).await;
    let starting = cluster.begin_on(1, disk).await;
    assert!(starting.unsound.as_ref().unwrap().borrow().needs_snapshot);
    cluster.finish(starting).await;
    assert!(cluster.group(1).status().term >= before.term);
    is_whole(&cluster, 65).await;
    cluster.restart(1).await;
    is_whole(&cluster, 68).await;
}

/// The others have purged what is damaged here.
#[tokio::test(start_paused = true)]
async fn what_the_others_have_purged_is_purged_here_as_well() {
    for is_applied in [true, false] {
        let mut cluster = three(60).await;
        let disk = if is_applied { cluster.shut_down(1).await } else { cluster.kill(1).await };
        flip(&disk, &[30]);
        let keep = cluster.nodes[&2].lines()[49].index;
        commit(&cluster, 60..62).await;
        for node in cluster.nodes.values() {
            node.group.state().inner.lock().keep_from = Some(keep);
            node.group.purge_to_watermark().await.unwrap();
        }
        until("the others have purged it", || {
            cluster.nodes.values().all(|node| node.group.status().purged_index.is_some_and(|at| at.0 == keep))
        })
        .await;
        let starting = cluster.begin_on(1, disk).await;
        assert_eq!(starting.unsound.is_none(), is_applied);
        cluster.finish(starting).await;
        if is_applied {
            let at = LogIndex(cluster.nodes[&2].lines()[30].index);
            let read = cluster.group(1).log().read(GROUP, at, LogIndex(at.0 + 1), 1);
            assert!(matches!(read, Err(ReadError::Damaged(_))), "{read:?}");
        }
        until("it is purged here", || cluster.group(1).status().purged_index.is_some_and(|at| at.0 >= keep)).await;
        is_whole(&cluster, 62).await;
        cluster.restart(1).await;
        is_whole(&cluster, 65).await;
        cluster.stop().await;
    }
}

/// A leader that was cut off wrote what nobody else has, and that is damaged. It is dropped only once another leads, or
/// has committed something in its place.
#[tokio::test(start_paused = true)]
async fn a_damaged_tail_that_was_never_committed_is_dropped_once_that_is_proved() {
    for others_wrote_on in [false, true] {
        let mut cluster = three(20).await;
        let old = cluster.leader().await;
        let others: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
        cluster.fabric.isolate(old, 1..=3);
        let mut fates = Vec::new();
        for n in 100..104 {
            fates.push(propose(cluster.group(old), body(n), 1).await);
        }
        until("they are in its log", || cluster.nodes[&old].entries().last().unwrap().body == body(103)).await;
        if others_wrote_on {
            for n in 20..30 {
                cluster.commit_among(others.clone(), body(n)).await;
            }
        }
        let mut disks = Vec::new();
        for id in 1..=3 {
            disks.push((id, cluster.shut_down(id).await));
        }
        cluster.fabric.heal();
        let (_, disk) = disks.remove(old as usize - 1);
        flip(&disk, &[101]);
        let starting = cluster.begin_on(old, disk).await;
        assert!(starting.unsound.is_some());
        // One other alone cannot lead. Where it has nothing in that place, the third may have what is damaged here.
        let (first, disk) = disks.remove(0);
        cluster.start_on(first, disk).await;
        if others_wrote_on {
            cluster.finish(starting).await;
            let (second, disk) = disks.remove(0);
            cluster.start_on(second, disk).await;
            is_whole(&cluster, 30).await;
        } else {
            tokio::time::sleep(LONG).await;
            assert!(!starting.opened.is_finished(), "nothing proves that it was not committed");
            let (second, disk) = disks.remove(0);
            cluster.start_on(second, disk).await;
            cluster.finish(starting).await;
            is_whole(&cluster, 20).await;
        }
        cluster.stop().await;
    }
}

/// Only one other has what is damaged, and it is away: nobody guesses.
#[tokio::test(start_paused = true)]
async fn a_committed_entry_that_is_damaged_is_waited_for() {
    let mut cluster = three(20).await;
    let leader = cluster.leader().await;
    let (without, with) = (1 + leader % 3, 1 + (leader + 1) % 3);
    let left = cluster.kill(without).await;
    commit(&cluster, 20..25).await;
    let mut disks = Vec::new();
    for id in [leader, with] {
        disks.push(cluster.kill(id).await);
    }
    let [disk, other] = <[SimDisk; 2]>::try_from(disks).unwrap();
    flip(&disk, &[23]);
    cluster.start_on(without, left).await;
    let starting = cluster.begin_on(leader, disk).await;
    tokio::time::sleep(LONG).await;
    assert!(cluster.nodes.values().all(|node| !node.group.serves()), "two of three, and one needs the third");
    cluster.start_on(with, other).await;
    cluster.finish(starting).await;
    is_whole(&cluster, 25).await;
}

/// The same entry on all replicas, before any has applied it: the group stays closed, and says what it is.
#[tokio::test(start_paused = true)]
async fn what_is_damaged_everywhere_and_not_applied_stops_the_group() {
    let mut cluster = three(40).await;
    let mut disks = Vec::new();
    for id in 1..=3 {
        disks.push((id, cluster.kill(id).await));
    }
    let mut starting = Vec::new();
    for (id, disk) in disks {
        flip(&disk, &[25]);
        starting.push(cluster.begin_on(id, disk).await);
    }
    for starting in &starting {
        let mut unsound = starting.unsound.clone().unwrap();
        let known = within("that it is everywhere", unsound.wait_for(|unsound| unsound.is_everywhere)).await.unwrap();
        assert!(known.entries == 1 && known.to_string().contains("offsets 25 to below 26"), "{}", *known);
    }
    tokio::time::sleep(LONG).await;
    assert!(starting.iter().all(|starting| !starting.opened.is_finished()));
}

/// The same entry on all replicas, long applied: it is never passed over, and everything else can be read.
#[tokio::test(start_paused = true)]
async fn what_is_damaged_everywhere_and_applied_is_named_by_whoever_leads() {
    let cluster = three(200).await;
    for node in cluster.nodes.values() {
        flip(&node.disk, &[25]);
    }
    let leader = cluster.leader().await;
    let (log, at) = (cluster.group(leader).log().clone(), LogIndex(cluster.nodes[&leader].lines()[25].index));
    let read = || log.read(GROUP, at, LogIndex(at.0 + 1), 1);
    assert!(matches!(read(), Err(ReadError::Damaged(_))));
    let mut unsound = cluster.group(leader).unsound();
    let known =
        within("that it is everywhere", unsound.wait_for(|unsound| unsound.is_everywhere)).await.unwrap().clone();
    assert!(known.entries == 1 && known.to_string().contains("offsets 25 to below 26"), "{known}");
    for id in 1..=3 {
        let mut unsound = cluster.group(id).unsound();
        within("all know it", unsound.wait_for(|unsound| unsound.is_everywhere)).await.unwrap();
    }
    tokio::time::sleep(LONG).await;
    assert_eq!(cluster.leader().await, leader, "nobody would be better");
    assert!(matches!(read(), Err(ReadError::Damaged(_))));
    assert_eq!(log.read(GROUP, LogIndex(at.0 + 1), LogIndex(at.0 + 6), 1 << 20).unwrap().len(), 5);
    assert_eq!(log.read(GROUP, LogIndex(at.0 - 5), LogIndex(at.0), 1 << 20).unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_lone_replica_with_damage_is_not_opened() {
    let mut cluster = Cluster::of(Net::new(1), 1).await;
    cluster.log_options.tail_cache_bytes = 0;
    commit(&cluster, 0..20).await;
    let disk = cluster.shut_down(1).await;
    flip(&disk, &[18]);
    let opened = cluster.try_open(1, disk).await;
    let Err(error @ GroupError::Damaged { .. }) = opened else { panic!("{:?}", opened.map(|_| ())) };
    assert!(error.to_string().contains("offsets 18 to below 19"), "{error}");
}

/// The same entry on all replicas, applied long ago and found when all start again: near the end of the log, in its newer
/// half and in its older one. A leader is elected, and serves all that is sound.
#[tokio::test(start_paused = true)]
async fn what_is_damaged_everywhere_keeps_no_leader_from_being_elected() {
    for places in [&[20][..], &[150], &[198], &[190, 191, 192], &[101, 102, 198]] {
        let mut cluster = three(200).await;
        let mut disks = Vec::new();
        for id in 1..=3 {
            disks.push((id, cluster.shut_down(id).await));
        }
        for (id, disk) in disks {
            flip(&disk, places);
            cluster.start_on(id, disk).await;
        }
        let leader = cluster.leader().await;
        let lines = cluster.nodes[&leader].lines();
        for id in 1..=3 {
            let log = cluster.group(id).log();
            for (n, line) in lines.iter().enumerate() {
                match log.read(GROUP, LogIndex(line.index), LogIndex(line.index + 1), 1) {
                    Ok(found) => assert_eq!(found[0].body, body(n)),
                    Err(error) => {
                        assert!(matches!(error, ReadError::Damaged(_)) && places.contains(&n), "{n}: {error}")
                    }
                }
            }
        }
        for id in 1..=3 {
            let mut unsound = cluster.group(id).unsound();
            let is_known = |unsound: &Unsound| unsound.is_everywhere && unsound.entries == places.len() as u64;
            within("that all of it is everywhere", unsound.wait_for(is_known)).await.unwrap();
        }
        assert!(within("a read", cluster.group(leader).read_index()).await.is_ok());
        // What is committed now reaches all of them.
        commit(&cluster, 200..203).await;
        cluster.converge(203).await;
        cluster.stop().await;
    }
}

/// A leader whose damage the others cannot repair, as they have purged what it needs, gives way. A read that waits for a
/// quorum meanwhile ends, and what it answers is not stale: it says that this node may not answer.
#[tokio::test(start_paused = true)]
async fn a_read_that_waits_while_a_damaged_leader_gives_way_ends_and_is_not_stale() {
    let cluster = three(200).await;
    let old = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    let group = cluster.group(old);
    let purged = cluster.nodes[&old].lines()[50].index;
    for node in others.iter().map(|id| &cluster.nodes[id]) {
        node.group.state().inner.lock().keep_from = Some(purged);
        node.group.purge_to_watermark().await.unwrap();
        until("it is purged", || node.group.status().purged_index.is_some_and(|at| at.0 == purged)).await;
    }
    cluster.fabric.no_snapshots([old]);
    cluster.fabric.delay(30);
    let mut acknowledged = cluster.commit(body(200)).await;
    flip(&cluster.nodes[&old].disk, &[25]);
    let at = LogIndex(cluster.nodes[&old].lines()[25].index);
    assert!(matches!(group.log().read(GROUP, at, LogIndex(at.0 + 1), 1), Err(ReadError::Damaged(_))));

    let is_refused = Arc::new(AtomicBool::new(false));
    let read = |acknowledged: LogIndex| {
        let (group, is_refused, begun) = (group.clone(), is_refused.clone(), Instant::now());
        tokio::spawn(async move {
            let read = group.read_index().await;
            is_refused.fetch_or(read.is_err(), Ordering::Relaxed);
            (acknowledged, read, begun.elapsed())
        })
    };
    let mut reads = Vec::new();
    until("it gives way", || {
        reads.push(read(acknowledged));
        is_refused.load(Ordering::Relaxed)
    })
    .await;
    // What waits now waits on: no answer comes any more.
    for other in &others {
        cluster.fabric.cut(*other, old);
    }
    for n in 201..206 {
        acknowledged = cluster.commit_among(others.clone(), body(n)).await;
        reads.push(read(acknowledged));
    }
    cluster.fabric.heal();
    until("it knows the new leader", || group.status().leader.is_some_and(|leader| leader != NodeId(old))).await;
    reads.push(read(acknowledged));
    let (mut answered, mut waited_in_vain) = (0, 0);
    for read in reads {
        let (acknowledged, read, waited) = within("a read to end", read).await.unwrap();
        match read {
            Ok(index) => {
                assert!(index >= acknowledged, "{} was acknowledged before, and it says {}", acknowledged.0, index.0);
                answered += 1;
            }
            Err(ReadIndexError::NotLeader { .. } | ReadIndexError::Unavailable) => {
                waited_in_vain += u32::from(!waited.is_zero());
            }
            Err(error @ ReadIndexError::Ended { .. }) => panic!("{error}"),
        }
    }
    assert!(answered > 0 && waited_in_vain > 0, "{answered} were answered, {waited_in_vain} waited in vain");
}
