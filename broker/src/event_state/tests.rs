//! The state machine in a real group over a simulated disk: trimming, the trailing copy, restart.

use std::sync::Arc;

use pelton_client::{Cursor, CursorUpdate, Position, Progress, RangeSet, Selection, TriggerId, Upto};
use pelton_consensus::{Command, Group, GroupOptions, NodeId, Outcome, ProposeError, Space};
use pelton_env::{Chance, ManualClock, SeededChance};
use pelton_log::{Disk, Identity, Options, SimDisk};
use pelton_peer::Versions;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;
use crate::command::{CHANGE, Change};

const GROUP: GroupId = GroupId(1);
const TRIGGER: TriggerId = TriggerId(5);

struct Told(Mutex<Option<oneshot::Sender<LogIndex>>>);

impl Outcome for Told {
    fn committed(&self, index: LogIndex) {
        let told = self.0.lock().take().expect("a proposal has one fate");
        told.send(index).expect("the test waits");
    }

    fn failed(&self, error: ProposeError) {
        panic!("{error}");
    }
}

fn open_log(disk: &SimDisk) -> Result<Log, pelton_log::OpenError> {
    let options = Options::small(Identity { cluster: 7, node: 1 });
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = Log::open(disk, Arc::new(ManualClock::default()), Arc::new(SeededChance::new(1)), options);
    opened.map(|(log, _)| log)
}

/// A cluster at a version of the protocol.
fn cluster_at(protocol: u32) -> watch::Receiver<Arc<ClusterState>> {
    watch::channel(Arc::new(ClusterState { protocol, ..ClusterState::default() })).1
}

async fn open(disk: &SimDisk) -> Group<EventState> {
    let log = open_log(disk).unwrap();
    let state = Arc::new(EventState::new(GROUP, Versions::OURS, cluster_at(1)));
    let id = pelton_log::GroupId(GROUP.0);
    Group::open_single(id, log, state, &GroupOptions::new(NodeId(1))).await.unwrap()
}

async fn propose(group: &Group<EventState>, command: Command) -> LogIndex {
    let (told, index) = oneshot::channel();
    group.propose(command, Arc::new(Told(Mutex::new(Some(told))))).await;
    let index = index.await.unwrap();
    group.applied().wait_for(|applied| *applied >= index).await.unwrap();
    index
}

async fn change(group: &Group<EventState>, change: &Change) -> LogIndex {
    propose(
        group,
        Command { kind: CHANGE, event_count: 0, body: change.encode(Versions::OURS.max), space: change.space() },
    )
    .await
}

async fn events(group: &Group<EventState>, count: u32) -> LogIndex {
    propose(
        group,
        Command { kind: EVENTS, event_count: count, body: Bytes::from(vec![0; 2_000]), space: Space::Ordinary },
    )
    .await
}

fn progress(done: (u64, u64)) -> Change {
    let update = CursorUpdate {
        trigger: TRIGGER,
        epoch: 1,
        upto: Upto::Scanned,
        matched: vec![(Offset(0), Offset(done.1 + 2))],
        done: vec![(Offset(done.0), Offset(done.1))],
        attempts: vec![],
        dead_letters: vec![],
    };
    Change::Progress { term: 0, progress: Progress { scanned: Offset(done.1 + 2), cursors: vec![update] } }
}

/// What the documentation promises of stalled triggers: a checkpoint holds the live state and the trailing copy.
#[test]
fn two_hundred_full_windows_of_scattered_events_fit_into_a_checkpoint() {
    const TRIGGERS: u64 = 20;
    let chance = SeededChance::new(1);
    // A few different ones; further apart than LZ4 looks back, so that they do not stand for each other.
    let scattered = || {
        let mut pending = RangeSet::new();
        let mut at = 1_000_000_000;
        for _ in 0..65_536 {
            pending.insert(Offset(at));
            at += 2 + chance.below(60);
        }
        pending
    };
    let windows: Vec<_> = (0..4).map(|_| scattered()).collect();
    let state = EventState::new(GROUP, Versions::OURS, cluster_at(1));
    for trigger in 0..TRIGGERS {
        let mut cursor = Cursor::starting(1, 1, Offset(0));
        cursor.pending = windows[trigger as usize % windows.len()].clone();
        let attempted: Vec<_> = cursor.pending.iter().take(512).collect();
        cursor.attempts.extend(attempted.into_iter().map(|offset| (offset, 3)));
        state.inner.lock().live.group.cursors.insert(TriggerId(u128::from(trigger) << 64), cursor);
    }
    let checkpoint = state.checkpoint();
    assert!(2 * 200 * checkpoint.len() as u64 / TRIGGERS < crate::node::MAX_RECORD_BYTES, "{} B", checkpoint.len());
    let read = EventState::new(GROUP, Versions::OURS, cluster_at(1));
    read.restore(&checkpoint, None).unwrap();
    assert_eq!(read.inner.lock().live, state.inner.lock().live);
}

