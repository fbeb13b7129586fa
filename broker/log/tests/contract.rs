//! What callers may rely on, operation by operation.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod common;

use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use common::*;
use parking_lot::Mutex;
use pelton_env::{ManualClock, UnixMillis};
use pelton_log::{GroupView, LogIndex, Offset, Options, ReadError, Refused, SimDisk, Term, verify};

fn refusal(result: Result<(), Arc<std::io::Error>>) -> Refused {
    let error = result.expect_err("refused");
    error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>()).expect("a refusal").clone()
}

#[test]
fn a_group_that_was_never_written_is_empty() {
    let (log, report) = open(&SimDisk::new()).unwrap();
    assert!(report.fresh);
    assert_eq!(log.group(G1), GroupView::default());
    assert!(log.read(G1, LogIndex(0), LogIndex(9), 99).unwrap().is_empty());
    assert!(log.read_from_offset(G1, Offset(0), 99).unwrap().is_empty());
    assert_eq!(log.entry_meta(G1, LogIndex(0)).unwrap(), None);
    assert!(log.groups().is_empty());
}

#[test]
fn entries_can_be_read_before_they_are_durable() {
    let (log, _) = open(&SimDisk::new()).unwrap();
    let (send, receive) = mpsc::channel();
    log.append(G1, vec![entry(1, 1, 100), entry(1, 2, 100)], Box::new(move |r| send.send(r.is_ok()).unwrap()));
    assert_eq!(log.read(G1, LogIndex(1), LogIndex(3), 1_000).unwrap(), [entry(1, 1, 100), entry(1, 2, 100)]);
    assert_eq!(log.group(G1).last, Some((Term(1), 1, LogIndex(2))));
    assert_eq!(log.next_offset(G1), Offset(30));
    assert!(receive.recv().unwrap());
}

#[test]
fn completions_come_in_order_of_submission_over_all_groups() {
    // One segment takes them all: each further one begins with a record of its own.
    let wide = Options { segment_size_bytes: 4 << 20, initial_segment_size_bytes: 4 << 20, ..options() };
    let (log, _) = open_with(Arc::new(SimDisk::new()), wide).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let (send, receive) = mpsc::channel();
    let done = |nth: usize| {
        let (order, send) = (Arc::clone(&order), send.clone());
        Box::new(move |result: Result<(), _>| {
            result.expect("durable");
            order.lock().push(nth);
            let _ = send.send(());
        })
    };
    for nth in 0..300 {
        let index = nth as u64 / 3 + 1;
        match nth % 3 {
            0 => log.append(G1, vec![entry(1, index, 700)], done(nth)),
            1 => log.append(G2, vec![entry(1, index, 30)], done(nth)),
            _ => log.save_vote(G1, Bytes::from(vec![7; 20]), done(nth)),
        }
    }
    for _ in 0..300 {
        receive.recv().unwrap();
    }
    assert_eq!(*order.lock(), (0..300).collect::<Vec<_>>());
    let stats = log.stats();
    assert_eq!(stats.records, 300);
    assert!(stats.flushes <= 300 && stats.bytes >= 4096, "{stats:?}");
}

#[test]
fn an_entry_that_does_not_follow_is_refused_and_changes_nothing() {
    let (log, _) = open(&SimDisk::new()).unwrap();
    append(&log, G1, vec![entry(1, 5, 10)]);
    let before = log.group(G1);
    for (index, what) in [(5, "again"), (4, "before"), (7, "after a gap")] {
        let refused = refusal(wait(|done| log.append(G1, vec![entry(1, index, 10)], done)));
        assert_eq!(refused, Refused::Gap { found: LogIndex(index), due: LogIndex(6) }, "{what}");
    }
    // The second entry of two is wrong: neither is taken.
    let refused = refusal(wait(|done| log.append(G1, vec![entry(1, 6, 10), entry(1, 8, 10)], done)));
    assert_eq!(refused, Refused::Gap { found: LogIndex(8), due: LogIndex(7) });
    let behind = pelton_log::Entry { first_offset: Offset(3), ..entry(1, 6, 10) };
    let refused = refusal(wait(|done| log.append(G1, vec![behind], done)));
    assert_eq!(refused, Refused::OffsetBehind { found: Offset(3), due: Offset(60) });
    assert_eq!(log.group(G1), before);
    append(&log, G1, vec![entry(1, 6, 10)]);
}

