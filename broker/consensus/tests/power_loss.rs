//! Power losses: from a recorded run of a group, disks as a loss of power could have left them. What was acknowledged
//! is applied again, and nothing comes after a gap.
//!
//! `PELTON_POWER_LOSSES` says how many states are tried; `PELTON_POWER_LOSS_SEED` where they start.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::*;
use parking_lot::Mutex;
use pelton_consensus::{Command, Outcome, ProposeError, Space};
use pelton_env::{Chance, SeededChance};
use pelton_log::{CrashPlan, Log, LogIndex, SimDisk, SimTrace};
use tokio::sync::mpsc;

/// Notes how far the recording was when a command was acknowledged.
struct Noted {
    disk: SimDisk,
    moments: Arc<Mutex<Vec<usize>>>,
    done: mpsc::UnboundedSender<()>,
}

impl Outcome for Noted {
    fn committed(&self, _index: LogIndex) {
        self.moments.lock().push(self.disk.recorded());
        self.done.send(()).unwrap();
    }

    fn failed(&self, error: ProposeError) {
        panic!("{error}");
    }
}

struct Recorded {
    trace: SimTrace,
    /// How much was recorded when the n-th command was acknowledged. Command n has the body n.
    moments: Vec<usize>,
    /// The last entry.
    last: LogIndex,
}

async fn run(seed: u64, commands: u8) -> Recorded {
    let chance = SeededChance::new(seed);
    let disk = if seed.is_multiple_of(2) { SimDisk::new() } else { SimDisk::direct() };
    disk.record();
    let group = open(&disk).await;
    let moments = Arc::new(Mutex::new(Vec::new()));
    let (done, mut acknowledged) = mpsc::unbounded_channel();
    let mut waiting = 0;
    for n in 0..commands {
        let command = Command { kind: 16, event_count: 1, body: Bytes::copy_from_slice(&[n]), space: Space::Ordinary };
        let noted = Noted { disk: disk.clone(), moments: moments.clone(), done: done.clone() };
        group.propose(command, Arc::new(noted)).await;
        waiting += 1;
        // Sometimes several are on their way at once.
        if n + 1 == commands || chance.below(3) > 0 {
            while waiting > 0 {
                acknowledged.recv().await.unwrap();
                waiting -= 1;
            }
            match chance.below(6) {
                0 => assert!(group.checkpoint().await.unwrap(), "there is room"),
                1 if n > 20 => {
                    let at = group.applied().borrow().0 - chance.below(9);
                    let before = group.state().inner.lock().keep_from.unwrap_or(0);
                    group.state().inner.lock().keep_from = Some(at.max(before));
                    group.purge_to_watermark().await.unwrap();
                }
                _ => {}
            }
        }
    }
    let last = group.status().last_index.unwrap();
    group.shutdown().await.unwrap();
    group.log().shutdown();
    let moments = moments.lock().clone();
    Recorded { trace: disk.trace(), moments, last }
}

/// Opens what is left; `Err` when something acknowledged is not there, or what is there has a gap.
async fn check(crashed: &SimDisk, recorded: &Recorded, moment: usize) -> Result<(), String> {
    let group = open(crashed).await;
    let found = group.state().bodies();
    let least = recorded.moments.iter().filter(|at| **at <= moment).count();
    let whole = found.iter().enumerate().all(|(nth, body)| usize::from(*body) == nth);
    let result = if found.len() < least || !whole {
        Err(format!("{least} were acknowledged, found {found:?}"))
    } else {
        let index = propose(&group, found.len() as u8, 1).await.unwrap();
        applied(&group, index).await;
        let offset = group.log().next_offset(GROUP).0;
        let went_on = group.state().bodies().len() == found.len() + 1 && offset == found.len() as u64 + 1;
        if went_on { Ok(()) } else { Err(format!("went on at offset {offset} after {}", found.len())) }
    };
    group.shutdown().await.unwrap();
    group.log().shutdown();
    result
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn a_power_loss_takes_nothing_that_was_acknowledged() {
    let (states, first) = (from_environment("PELTON_POWER_LOSSES", 400), from_environment("PELTON_POWER_LOSS_SEED", 1));
    let each = 50;
    for seed in first..first + states.div_ceil(each) {
        let recorded = run(seed, 60).await;
        let chance = SeededChance::new(seed);
        let steps = recorded.trace.ops().len() as u64;
        let mut plan = CrashPlan::new(&recorded.trace);
        let mut tried = 0;
        loop {
            let moment = plan.position();
            while tried < each * (moment as u64 + 1) / (steps + 1) {
                tried += 1;
                let checked = check(&plan.sample(&chance), &recorded, moment).await;
                assert!(checked.is_ok(), "seed {seed}, step {moment} of {steps}, state {tried}: {checked:?}");
            }
            if !plan.advance() {
                break;
            }
        }
        assert_eq!(tried, each);
    }
}

/// The search itself must notice: on a disk that does nothing when it is asked to sync, something is lost.
#[tokio::test]
async fn a_disk_that_does_not_sync_is_caught() {
    let recorded = run(2, 30).await;
    let trace = recorded.trace.without_syncs_after(recorded.trace.ops().len() / 2);
    let chance = SeededChance::new(2);
    let mut plan = CrashPlan::new(&trace);
    while plan.advance() {}
    let holds = |log: &Log| log.group(GROUP).last.is_some_and(|(_, _, index)| index >= recorded.last);
    let kept = (0..20).all(|_| open_log(&plan.sample(&chance)).is_ok_and(|log| holds(&log)));
    assert!(!kept, "nothing was lost without syncs: the disk is too kind");
}
