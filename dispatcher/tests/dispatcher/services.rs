//! Subscribers that are services of this process (spec/serving.md 8.4, items 3 and 4).

use std::sync::Arc;
use std::time::Duration;

use pelton_client::Cause;
use pelton_dispatcher::{Options, Waiting};

use crate::service::{FakeService, HOST};
use crate::world::{QUICK, World, eventually};

async fn world_with(service: &FakeService) -> World {
    let mut world = World::asleep("").await;
    world.services = Some(Arc::new(service.clone()));
    world.start();
    world
}

fn url() -> String {
    format!("http://{HOST}/")
}

fn in_flight(world: &World) -> usize {
    world.handle().groups().iter().map(|(_, group)| group.in_flight()).sum()
}

/// The timeout of an attempt is shorter than the wait for a slot, and there is no retry: any attempt that began before would
/// be a dead letter.
#[tokio::test]
async fn events_wait_for_slots_and_no_attempt_begins_before() {
    let service = FakeService::new();
    let mut world = world_with(&service).await;
    world.trigger("t", &url(), "delivery: {retry: 0, timeout: PT0.05S}").await;
    world.send_numbered(0..300).await;
    eventually("all is told of", || async { service.told() == Waiting { events: 300, at_once: 100 } }).await;
    eventually("one asks for all of them", || async { service.asking() == 1 }).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((service.sent(), in_flight(&world), service.asking()), (vec![], 0, 1));
    service.add_slots(3);
    world.settled().await;
    assert_eq!(service.sent(), (0..300).collect::<Vec<_>>(), "once each");
    assert_eq!(service.most(), 3, "the slots bound what is on its way");
    assert!(world.letters().is_empty());
    eventually("nothing waits", || async { service.told() == Waiting::default() && service.busy() == 0 }).await;
    assert_eq!((service.matched(), service.asking()), (300, 0));
    world.stop().await;
}

#[tokio::test]
async fn an_attempt_that_has_its_slot_has_its_time_and_gives_the_slot_back() {
    let service = FakeService::new();
    service.add_slots(1);
    service.answer(false);
    let mut world = world_with(&service).await;
    world.trigger("t", &url(), "delivery: {retry: 0, timeout: PT0.05S}").await;
    world.send_numbered(0..2).await;
    world.until("both are dead letters", |state| state.letters.len() == 2).await;
    assert!(world.letters().iter().all(|letter| letter.attempts == 1 && letter.answer.code.is_none()));
    assert_eq!((service.sent(), service.most()), (vec![0, 1], 1));
    service.answer(true);
    world.send_numbered(2..3).await;
    world.settled().await;
    assert_eq!(service.sent(), [0, 1, 2]);
    world.stop().await;
}

#[tokio::test]
async fn where_nobody_serves_each_attempt_fails_and_says_so() {
    let service = FakeService::new();
    service.refuse(Some("no instance comes up"));
    let mut world = world_with(&service).await;
    world.trigger("t", &url(), &format!("delivery: {{retry: 1, {QUICK}}}")).await;
    world.send_numbered(0..5).await;
    world.until("all are dead letters", |state| state.letters.len() == 5).await;
    for letter in world.letters() {
        assert_eq!((letter.attempts, letter.cause, letter.answer.code), (2, Cause::RetriesExhausted, None));
        assert!(String::from_utf8_lossy(&letter.answer.detail).contains("no instance comes up"), "{letter:?}");
    }
    assert_eq!(service.sent(), Vec::<u64>::new());
    service.refuse(None);
    service.add_slots(1);
    world.send_numbered(5..8).await;
    world.settled().await;
    assert_eq!(service.sent(), [5, 6, 7], "and then it does again");
    world.stop().await;
}

/// A refusal fails what waited for it, and not what comes later.
#[tokio::test]
async fn an_event_that_comes_after_a_refusal_waits_for_its_own_slot() {
    let service = FakeService::new();
    service.refuse(Some("no instance comes up"));
    let mut world = world_with(&service).await;
    world.trigger("t", &url(), "delivery: {retry: 0}").await;
    world.send_numbered(0..1).await;
    world.until("it is a dead letter", |state| state.letters.len() == 1).await;
    service.refuse(None);
    world.send_numbered(1..2).await;
    eventually("the next asks", || async { service.asking() == 1 }).await;
    service.add_slots(1);
    world.settled().await;
    assert_eq!((service.sent(), world.letters().len()), (vec![1], 1));
    world.stop().await;
}

