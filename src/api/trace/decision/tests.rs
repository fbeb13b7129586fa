use bytes::Bytes;
use pelton_client::{AttemptResult, Cause, GroupId, LastAnswer, Moment, Offset, Position, TriggerId};
use pelton_resource::{ObjectMeta, Time};

use super::*;

const ARRIVED: UnixMillis = UnixMillis(1_000_000);
const NOW: UnixMillis = UnixMillis(2_000_000);

fn position(offset: u64) -> Position {
    Position { group: GroupId(1), offset: Offset(offset) }
}

fn trigger(annotations: &[(&str, &str)], created: u64) -> Trigger {
    let mut trigger = Trigger {
        metadata: ObjectMeta {
            annotations: annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            creation_timestamp: Some(Time::from_unix_millis(created)),
            generation: Some(1),
            ..ObjectMeta::default()
        },
        ..Trigger::default()
    };
    trigger.status.subscriber_uri = Some("http://s/".to_owned());
    trigger
}

fn attempt(asked: Recipient, number: u32, ended: u64, result: AttemptResult) -> Attempt {
    Attempt {
        trigger: TriggerId(1),
        event: position(7),
        asked,
        number,
        ended: Moment(ended),
        took_millis: 1,
        result,
        code: None,
        reply: None,
        next: None,
    }
}

fn pending(failed_attempts: u32) -> Option<Standing> {
    Some(Standing { is_pending: true, is_passed: true, behind: 0, failed_attempts, was_rewound: false })
}

fn passed() -> Option<Standing> {
    Some(Standing { is_pending: false, is_passed: true, behind: 0, failed_attempts: 0, was_rewound: false })
}

fn beyond(behind: u64) -> Option<Standing> {
    Some(Standing { is_pending: false, is_passed: false, behind, failed_attempts: 0, was_rewound: false })
}

fn facts<'a>(trigger: &'a Trigger, standing: Option<Standing>, attempts: &'a [Attempt]) -> Facts<'a> {
    Facts {
        now: NOW,
        arrived: ARRIVED,
        trigger: Some(trigger),
        matches: Some(true),
        standing,
        letter: None,
        attempts,
        all_remembered: false,
        circuit_open_until: None,
        has_broker: true,
    }
}