#[test]
fn a_record_may_be_as_large_as_the_limit_and_no_larger() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    let limit_bytes = options().max_record_bytes;
    append(&log, G1, vec![entry(1, 1, limit_bytes as usize)]);
    append(&log, G1, vec![entry(1, 2, limit_bytes as usize)]);
    let refused = refusal(wait(|done| log.append(G1, vec![entry(1, 3, limit_bytes as usize + 1)], done)));
    assert_eq!(refused, Refused::TooLarge { size_bytes: limit_bytes + 1, limit_bytes });
    let refused = refusal(wait(|done| log.save_vote(G1, Bytes::from(vec![0; limit_bytes as usize + 1]), done)));
    assert_eq!(refused, Refused::TooLarge { size_bytes: limit_bytes + 1, limit_bytes });
    log.shutdown();
    let (log, _) = open(&disk).unwrap();
    assert_eq!(all(&log, G1).len(), 2);
}

#[test]
fn more_than_the_queue_holds_is_refused() {
    let disk = SimDisk::new();
    let small = Options { max_queued_bytes: 20_000, ..options() };
    let (log, _) = open_with(Arc::new(disk), small).unwrap();
    assert!(log.has_room(100) && !log.has_room(5_000), "room is given for half of the bound");
    let refused = refusal(wait(|done| log.append(G1, vec![entry(1, 1, 24_000)], done)));
    assert_eq!(refused, Refused::QueueFull);
    append(&log, G1, vec![entry(1, 1, 3_000)]);
}

#[test]
fn reads_stop_at_the_byte_bound_but_give_one_entry_at_least() {
    let disk = SimDisk::new();
    let tiny_cache = Options { tail_cache_bytes: 0, ..options() };
    for options in [options(), tiny_cache] {
        let disk = disk.copy();
        let (log, _) = open_with(Arc::new(disk), options).unwrap();
        fill(&log, G1, 1, 30, 1_000);
        for (from, to, max_bytes, want) in [
            (1, 31, 0, 1),
            (1, 31, 999, 1),
            (1, 31, 1_000, 1),
            (1, 31, 3_500, 3),
            (29, 99, 99_999, 2),
            (5, 7, 99_999, 2),
            (5, 5, 9, 0),
        ] {
            let read = log.read(G1, LogIndex(from), LogIndex(to), max_bytes).unwrap();
            assert_eq!(read.len(), want, "{from}..{to} with {max_bytes} B");
            assert!(read.iter().zip(from..).all(|(read, index)| *read == entry(1, index, 1_000)));
        }
    }
}

#[test]
fn positions_are_found_in_memory_and_on_disk() {
    let disk = SimDisk::new();
    let tiny_cache = Options { tail_cache_bytes: 0, index_cache_segments: 1, ..options() };
    for options in [options(), tiny_cache] {
        let clock = ManualClock::new(UnixMillis(0));
        let (log, _) = open_at(Arc::new(disk.copy()), clock.clone(), options).unwrap();
        for index in 1..=60 {
            clock.set(UnixMillis(index * 100));
            append(&log, G1, vec![entry(1, index, 4_000)]);
        }
        for offset in [10, 15, 19, 20, 305, 609] {
            let read = log.read_from_offset(G1, Offset(offset), 1).unwrap();
            assert_eq!(read[0].index, LogIndex(offset / 10), "offset {offset}");
        }
        assert!(log.read_from_offset(G1, Offset(610), 1).unwrap().is_empty());
        for (time, want) in [(0, 10), (100, 10), (101, 20), (3_000, 300), (5_999, 600), (6_001, 610)] {
            assert_eq!(log.offset_at_time(G1, UnixMillis(time)).unwrap(), Offset(want), "time {time}");
        }
        let meta = log.entry_meta(G1, LogIndex(7)).unwrap().unwrap();
        assert_eq!((meta.kind, meta.body_bytes, meta.appended_at), (2, 4_000, UnixMillis(700)));
        assert_eq!(log.oldest_entry(G1).unwrap().map(|meta| meta.appended_at), Some(UnixMillis(100)));
    }
}

