//! Power losses: from a recorded run of a group, disks as a loss of power could have left them. What was acknowledged
//! (events, progress, dead letters, trims) is there, and what is there was asked for, in that order.
//!
//! `PELTON_POWER_LOSSES` says how many states are tried; `PELTON_POWER_LOSS_SEED` where they start.

use pelton_client::{Cause, DeadLetter, LastAnswer};
use pelton_env::{Chance, UnixMillis};
use pelton_log::{CrashPlan, SimTrace};
use pelton_peer::Versions;

use super::*;

/// The state after each acknowledged command.
struct Recorded {
    trace: SimTrace,
    /// How much was recorded when it was acknowledged, the command's index, and the state it left.
    acked: Vec<(usize, LogIndex, Core)>,
}

/// Notes how far the recording was when the command was acknowledged.
struct Noted(SimDisk, Mutex<Option<oneshot::Sender<(LogIndex, usize)>>>);

impl Outcome for Noted {
    fn committed(&self, index: LogIndex) {
        let told = self.1.lock().take().expect("a proposal has one fate");
        told.send((index, self.0.recorded())).expect("the test waits");
    }

    fn failed(&self, error: ProposeError) {
        panic!("{error}");
    }
}

fn any_command(chance: &dyn Chance, core: &Core) -> Command {
    let of = |change: Change| {
        let space = change.space();
        Command { kind: CHANGE, event_count: 0, body: change.encode(Versions::OURS.max), space }
    };
    let tail = core.next.0;
    match chance.below(8) {
        0..=3 => {
            let body = vec![chance.below(256) as u8; chance.below(9_000) as usize];
            let event_count = 1 + chance.below(4) as u32;
            Command { kind: EVENTS, event_count, body: body.into(), space: Space::Ordinary }
        }
        4 | 5 => {
            let done = chance.below(tail + 1);
            let letter = DeadLetter {
                trigger: TRIGGER,
                position: Position { group: GROUP, offset: Offset(done) },
                attempts: 2,
                cause: Cause::Rejected,
                destination: "http://s.example/".into(),
                answer: LastAnswer { code: Some(400), detail: Bytes::from_static(b"no") },
                at: UnixMillis(tail),
            };
            let update = CursorUpdate {
                trigger: TRIGGER,
                epoch: 1,
                upto: Upto::Scanned,
                matched: vec![(Offset(done), Offset(tail))],
                done: vec![(Offset(0), Offset(done))],
                attempts: vec![(Offset(done), 1)],
                dead_letters: vec![letter],
            };
            of(Change::Progress { term: 0, progress: Progress { scanned: Offset(tail), cursors: vec![update] } })
        }
        6 => of(Change::Redrive(Selection::All)),
        _ => of(Change::Expire(UnixMillis(chance.below(tail + 1)), Offset(0))),
    }
}

async fn run(seed: u64, commands: u64) -> Recorded {
    let chance = SeededChance::new(seed);
    let disk = if seed.is_multiple_of(2) { SimDisk::new() } else { SimDisk::direct() };
    disk.record();
    let group = open(&disk).await;
    let mut acked = vec![(0, LogIndex(0), Core::default())];
    for nth in 0..commands {
        let core = group.state().with(Clone::clone);
        let command = match nth {
            0 => {
                let body = Change::Start { version: 1, triggers: vec![(TRIGGER, None)] }.encode(Versions::OURS.max);
                Command { kind: CHANGE, event_count: 0, body, space: Space::Ordinary }
            }
            _ => any_command(&chance, &core),
        };
        let trim = acked[chance.below(acked.len() as u64) as usize].1;
        let (told, answer) = oneshot::channel();
        group.propose(command, Arc::new(Noted(disk.clone(), Mutex::new(Some(told))))).await;
        let (index, moment) = answer.await.unwrap();
        group.applied().wait_for(|applied| *applied >= index).await.unwrap();
        acked.push((moment, index, group.state().with(Clone::clone)));
        match chance.below(10) {
            0 => assert!(group.checkpoint().await.unwrap(), "there is room"),
            1 => {
                let index = change(&group, &Change::Trim(trim.0)).await;
                acked.push((disk.recorded(), index, group.state().with(Clone::clone)));
                if group.state().advance_trailing(group.log()).unwrap() {
                    group.purge_to_watermark().await.unwrap();
                }
            }
            _ => {}
        }
    }
    group.shutdown().await.unwrap();
    group.log().shutdown();
    Recorded { trace: disk.trace(), acked }
}

/// Opens what is left and says which state it holds; `Err` when it holds none of those that it may.
async fn check(crashed: &SimDisk, recorded: &Recorded, moment: usize) -> Result<(), String> {
    let group = open(crashed).await;
    let found = group.state().with(Clone::clone);
    let least = recorded.acked.iter().rposition(|(at, ..)| *at <= moment).unwrap_or(0);
    let held = (least..recorded.acked.len()).find(|nth| recorded.acked[*nth].2 == found);
    let (trailing, trailing_index) = {
        let inner = group.state().inner.lock();
        (inner.trailing.clone(), inner.trailing_index)
    };
    let as_of = recorded.acked.iter().rev().find(|(_, index, _)| index.0 <= trailing_index);
    let trailing_holds = as_of.is_none_or(|(_, _, core)| *core == trailing);
    let result = match held {
        None => Err(format!("acknowledged up to {least}, found {found:?}")),
        Some(_) if !trailing_holds => Err(format!("the copy at {trailing_index} is {trailing:?}")),
        Some(_) => {
            // It goes on from there.
            events(&group, 1).await;
            let next = group.state().with(|core| core.next);
            if next == found.next.plus(1) { Ok(()) } else { Err(format!("went on at {next}")) }
        }
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
        let recorded = run(seed, 40).await;
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
    let recorded = run(2, 20).await;
    let last = recorded.acked.last().unwrap().1;
    let trace = recorded.trace.without_syncs_after(recorded.trace.ops().len() / 2);
    let chance = SeededChance::new(2);
    let mut plan = CrashPlan::new(&trace);
    while plan.advance() {}
    let holds = |log: &Log| log.group(pelton_log::GroupId(GROUP.0)).last.is_some_and(|(_, _, index)| index >= last);
    let kept = (0..20).all(|_| open_log(&plan.sample(&chance)).is_ok_and(|log| holds(&log)));
    assert!(!kept, "nothing was lost without syncs: the disk is too kind");
}