#[tokio::test]
async fn the_trailing_copy_is_the_state_as_of_the_trim_mark_and_survives_the_purge() {
    let disk = SimDisk::new();
    let group = open(&disk).await;
    change(&group, &Change::Start { version: 1, triggers: vec![(TRIGGER, None)] }).await;
    let mut as_of_mark = Core::default();
    let mut mark = LogIndex(0);
    for n in 0..40_u64 {
        events(&group, 3).await;
        let index = change(&group, &progress((0, n * 3))).await;
        if n == 25 {
            mark = index;
            as_of_mark = group.state().with(Clone::clone);
        }
    }
    change(&group, &Change::Trim(mark.0)).await;
    assert!(group.state().advance_trailing(group.log()).unwrap());
    assert!(!group.state().advance_trailing(group.log()).unwrap(), "there is nothing more to do");
    {
        let inner = group.state().inner.lock();
        assert_eq!((&inner.trailing, inner.trailing_index), (&as_of_mark, mark.0));
    }
    group.purge_to_watermark().await.unwrap();
    let purged = async {
        while group.log().group(pelton_log::GroupId(GROUP.0)).first.is_none_or(|first| first <= mark) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), purged).await.unwrap();
    let before = group.state().with(Clone::clone);
    let restarted = open(&disk.copy()).await;
    assert_eq!(restarted.state().with(Clone::clone), before);
    assert_eq!(restarted.state().tail(), Offset(120));
    assert_eq!(restarted.state().inner.lock().trailing, as_of_mark);
    let index = events(&restarted, 1).await;
    change(&restarted, &Change::Trim(index.0)).await;
    assert!(restarted.state().advance_trailing(restarted.log()).unwrap());
    restarted.purge_to_watermark().await.unwrap();
    restarted.shutdown().await.unwrap();
}

#[test]
fn what_a_change_gave_is_kept_for_a_while_and_then_unknown_but_never_made_up() {
    let state = EventState::new(GROUP, Versions::OURS, cluster_at(1));
    let apply = |index: u64, change: &Change| {
        let command =
            Command { kind: CHANGE, event_count: 0, body: change.encode(Versions::OURS.max), space: Space::Ordinary };
        let (term, first_offset) = (pelton_log::Term(1), pelton_log::Offset(0));
        state.apply(Applied { index: LogIndex(index), term, first_offset, command });
    };
    apply(1, &Change::Start { version: 1, triggers: vec![(TRIGGER, None), (TriggerId(6), None)] });
    apply(2, &progress((0, 1)));
    assert_eq!((state.result(LogIndex(1)), state.result(LogIndex(2))), (Ok(2), Ok(0)));
    let gone = Selection::One(TRIGGER, Position { group: GROUP, offset: Offset(9) });
    apply(3, &Change::Discard(gone));
    assert_eq!(state.result(LogIndex(3)), Err(OperationError::UnknownDeadLetter));
    for index in 4..4 + RESULTS_KEPT as u64 {
        apply(index, &Change::Trim(0));
    }
    assert_eq!(state.result(LogIndex(3)), Err(OperationError::OutcomeUnknown));
    assert_eq!(state.result(LogIndex(4)), Ok(0));
}

/// Only a cluster that has gone on gets the next form, whatever its programs speak, and only they read it.
#[cfg(debug_assertions)]
#[test]
fn a_state_has_the_form_of_the_clusters_version() {
    let speaking = |max, protocol| EventState::new(GROUP, Versions { min: 1, max }, cluster_at(protocol));
    for (protocol, older_reads) in [(1, true), (2, false)] {
        let newer = speaking(2, protocol);
        newer.inner.lock().trailing_index = 7;
        let watermark = newer.watermark(LogIndex(7)).unwrap();
        assert_eq!(speaking(2, protocol).restore(&newer.checkpoint(), Some(&watermark)), Ok(()));
        let older = speaking(1, 1);
        assert_eq!(older.restore(&newer.checkpoint(), None).is_ok(), older_reads, "in a cluster at {protocol}");
        assert_eq!(older.install(LogIndex(7), &watermark.state).is_ok(), older_reads, "in a cluster at {protocol}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_stored_state_panic(noise in vec(any::<u8>(), 0..256)) {
        let mut versioned = vec![Forms::of(1).event_state];
        versioned.extend_from_slice(&noise);
        let mut folded = vec![Forms::of(1).event_state];
        folded.extend_from_slice(&lz4_flex::block::compress_prepend_size(&noise));
        for bytes in [noise, versioned, folded] {
            let _ = unfold(&bytes.into(), GROUP, 1);
        }
    }
}

mod power_loss;
