//! Pause, rewind, redrive, restart, backlog.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pelton_client::{Client as _, Offset, OperationError, Selection, SharedMap, Start, Upto};
use tokio::sync::watch;

use crate::sink::{Sink, status};
use crate::world::{QUICK, World, event, eventually};

fn counts(ids: Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn a_paused_trigger_keeps_its_place() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    let id = world.trigger("t", &sink.url("/"), "").await;
    world.trigger("other", &sink.url("/other"), "").await;
    world.send_numbered(0..5).await;
    world.settled().await;
    world.trigger_with("t", &sink.url("/"), "", "pelton.dev/paused: 'true'").await;
    world.until("the pause is stored", |state| matches!(state.cursors[&id].upto, Upto::At(_))).await;
    world.send_numbered(5..20).await;
    sink.wait("/other", 20).await;
    world.until("the others are done", |state| state.scanned == Offset(20)).await;
    assert_eq!(sink.at("/").len(), 5);
    assert_eq!(world.stored().cursors[&id].floor(Offset(20)), Offset(5));
    world.trigger_with("t", &sink.url("/"), "", "pelton.dev/paused: 'false'").await;
    world.settled().await;
    assert!(counts(sink.ids("/")).values().all(|count| *count == 1));
    assert_eq!(sink.at("/").len(), 20);
    world.until("it is at the tail again", |state| state.cursors[&id].upto == Upto::Scanned).await;
}

/// A dispatcher may begin before its node has heard of a trigger that the group's leader has started, as after a loss of
/// power of all nodes: then it cannot say what the trigger has to get, and passes nothing.
#[tokio::test]
async fn nothing_is_passed_for_a_trigger_that_is_not_known_yet() {
    let failing = Arc::new(AtomicBool::new(true));
    let state = failing.clone();
    let sink = Sink::start(move |received| match &*received.path {
        "/known" if state.load(Ordering::SeqCst) => status(500),
        _ => status(202),
    })
    .await;
    let mut world = World::new().await;
    let late = world.trigger("late", &sink.url("/late"), "").await;
    world.trigger("known", &sink.url("/known"), &format!("delivery: {{retry: 10000, {QUICK}}}")).await;
    world.send_numbered(0..1).await;
    sink.wait("/late", 1).await;
    world.until("the match is stored", |state| state.scanned == Offset(1)).await;
    world.stop_now().await;

    let all = world.client.resources().borrow().clone();
    let mut fewer = (*all).clone();
    fewer.triggers.remove(&late).expect("it was there");
    world.client.tell(Arc::new(fewer));
    world.send_numbered(1..20).await;
    failing.store(false, Ordering::SeqCst);
    let before = sink.at("/known").len();
    world.start();
    // What was pending goes on: so it has read the cursors, and had its turn at the tail.
    sink.wait("/known", before + 1).await;
    world.client.tell(all);
    sink.wait("/late", 20).await;
    sink.wait("/known", before + 20).await;
    world.settled().await;
}

/// A Broker that is deleted and made again is the same Broker to those who send to it.
#[tokio::test]
async fn a_trigger_keeps_its_place_without_its_broker() {
    let sink = Sink::accepting().await;
    let mut world = World::new().await;
    world.trigger("t", &sink.url("/"), "").await;
    world.send_numbered(0..5).await;
    world.settled().await;
    world.stop().await;
    world.send_numbered(5..20).await;
    let with = world.client.resources().borrow().clone();
    let mut without = (*with).clone();
    without.brokers = SharedMap::default();
    world.client.tell(Arc::new(without));
    world.start();
    world.until("the events are matched", |state| state.scanned == Offset(20)).await;
    assert_eq!(sink.at("/").len(), 5, "it rests");
    world.client.tell(with);
    sink.wait("/", 20).await;
    world.settled().await;
}

#[tokio::test]
async fn a_rewound_trigger_gets_events_again_and_the_others_do_not() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    let id = world.trigger("t", &sink.url("/"), "").await;
    world.trigger("other", &sink.url("/other"), "").await;
    for n in 0..5 {
        world.send_numbered(n * 10..(n + 1) * 10).await;
    }
    world.settled().await;
    world.client.rewind(id, Start::Offset(Offset(20))).await.unwrap();
    sink.wait("/", 80).await;
    world.send_numbered(50..55).await;
    world.settled().await;
    for (received, count) in counts(sink.ids("/")) {
        let n: u64 = received.parse().unwrap();
        assert_eq!(count, if (20..50).contains(&n) { 2 } else { 1 }, "event {n}");
    }
    assert!(counts(sink.ids("/other")).values().all(|count| *count == 1));
}

