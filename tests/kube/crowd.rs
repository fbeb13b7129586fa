//! Many Triggers, and many who watch them.
//!
//! `PELTON_CROWD_TRIGGERS` is how many Triggers there are: 1,000 unless given.

use std::net::SocketAddr;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::informer::Watch;
use crate::support::{Connection, Start, wait_until};

const PATH: &str = "/apis/eventing.knative.dev/v1/namespaces/default/triggers";
const WATCHERS: usize = 100;
const CHANGES: usize = 400;
const MERGE: &str = "content-type: application/merge-patch+json\r\n";

fn triggers() -> usize {
    std::env::var("PELTON_CROWD_TRIGGERS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

fn get(api: SocketAddr, path: &str) -> Value {
    let answer = Connection::open(api).unwrap().call("GET", path, "", b"").unwrap();
    assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Triggers as JSON, one after the other: of YAML a text has 1,024 documents at most.
fn manifest(triggers: usize) -> String {
    let one = |number| {
        let spec = json!({
            "broker": "default", "filter": {"attributes": {"type": format!("t{number}")}},
            "subscriber": {"uri": "http://127.0.0.1:9/"},
        });
        let name = format!("t{number:05}");
        let api = "eventing.knative.dev/v1";
        json!({"apiVersion": api, "kind": "Trigger", "metadata": {"name": name}, "spec": spec}).to_string()
    };
    (0..triggers).map(one).collect()
}

/// Lists are whole however they are read, every watch tells every change once and in order, and one that is not read costs
/// the others nothing.
#[test]
fn many_watch_many_triggers() {
    let (folder, triggers) = (tempfile::tempdir().unwrap(), triggers());
    let node = Start::new(folder.path()).manifest(&manifest(triggers)).node();
    let whole = get(node.api, PATH);
    assert_eq!(whole["items"].as_array().unwrap().len(), triggers);
    let (mut paged, mut next) = (0, String::new());
    loop {
        let page = get(node.api, &format!("{PATH}?limit=300{next}"));
        paged += page["items"].as_array().unwrap().len();
        match page["metadata"]["continue"].as_str() {
            Some(token) if !token.is_empty() => next = format!("&continue={token}"),
            _ => break,
        }
    }
    assert_eq!(paged, triggers);

    // Of more changes at once than are kept for nobody, as when the statuses of all come true, a watch that begins before
    // them is told to list again.
    let mut from = String::new();
    wait_until("every Trigger to be Ready", || {
        let whole = get(node.api, PATH);
        from = whole["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        whole["items"].as_array().unwrap().iter().all(is_ready)
    });
    // What is changed has a label, so that statuses that change meanwhile are not counted.
    let path = format!("{PATH}?watch=true&labelSelector=crowd&resourceVersion={from}");
    let (done, finished) = mpsc::channel();
    let _never_read = Watch::open(node.api, &path).unwrap();
    for _ in 0..WATCHERS {
        let (mut watch, done) = (Watch::open(node.api, &path).unwrap(), done.clone());
        std::thread::Builder::new().stack_size(256 * 1024).spawn(move || drop(done.send(see_all(&mut watch)))).unwrap();
    }
    drop(done);
    let mut writer = Connection::open(node.api).unwrap();
    for number in 0..CHANGES {
        let label = json!({"metadata": {"labels": {"crowd": number.to_string()}}}).to_string();
        let path = format!("{PATH}/t{:05}", number * 7 % triggers);
        let answer = writer.call("PATCH", &path, MERGE, label.as_bytes()).unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    let outcomes: Vec<Result<(), String>> = finished.iter().collect();
    assert_eq!(outcomes.len(), WATCHERS);
    for outcome in outcomes {
        outcome.unwrap();
    }
    node.is_well("a crowd of watchers");
    node.within_memory_with(triggers, "a crowd of watchers");
}

fn is_ready(trigger: &Value) -> bool {
    let conditions = trigger.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// Reads until the last change is told.
fn see_all(watch: &mut Watch) -> Result<(), String> {
    let (mut seen, mut version) = (0, 0);
    while seen < CHANGES {
        let event = watch.next().map_err(|error| error.to_string())?.ok_or("the watch ended")?;
        let metadata = &event["object"]["metadata"];
        let text = |pointer: &str| metadata.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (of, label) = (text("/resourceVersion").parse::<u64>().unwrap_or(0), text("/labels/crowd"));
        if of <= version {
            return Err(format!("{of} came after {version}: {event}"));
        }
        version = of;
        // A status that came true after the change shows the same label once more.
        match label.parse::<usize>() {
            Ok(number) if number == seen => seen += 1,
            Ok(number) if number < seen => {}
            _ => return Err(format!("{event} came where {seen} was to come")),
        }
    }
    Ok(())
}
