//! What is counted.

use metrics_exporter_prometheus::PrometheusBuilder;

use crate::gauges::value;
use crate::sink::{Sink, status};
use crate::world::{QUICK, World, event};

/// One thread, so that the recorder of this test sees this test's dispatcher and no other.
#[tokio::test(flavor = "current_thread")]
async fn what_happens_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let sink = Sink::start(|received| match (received.id(), received.earlier) {
        ("retried", 0) => status(503),
        ("exhausted", _) => status(500),
        ("rejected", _) => status(400),
        ("foreign", _) => status(200).body("ok"),
        ("ignored", _) => status(202).reply("r", "1"),
        _ => status(202),
    })
    .await;
    let world = World::new().await;
    let spec = format!("filter: {{attributes: {{type: t}}}}, delivery: {{retry: 1, {QUICK}}}");
    world.trigger("t", &sink.url("/"), &spec).await;
    for id in ["good", "retried", "exhausted", "rejected", "foreign", "ignored"] {
        world.send(event(id, "t")).await;
    }
    world.send(event("other", "u")).await;
    world.settled().await;
    let text = recorder.handle().render();
    let value = |name: &str, label: &str| value(&text, name, &["trigger=\"t\"", label]);
    let rows = [
        ("pelton_trigger_matched_total", "", 6.0),
        ("pelton_trigger_delivered_total", "", 4.0),
        ("pelton_trigger_retries_total", "", 2.0),
        ("pelton_trigger_attempts_total", "result=\"success\"", 4.0),
        ("pelton_trigger_attempts_total", "result=\"retryable\"", 3.0),
        ("pelton_trigger_attempts_total", "result=\"rejected\"", 1.0),
        ("pelton_trigger_attempts_total", "result=\"no-answer\"", 0.0),
        ("pelton_trigger_attempts_total", "result=\"impossible\"", 0.0),
        ("pelton_trigger_dead_letters_total", "cause=\"retries-exhausted\"", 1.0),
        ("pelton_trigger_dead_letters_total", "cause=\"rejected\"", 1.0),
        ("pelton_trigger_ignored_bodies_total", "kind=\"event\"", 1.0),
        ("pelton_trigger_ignored_bodies_total", "kind=\"other\"", 1.0),
        ("pelton_trigger_backlog_events", "", 0.0),
        ("pelton_trigger_in_flight", "", 0.0),
    ];
    for (name, label, want) in rows {
        assert_eq!(value(name, label), Some(want), "{name} {label}\n{text}");
    }
}

/// F24: a dead-letter sink that fails is seen, and its attempts are not the subscriber's.
#[tokio::test(flavor = "current_thread")]
async fn attempts_at_the_sink_are_counted_apart() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let sink = Sink::start(|received| status(if received.path == "/dead" { 500 } else { 400 })).await;
    let world = World::new().await;
    let spec = format!("delivery: {{retry: 2, {QUICK}, deadLetterSink: {{uri: '{}'}}}}", sink.url("/dead"));
    world.trigger("t", &sink.url("/"), &spec).await;
    world.send(event("1", "t")).await;
    world.settled().await;
    let text = recorder.handle().render();
    let value = |name: &str, label: &str| value(&text, name, &["trigger=\"t\"", label]);
    assert_eq!(value("pelton_trigger_dead_letter_sink_failures_total", ""), Some(3.0));
    for (result, want) in [("rejected", 1.0), ("retryable", 0.0), ("no-answer", 0.0)] {
        let label = format!("result=\"{result}\"");
        assert_eq!(value("pelton_trigger_attempts_total", &label), Some(want), "{result}");
    }
}
