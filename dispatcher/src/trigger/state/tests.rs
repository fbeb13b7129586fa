use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use pelton_client::{Cause, GroupId, LastAnswer, Position, RangeSet};
use pelton_env::UnixMillis;
use proptest::prelude::*;

use super::*;

const ID: TriggerId = TriggerId(7);

fn at_tail(max_in_flight: usize) -> TriggerState {
    let mut cursor = Cursor::starting(1, 0, Offset(0));
    cursor.upto = Upto::Scanned;
    TriggerState::restore(ID, &cursor, Offset(0), false, max_in_flight)
}

fn start_all(state: &mut TriggerState) -> Vec<u64> {
    std::iter::from_fn(|| {
        let offset = state.next(Asked::Subscriber)?;
        state.start(Asked::Subscriber, offset);
        Some(offset.0)
    })
    .collect()
}

fn letter(offset: Offset) -> DeadLetter {
    DeadLetter {
        trigger: ID,
        position: Position { group: GroupId(1), offset },
        attempts: 1,
        cause: Cause::Rejected,
        destination: String::new(),
        answer: LastAnswer { code: Some(400), detail: Bytes::new() },
        at: UnixMillis(0),
    }
}

fn errand() -> SinkErrand {
    let answer = LastAnswer { code: Some(500), detail: Bytes::new() };
    SinkErrand { cause: Cause::RetriesExhausted, destination: String::new(), answer, tries: 0 }
}

#[test]
fn as_many_are_on_their_way_as_may_be() {
    let mut state = at_tail(3);
    for offset in 0..10 {
        assert!(state.matched_at_tail(Offset(offset), LaneId::KEYLESS));
    }
    assert_eq!(start_all(&mut state), [0, 1, 2]);
    state.done(Offset(1));
    assert_eq!(start_all(&mut state), [3]);
    assert_eq!((state.in_flight(), state.pending()), (3, 9));
}

/// A cursor as a rewind to `upto` and dead letters that were sent again leave it.
fn rewound(upto: u64, redriven: impl IntoIterator<Item = u64>) -> Cursor {
    let mut cursor = Cursor::starting(2, 0, Offset(upto));
    redriven.into_iter().for_each(|offset| {
        cursor.pending.insert(Offset(offset));
    });
    cursor
}

/// Starts and ends whatever may start, until nothing may.
fn deliver_all(state: &mut TriggerState) -> Vec<u64> {
    let mut delivered = Vec::new();
    while let Some(offset) = state.next(Asked::Subscriber) {
        state.start(Asked::Subscriber, offset);
        state.done(offset);
        delivered.push(offset.0);
    }
    delivered
}

#[test]
fn a_dead_letter_above_a_rewind_skips_nothing_below_itself() {
    for ordered in [false, true] {
        let mut state = TriggerState::restore(ID, &rewound(100, [900]), Offset(1_000), ordered, 10);
        let mut seen = deliver_all(&mut state);
        assert_eq!(state.at(), Offset(100), "ordered: {ordered}");
        for offset in 100..1_000 {
            assert!(state.scan(Offset(offset), LaneId(50), || true));
            seen.extend(deliver_all(&mut state));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, (100..1_000).collect::<Vec<_>>(), "ordered: {ordered}");
        assert_eq!((state.pending(), state.in_flight()), (0, 0), "ordered: {ordered}");
        let update = state.take_update(Offset(1_000));
        assert_eq!(update.done, [(Offset(900), Offset(901))], "the store knows it as pending; ordered: {ordered}");
    }
}

#[test]
fn an_event_that_is_pending_is_not_taken_by_a_scan_as_well() {
    for (ordered, max_in_flight) in [(false, 1), (false, 100), (true, 100)] {
        let mut state = TriggerState::restore(ID, &rewound(0, []), Offset(20), ordered, max_in_flight);
        // Sent again while the trigger's own scan is below it, and on its way when the scan comes to it.
        state.merge(&rewound(0, [5]), Offset(20));
        state.start(Asked::Subscriber, Offset(5));
        for offset in 0..20 {
            assert!(state.scan(Offset(offset), LaneId(50 + offset), || true));
        }
        assert_eq!(state.pending(), 20, "ordered: {ordered}");
        assert_eq!(state.in_flight(), 1, "ordered: {ordered}");
        state.done(Offset(5));
        let mut rest = deliver_all(&mut state);
        rest.sort_unstable();
        assert_eq!(rest, (0..20).filter(|offset| *offset != 5).collect::<Vec<_>>(), "ordered: {ordered}");
        assert_eq!((state.pending(), state.in_flight()), (0, 0), "ordered: {ordered}");
        // The lane of what is sent again is free for the next.
        state.merge(&rewound(0, [7]), Offset(20));
        assert_eq!(deliver_all(&mut state), [7], "ordered: {ordered}");
    }
}

