//! A log without threads: what callers may rely on holds for it as well, and one seed gives one run, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]
#![allow(clippy::duplicate_mod, reason = "the same tests, over a log that is driven")]

mod common;
#[path = "contract.rs"]
mod contract;
#[path = "crash_states.rs"]
mod crash_states;
#[path = "model.rs"]
mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use common::model::{Model, submit};
use common::*;
use parking_lot::Mutex;
use pelton_env::{Chance, ManualClock, SeededChance, UnixMillis};
use pelton_log::{Disk, Log, Options, SimDisk, SimTrace, Stepper, Turn, WorkHook};

fn nobody() -> WorkHook {
    Arc::new(|| {})
}

fn open_stepped(disk: &SimDisk, seed: u64, on_work: WorkHook) -> (Log, Stepper) {
    let clock = Arc::new(ManualClock::new(UnixMillis(1_000)));
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (log, stepper, _) =
        Log::open_stepped(shared, clock, Arc::new(SeededChance::new(seed)), options(), on_work).unwrap();
    (log, stepper)
}

fn turn_until_idle(stepper: &Stepper) {
    while stepper.turn() == Turn::Worked {}
}

/// Operations with crashes in between, on one thread; what every disk went through.
fn run(seed: u64, direct: bool) -> Vec<SimTrace> {
    let chance = SeededChance::new(seed);
    let mut disk = if direct { SimDisk::direct() } else { SimDisk::new() };
    disk.track();
    let mut traces = Vec::new();
    let (mut model, mut term) = (Model::default(), 1);
    for _ in 0..3 {
        disk.record();
        let (log, stepper) = open_stepped(&disk, seed, nobody());
        let durable = Arc::new(AtomicUsize::new(0));
        let mut models = vec![model.clone()];
        for _ in 0..60 {
            let op = model.next(&chance, &mut term, 3_000);
            for record in Model::records(&op) {
                model.apply(&record);
                models.push(model.clone());
            }
            let (durable, upto) = (Arc::clone(&durable), models.len() - 1);
            submit(
                &log,
                &op,
                Box::new(move |result| {
                    result.unwrap();
                    durable.store(upto, Ordering::SeqCst);
                }),
            );
            match chance.below(6) {
                0 => turn_until_idle(&stepper),
                1 => assert_ne!(stepper.mark(), Turn::Ended),
                2 | 3 => assert_ne!(stepper.turn(), Turn::Ended),
                _ => {}
            }
        }
        let crashed = disk.crash(&chance);
        traces.push(disk.trace());
        let acked = durable.load(Ordering::SeqCst);
        drop((log, stepper));
        let found = Model::of(&open_stepped(&crashed.copy(), seed, nobody()).0);
        let held = (acked..models.len()).find(|at| models[*at].trimmed() == found);
        model = models[held.expect("a prefix that holds what was acknowledged")].clone();
        disk = crashed;
    }
    traces
}

#[test]
fn one_seed_gives_one_run() {
    for seed in 1..6 {
        for direct in [false, true] {
            let traces = run(seed, direct);
            assert!(traces == run(seed, direct), "seed {seed}, direct {direct}: two runs differ");
            assert!(traces != run(seed + 100, direct), "seed {seed}, direct {direct}: another seed gives the same");
            assert!(traces.iter().all(|trace| trace.ops().len() > 30), "seed {seed}: too little happened");
        }
    }
}

#[test]
fn nothing_is_written_between_turns() {
    let disk = SimDisk::new();
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let hook: WorkHook = Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let (log, stepper) = open_stepped(&disk, 1, hook);
    assert_eq!(told.load(Ordering::SeqCst), 1, "the first turn is due at once");
    turn_until_idle(&stepper);
    assert_eq!(stepper.turn(), Turn::Idle);
    disk.record();
    let done = Arc::new(AtomicUsize::new(0));
    for index in 1..=9 {
        let done = Arc::clone(&done);
        let count = move |result: Result<(), _>| {
            result.unwrap();
            done.fetch_add(1, Ordering::SeqCst);
        };
        log.append(G1, vec![entry(1, index, 500)], Box::new(count));
    }
    assert_eq!((told.load(Ordering::SeqCst), disk.recorded(), done.load(Ordering::SeqCst)), (10, 0, 0));
    assert_eq!(all(&log, G1).len(), 9, "but it can be read");
    assert_eq!(stepper.turn(), Turn::Worked);
    assert_eq!(done.load(Ordering::SeqCst), 9);
    assert_eq!(log.stats().flushes, 1, "all that waited went in one flush");
    assert_eq!(stepper.mark(), Turn::Worked);
    assert_eq!((log.stats().flushes, stepper.mark()), (2, Turn::Idle), "marked, and marked once");
}