#[tokio::test]
async fn what_was_not_sent_is_no_attempt_unless_nothing_ever_is() {
    let service = FakeService::new();
    service.add_slots(1);
    service.lose(3);
    let mut world = world_with(&service).await;
    world.trigger("t", &url(), "delivery: {retry: 0}").await;
    world.send_numbered(0..1).await;
    world.settled().await;
    assert_eq!((service.sent(), world.letters().len()), (vec![0], 0));
    service.lose(usize::MAX);
    world.send_numbered(1..2).await;
    world.until("it is a dead letter", |state| state.letters.len() == 1).await;
    assert_eq!(world.letters()[0].attempts, 1);
    world.stop().await;
}

/// An instance goes while ten requests are on their way to it.
#[tokio::test]
async fn what_was_not_sent_together_is_no_attempt() {
    let service = FakeService::new();
    service.add_slots(10);
    service.lose(10);
    service.answer(false);
    let mut world = world_with(&service).await;
    world.trigger("t", &url(), "delivery: {retry: 0}").await;
    world.send_numbered(0..10).await;
    eventually("all are on their way", || async { service.busy() == 10 }).await;
    service.answer(true);
    world.settled().await;
    assert_eq!((service.sent(), world.letters().len()), ((0..10).collect(), 0));
    world.stop().await;
}

#[tokio::test]
async fn a_trigger_that_goes_takes_what_waits_with_it_and_a_slot_that_nobody_wants_goes_back() {
    let service = FakeService::new();
    let mut world = world_with(&service).await;
    world.trigger("t", &url(), "").await;
    world.send_numbered(0..10).await;
    eventually("it is asked", || async { service.asking() == 1 && service.told().events == 10 }).await;
    world.delete_trigger("t").await;
    eventually("nothing waits", || async { service.told() == Waiting::default() }).await;
    service.add_slots(1);
    eventually("nobody asks any more and the slot is free", || async { (service.asking(), service.busy()) == (0, 0) })
        .await;
    assert_eq!(service.sent(), Vec::<u64>::new());
    world.stop().await;
}

#[tokio::test]
async fn a_paused_trigger_asks_for_nothing_and_goes_on_where_it_was() {
    let service = FakeService::new();
    let mut world = world_with(&service).await;
    world.trigger("t", &url(), "").await;
    world.send_numbered(0..10).await;
    eventually("it is asked", || async { service.told().events == 10 }).await;
    world.trigger_with("t", &url(), "", "pelton.dev/paused: 'true'").await;
    eventually("nothing waits", || async { service.told() == Waiting::default() }).await;
    service.add_slots(2);
    world.trigger_with("t", &url(), "", "pelton.dev/paused: 'false'").await;
    world.settled().await;
    assert_eq!(service.sent(), (0..10).collect::<Vec<_>>());
    world.stop().await;
}

/// What waits has not begun: a stop does not wait for it, and the next dispatcher delivers it.
#[tokio::test]
async fn a_stop_leaves_what_waits_to_the_next() {
    let service = FakeService::new();
    let mut world = world_with(&service).await;
    world.trigger("t", &url(), "").await;
    world.send_numbered(0..10).await;
    eventually("it is asked", || async { service.asking() == 1 && service.told().events == 10 }).await;
    world.stop().await;
    assert_eq!((service.sent(), service.told()), (vec![], Waiting::default()));
    service.add_slots(1);
    eventually("its slot is free", || async { (service.asking(), service.busy()) == (0, 0) }).await;
    world.start();
    world.settled().await;
    assert_eq!(service.sent(), (0..10).collect::<Vec<_>>());
    world.stop().await;
}

#[tokio::test]
async fn ordered_events_go_one_by_one_and_say_how_many_could_at_once() {
    let service = FakeService::new();
    let mut world = world_with(&service).await;
    world.trigger_with("t", &url(), "", "pelton.dev/delivery-order: ordered").await;
    world.send_numbered(0..10).await;
    eventually("it is told", || async { service.told() == Waiting { events: 10, at_once: 1 } }).await;
    service.add_slots(5);
    world.settled().await;
    assert_eq!((service.sent().len(), service.most()), (10, 1));
    world.stop().await;
}

/// The batch of a waiting event was pushed out of the cache: it is read again, and its slot is not held meanwhile.
#[tokio::test]
async fn events_are_read_again_once_there_is_a_slot() {
    let service = FakeService::new();
    let mut world = World::asleep("").await;
    world.services = Some(Arc::new(service.clone()));
    world.options = Options { cache_bytes: 0, read_bytes: 1, ..world.options.clone() };
    world.start();
    world.trigger("t", &url(), "delivery: {retry: 0}").await;
    for id in 0..50 {
        world.send_numbered(id..id + 1).await;
    }
    eventually("all wait", || async { service.told().events == 50 }).await;
    service.add_slots(1);
    world.settled().await;
    assert_eq!((service.sent(), world.letters().len()), ((0..50).collect::<Vec<_>>(), 0));
    world.stop().await;
}
