//! Events for services that do not run.

use std::collections::BTreeMap;
use std::path::Path;

use super::service::{get, metric, node_with, service, wait_ready};
use super::support::{Connection, Node, TestEvent, wait_for, wait_until};

fn trigger(service: &str, delivery: &str) -> String {
    format!(
        "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: all}}\nspec:\n  broker: default\n  delivery: \
         {{{delivery}}}\n  subscriber:\n    ref: {{apiVersion: serving.knative.dev/v1, kind: Service, name: {service}}}\n---\n"
    )
}

/// Sends events in batches of 100.
fn send(node: &Node, ids: std::ops::Range<u64>) {
    let mut producer = Connection::open(node.ingress).unwrap();
    let ids: Vec<u64> = ids.collect();
    for batch in ids.chunks(100) {
        let events = batch.iter().map(|id| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t"}}"#));
        let body = format!("[{}]", events.collect::<Vec<_>>().join(","));
        let headers = "content-type: application/cloudevents-batch+json\r\n";
        assert_eq!(producer.call("POST", "/default/default", headers, body.as_bytes()).unwrap().status(), 202);
    }
}

/// How often each id was delivered.
fn read(record: &Path) -> BTreeMap<String, u64> {
    let mut times = BTreeMap::<String, u64>::new();
    for id in std::fs::read_to_string(record).unwrap_or_default().lines() {
        *times.entry(id.to_owned()).or_default() += 1;
    }
    times
}

#[track_caller]
fn wait_delivered(record: &Path, events: u64) {
    wait_for("all events to be delivered", || {
        let distinct = read(record).len() as u64;
        if distinct >= events { Ok(()) } else { Err(format!("{distinct} so far")) }
    });
}

#[track_caller]
fn wait_zero(node: &Node) {
    wait_until("the service to be at zero", || {
        metric(node, "kn_revision_pods_count") == 0.0 && metric(node, "kn_revision_pods_desired") == 0.0
    });
}

#[track_caller]
fn once_each(record: &Path, events: u64) {
    let times = read(record);
    let repeated: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    assert_eq!(repeated, [], "each once");
    assert_eq!(times.len() as u64, events, "no event that nobody sent");
}

/// spec/serving.md 10, "Acceptance checks" (knative/eventing#2357). An attempt may take five seconds and is not tried again: one
/// that began before the consumer was there would end as a dead letter.
#[test]
fn ten_thousand_events_for_a_service_at_zero_are_delivered_once_each_and_no_retry_is_used() {
    const EVENTS: u64 = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let arguments = ["slow-start", "6000", "record", record.to_str().unwrap()];
    let idle = [("pelton.dev/idle-stop", "500ms")];
    let delivery = trigger("sink", "retry: 0, timeout: PT5S");
    let node = node_with(folder.path(), &format!("{}{delivery}", service("sink", &arguments, &idle, "")));
    wait_zero(&node);
    send(&node, 0..EVENTS);
    wait_delivered(&record, EVENTS);
    once_each(&record, EVENTS);
    assert_eq!(metric(&node, "pelton_trigger_retries_total"), 0.0);
    assert_eq!(node.dead_letters("all").len(), 0);
    wait_zero(&node);
}

/// spec/serving.md 8.4, items 2 and 4.
#[test]
fn a_backlog_scales_out_drains_and_comes_back_to_zero() {
    const EVENTS: u64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let arguments = ["takes", "100", "record", record.to_str().unwrap()];
    let scaling = [("pelton.dev/idle-stop", "500ms"), ("autoscaling.knative.dev/max-scale", "4")];
    let one_at_a_time = "      containerConcurrency: 1\n";
    let manifest = service("sink", &arguments, &scaling, one_at_a_time) + &trigger("sink", "retry: 0");
    let node = node_with(folder.path(), &manifest);
    wait_zero(&node);
    send(&node, 0..EVENTS);
    wait_until("it to be scaled out", || metric(&node, "kn_revision_pods_count") >= 3.0);
    assert_eq!(metric(&node, "pelton_gateway_rejected_total"), 0.0);
    wait_delivered(&record, EVENTS);
    once_each(&record, EVENTS);
    assert_eq!(metric(&node, "pelton_trigger_retries_total"), 0.0);
    wait_zero(&node);
}

#[test]
fn events_for_a_service_that_crashes_become_dead_letters_and_those_after_it_was_mended_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (record, broken) = (folder.path().join("record"), folder.path().join("broken"));
    let arguments = ["crash-while", broken.to_str().unwrap(), "record", record.to_str().unwrap()];
    let annotations = [("pelton.dev/idle-stop", "300ms"), ("pelton.dev/activation-timeout", "1s")];
    let delivery = trigger("sink", "retry: 1, backoffPolicy: linear, backoffDelay: PT0.01S");
    let node = node_with(folder.path(), &format!("{}{delivery}", service("sink", &arguments, &annotations, "")));
    wait_zero(&node);
    std::fs::write(&broken, b"").unwrap();
    send(&node, 0..10);
    wait_until("dead letters", || node.dead_letters("all").len() == 10);
    for letter in node.dead_letters("all") {
        assert_eq!(letter["attempts"], 2, "{letter:#}");
        assert!(letter.to_string().contains("no database here"), "it says why: {letter:#}");
    }
    std::fs::remove_file(&broken).unwrap();
    send(&node, 10..15);
    wait_delivered(&record, 5);
    once_each(&record, 5);
}

/// What waits for a service stays in the log while there is none.
#[test]
fn events_outlive_the_service_that_they_wait_for() {
    const EVENTS: u64 = 50;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let arguments = ["slow-start", "1000", "record", record.to_str().unwrap()];
    let sink = service("sink", &arguments, &[("pelton.dev/idle-stop", "300ms")], "");
    let node = node_with(folder.path(), &format!("{sink}{}", trigger("sink", "")));
    wait_zero(&node);
    send(&node, 0..EVENTS);
    node.delete("services", "sink");
    wait_until("the host to mean nothing", || get(&node, "sink.default.localhost", "/").status() == 404);
    node.store(&sink);
    wait_ready(&node, "sink");
    wait_delivered(&record, EVENTS);
    assert_eq!(read(&record).len() as u64, EVENTS);
    assert_eq!(node.dead_letters("all").len(), 0);
}

/// An event starts its service while it is stored, and reaches it as it was sent.
#[test]
fn a_lone_event_reaches_a_service_at_zero() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let idle = [("pelton.dev/idle-stop", "300ms")];
    let arguments = ["record", record.to_str().unwrap()];
    let node = node_with(folder.path(), &(service("sink", &arguments, &idle, "") + &trigger("sink", "retry: 0")));
    for number in 0..3 {
        wait_zero(&node);
        let event = TestEvent::numbered(number);
        assert_eq!(Connection::open(node.ingress).unwrap().post(&event).unwrap().status(), 202);
        wait_delivered(&record, number + 1);
        assert_eq!(read(&record).get(&event.id()), Some(&1));
    }
}