/// A dead letter above the mark that is stored, as a crash between two parts of one progress leaves it.
#[test]
fn a_redriven_event_that_the_tail_scan_has_still_to_come_to_is_taken_once() {
    let mut state = at_tail(1);
    state.merge(&rewound(0, [5]), Offset(0));
    state.start(Asked::Subscriber, Offset(5));
    for offset in 0..10 {
        assert!(state.matched_at_tail(Offset(offset), LaneId::KEYLESS));
    }
    state.done(Offset(5));
    assert_eq!(deliver_all(&mut state), [0, 1, 2, 3, 4, 6, 7, 8, 9]);
    assert_eq!((state.pending(), state.in_flight()), (0, 0));
}

/// A crash between two parts of one progress: the store has matches above the mark that is stored.
#[test]
fn what_the_store_has_above_its_mark_is_delivered_once_and_told_as_done() {
    for ordered in [false, true] {
        let mut cursor = rewound(0, [250, 252]);
        cursor.upto = Upto::Scanned;
        let mut state = TriggerState::restore(ID, &cursor, Offset(200), ordered, 10);
        let mut seen = Vec::new();
        for offset in 200..300 {
            if let Follow::Own = state.follow() {
                assert!(state.scan(Offset(offset), LaneId(50), || offset % 2 == 0));
            } else if offset % 2 == 0 {
                assert!(state.matched_at_tail(Offset(offset), LaneId(50)));
            }
            seen.extend(deliver_all(&mut state));
        }
        seen.sort_unstable();
        let want: Vec<_> = (200..300).step_by(2).collect();
        assert_eq!(seen, want, "ordered: {ordered}");
        let done: RangeSet =
            state.take_update(Offset(300)).done.into_iter().fold(RangeSet::new(), |mut set, (a, b)| {
                set.insert_range(a, b);
                set
            });
        assert!(done.contains(Offset(250)) && done.contains(Offset(252)), "ordered: {ordered}: {done:?}");
    }
}

#[tokio::test]
async fn a_failed_attempt_waits_without_holding_a_place() {
    let now = Instant::now();
    let mut state = at_tail(1);
    for offset in 0..3 {
        state.matched_at_tail(Offset(offset), LaneId::KEYLESS);
    }
    assert_eq!(start_all(&mut state), [0]);
    assert_eq!(state.failed(Offset(0)), 1);
    state.retry_at(Offset(0), now + Duration::from_secs(1));
    assert_eq!(start_all(&mut state), [1]);
    assert_eq!(state.next_wake(), Some(now + Duration::from_secs(1)));
    state.wake(now + Duration::from_secs(1));
    assert_eq!(state.next(Asked::Subscriber), None);
    state.done(Offset(1));
    assert_eq!(start_all(&mut state), [0], "what is due goes before what waits");
    assert_eq!(state.attempts(Offset(0)), 1);
    state.not_sent(Offset(0));
    assert_eq!(state.attempts(Offset(0)), 1, "what was not sent is no attempt");
    assert_eq!(start_all(&mut state), [0]);
}

#[tokio::test]
async fn a_hold_stops_the_subscriber_and_not_the_sink() {
    let now = Instant::now();
    let mut state = at_tail(10);
    for offset in 0..3 {
        state.matched_at_tail(Offset(offset), LaneId::KEYLESS);
    }
    state.start(Asked::Subscriber, Offset(0));
    state.send_to_sink(Offset(0), errand());
    state.hold(now + Duration::from_secs(5));
    state.hold(now + Duration::from_secs(2));
    assert_eq!(state.next(Asked::Subscriber), None);
    assert_eq!(state.next(Asked::Sink), Some(Offset(0)));
    state.wake(now + Duration::from_secs(4));
    assert_eq!(state.next(Asked::Subscriber), None);
    state.wake(now + Duration::from_secs(5));
    assert_eq!(state.next(Asked::Subscriber), Some(Offset(1)));
}

