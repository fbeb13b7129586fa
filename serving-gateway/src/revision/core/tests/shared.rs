//! A revision that gateways share.

use super::*;

/// One whose instances others decide on, `concurrency` requests at a time in each.
fn shared(concurrency: u32) -> Bench {
    let core = Core::shared(settings(concurrency), true, true);
    Bench { core, now: Duration::ZERO, started: 0, log: Vec::new() }
}

fn assign(bench: &mut Bench, desired: u32, others: &[(&str, u32)]) -> Vec<InstanceKey> {
    let others: Vec<_> = others.iter().map(|(name, ready)| (Arc::from(*name), *ready)).collect();
    let assigned = Assigned { desired, is_proved: true };
    bench.core.assign(assigned, &others, bench.now).into_iter().map(|(key, _)| key).collect()
}

#[test]
fn what_is_decided_elsewhere_is_done() {
    let mut bench = shared(0);
    bench.run_until(s(10));
    assert_eq!(bench.log, Vec::<String>::new());
    assign(&mut bench, 2, &[]);
    bench.run_until(s(11));
    assert_eq!((bench.core.counts().ready, bench.log.len()), (2, 1), "{:?}", bench.log);
    assign(&mut bench, 1, &[]);
    bench.run_until(s(14));
    assert_eq!(bench.core.counts().ready, 1);
}

#[test]
fn a_request_goes_to_another_gateway_when_there_is_no_instance_here() {
    let mut bench = shared(1);
    let [peer] = assign(&mut bench, 0, &[("b", 2)])[..] else { panic!("one is new") };
    assert!(!bench.core.is_cold());
    assert_eq!((bench.arrive(1), bench.arrive(2)), (Arrival::Granted(peer), Arrival::Granted(peer)));
    assert!(matches!(bench.arrive(3), Arrival::Waits(_)), "two instances, one request at a time in each");
    assert_eq!(bench.steps(), Vec::<String>::new(), "they are busy; whether there should be more is not decided here");
    let counts = bench.core.counts();
    assert_eq!(
        (counts.in_flight, counts.queued, bench.core.arrivals()),
        (0, 1, 0),
        "what is passed on is counted there"
    );
    bench.core.finish(peer, bench.now);
    assert_eq!(bench.steps(), [format!("grant 3 to {}", peer.0)]);
}

#[test]
fn what_was_passed_on_is_not_passed_on_again() {
    let mut bench = shared(1);
    assign(&mut bench, 0, &[("b", 1)]);
    assert!(matches!(bench.core.arrive(1, Reach::Here, bench.now, || 1), Arrival::Waits(_)));
    assert_eq!(bench.steps(), ["start 1"], "although another gateway has instances");
    let key = bench.start_one();
    bench.core.ready(key, bench.now);
    assert_eq!(bench.steps(), [format!("probe {}", key.0), format!("grant 1 to {}", key.0)]);
    bench.core.finish(key, bench.now);
    bench.run_until(s(1));
    assert_eq!(bench.core.counts().ready, 1, "that it is there is known elsewhere only in a moment");
    bench.run_until(s(3));
    assert_eq!(bench.core.counts().ready, 0);
}

#[test]
fn a_gateway_that_does_not_answer_is_left_alone_and_one_is_started_here() {
    let mut bench = shared(0);
    let [peer] = assign(&mut bench, 0, &[("b", 1)])[..] else { panic!("one is new") };
    assert_eq!(bench.arrive(1), Arrival::Granted(peer));
    bench.core.suspect(peer, bench.now);
    bench.core.finish(peer, bench.now);
    assert!(matches!(bench.arrive(1), Arrival::Waits(_)));
    assert_eq!(bench.steps(), ["start 1"]);
    assign(&mut bench, 0, &[("b", 1)]);
    assert_eq!(bench.steps(), Vec::<String>::new(), "being told of again does not make it answer");
    bench.now = s(10);
    assign(&mut bench, 0, &[("b", 1)]);
    assert_eq!(bench.steps(), [format!("grant 1 to {}", peer.0)], "it is tried again");
}

#[test]
fn an_instance_here_is_used_until_it_has_as_much_to_do_as_it_should() {
    let mut bench = shared(0);
    let [peer] = assign(&mut bench, 1, &[("b", 1)])[..] else { panic!("one is new") };
    bench.run_until(s(1));
    let target = bench.core.settings.scaling.target.target as u32;
    let here = (0..target).filter(|request| bench.arrive(*request) != Arrival::Granted(peer)).count() as u32;
    assert_eq!(here, target);
    assert_eq!(bench.arrive(target), Arrival::Granted(peer));
}

/// Whoever decides elsewhere is told of it as long as it counts.
#[test]
fn an_event_that_was_expected_and_is_done_asks_for_nothing_any_more() {
    let mut bench = shared(0);
    bench.core.expect_event(ms(100));
    assert_eq!(bench.core.next_wake(ms(100)), Some(ms(1_100)));
    assert!(!bench.core.event_demand(ms(1_099)).is_zero());
    assert!(bench.core.event_demand(ms(1_100)).is_zero());
}

#[test]
fn an_instance_that_is_not_wanted_and_still_starts_is_not_looked_at_without_end() {
    let mut bench = shared(0);
    let Arrival::Waits(ticket) = bench.arrive(1) else { panic!("there is none") };
    bench.start_one();
    bench.core.leave(ticket, bench.now);
    assign(&mut bench, 0, &[]);
    assert_eq!(bench.core.counts().starting, 1);
    assert_eq!(bench.core.next_wake(s(5)), None);
}
