//! Gradual rollout, row by row of the rules and of the numbers that Knative's own tests state.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: UnixMillis = UnixMillis(1_700_000_000_000);

fn at(seconds: u64) -> UnixMillis {
    START.plus(Duration::from_secs(seconds))
}

fn terms(now: UnixMillis, is_served: bool) -> Terms<'static> {
    Terms { duration: Duration::from_secs(120), is_served, exists: &|_| true, now }
}

fn goal(percent: u8, revision_name: &str) -> Goal<'_> {
    Goal { configuration_name: "c", tag: "", percent, revision_name }
}

/// Shares of the revisions r1, r2, ..., on their way when there is more than one.
fn rollout(shares: &[u8], pace: Option<Pace>) -> Rollout {
    let named = |(i, percent): (usize, &u8)| Share { revision_name: format!("r{}", i + 1), percent: *percent };
    let one = ConfigurationRollout {
        configuration_name: "c".to_owned(),
        tag: String::new(),
        percent: shares.iter().sum(),
        revisions: shares.iter().enumerate().map(named).collect(),
        pace,
    };
    assert!(one.is_sound(), "{one:?}");
    Rollout { configurations: vec![one] }
}

fn stepping(step_size: u8) -> Option<Pace> {
    let step_duration = Duration::from_secs(3);
    Some(Pace::Stepping { next_step_time: at(0), step_duration, step_size })
}

fn later() -> Option<Pace> {
    let step_duration = Duration::from_secs(3);
    Some(Pace::Stepping { next_step_time: at(100), step_duration, step_size: 10 })
}

fn shares(rollout: &Rollout) -> Vec<u8> {
    let one = rollout.find("c", "").expect("the rollout of c");
    one.revisions.iter().map(|share| share.percent).collect()
}

/// Rule 2: the pace follows from the time until gateways served the first percent.
#[test]
fn the_pace_follows_from_how_long_the_first_percent_took() {
    let rows = [
        // percent, milliseconds until served, step size, milliseconds of a step
        (100, 0, 1, 1_202),
        (100, 200, 1, 1_202),
        (100, 1_000, 1, 1_202),
        (100, 3_000, 3, 3_000),
        (100, 2_001, 3, 3_000),
        (75, 3_000, 2, 3_000),
        (50, 3_000, 1, 3_000),
        (13, 1_000_000, 12, 1_000),
        (2, 0, 1, 119_000),
    ];
    for (percent, millis, step_size, step_millis) in rows {
        let row = format!("{percent} % served after {millis} ms");
        let before = rollout(&[percent - 1, 1], Some(Pace::Starting { start_time: START }));
        let now = START.plus(Duration::from_millis(millis));
        let waiting = before.next(&[goal(percent, "r2")], terms(now, false));
        assert_eq!(waiting, before, "{row}: nothing happens before gateways serve it");
        assert_eq!(waiting.wake_at(), None, "{row}");
        let step_duration = Duration::from_millis(step_millis);
        let next_step_time = now.plus(step_duration);
        let want = rollout(&[percent - 1, 1], Some(Pace::Stepping { next_step_time, step_duration, step_size }));
        let next = before.next(&[goal(percent, "r2")], terms(now, true));
        assert_eq!(next, want, "{row}");
        assert_eq!(next.wake_at(), Some(next_step_time), "{row}");
    }
}

/// Rule 3: a step takes from the second newest backwards.
#[test]
fn a_step_takes_from_the_second_newest_backwards() {
    let rows: [(&[u8], u8, &[u8]); 5] = [
        (&[30, 60], 10, &[20, 70]),
        (&[22, 5, 3, 60], 10, &[20, 70]),
        (&[5, 1, 1, 8], 10, &[15]),
        (&[10, 90], 10, &[100]),
        (&[99, 1], 1, &[98, 2]),
    ];
    for (before, size, want) in rows {
        let newest = format!("r{}", before.len());
        let goals = [goal(before.iter().sum(), &newest)];
        let next = rollout(before, stepping(size)).next(&goals, terms(at(0), true));
        assert_eq!(shares(&next), want, "{size} on {before:?}");
        assert_eq!(next.is_active(), want.len() > 1, "{size} on {before:?}");
        assert_eq!(next.wake_at(), (want.len() > 1).then_some(at(3)), "{size} on {before:?}");
        assert_eq!(next.next(&goals, terms(at(0), true)), next, "{size} on {before:?}: once");
        let early = rollout(before, later()).next(&goals, terms(at(99), true));
        assert_eq!(shares(&early), before, "{size} on {before:?}: not before it is due");
        let unserved = rollout(before, stepping(size)).next(&goals, terms(at(0), false));
        assert_eq!(shares(&unserved), before, "{size} on {before:?}: not while nobody serves it");
    }
}