#[tokio::test]
async fn errands_to_the_sink_are_bounded() {
    let now = Instant::now();
    let mut state = at_tail(4);
    for offset in 0..100 {
        state.matched_at_tail(Offset(offset), LaneId::KEYLESS);
    }
    // The sink fails too: errands wait for it, and the subscriber is asked no more once there are four.
    let mut asked = 0;
    while let Some(offset) = state.next(Asked::Subscriber) {
        state.start(Asked::Subscriber, offset);
        state.send_to_sink(offset, errand());
        state.start(Asked::Sink, offset);
        state.retry_at(offset, now + Duration::from_secs(60));
        asked += 1;
    }
    assert_eq!(asked, 4);
}

#[test]
fn a_full_window_leaves_the_tail_and_comes_back() {
    let mut state = at_tail(100);
    for offset in 0..WINDOW {
        assert!(state.matched_at_tail(Offset(offset), LaneId::KEYLESS));
    }
    assert!(!state.matched_at_tail(Offset(WINDOW), LaneId::KEYLESS));
    assert_eq!((state.follow(), state.at()), (Follow::Own, Offset(WINDOW)));
    // Later matches of the tail scan are not its own.
    assert!(state.matched_at_tail(Offset(WINDOW + 1), LaneId::KEYLESS));
    assert_eq!(state.pending(), WINDOW);
    assert_eq!(state.upto(Offset(WINDOW + 10)), Upto::At(Offset(WINDOW)));
    assert!(!state.has_room());
    for _ in 0..WINDOW / 2 {
        let offset = state.next(Asked::Subscriber).unwrap();
        state.start(Asked::Subscriber, offset);
        state.done(offset);
    }
    assert!(state.has_room());
    assert!(!state.join_tail(Offset(WINDOW + 2)), "it has not read what passed by");
    assert!(state.scan(Offset(WINDOW), LaneId::KEYLESS, || true));
    assert!(state.scan(Offset(WINDOW + 1), LaneId::KEYLESS, || false));
    assert!(state.join_tail(Offset(WINDOW + 2)));
    assert_eq!(state.upto(Offset(WINDOW + 2)), Upto::Scanned);
    assert_eq!(state.pending(), WINDOW / 2 + 1);
}

#[test]
fn its_own_scan_stops_at_a_full_window() {
    let mut state = TriggerState::restore(ID, &Cursor::starting(1, 0, Offset(5)), Offset(0), false, 10);
    for offset in 0..WINDOW + 5 {
        assert!(state.scan(Offset(offset), LaneId::KEYLESS, || true));
    }
    assert_eq!(state.pending(), WINDOW, "what lies below its start is not its own");
    assert!(!state.scan(Offset(WINDOW + 5), LaneId::KEYLESS, || true));
    assert_eq!(state.at(), Offset(WINDOW + 5));
}

#[test]
fn a_trigger_that_starts_above_the_scan_takes_nothing_below_its_start() {
    let mut state = TriggerState::restore(ID, &Cursor::starting(1, 0, Offset(10)), Offset(4), false, 10);
    assert!(state.join_tail(Offset(4)));
    for offset in 4..12 {
        state.matched_at_tail(Offset(offset), LaneId::KEYLESS);
    }
    assert_eq!(state.upto(Offset(9)), Upto::At(Offset(10)));
    assert_eq!(state.joins_at(Offset(9)), Some(Offset(10)));
    assert_eq!(state.upto(Offset(12)), Upto::Scanned);
    assert_eq!(start_all(&mut state), [10, 11]);
}

#[test]
fn ordered_events_of_one_key_follow_each_other_through_retries_and_the_sink() {
    let (a, b) = (LaneId(10), LaneId(11));
    let mut cursor = Cursor::starting(1, 0, Offset(0));
    cursor.upto = Upto::Scanned;
    let mut state = TriggerState::restore(ID, &cursor, Offset(0), true, 10);
    for (offset, lane) in [(0, a), (1, b), (2, a), (3, b), (4, LaneId::KEYLESS), (5, LaneId::KEYLESS)] {
        state.matched_at_tail(Offset(offset), lane);
    }
    assert_eq!(start_all(&mut state), [0, 1, 4]);
    state.failed(Offset(0));
    state.retry_at(Offset(0), Instant::now());
    state.send_to_sink(Offset(1), errand());
    state.done(Offset(4));
    assert_eq!(start_all(&mut state), [5], "keys whose event is not done wait");
    state.wake(Instant::now());
    assert_eq!(start_all(&mut state), [0]);
    state.start(Asked::Sink, Offset(1));
    state.done(Offset(1));
    state.dead(letter(Offset(0)));
    assert_eq!(start_all(&mut state), [2, 3]);
}