#[test]
fn entries_without_events_do_not_hide_those_with() {
    let (log, _) = open_with(Arc::new(SimDisk::new()), Options { tail_cache_bytes: 0, ..options() }).unwrap();
    let mut next = 0;
    for index in 1..=40 {
        let event_count = if index % 3 == 0 { 2 } else { 0 };
        append(&log, G1, vec![pelton_log::Entry { first_offset: Offset(next), event_count, ..entry(1, index, 3_000) }]);
        next += u64::from(event_count);
    }
    for offset in 0..next {
        let want = (offset / 2 + 1) * 3;
        assert_eq!(log.index_of_offset(G1, Offset(offset)).unwrap(), Some(LogIndex(want)), "offset {offset}");
    }
}

#[test]
fn truncation_makes_room_for_other_entries() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, G1, 1, 20, 3_000);
    fill(&log, G2, 1, 20, 3_000);
    wait(|done| log.truncate_after(G1, LogIndex(7), done)).unwrap();
    assert_eq!(log.group(G1).last, Some((Term(1), 1, LogIndex(7))));
    assert_eq!(log.next_offset(G1), Offset(80));
    append(&log, G1, (8..=12).map(|index| entry(2, index, 500)).collect());
    wait(|done| log.truncate_after(G1, LogIndex(99), done)).unwrap();
    let want: Vec<_> =
        (1..=7).map(|index| entry(1, index, 3_000)).chain((8..=12).map(|index| entry(2, index, 500))).collect();
    assert_eq!(all(&log, G1), want);
    log.shutdown();
    let (log, _) = open(&disk).unwrap();
    assert_eq!(all(&log, G1), want);
    assert_eq!(all(&log, G2).len(), 20);
    wait(|done| log.truncate_after(G2, None, done)).unwrap();
    assert_eq!(log.group(G2).last, None);
    log.shutdown();
    let (log, _) = open(&disk).unwrap();
    assert_eq!(log.group(G2).last, None);
    append(&log, G2, vec![entry(3, 1, 10)]);
}

#[test]
fn purging_frees_segments_and_carries_the_rest_forward() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    wait(|done| log.save_vote(G1, Bytes::from_static(b"vote of one"), done)).unwrap();
    wait(|done| log.save_vote(G2, Bytes::from_static(b"vote of two"), done)).unwrap();
    append(&log, G2, vec![entry(1, 1, 10)]);
    wait(|done| log.save_checkpoint(G2, LogIndex(1), Term(1), Bytes::from_static(b"state"), done)).unwrap();
    let two = log.entry_meta(G2, LogIndex(1)).unwrap().unwrap().log_id();
    assert_eq!(log.holding_oldest(), [(G2, LogIndex(1))]);
    wait(|done| log.purge(G2, two, done)).unwrap();
    fill(&log, G1, 1, 400, 3_000);
    let upto = log.entry_meta(G1, LogIndex(390)).unwrap().unwrap().log_id();
    let full = log.size();
    wait(|done| log.purge(G1, upto, done)).unwrap();
    // The next flushes let the old segments go.
    fill(&log, G1, 401, 3, 3_000);
    assert!(log.size().record_bytes < full.record_bytes / 4, "{:?} after {full:?}", log.size());
    assert!(matches!(
        log.read(G1, LogIndex(390), LogIndex(391), 1),
        Err(ReadError::Purged { first: LogIndex(391), .. })
    ));
    assert!(matches!(
        log.read_from_offset(G1, Offset(5), 1),
        Err(ReadError::OffsetPurged { first: Offset(3_910), .. })
    ));
    log.shutdown();
    let (log, _) = open(&disk).unwrap();
    let (one, two_now) = (log.group(G1), log.group(G2));
    assert_eq!(one.vote.as_deref(), Some(&b"vote of one"[..]));
    assert_eq!((one.first, one.purged), (Some(LogIndex(391)), Some(upto)));
    assert_eq!(two_now.vote.as_deref(), Some(&b"vote of two"[..]));
    assert_eq!((two_now.last, two_now.purged, two_now.next_offset), (None, Some(two), Offset(20)));
    assert_eq!(two_now.checkpoint, Some((LogIndex(1), Bytes::from_static(b"state"))));
    append(&log, G2, vec![entry(1, 2, 10)]);
    drop(log);
    let verified = verify(&disk).unwrap();
    assert!(verified.is_whole(), "{verified:?}");
}

