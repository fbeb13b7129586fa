//! A log that cannot be read, for a while or for good: what needs it waits and is seen to wait, what is gone is
//! counted, and everything else goes on.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use pelton_client::{Client as _, Offset, Start};
use tokio::sync::watch;

use crate::gauges::value;
use crate::sink::{Sink, status};
use crate::world::{World, eventually};

const FAILURES: &str = "pelton_dispatcher_read_failures_total";
const STALLED: &str = "pelton_dispatcher_stalled_reads";
const UNMATCHED: &str = "pelton_dispatcher_unmatched_events";

async fn until(handle: &PrometheusHandle, name: &str, label: &str, holds: impl Fn(f64) -> bool) {
    eventually(&format!("{name} with {label}: {:?}", value(&handle.render(), name, &[label])), || async {
        value(&handle.render(), name, &[label]).is_some_and(&holds)
    })
    .await;
}

/// A world that keeps next to nothing of what it read, so that what it needs it reads.
async fn world() -> World {
    let mut world = World::asleep("").await;
    world.options.gauges_every = Duration::from_millis(5);
    world.options.cache_bytes = 0;
    world.options.read_bytes = 1;
    world
}

#[tokio::test(flavor = "current_thread")]
async fn a_tail_that_cannot_be_read_is_seen_and_goes_on_when_it_heals() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let sink = Sink::accepting().await;
    let mut world = world().await;
    world.start();
    world.trigger("t", &sink.url("/"), "").await;
    world.send_numbered(0..10).await;
    sink.wait("/", 10).await;
    world.client.fail_reads_at(Some(Offset(10)));
    world.send_numbered(10..20).await;
    world.send_numbered(20..30).await;
    until(&handle, STALLED, "reader=\"tail\"", |stalled| stalled == 1.0).await;
    until(&handle, FAILURES, "reader=\"tail\"", |failures| failures >= 2.0).await;
    until(&handle, UNMATCHED, "group=", |events| events == 20.0).await;
    assert_eq!(sink.at("/").len(), 10);
    world.client.fail_reads_at(None);
    world.settled().await;
    assert_eq!(sink.at("/").len(), 30);
    until(&handle, STALLED, "reader=\"tail\"", |stalled| stalled == 0.0).await;
    until(&handle, UNMATCHED, "group=", |events| events == 0.0).await;
}

/// One event that waits cannot be read. Its trigger waits for it; the waiting events of others, further on in the log,
/// are read as before.
#[tokio::test(flavor = "current_thread")]
async fn a_fetch_that_fails_holds_up_its_own_trigger_only() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |received| {
        // One at a time: what follows the first event of each trigger waits as a position.
        if received.id().parse::<u64>().is_ok_and(|id| id < 2) { status(202).when(&held) } else { status(202) }
    })
    .await;
    let mut world = world().await;
    world.start();
    for (name, suffix) in [("even", 0), ("odd", 1)] {
        let filters = format!("filters: [{{suffix: {{subject: '{suffix}'}}}}], delivery: {{timeout: PT1H}}");
        world.trigger_with(name, &sink.url(&format!("/{name}")), &filters, "pelton.dev/max-in-flight: '1'").await;
    }
    for n in 0..10_u64 {
        let (id, subject) = (n.to_string(), (n % 2).to_string());
        world
            .send(crate::world::build(pelton_event::Event::builder().id(&id).source("/s").ty("t").subject(&subject)))
            .await;
    }
    sink.wait("/even", 1).await;
    sink.wait("/odd", 1).await;
    world.until("all is matched", |state| state.scanned == Offset(10)).await;
    world.client.fail_reads_at(Some(Offset(2)));
    gate.send_replace(true);
    until(&handle, STALLED, "reader=\"fetch\"", |stalled| stalled == 1.0).await;
    sink.wait("/odd", 5).await;
    until(&handle, FAILURES, "reader=\"fetch\"", |failures| failures >= 2.0).await;
    assert_eq!(sink.at("/even").len(), 1);
    world.client.fail_reads_at(None);
    world.settled().await;
    assert_eq!((sink.at("/even").len(), sink.at("/odd").len()), (5, 5));
    until(&handle, STALLED, "reader=\"fetch\"", |stalled| stalled == 0.0).await;
}

/// A trigger that waits for an unreadable event and is rewound past it goes on, though nothing else wakes it.
#[tokio::test(flavor = "current_thread")]
async fn a_rewind_past_an_event_that_cannot_be_fetched_goes_on() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink =
        Sink::start(move |received| if received.id() == "0" { status(202).when(&held) } else { status(202) }).await;
    let mut world = world().await;
    world.start();
    let timeout = "delivery: {timeout: PT1H}";
    let id = world.trigger_with("t", &sink.url("/"), timeout, "pelton.dev/max-in-flight: '1'").await;
    for n in 0..10 {
        world.send_numbered(n..n + 1).await;
    }
    sink.wait("/", 1).await;
    world.until("all is matched", |state| state.scanned == Offset(10)).await;
    world.client.fail_reads_at(Some(Offset(2)));
    gate.send_replace(true);
    until(&handle, STALLED, "reader=\"fetch\"", |stalled| stalled == 1.0).await;
    world.client.rewind(id, Start::Offset(Offset(7))).await.unwrap();
    sink.wait("/", 2 + 3).await;
    until(&handle, STALLED, "reader=\"fetch\"", |stalled| stalled == 0.0).await;
    world.client.fail_reads_at(None);
    world.settled().await;
}

