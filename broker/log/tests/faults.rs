//! Disks that fail: an error ends all writing at once and is never tried again; a full disk is waited out.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod common;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use common::model::{Acks, Model, submit};
use common::*;
use parking_lot::Mutex;
use pelton_env::SeededChance;
use pelton_log::{
    CrashPlan, GroupId, LogIndex, Observer, OnDamage, OpenError, Options, ReadError, Refused, SimDisk, Term,
};

#[derive(Debug, Clone, Copy)]
enum Fault {
    Write,
    Sync,
    Read,
}

fn arm(disk: &SimDisk, fault: Fault, after: u64) {
    match fault {
        Fault::Write => disk.fail_writes_after(Some(after)),
        Fault::Sync => disk.fail_syncs_after(Some(after)),
        Fault::Read => disk.fail_reads_after(Some(after)),
    }
}

/// One run whose n-th call of a sort fails, and all after it. What was acknowledged must be there after a power loss
/// at the end, every completion must have been called, and the hook once.
fn fails_at(fault: Fault, after: u64, direct: bool) -> bool {
    let what = format!("{fault:?} {after}, direct {direct}");
    let chance = SeededChance::new(after);
    let disk = if direct { SimDisk::direct() } else { SimDisk::new() };
    disk.record();
    arm(&disk, fault, after);
    let fatal = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fatal);
    let on_fatal: pelton_log::FatalHook = Arc::new(move |error: &io::Error| {
        assert_ne!(error.kind(), io::ErrorKind::StorageFull);
        count.fetch_add(1, Ordering::SeqCst);
    });
    let options = Options { on_fatal: Some(on_fatal), tail_cache_bytes: 0, ..options() };
    let log = match open_with(Arc::new(disk.clone()), options.clone()) {
        Ok((log, _)) => log,
        Err(error) => {
            assert!(matches!(error, OpenError::Io { .. }), "{what}: {error}");
            return true;
        }
    };
    let acks = Arc::new(Acks::default());
    let (mut model, mut term, mut models) = (Model::default(), 1, vec![Model::default()]);
    let (mut submitted, answered) = (0, Arc::new(Mutex::new(Vec::new())));
    let mut failed = false;
    // Little is read: only what a truncation or a purge must know of an entry that is not in memory.
    let operations = if matches!(fault, Fault::Read) { 200 } else { 60 };
    for _ in 0..operations {
        let op = model.next(&chance, &mut term, 3_000);
        let mut after_op = model.clone();
        for record in Model::records(&op) {
            after_op.apply(&record);
            models.push(after_op.trimmed());
        }
        let upto = models.len() as u64 - 1;
        submitted += 1;
        let (acked, answers, moments) = (Arc::clone(&acks), Arc::clone(&answered), disk.clone());
        let result = wait(|done| {
            submit(
                &log,
                &op,
                Box::new(move |result| {
                    answers.lock().push(result.is_ok());
                    let moment = moments.recorded();
                    acked.note(upto, move || moment)(result.clone());
                    done(result);
                }),
            );
        });
        if result.is_err() {
            failed = true;
            break;
        }
        model = after_op;
    }
    if failed && !matches!(fault, Fault::Read) {
        assert!(log.failure().is_some(), "{what}");
        let flushes = log.stats().flushes;
        let late = wait(|done| log.save_vote(G1, Bytes::from_static(b"too late"), done));
        assert!(late.is_err() && !log.has_room(1), "{what}: nothing is taken any more");
        log.shutdown();
        assert_eq!(log.stats().flushes, flushes, "{what}: nothing is tried again");
        assert_eq!(fatal.load(Ordering::SeqCst), 1, "{what}: the hook is called once");
    }
    log.shutdown();
    drop(log);
    assert_eq!(answered.lock().len(), submitted, "{what}: every completion is called once");
    let trace = disk.trace();
    let mut plan = CrashPlan::new(&trace);
    while plan.advance() {}
    for _ in 0..3 {
        let crashed = plan.sample(&chance);
        let (log, _) = open_with(Arc::new(crashed), options.clone()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = Model::of(&log);
        let acked = acks.at(usize::MAX) as usize;
        assert!(models[acked..].contains(&found), "{what}: acknowledged up to {acked}");
    }
    failed
}

#[test]
fn the_nth_failing_call_loses_nothing_that_was_acknowledged() {
    for fault in [Fault::Write, Fault::Sync, Fault::Read] {
        for direct in [false, true] {
            let mut failures = 0;
            for after in (0..40).chain((40..160).step_by(13)) {
                failures += usize::from(fails_at(fault, after, direct));
            }
            assert!(failures > 2, "{fault:?}: {failures} runs failed");
        }
    }
}