#[test]
fn what_a_completion_submits_waits_for_the_next_turn() {
    let (log, stepper) = open_stepped(&SimDisk::new(), 1, nobody());
    let order = Arc::new(Mutex::new(Vec::new()));
    let (again, first, second) = (log.clone(), Arc::clone(&order), Arc::clone(&order));
    log.append(
        G1,
        vec![entry(1, 1, 10)],
        Box::new(move |_| {
            first.lock().push(1);
            again.append(G1, vec![entry(1, 2, 10)], Box::new(move |_| second.lock().push(2)));
        }),
    );
    assert_eq!(stepper.turn(), Turn::Worked);
    assert_eq!(*order.lock(), [1]);
    assert_eq!(stepper.turn(), Turn::Worked);
    assert_eq!(*order.lock(), [1, 2]);
}

#[test]
fn a_completion_may_shut_the_log_down() {
    let disk = SimDisk::new();
    let (log, stepper) = open_stepped(&disk, 1, nobody());
    let last = log.clone();
    log.append(G1, vec![entry(1, 1, 10)], Box::new(move |_| last.shutdown()));
    log.save_vote(G1, Bytes::from_static(b"vote"), Box::new(|result| result.unwrap()));
    while stepper.turn() != Turn::Ended {}
    assert_eq!(all(&open(&disk).unwrap().0, G1).len(), 1, "the directory is free");
}

/// A full disk is said so, and a later turn goes on where the one before stopped.
#[test]
fn a_full_disk_is_waited_out_between_turns() {
    let disk = SimDisk::new();
    let (log, stepper) = open_stepped(&disk, 1, nobody());
    turn_until_idle(&stepper);
    disk.set_out_of_space(true);
    let done = Arc::new(AtomicUsize::new(0));
    for index in 1..=40 {
        let done = Arc::clone(&done);
        let count = move |result: Result<(), _>| {
            result.unwrap();
            done.fetch_add(1, Ordering::SeqCst);
        };
        log.append(G1, vec![entry(1, index, 5_000)], Box::new(count));
    }
    for _ in 0..3 {
        assert_eq!(stepper.turn(), Turn::Full);
        assert!(log.is_full() && done.load(Ordering::SeqCst) == 0);
    }
    disk.set_out_of_space(false);
    turn_until_idle(&stepper);
    assert_eq!(done.load(Ordering::SeqCst), 40);
    assert!(!log.is_full());
    log.shutdown();
    assert_eq!(all(&open(&disk).unwrap().0, G1).len(), 40);
}

/// A process that is killed loses nothing that was written; a loss of power may, and what is synced stays.
#[test]
fn a_crash_loses_only_what_was_not_synced() {
    for direct in [false, true] {
        let disk = if direct { SimDisk::direct() } else { SimDisk::new() };
        disk.track();
        let (log, stepper) = open_stepped(&disk, 1, nobody());
        log.append(G1, vec![entry(1, 1, 3_000)], Box::new(|result| result.unwrap()));
        turn_until_idle(&stepper);
        disk.fail_syncs_after(Some(0));
        log.append(G1, vec![entry(1, 2, 9_000)], Box::new(|_| {}));
        assert_eq!(stepper.turn(), Turn::Ended);
        let held = |disk: &SimDisk| all(&open(disk).unwrap().0, G1).len();
        assert_eq!(held(&disk.copy()), 2, "written");
        let chance = SeededChance::new(2);
        let after: Vec<_> = (0..20).map(|_| held(&disk.crash(&chance))).collect();
        assert!(after.contains(&1) && after.iter().all(|held| (1..=2).contains(held)), "{after:?}");
        let options = Options { mark_after_idle: None, ..options() };
        let again = disk.crash(&chance);
        let (log, _) = open_with(Arc::new(again.clone()), options).unwrap();
        log.shutdown();
        drop(log);
        assert!((0..20).all(|_| held(&again.crash(&chance)) >= 1), "what was synced before the crash is durable");
    }
}