/// A trigger behind the tail cannot read on. Another that is further on, and those at the tail, do.
#[tokio::test(flavor = "current_thread")]
async fn a_scan_of_its_own_that_fails_holds_up_nobody_else() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let sink = Sink::accepting().await;
    let mut world = world().await;
    world.trigger("tail", &sink.url("/tail"), "").await;
    world.start();
    for n in 0..10 {
        world.send_numbered(n * 10..(n + 1) * 10).await;
    }
    world.settled().await;
    world.client.fail_reads_at(Some(Offset(35)));
    let stuck = world.trigger_with("stuck", &sink.url("/stuck"), "", "pelton.dev/start: earliest").await;
    until(&handle, STALLED, "reader=\"catch-up\"", |stalled| stalled == 1.0).await;
    world.trigger_with("beyond", &sink.url("/beyond"), "", "pelton.dev/start: 'offset:40'").await;
    sink.wait("/beyond", 60).await;
    world.send_numbered(100..110).await;
    sink.wait("/tail", 110).await;
    until(&handle, FAILURES, "reader=\"catch-up\"", |failures| failures >= 2.0).await;
    assert_eq!(sink.at("/stuck").len(), 30);
    // A way out that needs no healing: past the place.
    world.client.rewind(stuck, Start::Offset(Offset(100))).await.unwrap();
    sink.wait("/stuck", 40).await;
    until(&handle, STALLED, "reader=\"catch-up\"", |stalled| stalled == 0.0).await;
    world.client.fail_reads_at(None);
    world.settled().await;
}

/// Events that are gone are counted for every trigger that might have wanted them, and nobody waits for them.
#[tokio::test(flavor = "current_thread")]
async fn what_was_purged_is_counted_and_not_waited_for() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |received| match received.path.as_str() {
        "/slow" if received.id() == "0" => status(202).when(&held),
        _ => status(202),
    })
    .await;
    let mut world = world().await;
    world.start();
    let one = "pelton.dev/max-in-flight: '1'";
    world.trigger_with("slow", &sink.url("/slow"), "delivery: {timeout: PT1H}", one).await;
    let ordered = "pelton.dev/delivery-order: ordered";
    world.trigger_with("ordered", &sink.url("/slow"), "delivery: {timeout: PT1H}", ordered).await;
    for n in 0..10 {
        world.send_numbered(n * 10..(n + 1) * 10).await;
    }
    world.trigger_with("early", &sink.url("/early"), "", "pelton.dev/start: earliest, pelton.dev/paused: 'true'").await;
    world.until("all is matched", |state| state.scanned == Offset(100)).await;
    sink.wait("/slow", 2).await;
    world.client.purge_below(Offset(50));
    // The first is on its way and comes back; 49 of each are gone.
    gate.send_replace(true);
    world.trigger_with("early", &sink.url("/early"), "", "").await;
    world.settled().await;
    assert_eq!((sink.at("/slow").len(), sink.at("/early").len()), (102, 50));
    let text = handle.render();
    for (trigger, want) in [("slow", 49.0), ("ordered", 49.0), ("early", 50.0)] {
        let label = format!("trigger=\"{trigger}\"");
        assert_eq!(value(&text, "pelton_trigger_lost_total", &[&label]), Some(want), "{trigger}");
    }
    assert!(world.stored().cursors.values().all(|cursor| cursor.pending.is_empty()), "{:?}", world.stored());
}

/// As above, where it is the tail that is gone: the dispatcher slept too long.
#[tokio::test(flavor = "current_thread")]
async fn a_tail_that_was_purged_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let sink = Sink::accepting().await;
    let mut world = world().await;
    world.trigger("t", &sink.url("/"), "").await;
    world.start();
    world.send_numbered(0..10).await;
    world.settled().await;
    world.stop().await;
    for n in 1..10 {
        world.send_numbered(n * 10..(n + 1) * 10).await;
    }
    world.client.purge_below(Offset(50));
    world.start();
    world.settled().await;
    assert_eq!(sink.at("/").len(), 60);
    assert_eq!(value(&recorder.handle().render(), "pelton_trigger_lost_total", &["trigger=\"t\""]), Some(40.0));
}

/// An event that is there and cannot be decoded is passed over, counted, by every scan that passes it.
#[tokio::test(flavor = "current_thread")]
async fn an_event_that_cannot_be_decoded_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let sink = Sink::accepting().await;
    let mut world = world().await;
    world.trigger("t", &sink.url("/"), "").await;
    world.send_numbered(0..10).await;
    world.client.damage(Offset(3));
    world.client.damage(Offset(7));
    world.start();
    world.settled().await;
    let undecodable = || value(&recorder.handle().render(), "pelton_dispatcher_undecodable_events_total", &["group="]);
    let mut ids = sink.ids("/");
    ids.sort();
    assert_eq!(ids, ["0", "1", "2", "4", "5", "6", "8", "9"]);
    assert_eq!(undecodable(), Some(2.0));
    world.trigger_with("again", &sink.url("/again"), "", "pelton.dev/start: earliest").await;
    world.settled().await;
    assert_eq!(sink.at("/again").len(), 8);
    assert_eq!(undecodable(), Some(4.0));
}