#[test]
fn every_state_follows_from_its_facts() {
    let plain = trigger(&[], 1_000);
    let paused = trigger(&[(annotations::PAUSED, "true")], 1_000);
    let later = trigger(&[], 1_500_000);
    let from_the_beginning = trigger(&[(annotations::START, "earliest")], 1_500_000);
    let mut unresolved = plain.clone();
    unresolved.status.subscriber_uri = None;
    let mut changed = plain.clone();
    changed.metadata.generation = Some(2);
    let success = [attempt(Recipient::Subscriber, 2, 1_500_000, AttemptResult::Delivered)];
    let just_now = [attempt(Recipient::Subscriber, 1, NOW.0 - 100, AttemptResult::Delivered)];
    let replied =
        [Attempt { reply: Some(position(9)), ..attempt(Recipient::Subscriber, 1, 1_500_000, AttemptResult::Replied) }];
    let to_sink = [attempt(Recipient::DeadLetterSink, 1, 1_500_000, AttemptResult::Delivered)];
    let failed = |next| {
        [Attempt {
            code: Some(503),
            next: Some(Moment(next)),
            ..attempt(Recipient::Subscriber, 3, NOW.0 - 10, AttemptResult::Failed)
        }]
    };
    let (to_come, due) = (failed(NOW.0 + 5_000), failed(NOW.0 - 5));
    let open = Facts { circuit_open_until: Some(UnixMillis(NOW.0 + 9)), ..facts(&plain, pending(3), &due) };
    let no_broker = Facts { has_broker: false, ..facts(&plain, pending(0), &[]) };
    let sink_asked = [Attempt {
        next: Some(Moment(NOW.0 - 5)),
        ..attempt(Recipient::DeadLetterSink, 2, NOW.0 - 10, AttemptResult::Failed)
    }];
    let at_the_sink =
        Facts { circuit_open_until: Some(UnixMillis(NOW.0 + 9)), ..facts(&plain, pending(9), &sink_asked) };
    let rewound = |standing: Option<Standing>| standing.map(|standing| Standing { was_rewound: true, ..standing });
    let long_ago = [attempt(Recipient::Subscriber, 1, 1_500_000, AttemptResult::Failed)];
    let rows: Vec<(Facts<'_>, State, &str)> = vec![
        // An attempt is remembered before it is stored, and a rewind is stored before it is done.
        (facts(&plain, beyond(0), &just_now), State::Delivered, "by attempt 1"),
        (facts(&plain, rewound(beyond(3)), &success), State::NotReached, "delivered again: the Trigger has 3 events"),
        (facts(&plain, beyond(3), &success), State::Delivered, "by attempt 2"),
        (facts(&plain, beyond(3), &due), State::Waiting, "is due, or on its way"),
        (facts(&plain, beyond(3), &long_ago), State::NotReached, "3 events"),
        (Facts { matches: Some(false), ..facts(&plain, beyond(3), &[]) }, State::FilteredOut, "does not let it pass"),
        (facts(&later, rewound(passed()), &[]), State::Done, "not remembered"),
        (facts(&later, passed(), &long_ago), State::Done, "since its last attempt"),
        (no_broker, State::Waiting, "is gone"),
        (at_the_sink, State::Waiting, "attempt 2 ended with failed"),
        (facts(&plain, passed(), &success), State::Delivered, "by attempt 2"),
        (facts(&plain, pending(0), &just_now), State::Delivered, "by attempt 1"),
        (facts(&plain, pending(0), &success), State::Waiting, "to be delivered again"),
        (facts(&plain, passed(), &replied), State::Delivered, "with the reply 1/9"),
        (facts(&plain, passed(), &to_sink), State::DeadLetterSink, "took it at"),
        (facts(&plain, pending(3), &to_come), State::Waiting, "in retry until 1970-01-01T00:33:25.000Z: attempt 3"),
        (facts(&plain, pending(3), &due), State::Waiting, "is due, or on its way: attempt 3 failed with 503"),
        (facts(&plain, pending(0), &[]), State::Waiting, "its turn is to come"),
        (facts(&paused, pending(0), &to_come), State::Waiting, "paused"),
        (facts(&unresolved, pending(0), &[]), State::Waiting, "no URL"),
        (open, State::Waiting, "circuit"),
        (Facts { trigger: None, matches: None, ..facts(&plain, pending(0), &[]) }, State::Waiting, "is gone"),
        (facts(&plain, beyond(0), &[]), State::NotReached, "the next"),
        (facts(&paused, beyond(4), &[]), State::NotReached, "paused; the Trigger has 4 events"),
        (facts(&plain, None, &[]), State::NotStarted, "not started"),
        (Facts { matches: Some(false), ..facts(&plain, passed(), &[]) }, State::FilteredOut, "the filter does not"),
        (Facts { matches: Some(false), ..facts(&changed, passed(), &[]) }, State::FilteredOut, "as it is now"),
        (Facts { matches: Some(false), ..facts(&plain, passed(), &success) }, State::Delivered, "by attempt 2"),
        (facts(&later, passed(), &[]), State::BeforeStart, "since 1970-01-01T00:25:00Z"),
        (facts(&from_the_beginning, passed(), &[]), State::Done, "not remembered"),
        (facts(&plain, passed(), &due), State::Done, "since its last attempt"),
        (facts(&plain, passed(), &[]), State::Done, "not remembered"),
        (Facts { all_remembered: true, ..facts(&plain, passed(), &[]) }, State::NeverTried, "without an attempt"),
    ];
    for (at, (facts, want, word)) in rows.iter().enumerate() {
        let (state, why) = facts.decide();
        assert_eq!(state, *want, "row {at}: {why}");
        assert!(why.contains(word), "row {at}: {why}");
    }
}

#[test]
fn a_dead_letter_says_why_and_counts_before_all_else() {
    let plain = trigger(&[], 1_000);
    let letter = |code| DeadLetter {
        trigger: TriggerId(1),
        position: position(7),
        attempts: 11,
        cause: Cause::RetriesExhausted,
        destination: "http://s/".to_owned(),
        answer: LastAnswer { code, detail: Bytes::new() },
        at: UnixMillis(1_700_000),
    };
    for (code, word) in [(Some(500), "the last answer was 500"), (None, "no answer to the last")] {
        let letter = letter(code);
        let facts = Facts { letter: Some(&letter), ..facts(&plain, passed(), &[]) };
        let (state, why) = facts.decide();
        assert_eq!(state, State::DeadLetter);
        assert!(why.contains("after 11 attempts (retries-exhausted)") && why.contains(word), "{why}");
        assert_eq!(facts.failed_attempts(), Some(11));
    }
    assert_eq!(facts(&plain, pending(3), &[]).failed_attempts(), Some(3));
    assert_eq!(facts(&plain, passed(), &[]).failed_attempts(), None);
}

#[test]
fn since_when_a_trigger_looks_is_told_with_where_it_was_to_start() {
    for (annotation, want) in [
        (None, "1970-01-01T00:00:01Z"),
        (Some("latest"), "1970-01-01T00:00:01Z"),
        (Some("earliest"), "1970-01-01T00:00:01Z, from earliest"),
        (Some("offset:5"), "1970-01-01T00:00:01Z, from offset:5"),
    ] {
        let annotations: Vec<_> = annotation.map(|value| (annotations::START, value)).into_iter().collect();
        let trigger = trigger(&annotations, 1_000);
        assert_eq!(facts(&trigger, passed(), &[]).looks_since().as_deref(), Some(want));
    }
}