/// A rewind while attempts are on their way: what they come to belongs to the time before it.
#[tokio::test]
async fn a_rewind_forgets_what_was_on_its_way() {
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink =
        Sink::start(move |received| if received.earlier == 0 { status(500).when(&held) } else { status(202) }).await;
    let world = World::new().await;
    let id = world.trigger("t", &sink.url("/"), "delivery: {retry: 0}").await;
    world.send_numbered(0..5).await;
    sink.wait("/", 5).await;
    world.client.rewind(id, Start::Earliest).await.unwrap();
    sink.wait("/", 10).await;
    gate.send_replace(true);
    world.send_numbered(5..6).await;
    sink.wait("/", 11).await;
    gate.send_replace(true);
    world.settled().await;
    let offsets: Vec<_> = world.letters().iter().map(|letter| letter.position.offset.0).collect();
    assert_eq!(offsets, [5], "the failures of before the rewind made no dead letters");
}

#[tokio::test]
async fn dead_letters_are_delivered_when_sent_again() {
    let broken = Arc::new(AtomicBool::new(true));
    let state = broken.clone();
    let sink = Sink::start(move |_| status(if state.load(Ordering::SeqCst) { 400 } else { 202 })).await;
    let world = World::new().await;
    for (name, annotations) in [("t", ""), ("ordered", "pelton.dev/delivery-order: ordered")] {
        world.trigger_with(name, &sink.url(&format!("/{name}")), "", annotations).await;
    }
    world.send_numbered(0..10).await;
    world.settled().await;
    assert_eq!(world.letters().len(), 20);
    broken.store(false, Ordering::SeqCst);
    assert_eq!(world.client.redrive(Selection::All).await.unwrap(), 20);
    world.until("they are done", |state| state.cursors.values().all(|cursor| cursor.pending.is_empty())).await;
    world.settled().await;
    assert!(world.letters().is_empty());
    for path in ["/t", "/ordered"] {
        let counts = counts(sink.ids(path));
        assert!(counts.len() == 10 && counts.values().all(|count| *count == 2), "{path}: {counts:?}");
    }
}

/// A restart in good order: nothing is done twice, nothing is lost, and attempts made before count.
#[tokio::test]
async fn a_restart_goes_on_where_it_stopped() {
    let sink = Sink::accepting().await;
    let failing = |received: &crate::sink::Received| match received.id().parse::<u64>().unwrap() % 3 {
        0 if received.path == "/" => status(500),
        _ => status(202),
    };
    sink.answer(failing);
    let mut world = World::new().await;
    let id =
        world.trigger("t", &sink.url("/"), "delivery: {retry: 3, backoffDelay: PT1H, backoffPolicy: linear}").await;
    world.send_numbered(0..30).await;
    sink.wait("/", 30).await;
    world.until("attempts are stored", |state| state.cursors[&id].attempts.len() == 10).await;
    world.until("the others are done", |state| state.cursors[&id].pending.len() == 10).await;
    world.stop().await;
    // After a restart what waited is due at once; its earlier attempt counts.
    world.trigger("t", &sink.url("/"), &format!("delivery: {{retry: 3, {QUICK}}}")).await;
    world.start();
    world.settled().await;
    for (received, count) in counts(sink.ids("/")) {
        let n: u64 = received.parse().unwrap();
        assert_eq!(count, if n.is_multiple_of(3) { 4 } else { 1 }, "event {n}");
    }
    assert_eq!(world.letters().len(), 10);
    assert!(world.letters().iter().all(|letter| letter.attempts == 4));
}

/// F31: a crash after the subscriber's answer and before it is stored: delivered again, never lost, and never more than
/// `max_unsaved` and what was on its way. Here nothing is stored before the crash, so all that came is repeated.
#[tokio::test]
async fn a_crash_repeats_at_most_what_was_not_stored() {
    const MAX_UNSAVED: usize = 50;
    const IN_FLIGHT: usize = 10;
    let sink = Sink::accepting().await;
    let mut world = World::asleep("").await;
    let ordinary = world.options.clone();
    world.options.progress_every = std::time::Duration::from_secs(3600);
    world.options.progress_completions = usize::MAX;
    world.options.max_unsaved = MAX_UNSAVED;
    world.trigger_with("t", &sink.url("/"), "", &format!("pelton.dev/max-in-flight: '{IN_FLIGHT}'")).await;
    world.start();
    world.send_numbered(0..1_000).await;
    sink.wait("/", MAX_UNSAVED).await;
    world.crash();
    world.options = ordinary;
    world.start();
    world.settled().await;
    let counts = counts(sink.ids("/"));
    assert_eq!(counts.len(), 1_000, "none is lost");
    let repeated: usize = counts.values().map(|count| count - 1).sum();
    assert!((MAX_UNSAVED..MAX_UNSAVED + IN_FLIGHT).contains(&repeated), "{repeated} deliveries were repeated");
}

