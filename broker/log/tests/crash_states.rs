//! Crashes: from a recorded workload, directories as a power loss could have left them.
//!
//! What is recovered must be a prefix of what was submitted that holds everything acknowledged, and the log must go on
//! from there. `PELTON_CRASH_STATES` says how many states are tried; `PELTON_CRASH_SEED` where they start.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod common;

use std::sync::Arc;

use common::model::{Acks, Model, Op, submit};
use common::*;
use pelton_env::{Chance, SeededChance};
use pelton_log::{Crash, CrashPlan, OnDamage, Options, SimDisk, SimTrace, verify};

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A recorded run: the model after every record that was submitted, and what was acknowledged when.
struct Recorded {
    trace: SimTrace,
    models: Vec<Model>,
    acks: Arc<Acks>,
    model: Model,
    term: u64,
}

fn small_segments() -> Options {
    Options {
        segment_size_bytes: 48 << 10,
        initial_segment_size_bytes: 48 << 10,
        max_record_bytes: 24 << 10,
        max_flush_bytes: 24 << 10,
        staging_bytes: 8 << 10,
        spare_segments: 1,
        ..options()
    }
}

/// Runs `operations` random operations on `disk`, which holds `start`, several of them in one flush.
fn run(disk: &SimDisk, chance: &dyn Chance, start: Model, mut term: u64, operations: u64) -> Recorded {
    disk.record();
    let (log, _) = open_with(Arc::new(disk.clone()), small_segments()).expect("opens");
    let acks = Arc::new(Acks::default());
    let mut models = vec![start.trimmed()];
    let mut model = start;
    for _ in 0..operations {
        let op = model.next(chance, &mut term, 3_000);
        for record in Model::records(&op) {
            model.apply(&record);
            models.push(model.trimmed());
        }
        let upto = models.len() as u64 - 1;
        let moments = disk.clone();
        submit(&log, &op, acks.note(upto, move || moments.recorded()));
        if chance.below(4) == 0 {
            acks.wait(upto);
        }
    }
    log.shutdown();
    drop(log);
    Recorded { trace: disk.trace(), models, acks, model, term }
}

/// Opens a crashed directory and says how many records it holds, having checked that this is a prefix of what was
/// submitted that holds everything acknowledged at `moment`.
fn check(disk: &SimDisk, recorded: &Recorded, moment: usize, what: &str) -> usize {
    let kept = disk.copy();
    let (log, _) = open_with(Arc::new(disk.clone()), small_segments())
        .unwrap_or_else(|error| panic!("{what}: does not open: {error} ({error:?})"));
    let found = Model::of(&log);
    let acked = recorded.acks.at(moment) as usize;
    let prefix = (acked..recorded.models.len()).find(|at| recorded.models[*at] == found);
    let Some(prefix) = prefix else {
        let older = recorded.models[..acked].iter().rposition(|model| *model == found);
        panic!("{what}: acknowledged up to {acked}, found {older:?}: {found:?}");
    };
    // A loss of power damages nothing: where damage would be kept, the same is found, and nothing is faulty.
    let options = Options { on_damage: OnDamage::Keep, ..small_segments() };
    let (kept, report) = open_with(Arc::new(kept), options).unwrap_or_else(|error| panic!("{what}: kept: {error}"));
    assert!(Model::of(&kept) == found && report.faulty == 0, "{what}: kept: {report:?}");
    assert!(report.segments_lost.is_empty(), "{what}: kept: {report:?}");
    kept.shutdown();
    for (group, state) in &found.0 {
        let next = log.group(*group).last.or(state.purged).map_or(1, |last| last.2.0 + 1);
        let first_offset = log.next_offset(*group);
        append(&log, *group, vec![pelton_log::Entry { first_offset, ..entry(99, next, 20) }]);
    }
    log.shutdown();
    prefix
}

fn explore(seed: u64, states: u64, direct: bool) {
    let chance = SeededChance::new(seed);
    let disk = if direct { SimDisk::direct() } else { SimDisk::new() };
    let recorded = run(&disk, &chance, Model::default(), 1, 60);
    let mut tried = 0;
    for Crash { moment, disk: crashed } in recorded.trace.crashes(states, &chance) {
        tried += 1;
        let what = format!("seed {seed}, direct {direct}, step {moment}, state {tried}");
        let kept = crashed.copy();
        let prefix = check(&crashed, &recorded, moment, &what);
        if chance.below(16) == 0 {
            crash_again(&kept, &chance, recorded.models[prefix].clone(), recorded.term, &what);
        }
    }
    assert_eq!(tried, states);
}