/// Rules 1 and 5: a new revision begins with one percent of the newest one before it, also in the middle of a rollout.
#[test]
fn a_new_revision_begins_with_one_percent() {
    let rows: [(&[u8], &[u8]); 5] = [
        (&[100], &[99, 1]),
        (&[95, 5], &[95, 4, 1]),
        (&[99, 1], &[99, 1]),
        (&[98, 1, 1], &[98, 1, 1]),
        (&[2], &[1, 1]),
    ];
    for (before, want) in rows {
        let pace = if before.len() > 1 { later() } else { None };
        let next = rollout(before, pace).next(&[goal(before.iter().sum(), "new")], terms(at(7), false));
        assert_eq!(shares(&next), want, "{before:?}");
        let one = next.find("c", "").unwrap();
        assert_eq!(one.revisions.last().unwrap().revision_name, "new", "{before:?}");
        assert_eq!(one.pace, Some(Pace::Starting { start_time: at(7) }), "{before:?}");
    }
}

/// Rule 1: one percent and less cannot be divided.
#[test]
fn what_cannot_be_divided_switches_at_once() {
    for percent in [0, 1] {
        let before = rollout(&[1], None);
        let next = before.next(&[goal(percent, "new")], terms(at(0), true));
        let got: Vec<_> =
            next.iter().flat_map(|one| &one.revisions).map(|s| (s.revision_name.as_str(), s.percent)).collect();
        let want: Vec<_> = (percent > 0).then_some(("new", percent)).into_iter().collect();
        assert_eq!(got, want, "{percent} %");
        assert!(!next.is_active());
    }
}

/// Rule 4, alone and together with a new revision.
#[test]
fn another_percent_goes_to_the_newest_or_comes_from_the_oldest() {
    let rows: [(&[u8], u8, bool, &[u8]); 6] = [
        (&[21, 54], 42, false, &[42]),
        (&[21, 22, 32], 42, false, &[10, 32]),
        (&[21, 21], 75, false, &[21, 54]),
        (&[11, 31], 33, true, &[2, 30, 1]),
        (&[11, 14], 75, true, &[11, 63, 1]),
        (&[100], 60, false, &[60]),
    ];
    for (before, percent, is_new, want) in rows {
        let newest = if is_new { "new".to_owned() } else { format!("r{}", before.len()) };
        let pace = if before.len() > 1 { later() } else { None };
        let next = rollout(before, pace).next(&[goal(percent, &newest)], terms(at(0), true));
        assert_eq!(shares(&next), want, "{before:?} to {percent} %, new revision: {is_new}");
        assert_eq!(next.find("c", "").unwrap().percent, percent);
        assert_eq!(next.is_active(), want.len() > 1, "{before:?} to {percent} %");
    }
}

#[test]
fn without_a_duration_all_traffic_moves_at_once() {
    let off = Terms { duration: Duration::ZERO, ..terms(at(0), true) };
    for before in [rollout(&[100], None), rollout(&[60, 40], later()), Rollout::default()] {
        let next = before.next(&[goal(100, "new")], off);
        assert_eq!(shares(&next), [100], "{before:?}");
        assert_eq!(next.find("c", "").unwrap().revisions[0].revision_name, "new");
    }
}

