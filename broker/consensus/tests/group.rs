//! One group with one voter over a simulated disk: order, offsets, restart, purging, failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::*;
use pelton_consensus::{Group, ProposeError};
use pelton_log::{LogIndex, SimDisk};

#[tokio::test]
async fn commands_are_applied_in_order_with_offsets_without_gaps() {
    let group = open(&SimDisk::new()).await;
    let mut last = LogIndex(0);
    for n in 0..20 {
        let index = propose(&group, n, u32::from(n % 3)).await.unwrap();
        assert!(index > last);
        last = index;
    }
    applied(&group, last).await;
    assert_eq!(group.state().bodies(), (0..20).collect::<Vec<_>>());
    let mut due = 0;
    for (n, offset) in group.state().inner.lock().offsets.iter().enumerate() {
        assert_eq!(*offset, due, "command {n}");
        due += n as u64 % 3;
    }
    let status = group.status();
    assert!(status.is_leader && status.term >= 1, "{status:?}");
}

#[tokio::test]
async fn what_was_committed_is_applied_again_after_a_kill() {
    let disk = SimDisk::new();
    let group = open(&disk).await;
    for n in 0..10 {
        propose(&group, n, 1).await.unwrap();
    }
    group.checkpoint().await.unwrap();
    for n in 10..15 {
        propose(&group, n, 1).await.unwrap();
    }
    // What the disk holds now is what a process that is killed leaves: nothing is closed. A loss of power is in
    // `power_loss.rs`.
    let after_kill = disk.copy();
    let restarted = open(&after_kill).await;
    assert_eq!(restarted.state().bodies(), (0..15).collect::<Vec<_>>());
    let index = propose(&restarted, 15, 1).await.unwrap();
    applied(&restarted, index).await;
    assert_eq!(restarted.state().bodies(), (0..16).collect::<Vec<_>>());
    assert_eq!(restarted.log().next_offset(GROUP).0, 16);
}

#[tokio::test]
async fn the_log_is_purged_to_the_stored_watermark_and_no_further() {
    let disk = SimDisk::new();
    let group = open(&disk).await;
    let mut last = LogIndex(0);
    for n in 0..30 {
        last = propose(&group, n, 1).await.unwrap();
    }
    applied(&group, last).await;
    let upto = last.0 - 10;
    group.state().inner.lock().keep_from = Some(upto);
    group.purge_to_watermark().await.unwrap();
    purged(&group, upto).await;
    assert_eq!(group.log().group(GROUP).first, Some(LogIndex(upto + 1)));
    // A watermark that moved on without a checkpoint purges nothing: a restart would miss what is gone.
    group.state().inner.lock().keep_from = Some(last.0);
    let restarted = open(&disk.copy()).await;
    assert_eq!(restarted.state().bodies(), (0..30).collect::<Vec<_>>());
    let index = propose(&restarted, 30, 1).await.unwrap();
    applied(&restarted, index).await;
    restarted.state().inner.lock().keep_from = Some(index.0);
    restarted.purge_to_watermark().await.unwrap();
    purged(&restarted, index.0).await;
    restarted.shutdown().await.unwrap();
}

async fn purged(group: &Group<Journal>, upto: u64) {
    let done = async {
        while group.log().group(GROUP).purged.is_none_or(|(_, _, index)| index.0 < upto) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), done).await.expect("the log is purged in time");
}

#[tokio::test]
async fn a_proposal_to_a_group_that_ended_has_an_unknown_outcome_and_is_told_so() {
    let group = open(&SimDisk::new()).await;
    propose(&group, 1, 1).await.unwrap();
    group.shutdown().await.unwrap();
    assert_eq!(propose(&group, 2, 1).await, Err(ProposeError::OutcomeUnknown));
}