/// F31, again and again, with progress being stored meanwhile.
#[tokio::test]
async fn many_crashes_repeat_no_more_than_each_may() {
    const CRASHES: usize = 10;
    const MAX_UNSAVED: usize = 20;
    const IN_FLIGHT: usize = 5;
    let sink = Sink::accepting().await;
    let mut world = World::asleep("").await;
    world.options.max_unsaved = MAX_UNSAVED;
    world.trigger_with("t", &sink.url("/"), "", &format!("pelton.dev/max-in-flight: '{IN_FLIGHT}'")).await;
    for round in 0..CRASHES {
        world.start();
        world.send_numbered(round as u64 * 100..(round as u64 + 1) * 100).await;
        sink.wait("/", round * 100 + 1 + 7 * round % 90).await;
        world.crash();
    }
    world.start();
    world.settled().await;
    let counts = counts(sink.ids("/"));
    assert_eq!(counts.len(), 100 * CRASHES, "none is lost");
    let repeated: usize = counts.values().map(|count| count - 1).sum();
    assert!(repeated < CRASHES * (MAX_UNSAVED + IN_FLIGHT), "{repeated} deliveries were repeated");
}

#[tokio::test]
async fn shutdown_waits_for_attempts_and_stores_them() {
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |_| status(202).when(&held)).await;
    let mut world = World::asleep("").await;
    world.options.progress_every = std::time::Duration::from_secs(3600);
    world.start();
    let id = world.trigger("t", &sink.url("/"), "").await;
    eventually("the trigger is known", || async { world.handle().groups()[0].1.triggers() == 1 }).await;
    world.send_numbered(0..250).await;
    sink.wait("/", 100).await;
    let opener = tokio::spawn(async move {
        // Only once the shutdown has begun is there anything to wait for; either order must end the same.
        tokio::task::yield_now().await;
        gate.send_replace(true);
    });
    world.stop().await;
    opener.await.unwrap();
    let came = sink.at("/").len() as u64;
    let cursor = &world.stored().cursors[&id];
    assert_eq!(cursor.pending.len(), 250 - came, "what was answered is stored as done, the rest as pending");
    world.options.progress_every = std::time::Duration::from_millis(5);
    world.start();
    world.settled().await;
    assert!(counts(sink.ids("/")).values().all(|count| *count == 1));
}

/// Progress that is refused or of unknown outcome is repeated, and nothing is done twice for it.
#[tokio::test]
async fn progress_that_fails_is_repeated() {
    let sink = Sink::start(|received| status(if received.id() == "3" { 400 } else { 202 })).await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), "").await;
    world.settled().await;
    world.client.fail_progress([OperationError::Unavailable, OperationError::OutcomeUnknown]);
    world.send_numbered(0..10).await;
    world.settled().await;
    assert!(counts(sink.ids("/")).values().all(|count| *count == 1));
    assert_eq!(world.letters().len(), 1);
}

/// An entry that is too large is not sent again as it is: the group would store nothing any more.
#[tokio::test]
async fn progress_that_is_too_large_is_stored_without_texts() {
    let sink = Sink::start(|_| status(400)).await;
    let world = World::new().await;
    world.trigger("t", &sink.url("/"), "").await;
    world.settled().await;
    world.client.limit_letters(64);
    world.send_numbered(0..10).await;
    world.settled().await;
    let letters = world.letters();
    assert_eq!(letters.len(), 10);
    assert!(letters.iter().all(|letter| letter.destination.is_empty() && letter.answer.code == Some(400)));
}