#[test]
fn a_target_that_is_new_has_its_traffic_at_once_and_one_that_is_gone_is_forgotten() {
    let tagged = Goal { tag: "t", ..goal(100, "r1") };
    let next = rollout(&[100], None).next(&[goal(100, "r1"), tagged], terms(at(0), true));
    assert_eq!(next.iter().map(|one| one.tag.as_str()).collect::<Vec<_>>(), ["", "t"]);
    assert!(!next.is_active());
    let next = next.next(&[Goal { revision_name: "r2", ..tagged }], terms(at(1), true));
    assert_eq!(next.iter().count(), 1);
    assert_eq!(next.of_tag("t").unwrap().revisions.len(), 2, "the tag's own host goes step by step, too");
}

#[test]
fn the_share_of_a_deleted_revision_goes_to_the_newest() {
    let terms = Terms { exists: &|name| name != "r1", ..terms(at(0), true) };
    let next = rollout(&[60, 30, 10], later()).next(&[goal(100, "r3")], terms);
    assert_eq!(shares(&next), [30, 70]);
    let next = rollout(&[100], None).next(&[goal(100, "r2")], terms);
    assert_eq!(shares(&next), [100], "nobody is left to take from");
}

#[test]
fn an_annotation_that_says_what_cannot_be_is_not_followed() {
    let good = rollout(&[60, 40], later());
    let text = good.to_annotation();
    assert_eq!(Rollout::from_annotation(&text), Some(good));
    assert!(Rollout::from_annotation(&Rollout::default().to_annotation()).is_some());
    let broken = [
        ("a sum that is not the percent", text.replace("\"percent\":60", "\"percent\":61")),
        ("a share of zero", text.replace("\"percent\":60", "\"percent\":0").replace(":40", ":100")),
        ("more than everything", text.replace(":100,", ":120,").replace(":60", ":80")),
        ("a step of nothing", text.replace("\"stepSize\":10", "\"stepSize\":0")),
        ("no JSON", "{".to_owned()),
        ("nothing", String::new()),
    ];
    for (what, broken) in broken {
        assert_ne!(broken, text, "{what}");
        assert_eq!(Rollout::from_annotation(&broken), None, "{what}: {broken}");
    }
}

#[derive(Debug, Clone)]
enum Event {
    NewRevision,
    Percent(u8),
    Wait(u64),
    Served(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::NewRevision),
        (0u8..=100).prop_map(Event::Percent),
        (0u64..200_000).prop_map(Event::Wait),
        any::<bool>().prop_map(Event::Served),
    ]
}

proptest! {
    #[test] // Whatever happens on the way: every request goes somewhere, and once nothing more comes it ends.
    fn shares_always_add_up_and_the_newest_gets_everything_in_the_end(events in vec(event(), 0..60)) {
        let (mut now, mut percent, mut newest, mut is_served) = (START, 100, 1, true);
        let mut rollout = Rollout::default();
        let check = |rollout: &Rollout, percent: u8| {
            let read = Rollout::from_annotation(&rollout.to_annotation());
            prop_assert_eq!(read.as_ref(), Some(rollout));
            let total: u8 = rollout.iter().flat_map(|one| &one.revisions).map(|share| share.percent).sum();
            prop_assert_eq!(total, percent);
            Ok(())
        };
        for event in events {
            match event {
                Event::NewRevision => newest += 1,
                Event::Percent(other) => percent = other,
                Event::Wait(millis) => now = now.plus(Duration::from_millis(millis)),
                Event::Served(other) => is_served = other,
            }
            let name = format!("r{newest}");
            let goals = [goal(percent, &name)];
            rollout = rollout.next(&goals, terms(now, is_served));
            check(&rollout, percent)?;
            prop_assert_eq!(&rollout.next(&goals, terms(now, is_served)), &rollout);
        }
        let name = format!("r{newest}");
        let goals = [goal(percent, &name)];
        rollout = rollout.next(&goals, terms(now, true));
        for _ in 0..100 {
            now = rollout.wake_at().unwrap_or(now);
            rollout = rollout.next(&goals, terms(now, true));
            check(&rollout, percent)?;
        }
        prop_assert!(!rollout.is_active());
        let last = rollout.iter().flat_map(|one| &one.revisions).map(|share| share.revision_name.as_str()).next();
        prop_assert_eq!(last, (percent > 0).then_some(name.as_str()));
    }
}