#[test]
fn a_snapshot_may_bring_a_group_past_its_last_entry() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, G1, 1, 10, 100);
    let upto = (Term(4), 2, LogIndex(50));
    wait(|done| log.purge(G1, upto, done)).unwrap();
    assert_eq!((log.group(G1).last, log.group(G1).purged), (None, Some(upto)));
    let refused = refusal(wait(|done| log.append(G1, vec![entry(4, 52, 10)], done)));
    assert_eq!(refused, Refused::Gap { found: LogIndex(52), due: LogIndex(51) });
    append(&log, G1, vec![entry(4, 51, 10)]);
    // An older purge changes nothing.
    wait(|done| log.purge(G1, (Term(1), 0, LogIndex(3)), done)).unwrap();
    assert_eq!(log.group(G1).purged, Some(upto));
    log.shutdown();
    let (log, _) = open(&disk).unwrap();
    assert_eq!(all(&log, G1), [entry(4, 51, 10)]);
    assert_eq!(log.group(G1).purged, Some(upto));
}

#[test]
fn a_snapshot_says_where_the_offsets_go_on() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, G1, 1, 10, 100);
    let upto = (Term(4), 2, LogIndex(50));
    wait(|done| log.reset(G1, upto, Offset(777), done)).unwrap();
    // A group that was never held is brought by a snapshot alone.
    wait(|done| log.reset(G2, (Term(1), 1, LogIndex(5)), Offset(9), done)).unwrap();
    log.shutdown();
    for again in 0..2 {
        let (log, _) = open(&disk).unwrap();
        let view = log.group(G1);
        assert_eq!((view.first, view.last, view.purged), (None, None, Some(upto)), "{again}");
        assert_eq!((view.next_offset, view.first_offset), (Offset(777), Offset(777)), "{again}");
        assert_eq!((log.next_offset(G1), log.next_offset(G2)), (Offset(777), Offset(9)), "{again}");
        assert!(log.read_from_offset(G1, Offset(777), 1).unwrap().is_empty());
        assert!(matches!(
            log.read_from_offset(G1, Offset(776), 1),
            Err(ReadError::OffsetPurged { first: Offset(777), .. })
        ));
        wait(|done| log.reset(G1, upto, Offset(1), done)).unwrap();
        wait(|done| log.reset(G1, (Term(3), 1, LogIndex(20)), Offset(2), done)).unwrap();
        assert_eq!(log.group(G1), view, "an older snapshot changes nothing");
        log.shutdown();
    }
    let (log, _) = open(&disk).unwrap();
    let next = |index, first_offset| pelton_log::Entry { first_offset: Offset(first_offset), ..entry(4, index, 10) };
    let refused = refusal(wait(|done| log.append(G1, vec![next(52, 777)], done)));
    assert_eq!(refused, Refused::Gap { found: LogIndex(52), due: LogIndex(51) });
    append(&log, G1, vec![next(51, 777), next(52, 787), next(53, 797)]);
    // What the log holds decides, where it holds something.
    wait(|done| log.reset(G1, (Term(4), 1, LogIndex(52)), Offset(5), done)).unwrap();
    assert_eq!(log.group(G1).first_offset, Offset(797));
    wait(|done| log.truncate_after(G1, None, done)).unwrap();
    assert_eq!(log.next_offset(G1), Offset(797));
    log.shutdown();
    let (log, _) = open(&disk).unwrap();
    assert_eq!((log.next_offset(G1), log.group(G1).last), (Offset(797), None));
    assert_eq!(log.next_offset(G2), Offset(9));
}

