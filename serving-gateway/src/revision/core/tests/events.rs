//! Events that wait for a revision (spec/serving.md 8.4).

use super::*;

fn waiting(events: u64) -> WaitingEvents {
    WaitingEvents { events, at_once: events.min(100) }
}

fn wait(bench: &mut Bench, events: u64, arrived: u64) {
    bench.core.events_wait("host", waiting(events), arrived, bench.now);
}

/// One delivery that lasts for so long.
fn deliver(bench: &mut Bench, takes: Duration) {
    let key = bench.core.take_free(Reach::Anywhere, bench.now).expect("there is a slot");
    bench.core.delivery_began();
    bench.run_until(bench.now + takes);
    bench.core.delivery_ended(takes);
    bench.core.finish(key, bench.now);
}

fn starts(bench: &Bench) -> Vec<&str> {
    bench.log.iter().filter_map(|line| line.split_once(" start ")).map(|(_, count)| count).collect()
}

#[test]
fn an_event_that_waits_starts_an_instance_though_no_request_has_come() {
    let mut bench = Bench::new(settings(1), true);
    wait(&mut bench, 1, 1);
    assert_eq!(bench.steps(), ["start 1"]);
    let key = bench.start_one();
    assert_eq!(bench.steps(), ["probe 0"]);
    assert_eq!(bench.core.take_free(Reach::Anywhere, bench.now), None, "it does not answer yet");
    bench.core.ready(key, bench.now);
    assert_eq!(bench.core.take_free(Reach::Anywhere, bench.now), Some(key));
    assert_eq!(bench.core.take_free(Reach::Anywhere, bench.now), None, "one at a time");
}

#[test]
fn a_backlog_scales_out_once_it_is_known_how_long_a_delivery_lasts_and_then_all_of_it_goes() {
    let mut bench = Bench::new(settings(1), true);
    wait(&mut bench, 10_000, 10_000);
    bench.run_until(s(5));
    assert_eq!(starts(&bench), ["1"], "a delivery may last a millisecond");
    deliver(&mut bench, s(1));
    wait(&mut bench, 9_999, 0);
    bench.run_until(s(8));
    // 100 may be on their way at once, at 0.7 of one each.
    let ready = bench.core.counts().ready;
    assert!((143..150).contains(&ready), "{ready}");
    wait(&mut bench, 0, 0);
    bench.run_until(s(300));
    assert_eq!(bench.core.counts(), Counts::default());
    assert_eq!(bench.core.next_wake(bench.now), None, "nothing is left to do");
}

#[test]
fn an_event_that_is_expected_and_never_comes_leaves_an_instance_that_idles_out() {
    for idle_stop in [None, Some(ms(500))] {
        let mut bench = Bench::new(Settings { idle_stop, ..settings(1) }, true);
        bench.core.expect_event(bench.now);
        bench.run_until(s(300));
        assert_eq!((starts(&bench), bench.core.counts()), (vec!["1"], Counts::default()), "{idle_stop:?}");
    }
}

/// As where its runtime turns out not to be able to run it: nobody is there to say that the event has come.
#[test]
fn one_that_is_retired_is_not_due_for_ever_for_an_event_that_was_expected() {
    let mut bench = Bench::new(settings(1), true);
    bench.core.expect_event(bench.now);
    assert!(bench.core.retire(bench.now).is_empty());
    bench.run_until(s(300));
    assert_eq!((bench.core.counts(), bench.core.next_wake(bench.now)), (Counts::default(), None));
}

#[test]
fn an_event_that_is_expected_wakes_a_paused_instance_and_leaves_a_running_one_alone() {
    let mut bench = Bench::new(settings(1), true);
    wait(&mut bench, 1, 1);
    bench.run_until(ms(100));
    deliver(&mut bench, ms(10));
    wait(&mut bench, 0, 0);
    bench.core.expect_event(bench.now);
    assert_eq!(bench.steps(), Vec::<String>::new(), "it runs");
    bench.run_until(s(7));
    assert_eq!(bench.core.counts().paused, 1);
    bench.core.expect_event(bench.now);
    assert_eq!(bench.steps(), ["resume 0"]);
}

/// A circuit that is open, or a trigger without a place among the bytes: events wait, and none is sent.
#[test]
fn an_instance_that_events_wait_for_and_do_not_use_stays() {
    let mut bench = Bench::new(Settings { idle_stop: Some(ms(500)), ..settings(1) }, true);
    wait(&mut bench, 5, 5);
    bench.run_until(s(60));
    assert_eq!(bench.log, ["0ns start 1"]);
    wait(&mut bench, 0, 0);
    bench.run_until(s(120));
    assert_eq!((starts(&bench), bench.core.counts()), (vec!["1"], Counts::default()));
}

#[test]
fn a_rate_of_requests_gets_what_is_to_be_worked_off_in_a_second_on_top() {
    let target = crate::autoscaler::Target { target: 10.0, total: 10.0 };
    let scaling = Spec { metric: crate::autoscaler::Metric::RequestsPerSecond, target, ..settings(0).scaling };
    let mut bench = Bench::new(Settings { scaling, ..settings(0) }, true);
    wait(&mut bench, 500, 500);
    bench.run_until(s(1));
    assert_eq!(bench.core.counts().ready, 5, "50 in a second");
}