#[test]
fn everybody_who_waits_hears_of_a_failed_sync() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, G1, 1, 3, 100);
    disk.fail_syncs_after(Some(0));
    let (send, receive) = mpsc::channel();
    for index in 4..40 {
        let send = send.clone();
        log.append(
            G1,
            vec![entry(1, index, 100)],
            Box::new(move |result| send.send(result.map_err(|e| e.kind())).unwrap()),
        );
    }
    drop(send);
    let results: Vec<_> = receive.iter().collect();
    assert_eq!(results.len(), 36);
    assert!(results.iter().all(Result::is_err), "{results:?}");
    assert_eq!(log.read(G1, LogIndex(2), LogIndex(3), 1).unwrap().len(), 1, "reading goes on");
}

#[test]
fn a_read_that_fails_says_so_and_harms_nothing() {
    let disk = SimDisk::new();
    let (log, _) = open_with(Arc::new(disk.clone()), Options { tail_cache_bytes: 0, ..options() }).unwrap();
    fill(&log, G1, 1, 30, 3_000);
    disk.fail_reads_after(Some(0));
    let error = log.read(G1, LogIndex(1), LogIndex(9), 9_999).expect_err("fails");
    assert!(matches!(error, ReadError::Io { .. }), "{error}");
    fill(&log, G1, 31, 1, 10);
    disk.fail_reads_after(None);
    assert_eq!(all(&log, G1).len(), 31);
}

#[derive(Debug)]
struct Told(Mutex<mpsc::Sender<bool>>);

impl Observer for Told {
    fn storage_full(&self, full: bool) {
        let _ = self.0.lock().send(full);
    }
}

/// Fills the disk until ordinary appends find no room.
fn filled() -> (SimDisk, pelton_log::Log, mpsc::Receiver<bool>, u64) {
    let disk = SimDisk::new();
    let (send, told) = mpsc::channel();
    let size = 128 << 10;
    let sizes = Options { segment_size_bytes: size, initial_segment_size_bytes: size, ..options() };
    let options = Options { observer: Arc::new(Told(Mutex::new(send))), ..sizes };
    let (log, _) = open_with(Arc::new(disk.clone()), options).unwrap();
    disk.set_capacity(Some(8 * size));
    let mut next = 1;
    let mut full = false;
    while !full || log.has_room(3_000) {
        // At first spares may still be on their way; later there is no room because the disk is full.
        if log.has_room(3_000) {
            fill(&log, G1, next, 1, 3_000);
            next += 1;
        }
        std::thread::yield_now();
        full |= told.try_iter().last().unwrap_or(false);
        assert!(next < 1_000, "a disk of 1 MiB took {next} entries");
    }
    (disk, log, told, next)
}