#[test]
fn an_ordered_trigger_restores_its_order_from_the_log() {
    let (a, b) = (LaneId(10), LaneId(11));
    let mut cursor = Cursor::starting(1, 0, Offset(0));
    cursor.upto = Upto::Scanned;
    for offset in [2, 3, 5] {
        cursor.pending.insert(Offset(offset));
    }
    cursor.attempts.insert(Offset(2), 4);
    let mut state = TriggerState::restore(ID, &cursor, Offset(6), true, 10);
    assert_eq!((state.follow(), state.at(), state.pending()), (Follow::Own, Offset(2), 3));
    assert_eq!(state.upto(Offset(9)), Upto::At(Offset(6)), "nothing below is matched again");
    for (offset, lane) in [(2, a), (3, b), (4, a), (5, a), (6, b), (7, a)] {
        assert!(state.scan(Offset(offset), lane, || true));
    }
    assert_eq!(state.pending(), 5, "4 was done before the restart, 6 and 7 are new");
    assert!(state.join_tail(Offset(8)));
    assert_eq!(start_all(&mut state), [2, 3]);
    assert_eq!(state.attempts(Offset(2)), 4);
    state.done(Offset(2));
    assert_eq!(start_all(&mut state), [5]);
}

#[test]
fn what_was_pending_and_cannot_be_read_does_not_hold_an_ordered_trigger_back() {
    let mut cursor = Cursor::starting(1, 0, Offset(10));
    for offset in [2, 3] {
        cursor.pending.insert(Offset(offset));
    }
    let mut state = TriggerState::restore(ID, &cursor, Offset(10), true, 10);
    assert!(state.scan(Offset(3), LaneId::KEYLESS, || true));
    state.scanned_to(Offset(10));
    assert!(state.join_tail(Offset(10)));
    let update = state.take_update(Offset(10));
    assert_eq!(update.done, [(Offset(2), Offset(3))]);
}

#[test]
fn dead_letters_sent_again_are_taken_once() {
    let mut state = at_tail(10);
    for offset in 0..5 {
        state.matched_at_tail(Offset(offset), LaneId::KEYLESS);
    }
    state.take_update(Offset(5));
    assert_eq!(start_all(&mut state), [0, 1, 2, 3, 4]);
    state.dead(letter(Offset(0)));
    state.take_update(Offset(5));
    state.done(Offset(1));
    // The store has sent 0 again, and knows neither that 1 is done nor that 2 is given up.
    state.dead(letter(Offset(2)));
    let mut cursor = Cursor::starting(1, 9, Offset(5));
    cursor.pending.insert_range(Offset(0), Offset(5));
    state.merge(&cursor, Offset(0));
    assert_eq!(start_all(&mut state), [0]);
}

#[test]
fn a_change_of_order_keeps_what_is_pending() {
    let mut state = at_tail(2);
    for offset in 0..5 {
        state.matched_at_tail(Offset(offset), LaneId::KEYLESS);
    }
    start_all(&mut state);
    state.done(Offset(0));
    state.reorder(true, Offset(5));
    assert_eq!((state.pending(), state.in_flight()), (4, 0));
    let update = state.take_update(Offset(5));
    assert_eq!((update.matched, update.upto), (vec![(Offset(1), Offset(5))], Upto::At(Offset(5))));
    for offset in 1..5 {
        assert!(state.scan(Offset(offset), LaneId::KEYLESS, || true));
    }
    assert!(state.join_tail(Offset(5)));
    assert_eq!(start_all(&mut state), [1], "without a key one at a time");
}