/// A second life on what a crash left, and a second crash.
fn crash_again(disk: &SimDisk, chance: &dyn Chance, model: Model, term: u64, what: &str) {
    let second = run(disk, chance, model, term, 6);
    let mut plan = CrashPlan::new(&second.trace);
    let moment = chance.below(second.trace.ops().len() as u64 + 1) as usize;
    while plan.position() < moment && plan.advance() {}
    let crashed = plan.sample(chance);
    check(&crashed, &second, moment, &format!("{what}, second crash at step {moment}"));
    // And a third life, from a clean end.
    let third = run(disk, chance, second.model.clone(), second.term, 2);
    assert!(third.models.len() > 1);
    let verified = verify(disk).expect("readable");
    assert!(verified.is_whole(), "{what}: {verified:?}");
}

#[test]
fn every_crash_leaves_a_prefix_that_holds_what_was_acknowledged() {
    let states = from_environment("PELTON_CRASH_STATES", 2_000);
    let seed = from_environment("PELTON_CRASH_SEED", 1);
    // Many states of a few workloads find less than a few states of many.
    let each = 250;
    let workloads = states.div_ceil(each);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for workload in (thread..workloads).step_by(threads as usize) {
                    explore(seed + workload, each, workload % 2 == 1);
                }
            });
        }
    });
}

/// One batch of 64 KiB, cut at every sector: what is recovered is everything before the batch, or all of it.
#[test]
fn a_batch_torn_at_any_sector_is_all_or_nothing() {
    for direct in [false, true] {
        let disk = if direct { SimDisk::direct() } else { SimDisk::new() };
        let wide = Options {
            segment_size_bytes: 256 << 10,
            initial_segment_size_bytes: 256 << 10,
            max_flush_bytes: 128 << 10,
            ..options()
        };
        let (log, _) = open_with(Arc::new(disk.clone()), wide.clone()).unwrap();
        fill(&log, G1, 1, 3, 1_000);
        log.shutdown();
        let (log, _) = open_with(Arc::new(disk.clone()), wide.clone()).unwrap();
        disk.record();
        append(&log, G1, (4..8).map(|index| entry(1, index, 16_200)).collect());
        let trace = disk.trace();
        drop(log);
        let mut plan = CrashPlan::new(&trace);
        let (mut boundaries, mut whole) = (0, 0);
        loop {
            for sectors in 0..=plan.unsynced_sectors() {
                let crashed = plan.torn_after(sectors);
                let (log, _) = open_with(Arc::new(crashed), wide.clone()).unwrap();
                let found = all(&log, G1).len();
                assert!(found == 3 || found == 7, "direct {direct}, {sectors} sectors: {found} entries");
                boundaries += 1;
                whole += usize::from(found == 7);
            }
            if !plan.advance() {
                break;
            }
        }
        assert!(boundaries > 128 && whole > 0 && whole < boundaries, "{boundaries} boundaries, {whole} whole");
    }
}

/// The search itself must notice: with the sync taken out of a recording, acknowledged entries are lost.
#[test]
fn a_log_that_forgets_to_sync_is_caught() {
    let disk = SimDisk::new();
    let chance = SeededChance::new(5);
    let recorded = run(&disk, &chance, Model::default(), 1, 20);
    let trace = recorded.trace.without_syncs_after(recorded.trace.ops().len() / 2);
    let mut plan = CrashPlan::new(&trace);
    while plan.advance() {}
    let lost = (0..20).any(|_| {
        let crashed = plan.sample(&chance);
        let found = open_with(Arc::new(crashed), small_segments()).map(|(log, _)| Model::of(&log));
        found.map_or(true, |found| Some(&found) != recorded.models.last())
    });
    assert!(lost, "nothing was lost without syncs: the disk is too kind");
}

/// The same operation in the same order gives the same bytes: a failure can be run again from its seed.
#[test]
fn one_seed_gives_one_workload() {
    let ops = |seed: u64| {
        let chance = SeededChance::new(seed);
        let (mut model, mut term, mut ops) = (Model::default(), 1, Vec::new());
        for _ in 0..50 {
            let op: Op = model.next(&chance, &mut term, 3_000);
            model.apply(&op);
            ops.push(format!("{op:?}"));
        }
        ops
    };
    assert_eq!(ops(9), ops(9));
    assert_ne!(ops(9), ops(10));
}
