//! Two of three voters are gone for ever, and the third goes on alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::cluster::*;
use common::net::Net;
use pelton_consensus::{NodeId, Survivor};
use pelton_env::{ManualClock, SeededChance};
use pelton_log::{Disk, Identity, Log, LogIndex, Options, SimDisk};

type Simulated = Cluster<Arc<Net>>;

/// The log of a node that does not run.
fn open_log(disk: &SimDisk, node: u64) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = Options::small(Identity { cluster: 7, node });
    Log::open(disk, Arc::new(ManualClock::default()), Arc::new(SeededChance::new(1)), options).unwrap().0
}

fn survivor(disk: &SimDisk, node: u64) -> Survivor {
    let log = open_log(disk, node);
    let survivor = Survivor::of(&log, GROUP).unwrap().unwrap();
    log.shutdown();
    survivor
}

async fn take_over(disk: &SimDisk, node: u64) {
    let log = open_log(disk, node);
    let survivor = Survivor::of(&log, GROUP).unwrap().unwrap();
    survivor.take_over(&log, NodeId(node), Vec::new()).await.unwrap();
    log.shutdown();
}

fn voters(nodes: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    nodes.into_iter().map(NodeId).collect()
}

/// A follower, or a leader with an entry that nobody else has; and whether it is asked once or was cut off in between.
#[tokio::test(start_paused = true)]
async fn whoever_is_left_goes_on_with_all_that_it_holds_and_takes_in_others() {
    for (led, times) in [(false, 1), (true, 1), (true, 3)] {
        let mut cluster = Cluster::of(Net::new(1), 3).await;
        for n in 0..10 {
            cluster.commit(format!("{n}")).await;
        }
        cluster.converge(10).await;
        let leader = cluster.leader().await;
        let left = if led { leader } else { (1..=3).find(|id| *id != leader).unwrap() };
        cluster.group(left).checkpoint().await.unwrap();
        if led {
            cluster.fabric.isolate(left, 1..=3);
            let before = cluster.group(left).status().last_index;
            drop(propose(cluster.group(left), "nobody else has this", 1).await);
            until("it is stored", || cluster.group(left).status().last_index > before).await;
        } else {
            // Of this the one that is left has nothing.
            cluster.fabric.isolate(left, 1..=3);
            let others = (1..=3).filter(|id| *id != left).collect();
            cluster.commit_among(others, "acknowledged by the two others").await;
        }
        let mut disk = SimDisk::new();
        for id in 1..=3 {
            let kept = cluster.kill(id).await;
            if id == left {
                disk = kept;
            }
        }
        let found = survivor(&disk, left);
        assert_eq!((found.voters.clone(), found.uncertain_events), (voters(1..=3), u64::from(led)), "{found:?}");
        assert!(!found.is_alone(NodeId(left)));
        for _ in 0..times {
            take_over(&disk, left).await;
        }
        assert!(survivor(&disk, left).is_alone(NodeId(left)));
        assert!(survivor(&disk, left).term > found.term);

        cluster.fabric.heal();
        cluster.start_on(left, disk).await;
        let want = 10 + usize::from(led);
        assert_eq!(cluster.leader().await, left);
        cluster.commit("after").await;
        let lines = cluster.converge(want + 1).await;
        assert_eq!(lines.len(), want + 1);
        assert_eq!(led, lines.iter().any(|line| line.body == "nobody else has this"));

        for id in [4, 5] {
            cluster.start(id).await;
            cluster.group(left).add_learner(NodeId(id)).await.unwrap();
        }
        cluster.group(left).change_voters(voters([left, 4, 5])).await.unwrap();
        cluster.converge(want + 1).await;
        cluster.assert_same_logs();
        // It is one of three again: another can lead.
        cluster.kill(left).await;
        cluster.commit("without it").await;
        cluster.converge(want + 2).await;
        cluster.stop().await;
    }
}

/// What was purged, and a snapshot that stands for it.
#[tokio::test(start_paused = true)]
async fn a_purged_log_survives_as_well() {
    let mut cluster: Simulated = Cluster::of(Net::new(1), 3).await;
    let mut last = LogIndex(0);
    for n in 0..10 {
        last = cluster.commit(format!("{n}")).await;
    }
    cluster.converge(10).await;
    let group = cluster.group(1).clone();
    group.state().inner.lock().keep_from = Some(last.0);
    group.purge_to_watermark().await.unwrap();
    until("it is purged", || group.status().purged_index == Some(last)).await;
    drop(group);
    let disk = cluster.kill(1).await;
    for id in [2, 3] {
        cluster.kill(id).await;
    }
    let found = survivor(&disk, 1);
    assert_eq!((found.voters, found.committed), (voters(1..=3), last));
    take_over(&disk, 1).await;
    cluster.start_on(1, disk).await;
    cluster.commit("after").await;
    assert_eq!(cluster.converge(11).await.len(), 11);
    cluster.stop().await;
}

/// Cut off at any moment, by a loss of power: what is there then is as it was or goes on alone, and asking again works.
#[tokio::test(start_paused = true)]
async fn cut_off_anywhere_it_can_be_asked_again() {
    let mut cluster: Simulated = Cluster::of(Net::new(1), 3).await;
    for n in 0..5 {
        cluster.commit(format!("{n}")).await;
    }
    cluster.converge(5).await;
    let disk = cluster.kill(1).await;
    for id in [2, 3] {
        cluster.kill(id).await;
    }
    disk.record();
    take_over(&disk, 1).await;
    let trace = disk.trace();
    let chance = SeededChance::new(7);
    let (mut as_it_was, mut alone) = (0, 0);
    for crash in trace.crashes(40, &chance) {
        let found = survivor(&crash.disk, 1);
        if found.is_alone(NodeId(1)) {
            alone += 1;
        } else {
            as_it_was += 1;
        }
        take_over(&crash.disk, 1).await;
        assert!(survivor(&crash.disk, 1).is_alone(NodeId(1)));
    }
    assert!(as_it_was > 0 && alone > 0, "{as_it_was} as it was, {alone} alone");
    let last = trace.crashes(1, &chance).next().unwrap().disk;
    take_over(&last, 1).await;
    cluster.start_on(1, last).await;
    cluster.commit("after").await;
    assert_eq!(cluster.converge(6).await.len(), 6);
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_never_a_member_is_no_survivor() {
    let mut cluster: Simulated = Cluster::of(Net::new(1), 1).await;
    cluster.start(2).await;
    let disk = cluster.kill(2).await;
    let log = open_log(&disk, 2);
    assert_eq!(Survivor::of(&log, GROUP).unwrap(), None);
    log.shutdown();
    cluster.stop().await;
}