#[test]
fn a_full_disk_refuses_before_it_accepts_and_keeps_a_reserve() {
    let (disk, log, _told, mut next) = filled();
    assert!(!log.has_room(3_000));
    // Progress, votes and checkpoints go on from the reserve.
    for step in 0..5 {
        fill(&log, G1, next, 1, 200);
        next += 1;
        wait(|done| log.save_vote(G1, Bytes::from(format!("vote {step}")), done)).unwrap();
    }
    wait(|done| log.save_checkpoint(G1, LogIndex(next - 1), Term(1), Bytes::from(vec![1; 2_000]), done)).unwrap();
    // Without asking for room, the reserve is used up, and then the answer is clear.
    let refused = loop {
        match wait(|done| log.append(G1, vec![entry(1, next, 3_000)], done)) {
            Ok(()) => next += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert_eq!(refused.get_ref().and_then(|e| e.downcast_ref::<Refused>()), Some(&Refused::StorageFull));
    assert!(log.failure().is_none(), "a full disk is no failure");
    assert_eq!(log.group(G1).last.map(|last| last.2), Some(LogIndex(next - 1)), "what was refused is not there");
    assert_eq!(all(&log, G1).len() as u64, next - 1);
    let after_power_loss = disk.copy();
    assert_eq!(all(&open(&after_power_loss).unwrap().0, G1).len() as u64, next - 1);
}

/// The segment that is written last is all there is, and no event may have it.
#[test]
fn the_reserve_is_kept_once_it_is_being_written() {
    let (_disk, log, _told, mut next) = filled();
    let first = next;
    while wait(|done| log.append(G1, vec![entry(1, next, 200)], done)).is_ok() {
        next += 1;
        assert!(!log.has_room(100), "after {} entries of the reserve", next - first);
    }
    assert!(next - first > 20, "{} entries are a reserve of a whole segment", next - first);
}

/// Strangers can use up descriptors. That says nothing about the disk, and must not end the log.
#[test]
fn without_descriptors_the_next_segment_is_waited_for() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    disk.set_out_of_descriptors(true);
    let mut next = 1;
    // Until there is nothing prepared; what is there already may be a spare or two.
    while log.has_room(3_000) {
        fill(&log, G1, next, 1, 3_000);
        next += 1;
        assert!(next < 1_000, "no segment was needed");
    }
    assert!(log.failure().is_none(), "{:?}", log.failure());
    disk.set_out_of_descriptors(false);
    while !log.has_room(3_000) {
        std::thread::yield_now();
    }
    fill(&log, G1, next, 60, 3_000);
    assert!(log.failure().is_none());
    log.shutdown();
    assert_eq!(all(&open(&disk).unwrap().0, G1).len() as u64, next + 59);
}

#[test]
fn purging_makes_room_even_when_the_reserve_is_used_up() {
    for burst in [1, 7] {
        let (_disk, log, told, mut next) = filled();
        wait(|done| log.save_checkpoint(G1, LogIndex(next - 1), Term(1), Bytes::from(vec![1; 5_000]), done)).unwrap();
        // Several at a time, so that what does not fit lies behind what does.
        while wait(|done| log.append(G1, (next..next + burst).map(|i| entry(1, i, 1_500)).collect(), done)).is_ok() {
            next += burst;
        }
        let upto = log.entry_meta(G1, LogIndex(next - 1)).unwrap().unwrap().log_id();
        wait(|done| log.purge(G1, upto, done)).unwrap();
        while told.recv().expect("told") {}
        fill(&log, G1, next, 60, 3_000);
    }
}

#[test]
fn purging_makes_room_without_a_restart() {
    let (_disk, log, told, next) = filled();
    let upto = log.entry_meta(G1, LogIndex(next - 2)).unwrap().unwrap().log_id();
    wait(|done| log.purge(G1, upto, done)).unwrap();
    while told.recv().expect("told") {}
    assert!(log.has_room(3_000));
    fill(&log, G1, next, 60, 3_000);
    assert!(log.failure().is_none());
}

/// Where files are copied on write, a write into a prepared segment may find no space, too. It is over when the write
/// succeeds, though no further segment is prepared then.
#[test]
fn a_write_that_found_no_space_is_over_when_it_succeeds() {
    let disk = SimDisk::new();
    let (send, told) = mpsc::channel();
    let options = Options { observer: Arc::new(Told(Mutex::new(send))), ..options() };
    let spares = options.spare_segments as u64;
    let (log, _) = open_with(Arc::new(disk.clone()), options).unwrap();
    while log.size().segments < 1 + spares {
        std::thread::yield_now();
    }
    disk.set_out_of_space(true);
    let (send, receive) = mpsc::channel();
    log.append(G1, vec![entry(1, 1, 100)], Box::new(move |result| send.send(result.is_ok()).unwrap()));
    assert!(told.recv().expect("told"), "there is no space");
    assert!(!log.has_room(100_000_000) && log.is_full());
    disk.set_out_of_space(false);
    assert!(receive.recv().expect("answered"), "the write was tried again");
    let patience = std::time::Duration::from_secs(30);
    assert!(!told.recv_timeout(patience).expect("told"), "there is space again");
    assert!(!log.is_full() && log.has_room(3_000));
}

#[test]
fn more_space_makes_room_without_a_restart() {
    let (disk, log, told, next) = filled();
    disk.set_capacity(None);
    while told.recv().expect("told") {}
    fill(&log, G1, next, 100, 3_000);
    log.shutdown();
    assert_eq!(all(&open(&disk).unwrap().0, G1).len() as u64, next + 99);
}

#[test]
fn a_full_disk_can_be_opened_and_closed() {
    let (disk, log, _told, next) = filled();
    log.shutdown();
    let (log, report) = open(&disk).unwrap();
    assert_eq!(report.cut, None);
    assert_eq!(all(&log, G1).len() as u64, next - 1);
    log.shutdown();
    let empty = SimDisk::new();
    empty.set_capacity(Some(1_000));
    let error = open(&empty).expect_err("no space for a first segment");
    assert!(matches!(&error, OpenError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull), "{error}");
    empty.set_capacity(None);
    assert!(open(&empty).unwrap().1.fresh, "and nothing is left behind that would be in the way");
}

#[test]
fn quiet_marks_the_end_as_durable() {
    #[derive(Debug)]
    struct Flushes(Mutex<mpsc::Sender<u32>>);
    impl Observer for Flushes {
        fn flushed(&self, flush: pelton_log::Flush) {
            let _ = self.0.lock().send(flush.records);
        }
    }
    let disk = SimDisk::new();
    let (send, flushes) = mpsc::channel();
    let idle = Some(std::time::Duration::from_millis(1));
    let options = Options { observer: Arc::new(Flushes(Mutex::new(send))), mark_after_idle: idle, ..options() };
    let (log, _) = open_with(Arc::new(disk.clone()), options).unwrap();
    fill(&log, G1, 1, 1, 100);
    assert_eq!((flushes.recv().unwrap(), flushes.recv().unwrap()), (1, 1), "the entry, then the mark");
    let copy = disk.copy();
    copy.flip_bit("log-000000000001.seg", 4_096 * 8 + 70);
    assert!(matches!(open(&copy), Err(OpenError::Damaged(_))), "the last entry is known to have been durable");
}

/// A process that is killed leaves written bytes that were never synced. The next one reads them, and acts on them.
#[test]
fn what_opening_finds_is_durable_from_then_on() {
    let chance = SeededChance::new(4);
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    fill(&log, G1, 1, 3, 100);
    disk.record();
    disk.fail_syncs_after(Some(0));
    assert!(wait(|done| log.append(G1, vec![entry(1, 4, 3_000)], done)).is_err());
    log.shutdown();
    drop(log);
    disk.fail_syncs_after(None);
    let (log, _) = open(&disk).unwrap();
    let found = all(&log, G1).len();
    assert_eq!(found, 4, "written, not synced, and read again");
    let trace = disk.trace();
    let mut plan = CrashPlan::new(&trace);
    while plan.advance() {}
    for _ in 0..20 {
        let (log, _) = open(&plan.sample(&chance)).unwrap();
        assert_eq!(all(&log, G1).len(), found);
    }
}

/// So it is with a segment that was being sealed: the next one is written because the trailer says so.
#[test]
fn a_trailer_that_opening_finds_is_durable_from_then_on() {
    let chance = SeededChance::new(5);
    for syncs in 0..8 {
        let disk = SimDisk::new();
        disk.record();
        let (log, _) = open(&disk).unwrap();
        // With some groups the mark that opens the next segment is longer than a sector.
        for group in 2..12 {
            wait(|done| log.save_vote(GroupId(group), Bytes::from(vec![1; 100]), done)).unwrap();
        }
        fill(&log, G1, 1, 1, 12_000);
        disk.fail_syncs_after(Some(syncs));
        let mut next = 2;
        while wait(|done| log.append(G1, vec![entry(1, next, 12_000)], done)).is_ok() {
            next += 1;
        }
        log.shutdown();
        drop(log);
        disk.fail_syncs_after(None);
        let (log, _) = open(&disk).unwrap();
        let (found, opened) = (all(&log, G1).len(), disk.recorded());
        assert!(found as u64 >= next - 1, "{syncs} syncs");
        fill(&log, G1, found as u64 + 1, 1, 12_000);
        let trace = disk.trace();
        let mut plan = CrashPlan::new(&trace);
        while plan.advance() {
            if plan.position() < opened {
                continue;
            }
            for nth in 0..40 {
                let on_damage = if nth % 2 == 0 { OnDamage::Keep } else { OnDamage::Refuse };
                let what = format!("{syncs} syncs, step {}, {on_damage:?}", plan.position());
                let options = Options { on_damage, ..options() };
                let (log, _) = open_with(Arc::new(plan.sample(&chance)), options)
                    .unwrap_or_else(|error| panic!("{what}: does not open: {error}"));
                assert!(all(&log, G1).len() >= found, "{what}: less than was found");
            }
        }
    }
}

#[test]
fn a_completion_that_panics_leaves_nobody_waiting() {
    let (log, _) = open(&SimDisk::new()).unwrap();
    let (send, receive) = mpsc::channel();
    let (begun, go_on) = (mpsc::channel::<()>(), mpsc::channel::<()>());
    let (begun_send, go_on_receive) = (begun.0, go_on.1);
    log.append(
        G1,
        vec![entry(1, 1, 10)],
        Box::new(move |_| {
            let _ = begun_send.send(());
            let _ = go_on_receive.recv();
            panic!("a caller's mistake");
        }),
    );
    begun.1.recv().unwrap();
    log.append(G1, vec![entry(1, 2, 10)], Box::new(move |result| send.send(result.is_ok()).unwrap()));
    go_on.0.send(()).unwrap();
    assert!(!receive.recv().expect("answered"));
    assert!(log.failure().is_some());
}
