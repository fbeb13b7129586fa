use std::time::Duration;

use pelton_client::Recipient;

use super::*;

const TRIGGER: TriggerId = TriggerId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const GROUP: GroupId = GroupId(1);

fn at(offset: u64) -> Position {
    Position { group: GROUP, offset: Offset(offset) }
}

fn entry(offset: u64, number: u32, ended: u64) -> Entry {
    Entry::new(TRIGGER, Offset(offset), Recipient::Subscriber, number, UnixMillis(ended))
}

fn journals(successes: usize, others: usize) -> Journals {
    Journals::new(&Options { remembered_successes: successes, remembered_attempts: others, ..Options::default() })
}

#[test]
fn an_attempt_is_told_as_it_was() {
    let journals = journals(4, 4);
    let journal = journals.begin(GROUP, UnixMillis(1));
    let failed = entry(7, 1, 10).took(Duration::from_millis(3)).with(AttemptResult::Failed, Some(503));
    journal.push(failed.next_at(UnixMillis(210)));
    journal.push(entry(7, 2, 220).with(AttemptResult::Replied, Some(200)).replied(at(9)));
    journal.push(entry(8, 1, 230));
    let told = journals.attempts(&[at(7)]);
    let short: Vec<_> = told.iter().map(|it| (it.number, it.result, it.code, it.reply, it.next)).collect();
    assert_eq!(
        short,
        [
            (1, AttemptResult::Failed, Some(503), None, Some(Moment(210))),
            (2, AttemptResult::Replied, Some(200), Some(at(9)), None)
        ]
    );
    assert_eq!((told[0].trigger, told[0].event, told[0].took_millis, told[0].ended), (TRIGGER, at(7), 3, Moment(10)));
    let of_the_reply = journals.attempts(&[at(9)]);
    assert_eq!(of_the_reply.len(), 1, "what an event was the reply to is found by it");
    assert_eq!(of_the_reply[0].event, at(7));
    assert!(journals.attempts(&[Position { group: GroupId(2), offset: Offset(7) }]).is_empty());
}

/// The memory is fixed; what was forgotten is known by its time; successes do not push out what failed.
#[test]
fn the_oldest_are_forgotten_and_the_time_says_so() {
    let journals = journals(3, 2);
    let journal = journals.begin(GROUP, UnixMillis(5));
    assert_eq!(journals.since()[&GROUP], Moment(5), "nothing was done before it began");
    journal.push(entry(0, 1, 10).with(AttemptResult::Timeout, None));
    for n in 1..=3 {
        journal.push(entry(n, 1, 10 + n));
    }
    assert_eq!(journals.since()[&GROUP], Moment(5), "full, and nothing was written over");
    journal.push(entry(4, 1, 14));
    assert_eq!(journals.since()[&GROUP], Moment(11));
    assert!(journals.attempts(&[at(1)]).is_empty());
    for n in 0..100 {
        journal.push(entry(100 + n, 1, 20 + n));
    }
    assert_eq!(journals.attempts(&[at(0)]).len(), 1, "what failed is kept apart");
    assert_eq!(journals.since()[&GROUP], Moment(20 + 96));
    let rings = journal.rings.lock();
    assert_eq!((rings.successes.len(), rings.others.len()), (3, 1));
}

/// What others did between two sessions is not known here: it is not said that it is.
#[test]
fn a_session_begins_anew_what_is_complete() {
    let journals = journals(4, 4);
    journals.begin(GROUP, UnixMillis(5)).push(entry(1, 1, 10));
    let again = journals.begin(GROUP, UnixMillis(50));
    assert_eq!(journals.since()[&GROUP], Moment(50));
    again.push(entry(2, 1, 60));
    let told: Vec<_> = journals.attempts(&[at(1), at(2)]).iter().map(|it| it.event).collect();
    assert_eq!(told, [at(1), at(2)], "what it did before is told all the same");
    // A clock that went back makes nothing complete that is not.
    let _ = journals.begin(GROUP, UnixMillis(20));
    assert_eq!(journals.since()[&GROUP], Moment(50));
}

#[test]
fn a_question_and_its_answer_are_bounded() {
    let journals = journals(10, MAX_TOLD_ATTEMPTS + 10);
    let journal = journals.begin(GROUP, UnixMillis(0));
    for n in 0..=MAX_TOLD_ATTEMPTS as u64 {
        journal.push(entry(1, 2, n));
    }
    let told = journals.attempts(&[at(1)]);
    assert_eq!((told.len(), told[0].ended), (MAX_TOLD_ATTEMPTS, Moment(1)), "the newest, oldest first");
    let mut many: Vec<_> = (100..100 + MAX_ASKED_EVENTS as u64).map(at).collect();
    many.push(at(1));
    assert!(journals.attempts(&many).is_empty(), "what is one too many is not looked for");
}

#[test]
fn tallies_of_triggers_that_are_gone_are_forgotten() {
    let journals = journals(1, 1);
    let kept = journals.tally(TRIGGER);
    kept.matched();
    journals.tally(TRIGGER).delivered();
    for n in 0..1_000 {
        let _ = journals.tally(TriggerId(n));
    }
    let counts = journals.counts();
    assert_eq!(counts, [TriggerCounts { trigger: TRIGGER, matched: 1, delivered: 1, failed: 0 }]);
    assert!(journals.tallies.lock().all.len() <= LEAST_LOOKED_AT);
}

#[test]
fn every_way_to_fail_has_its_word() {
    use crate::delivery::{Answer, Content, classify};
    let answer = |status, content| Ok(Answer { status, retry_after: None, content });
    for (attempted, want) in [
        (answer(202, Content::Empty), AttemptResult::Delivered),
        (answer(200, Content::Broken(String::new())), AttemptResult::BadReply),
        (answer(503, Content::Empty), AttemptResult::Failed),
        (answer(400, Content::Empty), AttemptResult::Rejected),
        (answer(410, Content::Empty), AttemptResult::Rejected),
        (Err(NoAnswer::Connect(String::new())), AttemptResult::NoConnection),
        (Err(NoAnswer::NotServed(String::new())), AttemptResult::NotServed),
        (Err(NoAnswer::Timeout), AttemptResult::Timeout),
        (Err(NoAnswer::Broken(String::new())), AttemptResult::Broken),
        (Err(NoAnswer::NoRoom), AttemptResult::NoRoom),
        (Err(NoAnswer::Impossible(String::new())), AttemptResult::Impossible),
    ] {
        assert_eq!(result_of(classify(&attempted), &attempted), want, "{attempted:?}");
    }
}