#[test]
fn a_forgotten_group_was_never_there_and_holds_no_segment() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    wait(|done| log.forget(G2, done)).unwrap();
    assert_eq!(log.stats().records, 0, "nothing is nothing");
    fill(&log, G1, 1, 2, 3_000);
    fill(&log, G2, 1, 200, 3_000);
    wait(|done| log.save_vote(G2, Bytes::from_static(b"vote"), done)).unwrap();
    wait(|done| log.save_checkpoint(G2, LogIndex(9), Term(1), Bytes::from_static(b"state"), done)).unwrap();
    log.save_committed(G2, LogIndex(9));
    let two = log.entry_meta(G2, LogIndex(5)).unwrap().unwrap().log_id();
    wait(|done| log.purge(G2, two, done)).unwrap();
    let one = log.entry_meta(G1, LogIndex(2)).unwrap().unwrap().log_id();
    wait(|done| log.purge(G1, one, done)).unwrap();
    let full = log.size().record_bytes;
    // Entries that are still on their way are forgotten, too.
    log.append(G2, (201..=204).map(|index| entry(1, index, 500)).collect(), Box::new(|result| result.unwrap()));
    for _ in 0..2 {
        wait(|done| log.forget(G2, done)).unwrap();
        assert_eq!((log.group(G2), log.groups()), (GroupView::default(), vec![G1]));
        assert!(log.read(G2, LogIndex(100), LogIndex(101), 1).unwrap().is_empty());
        assert!(log.read_from_offset(G2, Offset(0), 1).unwrap().is_empty());
    }
    fill(&log, G1, 3, 3, 3_000);
    assert!(log.size().record_bytes < full / 4, "{:?}, {full} before", log.size());
    log.shutdown();
    let (log, _) = open(&disk).unwrap();
    assert_eq!((log.group(G2), log.groups()), (GroupView::default(), vec![G1]));
    // It comes back as another, at any index.
    append(&log, G2, vec![entry(7, 40, 10)]);
    log.shutdown();
    let (log, _) = open(&disk).unwrap();
    assert_eq!(all(&log, G2), [entry(7, 40, 10)]);
    assert_eq!((log.group(G2).vote, log.group(G2).checkpoint, log.group(G2).purged), (None, None, None));
    log.shutdown();
    assert!(verify(&disk).unwrap().is_whole());
}

#[test]
fn the_commit_index_rides_along() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, G1, 1, 3, 10);
    log.save_committed(G1, LogIndex(2));
    log.save_committed(G1, LogIndex(1));
    assert_eq!(log.group(G1).committed, Some(LogIndex(2)), "never back");
    fill(&log, G1, 4, 1, 10);
    log.shutdown();
    assert_eq!(open(&disk).unwrap().0.group(G1).committed, Some(LogIndex(2)));
}

#[test]
fn after_shutdown_everything_is_refused_and_the_directory_is_free() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, G1, 1, 1, 10);
    log.shutdown();
    assert_eq!(refusal(wait(|done| log.append(G1, vec![entry(1, 2, 10)], done))), Refused::ShutDown);
    assert_eq!(all(&log, G1).len(), 1, "reading goes on");
    let (second, _) = open(&disk).unwrap();
    log.shutdown();
    fill(&second, G1, 2, 1, 10);
}

#[test]
fn the_last_handle_may_be_dropped_by_a_completion() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    let (send, receive) = mpsc::channel();
    let last = log.clone();
    log.append(
        G1,
        vec![entry(1, 1, 10)],
        Box::new(move |_| {
            drop(last);
            send.send(()).unwrap();
        }),
    );
    drop(log);
    receive.recv().unwrap();
}
