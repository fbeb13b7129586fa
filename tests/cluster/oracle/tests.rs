//! Ledgers that were doctored: each is a good one with one thing changed, and the oracle finds it.

use super::*;
use crate::logs::Copy;

fn at(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

fn one(start: Instant, ms: u64, fate: Fate) -> Try {
    Try { node: 0, sent: at(start, ms), ended: at(start, ms + 10), fate }
}

/// Event 2 was taken at once; 4 after an answer that never came, and is there twice; 6 was refused and then taken; 8 was
/// never answered, and is there. The right to deliver group 1 moves 1 s after the start, and 2 comes again for it. Node 0
/// slept through that.
fn good() -> (Instant, Evidence) {
    let start = Instant::now();
    let copy = |offset: u64, term: u64| Copy { group: 1, offset, term };
    let sent = [
        (2, vec![one(start, 900, Fate::Taken)]),
        (4, vec![one(start, 900, Fate::Unknown), one(start, 1_200, Fate::Taken)]),
        (6, vec![one(start, 900, Fate::Refused), one(start, 1_300, Fate::Taken)]),
        (8, vec![one(start, 1_400, Fate::Unknown)]),
    ];
    let session = |begin: u64, end: Option<u64>| Session { begin: at(start, begin), end: end.map(|ms| at(start, ms)) };
    let evidence = Evidence {
        sent: sent.into(),
        given_up: None,
        delivered: [
            (2, vec![at(start, 950), at(start, 1_050)]),
            (4, vec![at(start, 1_250), at(start, 1_260)]),
            (6, vec![at(start, 1_350)]),
            (8, vec![at(start, 1_450)]),
        ]
        .into(),
        copies: [
            (2, vec![copy(0, 1)]),
            (4, vec![copy(1, 1), copy(2, 2)]),
            (6, vec![copy(3, 2)]),
            (8, vec![copy(4, 2)]),
        ]
        .into(),
        sessions: [(1, vec![session(0, Some(990)), session(1_000, None)])].into(),
        sleeps: vec![Sleep { node: 0, from: at(start, 950), until: at(start, 1_350), led: [(1, 1)].into() }],
        keeps_one: false,
    };
    (start, evidence)
}

#[test]
fn a_good_ledger_is_accepted_and_counted() {
    let (_, evidence) = good();
    let (wrong, outcome) = judge(&evidence);
    assert_eq!(wrong, Vec::<String>::new());
    let longest_wait = Duration::from_millis(410);
    assert_eq!(outcome, Outcome { acknowledged: 3, unacknowledged: 1, sent_again: 1, repeated: 1, longest_wait },);
}

/// Each row: what was done to the ledger, to which event, and a word of what is said.
#[test]
fn each_kind_of_wrong_is_found() {
    type Doctor = fn(Instant, &mut Evidence);
    let rows: [(&str, u64, &str, Doctor); 15] = [
        ("acknowledged, delivered and lost", 2, "in no log", |_, e| drop(e.copies.remove(&2))),
        ("acknowledged and never delivered", 6, "0 deliveries", |_, e| drop(e.delivered.remove(&6))),
        ("stored, not acknowledged, never delivered", 8, "0 deliveries", |_, e| drop(e.delivered.remove(&8))),
        ("one copy of two never delivered", 4, "1 deliveries", |_, e| {
            e.delivered.get_mut(&4).unwrap().pop();
        }),
        ("delivered before it was committed", 8, "in no log", |_, e| drop(e.copies.remove(&8))),
        ("delivered and never sent", 2, "never sent", |_, e| drop(e.sent.remove(&2))),
        ("written twice by our own retry", 2, "2 copies", |_, e| {
            let copy = e.copies[&2][0];
            e.copies.get_mut(&2).unwrap().push(Copy { offset: 9, ..copy });
        }),
        ("written more often than tries are open", 4, "3 copies", |start, e| {
            let copy = e.copies[&4][0];
            e.copies.get_mut(&4).unwrap().push(Copy { offset: 9, ..copy });
            e.delivered.get_mut(&4).unwrap().push(at(start, 1_300));
        }),
        ("refused and stored", 6, "1 copies", |_, e| {
            e.sent.get_mut(&6).unwrap().iter_mut().for_each(|one| one.fate = Fate::Refused)
        }),
        ("acknowledged twice and stored once", 2, "1 copies", |start, e| {
            e.sent.get_mut(&2).unwrap().push(one(start, 920, Fate::Taken));
        }),
        ("kept twice inside the window", 4, "the Broker keeps one", |_, e| e.keeps_one = true),
        ("delivered twice, and nothing moved", 2, "no right to deliver moved", |_, e| e.sessions.clear()),
        ("delivered again long after the move", 2, "no right to deliver moved", |start, e| {
            e.delivered.get_mut(&2).unwrap()[1] = at(start, 1_000) + AROUND_A_MOVE + Duration::from_millis(1);
        }),
        ("what was delivered long before the move comes again", 2, "no right to deliver moved", |start, e| {
            let late = AROUND_A_MOVE + Duration::from_secs(2);
            let sessions = e.sessions.get_mut(&1).unwrap();
            (sessions[0].end, sessions[1].begin) = (Some(start + late), start + late);
            e.delivered.get_mut(&2).unwrap()[1] = start + late;
        }),
        ("taken by a leader that woke up, in its old term", 4, "old term", |_, e| {
            e.copies.get_mut(&4).unwrap().iter_mut().for_each(|copy| copy.term = 1);
        }),
    ];
    for (what, number, says, doctor) in rows {
        let (start, mut evidence) = good();
        doctor(start, &mut evidence);
        let (wrong, _) = judge(&evidence);
        let begins = format!("event {number}: ");
        let found = wrong.iter().any(|wrong| wrong.starts_with(&begins) && wrong.contains(says));
        assert!(found, "{what}: {says:?} of event {number} is not in {wrong:?}");
    }
}

/// An event that is given up may be lost, and no other.
#[test]
fn what_was_given_up_may_be_lost() {
    let (_, mut evidence) = good();
    evidence.copies.remove(&6);
    evidence.delivered.remove(&6);
    evidence.given_up = Some([6].into());
    assert_eq!(judge(&evidence).0, Vec::<String>::new());
    evidence.copies.remove(&2);
    assert_ne!(judge(&evidence).0, Vec::<String>::new());
}

#[test]
fn the_longest_silence_of_a_group_is_found_however_much_others_say() {
    let start = Instant::now();
    let moments = |ms: &[u64]| ms.iter().map(|ms| at(start, *ms)).collect::<Vec<_>>();
    let busy: Vec<u64> = (0..100).map(|nth| nth * 50).collect();
    let acks: BTreeMap<_, _> = [(1, moments(&busy)), (2, moments(&[0, 40, 2_040, 2_100, 4_900]))].into();
    let longest = |from: u64, until: u64| {
        let (gap, group) = unavailable(&acks, at(start, from), at(start, until), at(start, 5_000));
        (gap.as_millis(), group)
    };
    assert_eq!(longest(1_000, 1_500), (2_000, 2));
    assert_eq!(longest(2_050, 2_090), (60, 2));
    assert_eq!(longest(3_000, 3_001), (2_800, 2));
    // Nothing came until the producers stopped.
    let (gap, _) = unavailable(&acks, at(start, 4_950), at(start, 9_000), at(start, 9_000));
    assert_eq!(gap.as_millis(), 4_100);
}
