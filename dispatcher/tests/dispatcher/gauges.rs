//! What the gauges say while nothing happens: a subscriber that hangs, a trigger that rests, one that lags.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::watch;

use crate::sink::{Sink, status};
use crate::world::{World, event, eventually};

const BACKLOG: &str = "pelton_trigger_backlog_events";
const AGE: &str = "pelton_trigger_oldest_undelivered_seconds";

/// The value of a series; `labels` are parts of its text.
pub fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    text.lines()
        .find(|line| line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label)))
        .and_then(|line| line.rsplit(' ').next())
        .map(|number| number.parse().unwrap())
}

async fn until(handle: &PrometheusHandle, name: &str, trigger: &str, want: f64) {
    let label = format!("trigger=\"{trigger}\"");
    eventually(&format!("{name} of {trigger} is {want}"), || async {
        value(&handle.render(), name, &[&label]) == Some(want)
    })
    .await;
}

/// A world whose gauges are set often, and which keeps next to nothing of what it read.
async fn world() -> World {
    let mut world = World::asleep("").await;
    world.options.gauges_every = Duration::from_millis(5);
    world.options.cache_bytes = 0;
    world.options.read_bytes = 1;
    world.start();
    world
}

/// Nothing is stored and nothing ends while the subscriber hangs, and the event's batch has left the cache.
#[tokio::test(flavor = "current_thread")]
async fn the_oldest_event_ages_while_its_subscriber_hangs() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink =
        Sink::start(move |received| if received.path == "/slow" { status(202).when(&held) } else { status(202) }).await;
    let world = world().await;
    world.trigger("slow", &sink.url("/slow"), "filter: {attributes: {type: slow}}, delivery: {timeout: PT1H}").await;
    world.trigger("other", &sink.url("/other"), "filter: {attributes: {type: t}}").await;
    world.send(event("1", "slow")).await;
    sink.wait("/slow", 1).await;
    world.client.clock().advance(Duration::from_secs(60));
    for n in 0..10 {
        world.send_numbered(n * 100..(n + 1) * 100).await;
    }
    sink.wait("/other", 1_000).await;
    until(&handle, AGE, "slow", 60.0).await;
    until(&handle, BACKLOG, "slow", 1.0).await;
    world.client.clock().advance(Duration::from_secs(60));
    until(&handle, AGE, "slow", 120.0).await;
    until(&handle, AGE, "other", 0.0).await;
    gate.send_replace(true);
    until(&handle, AGE, "slow", 0.0).await;
    until(&handle, BACKLOG, "slow", 0.0).await;
}

/// What lies beyond the place of a paused trigger waits too, and may be all there is. After a restart nobody has read
/// any of it.
#[tokio::test(flavor = "current_thread")]
async fn what_a_paused_trigger_has_not_seen_is_its_backlog() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let sink = Sink::accepting().await;
    let mut world = world().await;
    world.trigger_with("t", &sink.url("/"), "", "pelton.dev/paused: 'true'").await;
    world.trigger("other", &sink.url("/other"), "").await;
    for n in 0..10 {
        world.send_numbered(n * 50..(n + 1) * 50).await;
        world.client.clock().advance(Duration::from_secs(1));
    }
    sink.wait("/other", 500).await;
    until(&handle, BACKLOG, "t", 500.0).await;
    until(&handle, AGE, "t", 10.0).await;
    world.stop().await;
    world.client.clock().advance(Duration::from_secs(10));
    world.start();
    until(&handle, AGE, "t", 20.0).await;
    until(&handle, BACKLOG, "t", 500.0).await;
    world.trigger("t", &sink.url("/"), "").await;
    sink.wait("/", 500).await;
    until(&handle, BACKLOG, "t", 0.0).await;
    until(&handle, AGE, "t", 0.0).await;
}

/// A trigger with a full window reads on later: what it has not read waits as well.
#[tokio::test(flavor = "current_thread")]
async fn what_lies_beyond_a_full_window_is_backlog() {
    const EVENTS: u64 = 70_000;
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let handle = recorder.handle();
    let gate = watch::Sender::new(false);
    let held = gate.clone();
    let sink = Sink::start(move |_| status(202).when(&held)).await;
    let world = world().await;
    world.trigger("t", &sink.url("/"), "delivery: {timeout: PT1H}").await;
    for n in 0..EVENTS / 10_000 {
        world.send_numbered(n * 10_000..(n + 1) * 10_000).await;
    }
    until(&handle, BACKLOG, "t", EVENTS as f64).await;
}
