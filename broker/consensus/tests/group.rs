//! One group with one voter over a simulated disk: order, offsets, restart, purging, failure.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::*;
use pelton_consensus::{Group, GroupError, ProposeError, Space};
use pelton_log::{LogIndex, Options, SimDisk, Term};

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
    assert!(status.is_leader() && status.term >= pelton_log::Term(1), "{status:?}");
}

/// What was admitted in one leadership is not written in another, also when it is the same node's.
#[tokio::test]
async fn a_proposal_for_another_term_is_refused_and_written_nowhere() {
    let disk = SimDisk::new();
    let before = open(&disk).await.status().term;
    let group = open(&disk.copy()).await;
    let term = group.status().term;
    assert!(term > before, "each start is another leadership");
    let index = propose_in(&group, term, 1).await.unwrap();
    for other in [before, Term(term.0 + 1)] {
        assert_eq!(propose_in(&group, other, 2).await, Err(ProposeError::NotLeader { leader: None }), "{other:?}");
    }
    assert_eq!(propose_in(&group, term, 3).await, Ok(LogIndex(index.0 + 1)));
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

/// What was admitted must find its room: a refused append ends the group. So the reserve of a full disk is not for
/// checkpoints, but for the one before a purge, which makes room.
#[tokio::test]
async fn on_a_full_disk_only_the_checkpoint_before_a_purge_is_stored_and_has_its_room() {
    const CHECKPOINT_BYTES: usize = 100_000;
    const SEGMENT_BYTES: u64 = 512 << 10;
    let disk = SimDisk::new();
    let options = Options {
        segment_size_bytes: SEGMENT_BYTES,
        initial_segment_size_bytes: SEGMENT_BYTES,
        max_record_bytes: 160 << 10,
        ..options()
    };
    let group = open_with(&disk, options).await.unwrap();
    group.state().inner.lock().bodies = vec![7; CHECKPOINT_BYTES];
    propose(&group, 1, 1).await.unwrap();
    assert!(group.checkpoint().await.unwrap());
    disk.set_capacity(Some(disk.used_bytes() + 4 * SEGMENT_BYTES));
    let body = Bytes::from(vec![0; 12_000]);
    while offer(&group, body.clone(), Space::Ordinary).await.is_ok() {
        group.state().inner.lock().bodies.truncate(CHECKPOINT_BYTES);
    }
    let before = group.log().group(GROUP).checkpoint.map(|(index, _)| index);
    assert!(!group.checkpoint().await.unwrap());
    assert_eq!(group.log().group(GROUP).checkpoint.map(|(index, _)| index), before, "none while the disk is full");
    // Progress goes on until what is left is for the purge.
    let mut last = LogIndex(0);
    loop {
        match offer(&group, Bytes::from_static(b"p"), Space::Reserve).await {
            Ok(index) => last = index,
            Err(error) => break assert_eq!(error, ProposeError::StorageFull),
        }
    }
    assert!(last > LogIndex(0), "progress has a reserve");
    applied(&group, last).await;
    group.state().inner.lock().bodies.resize(CHECKPOINT_BYTES, 7);
    group.state().inner.lock().keep_from = Some(last.0);
    group.purge_to_watermark().await.unwrap();
    purged(&group, last.0).await;
    let room = async {
        while offer(&group, body.clone(), Space::Ordinary).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), room).await.expect("there is room again");
    assert!(group.checkpoint().await.unwrap());
}

/// The log falls back on the older of two checkpoints, which covers the log but names a watermark below what is purged:
/// what lies between is gone, so the group says so instead of failing over it later.
#[tokio::test]
async fn a_checkpoint_with_a_watermark_below_what_is_purged_is_refused_and_named() {
    let disk = SimDisk::new();
    let group = open(&disk).await;
    let mut last = LogIndex(0);
    for n in 0..30 {
        last = propose(&group, n, 1).await.unwrap();
        if n == 10 {
            applied(&group, last).await;
            group.state().inner.lock().keep_from = Some(last.0);
        }
    }
    applied(&group, last).await;
    let older = group.state().inner.lock().keep_from.unwrap();
    group.checkpoint().await.unwrap();
    group.state().inner.lock().keep_from = Some(last.0 - 5);
    group.state().inner.lock().bodies.push(99);
    group.purge_to_watermark().await.unwrap();
    purged(&group, last.0 - 5).await;
    let damaged = disk.copy();
    assert!(reopen(&damaged).await.is_ok(), "with the newest checkpoint whole there is nothing to refuse");
    // Only the newest checkpoint holds this body.
    let found = damaged.names().into_iter().find_map(|name| {
        let contents = damaged.contents(&name)?;
        let body = (0..30).chain([99]).collect::<Vec<u8>>();
        Some((contents.windows(body.len()).position(|window| window == body)?, name))
    });
    let damaged = disk.copy();
    let (at, name) = found.unwrap();
    damaged.flip_bit(&name, at * 8);
    let error = reopen(&damaged).await.err().expect("refused");
    let want = format!("purged up to index {}, beyond the watermark {older}", last.0 - 5);
    assert!(matches!(error, GroupError::Checkpoint { .. }) && error.to_string().contains(&want), "{error}");
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

/// Retention may hold a group that was closed and forgotten meanwhile. A checkpoint would be all that the log has of it,
/// and the group would begin at the first offset again when it comes back.
#[tokio::test]
async fn a_group_that_ended_stores_no_checkpoint() {
    let group = open(&SimDisk::new()).await;
    propose(&group, 1, 1).await.unwrap();
    group.shutdown().await.unwrap();
    let (done, forgotten) = tokio::sync::oneshot::channel();
    group.log().forget(GROUP, Box::new(move |result| drop(done.send(result))));
    forgotten.await.unwrap().unwrap();
    assert!(group.checkpoint().await.is_err());
    assert!(group.log().group(GROUP).checkpoint.is_none());
}