/// F22: a backlog beyond the window. Memory holds positions and a bounded cache; the log is read again; each event
/// arrives once; a neighbour is not kept waiting.
#[tokio::test]
async fn a_backlog_beyond_the_window_is_bounded_in_memory() {
    const EVENTS: u64 = 80_000;
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink =
        Sink::start(move |received| if received.path == "/slow" { status(202).when(&held) } else { status(202) }).await;
    let mut world = World::asleep("").await;
    world.options.cache_bytes = 256 * 1024;
    world.options.read_bytes = 128 * 1024;
    world.start();
    let slow = world.trigger("slow", &sink.url("/slow"), "delivery: {timeout: PT1H}").await;
    world.trigger("quick", &sink.url("/quick"), "filters: [{suffix: {id: '77'}}]").await;
    for n in 0..EVENTS / 1_000 {
        world.send_numbered(n * 1_000..(n + 1) * 1_000).await;
    }
    sink.wait("/quick", EVENTS as usize / 100).await;
    world
        .until("its window is full", |state| {
            let cursor = &state.cursors[&slow];
            state.scanned == Offset(EVENTS) && matches!(cursor.upto, Upto::At(_)) && cursor.pending.len() >= 65_000
        })
        .await;
    let snapshot = world.handle().groups()[0].1.clone();
    assert!(sink.at("/slow").len() <= 100);
    assert!(snapshot.cache_bytes() <= 512 * 1024, "{} B", snapshot.cache_bytes());
    gate.send_replace(true);
    sink.wait("/slow", 1_000).await;
    // All of it would take a debug build a while; that it goes on from where it was is enough: stop and look.
    world.stop().await;
    assert!(snapshot.cache_bytes() <= 512 * 1024, "{} B", snapshot.cache_bytes());
    let came = counts(sink.ids("/slow"));
    assert!(came.values().all(|count| *count == 1));
    let stored = world.stored();
    let cursor = &stored.cursors[&slow];
    let left = cursor.pending.len() + (EVENTS - cursor.upto_offset(stored.scanned).0);
    assert_eq!(left + came.len() as u64, EVENTS, "every event is done or still to come");
}

/// Ten thousand idle triggers, applied together: all start, and the one that matches gets its event.
#[tokio::test]
async fn ten_thousand_triggers_and_one_match() {
    let sink = Sink::accepting().await;
    let world = World::new().await;
    let mut text = String::new();
    for n in 0..10_000 {
        text.push_str(&format!(
            "---\napiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: t{n}}}\nspec: {{broker: b, \
             subscriber: {{uri: '{}'}}, filter: {{attributes: {{type: type.{n}}}}}}}\n",
            sink.url(&format!("/{n}"))
        ));
    }
    let documents: Vec<_> = text.split("---\n").filter(|part| !part.is_empty()).collect();
    let mut resources = Vec::new();
    for part in documents {
        resources.extend(pelton_resource::parse_documents(part, "test").unwrap());
    }
    world.client.apply(resources).await.unwrap();
    world.send(event("1", "type.4711")).await;
    sink.wait("/4711", 1).await;
    world.settled().await;
    assert_eq!(sink.received().len(), 1);
    assert_eq!(world.handle().groups()[0].1.triggers(), 10_000);
}

/// Two threads, many triggers of one target, failures and replies in between: every event of every trigger ends once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_event_ends_once() {
    const EVENTS: u64 = 3_000;
    let sink = Sink::start(|received| match received.id().parse::<u64>().unwrap_or(0) % 10 {
        3 if received.earlier == 0 && received.header("ce-type") == Some("t") => status(503),
        7 if received.path == "/0" => status(200).reply("r", received.id()),
        _ => status(202),
    })
    .await;
    let world = World::new().await;
    for n in 0..4 {
        let annotations = if n == 3 { "pelton.dev/delivery-order: ordered" } else { "" };
        let spec = format!("filter: {{attributes: {{type: t}}}}, delivery: {{retry: 2, {QUICK}}}");
        world.trigger_with(&format!("t{n}"), &sink.url(&format!("/{n}")), &spec, annotations).await;
    }
    world.trigger("replies", &sink.url("/replies"), "filter: {attributes: {type: r}}").await;
    for n in 0..EVENTS / 100 {
        world.send_numbered(n * 100..(n + 1) * 100).await;
    }
    sink.wait("/replies", EVENTS as usize / 10).await;
    world.settled().await;
    assert!(world.letters().is_empty());
    for path in ["/0", "/1", "/2", "/3"] {
        let counts = counts(sink.ids(path));
        assert_eq!(counts.len() as u64, EVENTS, "{path}");
        for (id, count) in counts {
            let fails = id.parse::<u64>().unwrap() % 10 == 3;
            assert_eq!(count, if fails { 2 } else { 1 }, "event {id} at {path}");
        }
    }
    assert_eq!(sink.at("/replies").len() as u64, EVENTS / 10);
}
