//! What is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use pelton_dispatcher::CircuitOptions;

use crate::gauges::value;
use crate::sink::{Sink, status};
use crate::world::{QUICK, World, event, eventually};

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

/// The gauge of a circuit says what is so now: it is 1 at every scrape from the first probe that fails to the last, and
/// 0 once an attempt succeeded. Targets beyond the bound, and those that never fail, have no series.
#[tokio::test(flavor = "current_thread")]
async fn an_open_circuit_is_shown_while_it_is_open() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let shown = || -> Vec<(String, String)> {
        let text = recorder.handle().render();
        let lines = text.lines().filter(|line| line.starts_with("pelton_target_circuit_open{"));
        lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, value)| (series.into(), value.into())).collect()
    };
    let code = Arc::new(AtomicU16::new(503));
    let answers = code.clone();
    let sink = Sink::start(move |_| status(answers.load(Ordering::SeqCst))).await;
    let (beyond, good) = (Sink::start(|_| status(503)).await, Sink::accepting().await);
    let mut world = World::asleep("").await;
    world.options.max_labelled_targets = 1;
    world.options.idle_timeout = Duration::from_millis(50);
    world.options.circuit = CircuitOptions {
        failures: 20,
        events: 5,
        span: Duration::ZERO,
        first_probe: Duration::from_millis(1),
        last_probe: Duration::from_millis(1),
    };
    world.start();
    let spec = format!("delivery: {{retry: 1000, {QUICK}}}");
    world.trigger("t", &sink.url("/"), &spec).await;
    world.trigger("good", &good.url("/"), &spec).await;
    world.send_numbered(0..50).await;
    good.wait("/", 50).await;
    eventually("the circuit is open", || async { !shown().is_empty() }).await;
    let host = sink.url("");
    let series = format!("pelton_target_circuit_open{{target=\"{}\"}}", host.trim_start_matches("http://"));
    for n in 0..50 {
        sink.wait("/", sink.at("/").len() + 1).await;
        assert_eq!(shown(), [(series.clone(), "1".to_owned())], "after {n} probes");
    }
    world.trigger("beyond", &beyond.url("/"), &spec).await;
    world.send_numbered(50..100).await;
    // One more than can be out when the circuit opens: a probe.
    beyond.wait("/", 200).await;
    assert_eq!(shown(), [(series.clone(), "1".to_owned())]);
    code.store(202, Ordering::SeqCst);
    eventually("the circuit is closed", || async { shown() == [(series.clone(), "0".to_owned())] }).await;
    // A target that goes away with its last connection while its circuit is open is not open any more.
    code.store(503, Ordering::SeqCst);
    world.send_numbered(100..150).await;
    eventually("it is open again", || async { shown()[0].1 == "1" }).await;
    world.delete_trigger("t").await;
    eventually("it is gone", || async { shown()[0].1 == "0" }).await;
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