#[test]
fn what_left_the_log_is_given_up_and_counted() {
    let mut state = at_tail(2);
    for offset in 0..10 {
        state.matched_at_tail(Offset(offset), LaneId::KEYLESS);
    }
    assert_eq!(start_all(&mut state), [0, 1]);
    state.failed(Offset(1));
    state.retry_at(Offset(1), Instant::now());
    assert_eq!(state.forget_below(Offset(5)), 4, "1 to 4; 0 is on its way");
    state.done(Offset(0));
    assert_eq!(start_all(&mut state), [5, 6]);
    assert_eq!(state.pending(), 5);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Match(bool),
    Start,
    Done(u8),
    Retry(u8),
    Sink(u8),
    Dead(u8),
    NotSent(u8),
    Wake,
    Save,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Match),
        4 => Just(Step::Start),
        2 => any::<u8>().prop_map(Step::Done),
        2 => any::<u8>().prop_map(Step::Retry),
        1 => any::<u8>().prop_map(Step::Sink),
        1 => any::<u8>().prop_map(Step::Dead),
        1 => any::<u8>().prop_map(Step::NotSent),
        2 => Just(Step::Wake),
        1 => Just(Step::Save),
    ]
}

proptest! {
    /// After every save, the stored cursor has exactly the events that matched and did not end as pending; attempts
    /// that were made are stored with events that wait for another; never are more on their way than may be; and a
    /// state restored from it delivers just those.
    #[test]
    fn what_is_stored_is_what_is_not_done(
        steps in prop::collection::vec(any_step(), 1..200),
        ordered: bool,
        max in 1_usize..5,
    ) {
        let now = Instant::now();
        let mut stored = Cursor::starting(1, 0, Offset(0));
        stored.upto = Upto::Scanned;
        let mut state = TriggerState::restore(ID, &stored, Offset(0), ordered, max);
        let mut scanned = Offset(0);
        let mut open = BTreeSet::new();
        let mut letters = BTreeSet::new();
        let mut flying: Vec<Offset> = Vec::new();
        for step in steps.into_iter().chain([Step::Save]) {
            let mut land = |pick: u8| {
                let count = flying.len();
                (count > 0).then(|| flying.swap_remove(usize::from(pick) % count))
            };
            match step {
                Step::Match(matches) => {
                    if matches {
                        state.matched_at_tail(scanned, LaneId(scanned.0 % 3 + 2));
                        open.insert(scanned);
                    }
                    scanned = scanned.plus(1);
                }
                Step::Start => {
                    for asked in [Asked::Sink, Asked::Subscriber] {
                        if let Some(offset) = state.next(asked) {
                            state.start(asked, offset);
                            flying.push(offset);
                        }
                    }
                }
                Step::Done(pick) => if let Some(offset) = land(pick) {
                    state.done(offset);
                    open.remove(&offset);
                },
                Step::Retry(pick) => if let Some(offset) = land(pick) {
                    state.failed(offset);
                    state.retry_at(offset, now + Duration::from_secs(1));
                },
                Step::Sink(pick) => if let Some(offset) = land(pick) {
                    state.send_to_sink(offset, errand());
                },
                Step::Dead(pick) => if let Some(offset) = land(pick) {
                    state.dead(letter(offset));
                    open.remove(&offset);
                    letters.insert(offset);
                },
                Step::NotSent(pick) => if let Some(offset) = land(pick) {
                    state.not_sent(offset);
                },
                Step::Wake => state.wake(now + Duration::from_secs(2)),
                Step::Save => {
                    let update = state.take_update(scanned);
                    for dead in &update.dead_letters {
                        prop_assert!(letters.remove(&dead.position.offset), "a dead letter is stored once");
                    }
                    prop_assert!(stored.apply(&update));
                    prop_assert_eq!(stored.pending.iter().collect::<BTreeSet<_>>(), open.clone());
                    prop_assert!(letters.is_empty() && !state.is_dirty());
                    prop_assert!(stored.attempts.keys().all(|offset| open.contains(offset)));
                }
            }
            prop_assert_eq!(state.in_flight(), flying.len());
            prop_assert!(state.in_flight() <= max);
            prop_assert_eq!(state.pending(), open.len() as u64);
            if ordered {
                let busy: BTreeSet<_> = flying.iter().map(|offset| offset.0 % 3).collect();
                prop_assert_eq!(busy.len(), flying.len(), "one of a key at a time");
            }
        }
        let mut again = TriggerState::restore(ID, &stored, scanned, ordered, 1_000);
        for offset in 0..scanned.0 {
            again.scan(Offset(offset), LaneId(offset % 3 + 2), || false);
        }
        let mut delivered = RangeSet::new();
        while let Some(offset) = again.next(Asked::Subscriber) {
            again.start(Asked::Subscriber, offset);
            again.done(offset);
            prop_assert!(delivered.insert(offset), "once");
        }
        prop_assert_eq!(delivered.iter().collect::<BTreeSet<_>>(), open);
    }
}
